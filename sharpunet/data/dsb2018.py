"""Data Science Bowl 2018: nuclei under many microscopes, one mask file a nucleus."""

import zipfile
from collections import defaultdict
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from sharpunet.data.prepared import Description, InputError, Item, read_image
from sharpunet.data.sources import Source, require_file

DOWNLOAD = (
    "Get stage1_train.zip (79 MB) of the 2018 Data Science Bowl "
    "(https://www.kaggle.com/c/data-science-bowl-2018/data; CC0; needs a Kaggle account) and put "
    "it there as it is"
)


def read(folder: Path) -> list[Item]:
    """One item an image; the union of its nuclei is the foreground."""
    path = require_file(folder, "stage1_train.zip", DOWNLOAD)
    images: dict[str, list[str]] = defaultdict(list)
    masks: dict[str, list[str]] = defaultdict(list)
    for name in _safe_names(path):
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or not name.lower().endswith(".png"):
            continue
        kind, id = parts[-2], parts[-3]
        if kind == "images":
            images[id].append(name)
        elif kind == "masks":
            masks[id].append(name)
    for id in sorted(images.keys() ^ masks.keys()):
        if id in images:
            raise InputError(f"{path}: the image {images[id][0]} has no mask")
        raise InputError(f"{path}: the mask {masks[id][0]} has no image")
    return [_item(path, id, images[id], sorted(masks[id])) for id in sorted(images)]


def _safe_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: cannot be read as a zip file ({error})") from None
    for name in names:
        if name.startswith(("/", "\\")) or ".." in PurePosixPath(name).parts or ":" in name:
            raise InputError(f"{path}: the entry {name!r} leaves the folder; get a sound copy")
    return names


def _item(path: Path, id: str, images: list[str], masks: list[str]) -> Item:
    if len(images) > 1:
        raise InputError(f"{path}: {id} has {len(images)} images; one is expected")
    return Item(
        id=id,
        group=id,
        image=partial(_read_entry, path, images[0]),
        mask=partial(_merge_nuclei, path, masks),
        image_name=f"{path}:{images[0]}",
        mask_name=f"{path}:{masks[0]}",
    )


def _read_entry(path: Path, name: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            return read_image(file, name=f"{path}:{name}")
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise InputError(f"{path}:{name}: cannot be unpacked ({error})") from None


def _merge_nuclei(path: Path, names: list[str]) -> np.ndarray:
    merged: np.ndarray | None = None
    for name in names:
        nucleus = _read_entry(path, name)
        if nucleus.ndim == 3:
            nucleus = nucleus[:, :, 0]
        if merged is not None and nucleus.shape != merged.shape:
            raise InputError(f"{path}:{name}: its size differs from the other masks of its image")
        merged = nucleus if merged is None else np.maximum(merged, nucleus)
    assert merged is not None  # read() has seen that every image has a mask
    return merged


SOURCE = Source(
    Description(
        "dsb2018",
        "Data Science Bowl 2018",
        image_size=(256, 256),
        channels=3,
        keep_aspect_ratio=True,
    ),
    read,
    DOWNLOAD,
    published_count=670,
)
