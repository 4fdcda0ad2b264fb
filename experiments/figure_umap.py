"""Figure 2.15: two-dimensional UMAP embeddings of what a classifier's pooling layer gives."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from experiments.figure_curves import COLOURS
from melanet.data import InputError
from melanet.data.loading import Subset
from melanet.data.writing import atomic_write
from melanet.explain import features, umap_embedding

#: Points of a class in each part (training, test, a synthetic set): more would hide each other.
MAX_POINTS = 500


def write_features(
    path: Path,
    network: keras.Model,
    parts: Sequence[Subset],
    load: Callable[..., tf.data.Dataset],
) -> None:
    """Saves a classifier's features of some images, so that figures need no training anew.

    Args:
        path: A `.npz` file: `features` (images, channels) in float16, and `group`, the class and
            where it comes from, of each.
        network: The trained classifier.
        parts: Sets, whole or with ids; of each class of each, at most `MAX_POINTS` are taken.
        load: From a part to batches, as the classifier was trained.
    """
    taken, groups = [], []
    for part in parts:
        dataset, ids = part if isinstance(part, tuple) else (part, part.metadata["id"])
        rows = dataset.metadata.set_index("id").loc[list(ids)]
        for (label, source), of_group in rows.groupby(["label", "source"], sort=False):
            chosen = _evenly(list(of_group.index), MAX_POINTS)
            taken.append(features(network, load((dataset, chosen))))
            name = label if source == "real" else f"{label} from {dataset.info.labels[0]}"
            groups += [name] * len(chosen)
    content = io.BytesIO()
    found = np.concatenate(taken).astype("float16")
    np.savez_compressed(content, features=found, group=np.array(groups))
    atomic_write(path, content.getvalue())


def features_path(out: Path, key: str) -> Path:
    """Where the features of a trial's images are or will be."""
    return out / "features" / f"{key}.npz"


def read_features(path: Path) -> pd.DataFrame:
    """A row an image: its `group`, and its features in columns 0 to channels - 1.

    Raises:
        InputError: If the file is not there or not what `write_features` wrote.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            table = pd.DataFrame(arrays["features"].astype("float32"))
            return table.assign(group=arrays["group"])
    except Exception as error:  # whatever a damaged file makes its readers raise
        raise InputError(f"{path}: not a file of features ({error}); remove its record") from None


def umap_panels(
    panels: dict[str, Path], labels: Sequence[str], seed: int = 0, columns: int | None = None
) -> Figure:
    """A panel a condition: features of its own classifier, embedded and coloured by class.

    Args:
        panels: From a panel's title to a file of `write_features`.
        labels: The real classes, the positive one last, which is drawn above all.
        seed: Of the embeddings.
        columns: Panels in a row; all if None.
    """
    tables = {title: read_features(path) for title, path in panels.items()}
    found = dict.fromkeys(name for table in tables.values() for name in table["group"])
    names = dict.fromkeys([*labels, *found])
    # The positive class has the same colour everywhere.
    others = [name for name in names if name != labels[-1]]
    colours = dict(zip(others, (COLOURS[n] for n in (2, 1, 5, 4, 6)), strict=False))
    colours[labels[-1]] = COLOURS[3]
    columns = columns or len(tables)
    lines = -(-len(tables) // columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(3.1 * columns, 3.1 * lines + 0.4), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, (title, table) in zip(grid.flat, tables.items(), strict=True):
        points = umap_embedding(table.drop(columns="group").to_numpy(), seed=seed)
        for name, colour in colours.items():
            of_group = points[table["group"] == name]
            above = {"s": 14, "zorder": 3} if name == labels[-1] else {"s": 7, "alpha": 0.6}
            if len(of_group):
                axes.scatter(*of_group.T, color=colour, label=name, linewidths=0, **above)
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    handles: dict[str, Any] = {}
    for axes in grid.flat:
        handles.update(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        markerscale=2,
    )
    return figure


def _evenly(items: list, most: int) -> list:
    if len(items) <= most:
        return items
    return [items[place] for place in np.linspace(0, len(items) - 1, most).round().astype(int)]
