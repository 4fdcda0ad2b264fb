"""Figures 2.4 (class histogram), 2.6 (bars), 2.7 (ROC) and 2.16 (benign images translated)."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_curve

from experiments.figure_curves import COLOURS
from melanet.data import ImageDataset, load_dataset


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
    return _plain(figure, axes)


def bars(runs: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Figure 2.6, with specificity beside it: what sensitivity gains, it may cost there."""
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
    return _plain(figure, axes, ncols=2)


def roc_curves(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> Figure:
    """Figure 2.7: true against false positive rate, a line a run, the threshold 0.5 marked."""
    figure, axes = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    for (name, title), colour in zip(titles.items(), COLOURS, strict=False):
        of_condition = [record for record in records if record["condition"] == name]
        for number, record in enumerate(of_condition):
            true = np.array([score["positive"] for score in record["scores"]])
            scores = np.array([score["score"] for score in record["scores"]])
            x, y, _ = roc_curve(true, scores)
            axes.plot(x, y, color=colour, label=None if number else title, alpha=0.8)
            at_half = scores >= 0.5
            point = (at_half & ~true).sum() / (~true).sum(), (at_half & true).sum() / true.sum()
            axes.plot(*point, "o", color=colour)
    axes.plot([0, 1], [0, 1], "--", color="#cccccc", linewidth=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    return _plain(figure, axes)


def translations(dataset: ImageDataset, synthetic: ImageDataset, count: int = 8) -> Figure:
    """Figure 2.16: images of the majority, and below each its translation, evenly picked."""
    picked = np.linspace(0, len(synthetic.metadata) - 1, count).round().astype(int)
    rows = synthetic.metadata.iloc[np.unique(picked)]
    size = synthetic.info.image_size
    originals = load_dataset((dataset, rows["parent"]), image_size=size, cache=False)
    images = np.concatenate([batch for batch, _ in originals.as_numpy_iterator()])
    figure, grid = plt.subplots(
        2, len(rows), figsize=(1.35 * len(rows), 2.9), squeeze=False, layout="constrained"
    )
    for column, file in enumerate(rows["file_name"]):
        grid[0, column].imshow(images[column], cmap="gray")
        grid[1, column].imshow(Image.open(synthetic.folder / file), cmap="gray")
    first, second = dataset.info.labels
    grid[0, 0].set_ylabel(first)
    grid[1, 0].set_ylabel(f"as {second}")
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure


def _plain(figure, axes, ncols=1) -> Figure:
    axes.legend(frameon=False, fontsize=9, ncols=ncols, loc="best" if ncols == 1 else "upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
