"""Your own images: `images/NAME.png` with `masks/NAME.png` beside them."""

from pathlib import Path

from melanet.data import DatasetBuilder, DatasetInfo, InputError, Sample
from sharpunet.data.pairs import pair_files

INSTRUCTIONS = (
    "Put your images in its folder images and, under the same names, their masks (0 and 255) in "
    "its folder masks"
)
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def _read(folder: Path) -> list[Sample]:
    """One sample per image; its mask has the same name, whatever the suffix."""
    return pair_files(_files(folder / "images"), _files(folder / "masks"))


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. {INSTRUCTIONS}")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in SYSTEM_FILES:
            continue
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"{path}: is none of {', '.join(sorted(SUFFIXES))}; move it away")
        if path.stem in files:
            raise InputError(f"{path}: has the same name as {files[path.stem].name}")
        files[path.stem] = path
    return files


BUILDER = DatasetBuilder(
    DatasetInfo("folder", "Own images", image_size=(256, 256), channels=3, keep_aspect_ratio=True),
    _read,
    INSTRUCTIONS,
)
