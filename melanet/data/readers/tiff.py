"""TIFF stacks, page by page."""

import contextlib
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from melanet.data.errors import InputError
from melanet.data.readers.images import MAX_PIXELS


def count_tiff_pages(path: Path) -> int:
    """Number of pages of a TIFF stack, without decoding them.

    Raises:
        InputError: If it is no TIFF, or truncated.
    """
    try:
        with _complaints() as complaints, tifffile.TiffFile(path) as stack:
            count = len(stack.pages)
    except Exception as error:  # tifffile lets those of a damaged file's parts through
        raise InputError(f"{path}: cannot be read as a TIFF stack ({error}); get it anew") from None
    if complaints:
        raise InputError(f"{path}: cannot be read to its end ({complaints[0]}); get it anew")
    return count


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """What tifffile logs: of a truncated stack it tells only its log, and returns fewer pages."""
    messages: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = tifffile.logger()
    logger.addHandler(handler)
    logger.propagate, before = False, logger.propagate
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def read_tiff_page(path: Path, index: int = 0) -> np.ndarray:
    """One page of a TIFF file: `(height, width)`, of the type that it is stored in.

    Raises:
        InputError: If it cannot be read, is not grey, has more than `MAX_PIXELS`, or values that
            are no numbers.
    """
    try:
        with _complaints() as complaints, tifffile.TiffFile(path) as stack:
            shape = stack.pages[index].shape
            fits = math.prod(shape) <= MAX_PIXELS
            page = stack.pages[index].asarray() if fits else None
    except Exception as error:  # tifffile lets its codecs' own exceptions through
        raise InputError(f"{path}: slice {index} cannot be read ({error}); get it anew") from None
    if complaints:
        raise InputError(f"{path}: slice {index} cannot be read ({complaints[0]}); get it anew")
    if page is None:
        raise InputError(f"{path}: slice {index} has more than {MAX_PIXELS:,} pixels; reduce it")
    if page.ndim != 2 or not page.size:
        raise InputError(f"{path}: slice {index} has shape {shape}; grey slices are expected")
    if page.dtype.kind not in "biuf" or not np.isfinite(page).all():
        raise InputError(f"{path}: slice {index} holds values that are no finite numbers")
    return page
