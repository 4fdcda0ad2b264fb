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
    """Counts the pages of a TIFF stack without decoding them.

    Raises:
        InputError: If the file is not TIFF, or truncated.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np, tifffile
        >>> from melanet.data.readers.tiff import count_tiff_pages
        >>> tifffile.imwrite("stack.tif", np.zeros((5, 8, 8), "uint8"))
        >>> count_tiff_pages(Path("stack.tif"))
        5
    """
    try:
        with _complaints() as complaints, tifffile.TiffFile(path) as stack:
            count = len(stack.pages)
    except Exception as error:  # tifffile lets its codecs' own exceptions through
        raise InputError(f"{path}: cannot be read as a TIFF stack ({error}); get it anew") from None
    if complaints:
        raise InputError(f"{path}: cannot be read to its end ({complaints[0]}); get it anew")
    return count


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collects what tifffile logs: it reports a truncated stack only there."""
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
    """Reads one grey page of a TIFF file, in the type that it is stored in.

    Returns:
        An array `(height, width)`.

    Raises:
        InputError: If the page cannot be read, is not grey, has more than `MAX_PIXELS`, or values
            that are not finite.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np, tifffile
        >>> from melanet.data.readers.tiff import read_tiff_page
        >>> tifffile.imwrite("stack.tif", np.zeros((5, 8, 9), "int16"))
        >>> read_tiff_page(Path("stack.tif"), 2).shape
        (8, 9)
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
        raise InputError(f"{path}: slice {index} holds values that are not finite numbers")
    return page
