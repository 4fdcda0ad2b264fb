"""Image files in the formats of cameras and screens: PNG, JPEG, TIFF, BMP, GIF."""

import contextlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from melanet.data.errors import InputError
from melanet.data.readers.tiff import (
    MAGIC,
    MAX_PIXELS,
    ORIENTATION_TAG,
    is_deep_tiff,
    read_tiff,
    stretch,
    upright,
)

#: Those of Pillow's formats that are neither programs (EPS) nor videos or documents. It reads
#: TIFF too, but not all that is published.
FORMATS = ("PNG", "JPEG", "BMP", "GIF")
#: Names of formats that are not read, by what such files hold from their fourth or eighth byte on.
OTHERS = {b"WEBP": "WebP", b"ftypheic": "HEIC", b"ftypmif1": "HEIC", b"ftypavif": "AVIF"}
#: The originals have up to 4,288 pixels per side and are trained at 256; more only fills disks.
MAX_STORED_SIDE = 512


def read_image(
    path: str | Path | IO[bytes], name: str | None = None, *, stretch_16_bits: bool = False
) -> np.ndarray:
    """Reads an image file of 8 bits, turned upright as its EXIF or TIFF orientation says.

    Palette, CMYK and transparent images become RGB; transparency is dropped. The content decides
    on the format, not the suffix. Of a JPEG file with previews, the image itself is taken.

    Args:
        path: A file's path, or an open binary file.
        name: What to call the file in a message; its path if None.
        stretch_16_bits: Whether grey of 16 bits is read too, from its minimum to its maximum.

    Returns:
        uint8, `(height, width)` if the image is grey, else `(height, width, 3)`.

    Raises:
        InputError: If the file is missing, truncated, not PNG, JPEG, TIFF, BMP or GIF, or has more
            than 8 bits, several frames or pages, or more than `MAX_PIXELS`.

    Example:
        >>> from PIL import Image
        >>> from melanet.data.readers.images import read_image
        >>> Image.new("RGBA", (4, 3)).save("photo.png")
        >>> read_image("photo.png").shape
        (3, 4, 3)
    """
    name = name or str(path)
    try:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(open(path, "rb")) if isinstance(path, str | Path) else path
            start = file.read(12)
            file.seek(0)
            if other := OTHERS.get(start[4:]) or OTHERS.get(start[8:]):
                raise InputError(f"{name}: is a {other} file, which is not read; convert it to PNG")
            if start[:4] in MAGIC:
                return read_tiff(file, name, stretch_16_bits=stretch_16_bits)
            return _read_with_pillow(file, name, stretch_16_bits)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name}: has more than {MAX_PIXELS:,} pixels; reduce it") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{name}: cannot be read as an image, it is none of {', '.join(FORMATS)} and TIFF; get "
            "it anew, or leave it out"
        ) from None
    except Exception as error:  # Pillow lets its formats' own exceptions through
        raise InputError(f"{name}: cannot be read as an image ({error}); get it anew") from None


def describe_window(paths: Sequence[Path]) -> str:
    """A sentence on how many files are of grey of 16 bits, and how it became 8; or nothing.

    Args:
        paths: Files that `read_image` reads by `stretch_16_bits`; others do not count.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from PIL import Image
        >>> from melanet.data.readers.images import describe_window
        >>> Image.fromarray(np.zeros((8, 9), "uint16")).save("deep.png")
        >>> describe_window([Path("deep.png")])
        '1 of 1 images are of 16 bits; each was scaled from its minimum to its maximum to 8 bits.'
    """
    count = sum(map(is_deep_grey, paths))
    if not count:
        return ""
    return (
        f"{count} of {len(paths)} images are of 16 bits; each was scaled from its minimum to its "
        "maximum to 8 bits."
    )


def is_deep_grey(path: Path) -> bool:
    """Whether an image file is of grey of 16 bits, as its header says.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from melanet.data.readers.images import is_deep_grey
        >>> Image.new("L", (4, 3)).save("photo.png")
        >>> is_deep_grey(Path("photo.png"))
        False
    """
    try:
        with path.open("rb") as file:
            start = file.read(26)
        if start[:4] in MAGIC:
            return is_deep_tiff(path)
    except (OSError, InputError):  # refused when it is read
        return False
    return start[:8] == b"\x89PNG\r\n\x1a\n" and start[24:26] == b"\x10\x00"


def _read_with_pillow(file: IO[bytes], name: str, stretch_16_bits: bool) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of damaged EXIF, which counts as none
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # from `MAX_PIXELS` on
        with Image.open(file, formats=FORMATS) as image:
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            # Pillow cuts colours of 16 bits to 8 without a word.
            deep = any(";16" in str(tile.args) for tile in image.tile) and image.format == "PNG"
            image.load()
            orientation = 1
            with contextlib.suppress(Exception):
                orientation = image.getexif().get(ORIENTATION_TAG, 1)
    if frames > 1:
        raise InputError(f"{name}: has {frames} frames or pages; save the one that is meant")
    if deep and stretch_16_bits and image.mode.startswith("I"):
        return upright(np.rint(stretch(np.asarray(image))).astype("uint8"), orientation)
    if deep:
        raise InputError(
            f"{name}: has 16 bits per channel; 8-bit grey or colour is expected; convert it"
        )
    if image.mode in ("1", "L", "LA"):
        return upright(np.asarray(image.convert("L")), orientation)
    if image.mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
        return upright(np.asarray(image.convert("RGB")), orientation)
    raise InputError(
        f"{name}: has pixels of mode {image.mode}; 8-bit grey or colour is expected; convert it"
    )


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
