"""Your own images: `images/NAME.png` with `masks/NAME.png` beside them."""

from functools import partial
from pathlib import Path

import numpy as np

from sharpunet.data.prepared import Description, InputError, Item, read_image
from sharpunet.data.sources import Source

DOWNLOAD = (
    "Put your images in its folder images and, under the same names, their masks (0 and 255) in "
    "its folder masks"
)
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}

SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def read(folder: Path) -> list[Item]:
    """One item an image; its mask has the same name, whatever the ending."""
    images, masks = _files(folder / "images"), _files(folder / "masks")
    for id in sorted(images.keys() ^ masks.keys()):
        if id in images:
            raise InputError(f"{images[id]}: has no mask {folder / 'masks' / id}.png")
        raise InputError(f"{masks[id]}: has no image {folder / 'images' / id}.png")
    return [
        Item(
            id=id,
            group=id,
            image=partial(read_image, images[id]),
            mask=partial(_read_mask, masks[id]),
            image_name=str(images[id]),
            mask_name=str(masks[id]),
        )
        for id in sorted(images)
    ]


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. {DOWNLOAD}")
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


def _read_mask(path: Path) -> np.ndarray:
    mask = read_image(path)
    if mask.ndim == 3:
        if (mask != mask[:, :, :1]).any():
            raise InputError(f"{path}: the mask is in colour; 0 and 255 are expected")
        mask = mask[:, :, 0]
    return mask


SOURCE = Source(
    Description("folder", "Own images", image_size=(256, 256), channels=3, keep_aspect_ratio=True),
    read,
    DOWNLOAD,
)
