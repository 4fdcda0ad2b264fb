"""TIFF files: images, and stacks page by page."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image

from melanet import lazy
from melanet.data.errors import InputError

if TYPE_CHECKING:
    import tifffile
else:
    tifffile = lazy.module("tifffile")

#: Pillow's own limit; a small file may ask for more than the memory holds. The largest image of
#: the thesis has 30 million.
MAX_PIXELS = 89_478_485
#: The first bytes of a file, in both byte orders, and of BigTIFF.
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION_TAG = 274


def read_tiff(path: str | Path | IO[bytes], name: str) -> np.ndarray:
    """Reads the image of a TIFF file of 8 bits or less, upright.

    Palettes, CMYK, YCbCr, both orders of the samples and extra samples (which are dropped) are
    understood, and so are three samples that are declared grey, as MATLAB writes them.

    Args:
        path: The file's path, or an open binary file.
        name: What to call the file in a message.

    Returns:
        uint8, `(height, width)` if the image is grey, else `(height, width, 3)`.

    Raises:
        InputError: If the file cannot be read to its end, has several pages, more than
            `MAX_PIXELS`, other than 8 bits, or colours that are none of these.

    Example:
        >>> import numpy as np, tifffile
        >>> from melanet.data.readers.tiff import read_tiff
        >>> tifffile.imwrite("a.tif", np.zeros((8, 9, 3), "uint8"), planarconfig="contig")
        >>> read_tiff("a.tif", "a.tif").shape
        (8, 9, 3)
    """
    with _opened(path, name) as stack:
        pages = [page.aspage() for page in stack.pages]
        pages = [page for page in pages if not page.is_reduced and not page.is_mask]
        if len(pages) != 1:
            raise InputError(
                f"{name}: has {len(pages)} frames or pages; save the one that is meant"
            )
        pixels = _decode(pages[0], name)
        return upright(_to_8_bit(pages[0], pixels, name), _orientation(pages[0]))


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
    with _opened(path, str(path)) as stack:
        return len(stack.pages)


def read_tiff_page(path: Path, index: int = 0) -> np.ndarray:
    """Reads one grey page of a TIFF file, upright, in the type that it is stored in.

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
    name = f"{path}: slice {index}"
    with _opened(path, name) as stack:
        page = stack.pages[index].aspage()
        pixels = _decode(page, name)
        if pixels.ndim != 2 or page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            raise InputError(f"{name} has shape {page.shape}; grey slices are expected")
        if pixels.dtype.kind not in "biuf" or not np.isfinite(pixels).all():
            raise InputError(f"{name} holds values that are not finite numbers")
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "bu":
            pixels = ~pixels
        return upright(pixels, _orientation(page))


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns or mirrors an image as its orientation tag says (TIFF and EXIF, tag 274).

    Args:
        pixels: The image as it is stored, `(height, width)` or `(height, width, channels)`.
        orientation: 1 to 8; others count as 1, which is upright.

    Example:
        >>> import numpy as np
        >>> from melanet.data.readers.tiff import upright
        >>> upright(np.array([[1, 2]]), 6).tolist()
        [[1], [2]]
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


@contextlib.contextmanager
def _opened(path: str | Path | IO[bytes], name: str) -> Iterator[tifffile.TiffFile]:
    """Opens a TIFF file and converts whatever it raises, or only logs, to InputError."""
    complaints: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logger = tifffile.logger()
    logger.addHandler(handler)
    logger.propagate, before = False, logger.propagate
    try:
        with tifffile.TiffFile(path) as stack:
            yield stack
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except Exception as error:  # tifffile lets its codecs' own exceptions through
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: cannot be read as TIFF ({reason}); get it anew") from None
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
    if complaints:  # of a truncated stack
        raise InputError(f"{name}: cannot be read to its end ({complaints[0]}); get it anew")


def _decode(page: tifffile.TiffPage, name: str) -> np.ndarray:
    """The pixels of a page, samples last."""
    if page.imagewidth * page.imagelength > MAX_PIXELS:
        raise InputError(f"{name}: has more than {MAX_PIXELS:,} pixels; reduce it")
    pixels = page.asarray()
    if not pixels.size or page.axes not in ("YX", "YXS", "SYX"):
        raise InputError(f"{name}: has shape {page.shape}; one image is expected")
    return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels


def _orientation(page: tifffile.TiffPage) -> int:
    return page.tags[ORIENTATION_TAG].value if ORIENTATION_TAG in page.tags else 1


def _to_8_bit(page: tifffile.TiffPage, pixels: np.ndarray, name: str) -> np.ndarray:
    """Grey or RGB from pixels of 8 bits or less, whatever their colours are."""
    bits, colours = page.bitspersample, page.photometric
    if pixels.dtype.kind not in "bu" or bits > 8:
        kind = f"{bits}-bit {'signed' if pixels.dtype.kind == 'i' else pixels.dtype} values"
        raise InputError(f"{name}: has {kind}; 8-bit grey or colour is expected, 0 to 255")
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    if colours == tifffile.PHOTOMETRIC.PALETTE and samples == 1 and page.colormap is not None:
        table = page.colormap.T
        return (table >> 8 if table.max() > 255 else table).astype("uint8")[pixels.astype("uint8")]
    grey = colours in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)
    pixels = pixels.astype("uint8") * (255 // (2**bits - 1))
    if colours == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = 255 - pixels
    if grey and samples in (1, 2):
        return pixels if samples == 1 else pixels[:, :, 0]
    if (grey or colours == tifffile.PHOTOMETRIC.RGB) and samples in (3, 4):
        return pixels[:, :, :3]
    if colours == tifffile.PHOTOMETRIC.SEPARATED and samples in (4, 5):
        return np.asarray(Image.fromarray(pixels[:, :, :4], "CMYK").convert("RGB"))
    if colours == tifffile.PHOTOMETRIC.YCBCR and samples == 3:
        if page.compression in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG):
            return pixels  # its decoder returns RGB
        return np.asarray(Image.fromarray(pixels, "YCbCr").convert("RGB"))
    raise InputError(
        f"{name}: has {samples} samples per pixel of the kind {colours}; grey, RGB, palette, CMYK "
        "or YCbCr is expected"
    )
