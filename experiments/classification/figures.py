"""The figures of chapter 2 that its tables draw: 2.4 to 2.7, 2.10 to 2.16."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image
from sklearn.metrics import auc, roc_curve

from experiments.classification.comparisons import THRESHOLD
from experiments.classification.features import read_features
from experiments.common.style import (
    FOUND,
    MISSED,
    ONE_COLUMN,
    QUIET,
    TWO_COLUMNS,
    class_colours,
    class_title,
    colours_of,
    draw_bars,
    evenly_spaced,
    hide_frame,
    image_grid,
    legend_below,
    percent_axis,
    show_image,
    styled,
    wrap,
)
from melanet.data import ImageDataset, load_dataset
from melanet.data.subsets import training_ids
from melanet.explain import umap_embedding
from melanet.metrics import expected_calibration_error, reliability

SAMPLE_COLUMNS = 3  # of each class in figure 2.3
RATES = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity"}


@styled
def class_samples(dataset: ImageDataset, count: int = 12) -> Figure:
    """Figure 2.3: training images at even steps, those of the positive class on the left.

    Args:
        dataset: A dataset with classes; of more than two, each has a part, in their order.
        count: Images of each class at most.
    """
    training, labels = set(training_ids(dataset)), dataset.info.labels
    sides = {
        label: [id for id in dataset.ids(label=label) if id in training]
        for label in (labels[::-1] if len(labels) == 2 else labels)
    }
    kind = "training images" if len(training) < len(dataset.ids()) else "images"
    columns = SAMPLE_COLUMNS if len(labels) == 2 else 2
    rows = -(-min(count, max(map(len, sides.values()))) // columns)
    width = TWO_COLUMNS / (len(labels) * columns)
    figure = plt.figure(figsize=(TWO_COLUMNS, rows * width + (0.3 if len(labels) == 2 else 0.5)))
    parts: Any = figure.subfigures(1, len(labels), wspace=0.05)
    separator = " " if len(labels) == 2 else "\n"
    for part, (label, ids) in zip(parts, sides.items(), strict=True):
        grid = part.subplots(rows, columns, squeeze=False)
        title = f"{class_title(label)}{separator}({len(ids)} {kind})"
        part.suptitle(title, fontweight="bold")
        batches = load_dataset((dataset, evenly_spaced(ids, count)), cache="none")
        images = np.concatenate([images for images, _ in batches.as_numpy_iterator()])
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, image in zip(grid.flat, images, strict=False):
            show_image(axes, image)
    return figure


@styled
def class_histogram(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> Figure:
    """Figures 2.4 and 2.5: training images of each class in every condition, of the first seed."""
    first = {record["condition"]: record for record in reversed(records)}
    labels = records[0]["dataset"]["labels"]
    figure, axes = plt.subplots(figsize=(TWO_COLUMNS, 2.3))
    places = np.arange(len(titles))
    width = 0.8 / len(labels)
    for number, (label, colour) in enumerate(class_colours(labels).items()):
        counts = {name: first[name]["training_images"].get(label, 0) for name in titles}
        draw_bars(
            axes,
            places + number * width,
            pd.DataFrame([counts]),
            0.94 * width,
            form="{:,.0f}",
            color=colour,
            label=class_title(label),
        )
    inches = 0.85 * TWO_COLUMNS / len(titles)
    names = [wrap(title, inches) for title in titles.values()]
    axes.set_xticks(places + width * (len(labels) - 1) / 2, names)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("training images")
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    legend_below(figure)
    return figure


@styled
def metric_bars(runs: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Figure 2.6: AUC, sensitivity and false negatives, with the specificity that a gain costs.

    Bars are means over seeds, error bars ± 1 sample sd.

    Args:
        runs: One row per training: `condition`, the rates in percent, `false_negatives` and
            `positives`.
        titles: Titles of the conditions, by name.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(TWO_COLUMNS, 2.5), width_ratios=[len(RATES), 1.15]
    )
    form = "{:.1f}" if len(titles) < 5 else "{:.0f}"  # narrow bars
    _condition_bars(left, runs, titles, list(RATES), form, 100)
    left.set_xticks(range(len(RATES)), list(RATES.values()))
    percent_axis(left, "percent")
    positives = int(runs["positives"].max())
    _condition_bars(right, runs, titles, ["false_negatives"], "{:.3g}", positives)
    right.set_xticks([0], ["false negatives"])
    right.set_ylabel(f"of {positives} positive test images")
    right.set_ylim(0, 1.12 * positives)
    right.spines["left"].set_bounds(0, positives)
    right.set_yticks([tick for tick in right.get_yticks() if tick <= positives])
    for axes in (left, right):
        axes.tick_params(axis="x", length=0)
    legend_below(figure, left.get_legend_handles_labels()[0])
    return figure


def _condition_bars(
    axes: Axes,
    runs: pd.DataFrame,
    titles: dict[str, str],
    metrics: Sequence[str],
    form: str,
    limit: float,
) -> None:
    width = 0.86 / len(titles)
    for number, (name, colour) in enumerate(colours_of(titles).items()):
        draw_bars(
            axes,
            np.arange(len(metrics)) + (number - (len(titles) - 1) / 2) * width,
            runs[runs["condition"] == name][list(metrics)],
            0.92 * width,
            form=form,
            limit=limit,
            color=colour,
            label=titles[name],
        )


@styled
def roc_curves(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> Figure:
    """Figure 2.7: one ROC curve per run; dots mark threshold 0.5, the legend has the mean AUC."""
    figure, axes = plt.subplots(figsize=(ONE_COLUMN, 0.95 * ONE_COLUMN + 0.15 * len(titles)))
    for name, colour in colours_of(titles).items():
        areas = []
        for record in (record for record in records if record["condition"] == name):
            true = np.array([score["positive"] for score in record["scores"]])
            scores = np.array([score["score"] for score in record["scores"]])
            x, y, _ = roc_curve(true, scores)
            areas.append(100 * auc(x, y))
            axes.plot(x, y, color=colour, alpha=0.85)
            called = scores >= THRESHOLD
            point = (called & ~true).sum() / (~true).sum(), (called & true).sum() / true.sum()
            axes.plot(*point, "o", color=colour, clip_on=False, zorder=3)
        deviation = f" ± {np.std(areas, ddof=1):.1f}" if len(areas) > 1 else ""
        label = f"{titles[name]}: AUC {np.mean(areas):.1f}{deviation}%"
        axes.plot([], [], color=colour, label=label)
    axes.plot([0, 1], [0, 1], "--", color=QUIET, linewidth=0.8, label="chance: AUC 50%")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    legend_below(figure, columns=1)
    return figure


@styled
def reliability_diagram(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> Figure:
    """Scores of test images in bins against the share of positives, one line per run.

    The legend has the mean expected calibration error.
    """
    figure, axes = plt.subplots(figsize=(ONE_COLUMN, 0.95 * ONE_COLUMN + 0.15 * len(titles)))
    for name, colour in colours_of(titles).items():
        errors = []
        for record in (record for record in records if record["condition"] == name):
            true = [int(score["positive"]) for score in record["scores"]]
            scores = [score["score"] for score in record["scores"]]
            x, y, counts = reliability(true, scores)
            errors.append(100 * expected_calibration_error(true, scores))
            axes.plot(x, y, color=colour, alpha=0.85)
            sizes = 4 + 60 * counts / counts.sum()
            axes.scatter(x, y, sizes, color=colour, clip_on=False, linewidths=0, zorder=3)
        axes.plot([], [], color=colour, label=f"{titles[name]}: ECE {np.mean(errors):.1f}%")
    axes.plot([0, 1], [0, 1], "--", color=QUIET, linewidth=0.8, label="calibrated")
    axes.set(xlabel="mean score of a bin", ylabel="share of positives", aspect="equal")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    legend_below(figure, columns=1)
    return figure


@styled
def confidences(record: dict[str, Any], title: str) -> Figure:
    """Figures 2.11 to 2.14: a classifier's confidence in each positive test image.

    Args:
        record: Record of one trial.
        title: What it was trained on.
    """
    scores = np.array([score["score"] for score in record["scores"] if score["positive"]])
    found = scores >= THRESHOLD
    figure, axes = plt.subplots(figsize=(ONE_COLUMN, 2.1))
    places = np.arange(1, len(scores) + 1)
    for mask, colour, mark, name in ((found, FOUND, "o", "found"), (~found, MISSED, "X", "missed")):
        label = f"{name}: {mask.sum()}"
        axes.vlines(places[mask], 0, scores[mask], color=colour, alpha=0.5, linewidth=0.8)
        axes.plot(places[mask], scores[mask], mark, color=colour, label=label)
    axes.axhline(THRESHOLD, color="#444444", linestyle="--", linewidth=0.8, label="threshold")
    positive = record["dataset"]["labels"][-1]
    axes.set(xlabel=f"test image of {class_title(positive)}", ylabel="confidence")
    axes.set_ylim(-0.04, 1.04)  # room for the marks
    axes.spines["left"].set_bounds(0, 1)
    axes.set_xlim(0.5, len(scores) + 0.5)
    axes.set_title(wrap(title, 2.6))
    legend_below(figure, columns=3)
    return figure


@styled
def umap_panels(
    panels: dict[str, Path | pd.DataFrame],
    labels: Sequence[str],
    seed: int = 0,
    columns: int | None = None,
) -> Figure:
    """Figures 2.10 and 2.15: one panel per classifier, its features embedded by UMAP.

    Args:
        panels: From a panel's title to a file of `write_features`, or what `read_features` reads.
        labels: The real classes; the last one, the positive, is drawn above all others.
        seed: Seed of the embeddings.
        columns: Panels per row; all if None.
    """
    tables = {
        title: read_features(source) if isinstance(source, Path) else source
        for title, source in panels.items()
    }
    groups = [name for table in tables.values() for name in table["group"]]
    colours = {k: v for k, v in class_colours(labels, groups).items() if k in set(groups)}
    columns = columns or len(tables)
    figure, grid = image_grid(-(-len(tables) // columns), columns, (2.8, 2.9))
    for axes, (title, table) in zip(grid.flat, tables.items(), strict=False):
        points = umap_embedding(table.drop(columns="group").to_numpy(), seed=seed)
        for name, colour in colours.items():
            of_group = points[table["group"] == name]
            above = {"s": 7, "zorder": 3} if name == labels[-1] else {"s": 3.5, "alpha": 0.7}
            axes.scatter(*of_group.T, color=colour, linewidths=0, **above)
        axes.set_title(wrap(title, 0.9 * TWO_COLUMNS / max(columns, 3)))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
    for axes in grid.flat[len(tables) :]:
        axes.set_axis_off()
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=class_title(name))
        for name, colour in colours.items()
    ]
    legend_below(figure, handles)
    return figure


@styled
def translations(dataset: ImageDataset, synthetic: ImageDataset, count: int = 8) -> Figure:
    """Figure 2.16: images of the majority at even steps, and each one's translation below it.

    Every class that was translated to has two rows.
    """
    by_target = dict(list(synthetic.metadata.groupby("label", sort=False)))
    columns = min(count, max(map(len, by_target.values())))
    size = synthetic.info.image_size
    width = min(1.1, TWO_COLUMNS / columns)
    shape = (width, width * size[0] / size[1])
    figure, grid = image_grid(2 * len(by_target), columns, shape, extra=0.1)
    for place, (target, made) in enumerate(by_target.items()):
        rows = made.iloc[evenly_spaced(range(len(made)), count)]
        parents = list(rows["parent"])
        originals = load_dataset((dataset, parents), image_size=size, cache="none")
        images = np.concatenate([batch for batch, _ in originals.as_numpy_iterator()])
        above, below = grid[2 * place], grid[2 * place + 1]
        for column, file in enumerate(rows["file_name"]):
            above[column].imshow(images[column], cmap="gray")
            below[column].imshow(Image.open(synthetic.folder / file), cmap="gray")
        above[0].set_ylabel(class_title(dataset.values("label", parents[:1])[0]))
        below[0].set_ylabel(f"as {class_title(target)}")
    for axes in grid.flat:
        hide_frame(axes)
    return figure
