"""Features of a trained classifier, kept for figures such as 2.15."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.common.style import evenly_spaced
from melanet import lazy
from melanet.data import InputError
from melanet.data.subsets import Subset, open_subset
from melanet.data.writing import atomic_write

if TYPE_CHECKING:
    import keras
    import pandas as pd
    import tensorflow as tf

    from melanet import explain
else:
    pd = lazy.module("pandas")
    explain = lazy.module("melanet.explain")

#: Points of a class in each part (training, test, a synthetic dataset): more would hide each other.
MAX_POINTS = 500


def features_path(out: Path, key: str) -> Path:
    """Where the features of a trial's images are or will be."""
    return out / "features" / f"{key}.npz"


def write_features(
    path: Path,
    network: keras.Model,
    subsets: Sequence[Subset],
    load: Callable[..., tf.data.Dataset],
) -> None:
    """Saves a classifier's features of some images, so that figures need no new training.

    Args:
        path: A `.npz` file: `features`, `(images, channels)` in float16, and the `group` of each:
            its class and where it comes from.
        network: The trained classifier.
        subsets: Where the images come from; at most `MAX_POINTS` of each class of each are taken.
        load: From a subset to batches, as the classifier was trained.
    """
    encode = explain.encoder(network)
    taken, groups = [], []
    for subset in subsets:
        dataset, ids = open_subset(subset)
        rows = dataset.metadata.set_index("id").loc[ids]
        for (label, source), of_group in rows.groupby(["label", "source"], sort=False):
            chosen = evenly_spaced(list(of_group.index), MAX_POINTS)
            taken.append(encode(load((dataset, chosen))))
            name = label if source == "real" else f"{label} from {dataset.info.labels[0]}"
            groups += [name] * len(chosen)
    content = io.BytesIO()
    found = np.concatenate(taken).astype("float16")
    np.savez_compressed(content, features=found, group=np.array(groups))
    atomic_write(path, content.getvalue())


def read_features(path: Path) -> pd.DataFrame:
    """One row per image: its `group`, and its features in columns 0 to channels - 1.

    Raises:
        InputError: If the file is missing or not what `write_features` wrote.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            table = pd.DataFrame(arrays["features"].astype("float32"))
            return table.assign(group=arrays["group"])
    except Exception as error:  # a damaged file makes its readers raise anything
        raise InputError(f"{path}: is no file of features ({error}); remove its record") from None
