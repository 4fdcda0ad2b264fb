"""The figures of chapter 2: 2.4 to 2.7 and 2.11 to 2.16."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_curve

from experiments.classification.features import read_features
from experiments.common.style import (
    COLOURS,
    evenly_spaced,
    hide_frame,
    image_grid,
    legend_below,
    open_axes,
)
from melanet.data import ImageDataset, load_dataset
from melanet.explain import umap_embedding

THRESHOLD = 0.5


def class_histogram(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> Figure:
    """Figure 2.4, for every condition: training images of each class (first seed)."""
    first = {record["condition"]: record for record in reversed(records)}
    labels = records[0]["dataset"]["labels"]
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    places = np.arange(len(titles))
    width = 0.8 / len(labels)
    for number, (label, colour) in enumerate(zip(labels, COLOURS[2:], strict=False)):
        counts = [first[name]["training_images"].get(label, 0) for name in titles]
        bars = axes.bar(places + number * width, counts, width, color=colour, label=label)
        axes.bar_label(bars, fontsize=9)
    names = [title.replace(" + ", "\n+ ") for title in titles.values()]
    axes.set_xticks(places + width * (len(labels) - 1) / 2, names)
    axes.set_ylabel("training images")
    return _with_legend(figure, axes)


def metric_bars(runs: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Figure 2.6, with the specificity that a gain in sensitivity may cost."""
    metrics = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity"}
    figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
    width = 0.8 / len(titles)
    for number, ((name, title), colour) in enumerate(zip(titles.items(), COLOURS, strict=False)):
        of_condition = runs[runs["condition"] == name]
        means = [of_condition[metric].mean() for metric in metrics]
        errors = [of_condition[metric].std() if len(of_condition) > 1 else 0 for metric in metrics]
        places = np.arange(len(metrics)) + number * width
        axes.bar(places, means, width, yerr=errors, color=colour, label=title, capsize=2)
    axes.set_xticks(np.arange(len(metrics)) + 0.4 - width / 2, list(metrics.values()))
    axes.set_ylabel("percent")
    axes.set_ylim(0, 140)
    axes.set_yticks(range(0, 101, 20))
    return _with_legend(figure, axes, columns=2)


def roc_curves(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> Figure:
    """Figure 2.7: true against false positive rate, one line per run; dots mark threshold 0.5."""
    figure, axes = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    for (name, title), colour in zip(titles.items(), COLOURS, strict=False):
        of_condition = [record for record in records if record["condition"] == name]
        for number, record in enumerate(of_condition):
            true = np.array([score["positive"] for score in record["scores"]])
            scores = np.array([score["score"] for score in record["scores"]])
            x, y, _ = roc_curve(true, scores)
            axes.plot(x, y, color=colour, label=None if number else title, alpha=0.8)
            called = scores >= THRESHOLD
            point = (called & ~true).sum() / (~true).sum(), (called & true).sum() / true.sum()
            axes.plot(*point, "o", color=colour)
    axes.plot([0, 1], [0, 1], "--", color="#cccccc", linewidth=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    return _with_legend(figure, axes)


def confidences(record: dict[str, Any], title: str) -> Figure:
    """Figures 2.11 to 2.14: a classifier's confidence in each positive test image.

    Args:
        record: Record of one trial.
        title: What it was trained on.
    """
    scores = np.array([score["score"] for score in record["scores"] if score["positive"]])
    found = scores >= THRESHOLD
    figure, axes = plt.subplots(figsize=(5.2, 2.9), layout="constrained")
    places = np.arange(1, len(scores) + 1)
    for mask, colour, name in ((found, COLOURS[2], "found"), (~found, COLOURS[1], "missed")):
        label = f"{name}: {mask.sum()}"
        axes.vlines(places[mask], 0, scores[mask], color=colour, alpha=0.35, linewidth=1.5)
        axes.plot(places[mask], scores[mask], "o", color=colour, markersize=4, label=label)
    axes.axhline(THRESHOLD, color="#444444", linestyle="--", linewidth=1, label="threshold")
    axes.set(xlabel="positive test image", ylabel="confidence", ylim=(-0.02, 1.02))
    axes.set_title(title, fontsize=10)
    figure.legend(frameon=False, fontsize=9, loc="outside right upper")
    open_axes(axes)
    return figure


def umap_panels(
    panels: dict[str, Path], labels: Sequence[str], seed: int = 0, columns: int | None = None
) -> Figure:
    """Figure 2.15: one panel per condition, its classifier's features embedded by UMAP.

    Args:
        panels: From a panel's title to a file of `write_features`.
        labels: The real classes; the last one, the positive, is drawn above all others.
        seed: Seed of the embeddings.
        columns: Panels per row; all if None.
    """
    tables = {title: read_features(path) for title, path in panels.items()}
    found = dict.fromkeys(name for table in tables.values() for name in table["group"])
    names = dict.fromkeys([*labels, *found])
    # The positive class has the same colour everywhere.
    others = [name for name in names if name != labels[-1]]
    colours = dict(zip(others, (COLOURS[n] for n in (2, 1, 5, 4, 6)), strict=False))
    colours[labels[-1]] = COLOURS[3]
    columns = columns or len(tables)
    figure, grid = image_grid(-(-len(tables) // columns), columns, (3.1, 3.1))
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
    legend_below(figure, list(handles.values()), labels=list(handles), markerscale=2)
    return figure


def translations(dataset: ImageDataset, synthetic: ImageDataset, count: int = 8) -> Figure:
    """Figure 2.16: images of the majority at even steps, and each one's translation below it."""
    rows = synthetic.metadata.iloc[evenly_spaced(range(len(synthetic.metadata)), count)]
    size = synthetic.info.image_size
    originals = load_dataset((dataset, list(rows["parent"])), image_size=size, cache=False)
    images = np.concatenate([batch for batch, _ in originals.as_numpy_iterator()])
    figure, grid = image_grid(2, len(rows), (1.35, 1.2))
    for column, file in enumerate(rows["file_name"]):
        grid[0, column].imshow(images[column], cmap="gray")
        grid[1, column].imshow(Image.open(synthetic.folder / file), cmap="gray")
    first, second = dataset.info.labels
    grid[0, 0].set_ylabel(first)
    grid[1, 0].set_ylabel(f"as {second}")
    for axes in grid.flat:
        hide_frame(axes)
    return figure


def _with_legend(figure: Figure, axes: Axes, columns: int = 1) -> Figure:
    axes.legend(
        frameon=False, fontsize=9, ncols=columns, loc="best" if columns == 1 else "upper left"
    )
    open_axes(axes)
    return figure
