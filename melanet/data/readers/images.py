"""Image files in the formats of cameras and screens: PNG, JPEG, TIFF, BMP."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from melanet.data.errors import InputError

#: Pillow's own limit; a small file may ask for more than the memory holds. The largest image of
#: the thesis has 30 million.
MAX_PIXELS = 89_478_485
#: Pillow's other formats run a program (EPS) or are videos and documents.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
#: The originals have up to 4,288 pixels per side and are trained at 256; more only fills disks.
MAX_STORED_SIDE = 512


def read_image(path: str | Path | IO[bytes], name: str | None = None) -> np.ndarray:
    """Reads an image file of 8 bits.

    Palette, CMYK and transparent images become RGB; transparency is dropped. The content decides
    on the format, not the suffix. Of a JPEG file with previews, the image itself is taken.

    Args:
        path: A file's path, or an open binary file.
        name: What to call the file in a message; its path if None.

    Returns:
        uint8, `(height, width)` if the image is grey, else `(height, width, 3)`.

    Raises:
        InputError: If the file is missing, truncated, none of `FORMATS`, or has more than 8 bits,
            several frames or pages, or more than `MAX_PIXELS`.

    Example:
        >>> from PIL import Image
        >>> from melanet.data.readers.images import read_image
        >>> Image.new("RGBA", (4, 3)).save("photo.png")
        >>> read_image("photo.png").shape
        (3, 4, 3)
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
    except Exception as error:  # Pillow lets its formats' own exceptions through
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
    """Opens an image; Pillow raises from `MAX_PIXELS` on, where it would only warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=formats) as image:
            yield image


def read_reduced(path: Path, read: Callable[[Path], np.ndarray] = read_image) -> np.ndarray:
    """Reads an image file and reduces it to at most `MAX_STORED_SIDE` pixels per side.

    Args:
        path: The file.
        read: Reads the file: uint8, `(height, width)` or `(height, width, 3)`.

    Raises:
        InputError: If the file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from melanet.data.readers.images import read_reduced
        >>> Image.new("L", (2000, 1000)).save("large.png")
        >>> read_reduced(Path("large.png")).shape
        (256, 512)
    """
    pixels = read(path)
    factor = MAX_STORED_SIDE / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    reduced = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
    return np.asarray(reduced)
