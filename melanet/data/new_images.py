"""New images for a trained model: files without masks or labels, in any format that is read."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.data.readers.dicom import read_dicom
from melanet.data.readers.images import read_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".dcm", ".dicom")
#: What a DICOM file holds at byte 128; many have no suffix.
DICOM_MAGIC = b"DICM"


@os_errors_as_input_errors("read")
def find_images(
    images: str | Path | Sequence[str | Path], suffixes: Sequence[str] = SUFFIXES
) -> dict[str, Path]:
    """Finds image files, and the names of what is predicted for them.

    Args:
        images: A file, a folder, which is searched with its subfolders, or several of them. In a
            folder, hidden files and those of other formats are passed over.
        suffixes: Those of the formats.

    Returns:
        The files by name, in the order of the names: the path below the given folder without its
        suffix; with it where two images would have the same name otherwise.

    Raises:
        InputError: If a file or folder is missing, there is no image, or two have the same name.

    Example:
        >>> from PIL import Image
        >>> from melanet.data.new_images import find_images
        >>> Image.new("L", (8, 8)).save("my scan.png")
        >>> list(find_images("."))
        ['my scan']
    """
    given = [images] if isinstance(images, str | Path) else images
    listed = [file for each in given for file in _files(Path(each), suffixes)]
    files = list({path.absolute(): (name, path) for name, path in reversed(listed)}.values())[::-1]
    if not files:
        raise InputError(
            f"{', '.join(map(str, given)) or 'images'}: no image was found; give files or a folder "
            f"of {', '.join(suffixes)}"
        )
    counts = Counter(_bare(name, suffixes) for name, _ in files)
    found: dict[str, Path] = {}
    for name, path in files:
        bare = _bare(name, suffixes)
        key = name.as_posix() if counts[bare] > 1 else bare
        if key in found:
            raise InputError(f"{path}: has the same name as {found[key]}; rename one of them")
        found[key] = path
    return dict(sorted(found.items()))


def _bare(name: Path, suffixes: Sequence[str]) -> str:
    """A name without its suffix, of which the longest that fits is taken off: `.nii.gz`."""
    text = name.as_posix()
    for suffix in sorted(suffixes, key=len, reverse=True):
        if text.lower().endswith(suffix):
            return text[: -len(suffix)]
    return name.with_suffix("").as_posix()


def _files(path: Path, suffixes: Sequence[str]) -> list[tuple[Path, Path]]:
    """Names, relative to the folder that was given, and paths of image files."""
    if path.is_file():
        return [(Path(path.name), path)]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder; give one that is there")
    below = ((each.relative_to(path), each) for each in path.rglob("*"))
    return [
        (name, each)
        for name, each in below
        if not any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
        and each.is_file()
        and (
            name.name.lower().endswith(tuple(suffixes)) or (".dcm" in suffixes and _is_dicom(each))
        )
    ]


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == DICOM_MAGIC


def read_new_image(path: Path, channels: int) -> np.ndarray:
    """Reads an image file, of which the content decides on the format.

    Args:
        path: The file.
        channels: 1 or 3: colours become grey, or grey becomes three equal channels, as in
            prepared datasets.

    Returns:
        uint8 `(height, width, channels)`, upright.

    Raises:
        InputError: If the file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from melanet.data.new_images import read_new_image
        >>> Image.new("L", (8, 6)).save("scan.png")
        >>> read_new_image(Path("scan.png"), 3).shape
        (6, 8, 3)
    """
    with os_errors_as_input_errors("read", path):
        dicom = path.suffix.lower() in (".dcm", ".dicom") or _is_dicom(path)
    pixels = read_dicom(path) if dicom else read_image(path, stretch_16_bits=True)
    if channels == 1 and pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    if channels == 3 and pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels.reshape(*pixels.shape[:2], channels)
