"""Reads the results of a table of chapter 2 for figures: records, models, images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.classification.features import MAX_POINTS, features_path, read_features
from experiments.common.cli import bounded_int
from experiments.common.records import read_record
from melanet import lazy
from melanet.data import BUILDERS, ImageDataset, InputError, open_dataset, prepare
from melanet.data.dataset import METADATA_FILE
from melanet.data.subsets import Subset

if TYPE_CHECKING:
    import keras
    import pandas as pd
    import tensorflow as tf

    from melanet import saving
    from melanet.data import loading
else:
    saving = lazy.module("melanet.saving")
    loading = lazy.module("melanet.data.loading")

#: The command whose results the figures of table 2.1 read; error messages name it.
TABLE_COMMAND = "python -m experiments.table_2_1 --data DIR --save-models"
#: Fields of a record that figures need.
REQUIRED_FIELDS = (
    "dataset",
    "seed",
    "model",
    "condition",
    "protocol",
    "image_size",
    "keep_aspect_ratio",
    "scaling",
    "synthetic",
    "scores",
)


def latest_records(out: Path, model: str) -> dict[tuple[str, str], dict[str, Any]]:
    """For each dataset and condition, the newest record of the lowest seed.

    Raises:
        InputError: If a record is damaged, lacks a field, or is of another protocol or image size.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    paths = sorted((out / "records").glob("*.json"), key=lambda path: path.stat().st_mtime)
    for record in (read_record(path, REQUIRED_FIELDS) for path in paths):
        place = record["dataset"]["name"], record["condition"]
        if record["model"] == model and record["seed"] <= found.get(place, record)["seed"]:
            found[place] = record
    for name in ("protocol", "image_size"):
        values = sorted({str(record[name]) for record in found.values()})
        if len(values) > 1:
            raise InputError(
                f"--out {out}: its newest records are of several settings ({name}: "
                f"{', '.join(values)}), which one figure cannot show; keep one apart"
            )
    return dict(sorted(found.items()))


def condition_records(
    out: Path, conditions: Sequence[str], model: str = "vgg_gap"
) -> dict[str, dict[str, Any]]:
    """The record of each condition, all on one dataset.

    Raises:
        InputError: If a condition has no record, or they are of several datasets.
    """
    found = latest_records(out, model)
    names = {name for name, _ in found}
    if len(names) > 1:
        raise InputError(f"--out {out}: has records of {', '.join(sorted(names))}; keep one apart")
    records = {condition: record for (_, condition), record in found.items()}
    for condition in conditions:
        if condition not in records:
            missing = f"--out {out}: has no record of {model}, {condition}"
            raise InputError(f"{missing}; run {TABLE_COMMAND} --out {out}")
    return {condition: records[condition] for condition in conditions}


def add_data_arguments(parser: argparse.ArgumentParser, images: int = 4) -> None:
    """Adds `--prepared`, the folder of the table's dataset, and `--images`."""
    add = parser.add_argument
    add("--prepared", type=Path, default=Path("prepared"),
        help="folder of the table's prepared datasets; default: %(default)s")  # fmt: skip
    add("--images", type=bounded_int(1, 20), default=images,
        help="images of each kind; default: %(default)s")  # fmt: skip


def find_dataset(record: dict[str, Any], prepared: Path) -> ImageDataset:
    """The dataset of a record.

    Args:
        record: Record of a trial.
        prepared: Folder of the prepared datasets. A missing phantom is generated.

    Raises:
        InputError: If it is missing, or is not the one that the trial used.
    """
    name = record["dataset"]["name"]
    folder = prepared / "melanet" / name
    if (folder / METADATA_FILE).is_file():
        dataset = open_dataset(folder)
    elif name in BUILDERS and "phantom" in name:
        dataset = prepare(name, ".", folder)
    else:
        raise InputError(f"--prepared {prepared}: has no melanet/{name}; give the table's own")
    if dataset.fingerprint != record["dataset"]["metadata_sha256"]:
        raise InputError(f"{folder}: is not the dataset of {record['key']}; prepare it anew")
    return dataset


def model_path(record: dict[str, Any], out: Path) -> Path:
    """Where a trial's model is if it was saved."""
    return out / "models" / f"{record['key']}.keras"


def load_classifier(record: dict[str, Any], out: Path) -> keras.Model:
    """The trained classifier of a record, in float32.

    Raises:
        InputError: If it was not saved, or its file is damaged.
    """
    path = model_path(record, out)
    if not path.is_file():
        raise InputError(f"{path}: no such model; run {TABLE_COMMAND} --out {out}, in a new folder")
    return saving.to_float32(saving.load_model(path))


def synthetic_folder(record: dict[str, Any], out: Path) -> Path:
    """Where the first synthetic images of a trial are."""
    return out / "sets" / f"synthetic-{record['synthetic'][0]['key']}"


def load_images(
    record: dict[str, Any], dataset: ImageDataset, ids: Sequence[str] | None = None
) -> np.ndarray:
    """Images of a dataset as the trial of a record saw them, `(images, height, width, channels)`.

    Args:
        record: Record of the trial.
        dataset: Its dataset, or a synthetic one.
        ids: Ids of the images; all if None.
    """
    batches = _load(record, dataset if ids is None else (dataset, ids))
    return np.concatenate([images for images, _ in batches.as_numpy_iterator()])


def score_images(
    model: keras.Model, record: dict[str, Any], dataset: ImageDataset, ids: Sequence[str]
) -> np.ndarray:
    """A classifier's scores of the positive class, one per image, a batch at a time.

    Args:
        model: What `load_classifier` returns.
        record: Record of its trial.
        dataset: Its dataset, or a synthetic one.
        ids: Ids of the images.
    """
    return model.predict(_load(record, (dataset, ids)), verbose=0)[:, -1]


def _load(record: dict[str, Any], subset: Subset) -> tf.data.Dataset:
    return loading.load_dataset(
        subset,
        image_size=tuple(record["image_size"]),
        keep_aspect_ratio=record["keep_aspect_ratio"],
        scaling=record["scaling"],
        cache="none",
    )


def training_features(record: dict[str, Any], out: Path) -> pd.DataFrame:
    """The rows of a trial's features that are of training images, see `read_features`.

    Raises:
        InputError: If the file is missing or damaged.
    """
    table = read_features(features_path(out, record["key"]))
    positives = sum(score["positive"] for score in record["scores"])
    tested = [positives, len(record["scores"]) - positives]
    return table.iloc[: len(table) - sum(min(count, MAX_POINTS) for count in tested)]
