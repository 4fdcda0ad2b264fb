"""Image files in the formats of cameras and screens: PNG, JPEG, TIFF, BMP."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from melanet.data.errors import InputError

#: Pillow's own limit: more may be a small file that fills the memory. The largest image of the
#: thesis has 30 million.
MAX_PIXELS = 89_478_485
#: Pillow's other formats run a program (EPS) or are videos and documents.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
#: The originals have up to 4,288 pixels per side and are trained at 256: more only fills disks.
MAX_STORED_SIDE = 512


def read_image(path: str | Path | IO[bytes], name: str | None = None) -> np.ndarray:
    """An image file as uint8, `(height, width)` if it is grey, else `(height, width, 3)`.

    Palette, CMYK and transparent images become RGB; transparency is dropped. What is inside counts,
    not how the name ends. Of a JPEG file with previews, the image itself is taken.

    Args:
        path: A file's path, or an open binary file.
        name: What to call it in a message; the path if None.

    Raises:
        InputError: If it is missing, truncated, none of `FORMATS`, or has more than 8 bits,
            several frames or pages, or more than `MAX_PIXELS`.
    """
    name = name or str(path)
    try:
        with _open_image(path, FORMATS) as image:
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            image.load()
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name}: has more than {MAX_PIXELS:,} pixels; reduce it") from None
    except Exception as error:  # Pillow lets those of its formats through
        raise InputError(f"{name}: cannot be read as an image ({error}); get it anew") from None
    if frames > 1:
        raise InputError(f"{name}: has {frames} frames or pages; save the one that is meant")
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
        return np.asarray(image.convert("RGB"))
    raise InputError(f"{name}: has pixels of mode {image.mode}; 8-bit grey or colour is expected")


@contextlib.contextmanager
def _open_image(path: str | Path | IO[bytes], formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """An image that is closed at the end; from `MAX_PIXELS` on Pillow raises, not only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=formats) as image:
            yield image


def read_reduced(path: Path, read: Callable[[Path], np.ndarray] = read_image) -> np.ndarray:
    """An image file of at most `MAX_STORED_SIDE` pixels a side: larger ones are reduced to that.

    Args:
        path: The file.
        read: Reads it: uint8, `(height, width)` or `(height, width, 3)`.

    Raises:
        InputError: If it cannot be read.
    """
    pixels = read(path)
    factor = MAX_STORED_SIDE / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    reduced = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
    return np.asarray(reduced)
