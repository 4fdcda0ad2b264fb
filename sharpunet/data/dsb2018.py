"""Data Science Bowl 2018: nuclei under many microscopes, one mask file per nucleus."""

import dataclasses
import stat
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from melanet.data import DatasetBuilder, DatasetInfo, InputError, Sample
from melanet.data.builders import is_hidden, require_file
from melanet.data.readers.images import read_image
from sharpunet.data.pairs import check_pairs
from sharpunet.data.tiles import link_tiles

INSTRUCTIONS = (
    "Get stage1_train.zip (79 MB) of the 2018 Data Science Bowl "
    "(https://www.kaggle.com/c/data-science-bowl-2018/data; CC0; needs a Kaggle account) and put "
    "it there as it is"
)

#: Bytes of an unpacked entry; the largest has 1 MB. A small zip file could fill the memory.
MAX_ENTRY_BYTES = 64 << 20


def _read(folder: Path) -> list[Sample]:
    """One sample per image; the union of its nuclei is the foreground."""
    archive = _open(require_file(folder, "stage1_train.zip", INSTRUCTIONS))
    images: dict[str, list[str]] = defaultdict(list)
    masks: dict[str, list[str]] = defaultdict(list)
    for name in archive.namelist():
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or any(map(is_hidden, parts)) or not name.lower().endswith(".png"):
            continue
        kind, id = parts[-2], parts[-3]
        if kind == "images":
            images[id].append(name)
        elif kind == "masks":
            masks[id].append(name)
    named = [
        {id: f"{archive.filename}:{names[0]}" for id, names in kind.items()}
        for kind in (images, masks)
    ]
    return [_sample(archive, id, images[id], sorted(masks[id])) for id in check_pairs(*named)]


def _open(path: Path) -> zipfile.ZipFile:
    """Opens the archive, for its many small files, and checks that the names in it are safe."""
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises anything on a damaged directory
        raise InputError(f"{path}: cannot be read as a zip file ({error}); get it anew") from None
    for entry in archive.infolist():
        name, parts = entry.filename, PurePosixPath(entry.filename.replace("\\", "/")).parts
        if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
            raise InputError(f"{path}: the entry {name!r} leaves the folder; get a sound copy")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"{path}: the entry {name!r} is a link; get a sound copy")
        if entry.file_size > MAX_ENTRY_BYTES:
            raise InputError(f"{path}: the entry {name!r} is too large; get a sound copy")
    return archive


def _sample(archive: zipfile.ZipFile, id: str, images: list[str], masks: list[str]) -> Sample:
    if len(images) > 1:
        raise InputError(f"{archive.filename}: {id} has {len(images)} images; one is expected")
    return Sample(
        id=id,
        group=id,
        image=partial(_read_entry, archive, images[0]),
        mask=partial(_merge_nuclei, archive, masks),
        image_name=f"{archive.filename}:{images[0]}",
        mask_name=f"{archive.filename}:{masks[0]}",
    )


def _read_entry(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    try:
        with archive.open(name) as file:
            return read_image(file, name=f"{archive.filename}:{name}")
    except InputError:
        raise
    except Exception as error:  # zipfile raises anything on damaged or encrypted entries
        raise InputError(
            f"{archive.filename}:{name}: cannot be unpacked ({error}); get the file anew"
        ) from None


def _merge_nuclei(archive: zipfile.ZipFile, names: list[str]) -> np.ndarray:
    nuclei = []
    for name in names:
        nuclei.append(_read_nucleus(archive, name))
        if nuclei[-1].shape != nuclei[0].shape:
            raise InputError(
                f"{archive.filename}:{name}: its size differs from the other masks of its image"
            )
    return np.maximum.reduce(nuclei)


def _read_nucleus(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """The mask of a nucleus; it may be drawn in any one colour on black."""
    pixels = _read_entry(archive, name)
    if pixels.ndim == 3 and (pixels != pixels[:, :, :1]).any():
        drawn = pixels.any(axis=2)
        if len(np.unique(pixels[drawn], axis=0)) > 1:
            raise InputError(
                f"{archive.filename}:{name}: the mask has several colours; one on black is expected"
            )
        pixels = np.where(drawn, np.uint8(255), np.uint8(0))
    nucleus = pixels if pixels.ndim == 2 else pixels[:, :, 0]
    if not nucleus.any():
        raise InputError(f"{archive.filename}:{name}: the mask is empty; get a sound copy")
    return nucleus


def _group_tiles(
    _: Path, info: DatasetInfo, samples: Sequence[Sample]
) -> tuple[DatasetInfo, Sequence[Sample]]:
    """Tiles of one field are one group, named after the first of them."""
    fields = link_tiles(sample.image() for sample in samples)
    first = {
        field: sample.id for field, sample in reversed(list(zip(fields, samples, strict=True)))
    }
    return info, [
        dataclasses.replace(sample, group=first[field])
        for field, sample in zip(fields, samples, strict=True)
    ]


BUILDER = DatasetBuilder(
    DatasetInfo(
        "dsb2018",
        "Data Science Bowl 2018",
        image_size=(256, 256),
        channels=3,
        keep_aspect_ratio=True,
    ),
    _read,
    INSTRUCTIONS,
    published_count=670,
    files=("stage1_train.zip",),
    finish=_group_tiles,
)
