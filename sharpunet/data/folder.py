"""Your own images: `images/NAME.png` with `masks/NAME.png` or `masks/NAME_mask.png`."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from melanet.data import DatasetBuilder, DatasetInfo, InputError, Sample
from melanet.data.readers.images import read_image
from sharpunet.data.pairs import pair_files, read_mask

INSTRUCTIONS = (
    "Put your images in its folder images and their masks (0 and 255), under the same names or "
    "with _mask, _seg, _label and the like before or after them, in its folder masks"
)
WORDS = "masks?|segmentations?|seg|labels?|annotations?|gt|ground[_-]?truth"
#: What mask files have in their names beside the image's.
AFFIX = re.compile(rf"(?P<after>.+)[_-](?:{WORDS})|(?:{WORDS})[_-](?P<before>.+)", re.IGNORECASE)
#: Share of a JPEG mask's pixels that may be far from black and white, as those along outlines are.
MAX_GREY = 0.1
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def _read(folder: Path) -> list[Sample]:
    images, found = _files(folder / "images"), _files(folder / "masks")
    masks: dict[str, Path] = {}
    for stem, path in found.items():
        name = _image_of(stem, images)
        if name in masks:
            raise InputError(f"{path}: is a second mask of {name}, after {masks[name].name}")
        masks[name] = path
    return pair_files(images, masks, mask=_read_mask)


def _notes(folder: Path) -> str:
    images, masks = _files(folder / "images"), _files(folder / "masks")
    longer = [path.name for stem, path in masks.items() if _image_of(stem, images) != stem]
    if not longer:
        return ""
    return f"{len(longer)} masks were found by longer names than their images', as {longer[0]}."


def _image_of(stem: str, images: dict[str, Path]) -> str:
    """The stem of a mask's image; the mask's own if there is no such image."""
    match = AFFIX.fullmatch(stem)
    name = (match["after"] or match["before"]) if match else stem
    return name if stem not in images and name in images else stem


def _read_mask(path: Path) -> np.ndarray:
    """The mask; one that was saved as JPEG, which blurs outlines, is thresholded at half."""
    with path.open("rb") as file:
        if file.read(2) != b"\xff\xd8":
            return read_mask(path)
    grey = np.asarray(Image.fromarray(read_image(path)).convert("L"))
    if ((grey >= 64) & (grey < 192)).mean() > MAX_GREY:
        raise InputError(f"{path}: the mask is not binary; black and white are expected")
    return np.where(grey >= 128, 255, 0)


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
    notes=_notes,
    files=("images", "masks"),
)
