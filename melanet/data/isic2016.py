"""ISIC-2016 task 3: dermoscopy images, benign and malignant."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from melanet import lazy
from melanet.data.builders import DatasetBuilder, require_file
from melanet.data.dataset import DatasetInfo
from melanet.data.errors import InputError
from melanet.data.readers.images import read_reduced
from melanet.data.writing import Sample

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy.module("pandas")

INSTRUCTIONS = (
    "Get ISBI2016_ISIC_Part3_Training_Data.zip (570 MB), ISBI2016_ISIC_Part3_Test_Data.zip "
    "(220 MB) and their two _GroundTruth.csv of the ISIC 2016 challenge "
    "(https://challenge.isic-archive.com/data/#2016; CC-0, no account), unpack the images, and "
    "put the folders and the CSV files there. The test part may be missing"
)
PARTS = {"train": "ISBI2016_ISIC_Part3_Training", "test": "ISBI2016_ISIC_Part3_Test"}
#: The training CSV has words, the test CSV numbers.
LABELS = {"benign": "benign", "malignant": "malignant", "0.0": "benign", "1.0": "malignant"}


def _read(folder: Path) -> list[Sample]:
    """One sample per labelled image, of the training part and, if it is there, the test part."""
    samples: list[Sample] = []
    for split, prefix in PARTS.items():
        parts = (folder / f"{prefix}_GroundTruth.csv", folder / f"{prefix}_Data")
        if split == "train" or any(part.exists() for part in parts):
            samples += _read_part(folder, split, prefix)
    seen: dict[str, str] = {}
    for sample in samples:
        if sample.id in seen:
            raise InputError(
                f"{sample.image_name}: the id {sample.id} is in {seen[sample.id]} and test"
            )
        seen[sample.id] = sample.split
    return samples


def _read_part(folder: Path, split: str, prefix: str) -> list[Sample]:
    table = require_file(folder, f"{prefix}_GroundTruth.csv", INSTRUCTIONS)
    images = folder / f"{prefix}_Data"
    if not images.is_dir():
        raise InputError(f"{images}: no such folder. {INSTRUCTIONS}")
    labels = _read_labels(table)
    files = {path.stem: path for path in sorted(images.glob("*.jpg"))}
    for id in sorted(labels.keys() - files.keys()):
        raise InputError(f"{table}: {id} has a label, but {images / id}.jpg is not there")
    for id in sorted(files.keys() - labels.keys()):
        raise InputError(f"{files[id]}: has no label in {table.name}")
    return [
        Sample(
            id=id,
            group=id,
            image=partial(read_reduced, files[id]),
            mask=None,
            image_name=str(files[id]),
            label=label,
            split=split,
        )
        for id, label in labels.items()
    ]


def _read_labels(path: Path) -> dict[str, str]:
    try:
        rows = pd.read_csv(path, header=None, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: cannot be read as a table of id and label ({reason})") from None
    if rows.shape[1] != 2:
        raise InputError(f"{path}: has {rows.shape[1]} columns; two are expected, id and label")
    labels: dict[str, str] = {}
    for line, (id, word) in enumerate(rows.itertuples(index=False), start=1):
        if word not in LABELS:
            raise InputError(
                f"{path}: line {line}: the label {word!r} is none of {', '.join(LABELS)}"
            )
        if id in labels:
            raise InputError(f"{path}: line {line}: the id {id!r} occurs twice")
        labels[id] = LABELS[word]
    return labels


BUILDER = DatasetBuilder(
    DatasetInfo(
        "isic2016",
        "ISIC-2016",
        image_size=(256, 256),
        channels=3,
        labels=("benign", "malignant"),
        keep_aspect_ratio=True,
    ),
    _read,
    INSTRUCTIONS,
    published_count=900 + 379,
    files=tuple(
        prefix + part for prefix in PARTS.values() for part in ("_GroundTruth.csv", "_Data")
    ),
)
