"""The figures of chapter 3: 3.3 to 3.8. Images are chosen by rule, not by hand."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from experiments.common.published import SEGMENTATION_TITLES
from experiments.common.style import (
    COLOURS,
    evenly_spaced,
    image_grid,
    legend_below,
    show_image,
    to_rgb,
)
from melanet.data import ImageDataset
from sharpunet.data import load_dataset

#: Names of the classes after the background, where they have some.
CLASS_NAMES = {"covid_ct": ("ground-glass", "consolidation", "pleural effusion")}
_TAB20 = mpl.colormaps["tab20"](range(20))[:, :3]
#: Colours of class 1 and on; the strong ones of the map come before the pale ones.
CLASS_COLOURS = np.concatenate([_TAB20[::2], _TAB20[1::2]])
HIT, EXTRA, MISSED = (0.0, 0.62, 0.52), (0.95, 0.55, 0.1), (0.85, 0.15, 0.55)
SCORE_TITLES = {"jaccard": "Jaccard", "dice": "Dice"}


def learning_curves(records: Sequence[dict[str, Any]]) -> Figure:
    """A panel a dataset: mean over runs of the best validation Jaccard so far, with ± 1 sd.

    A run that stopped early keeps its best value from there on, so every epoch averages all runs.
    """

    def draw(axes, of_dataset):
        for model, colour in _model_colours(records):
            curves = [r["history"]["val_jaccard"] for r in of_dataset if r["model"] == model]
            if not curves:
                continue
            best = 100 * _best_so_far(curves)
            epochs = np.arange(1, best.shape[1] + 1)
            mean, deviation = best.mean(axis=0), best.std(axis=0)
            dot = "o" if len(mean) == 1 else None  # one epoch makes no line
            name = SEGMENTATION_TITLES.get(model, model)
            axes.plot(epochs, mean, color=colour, label=name, linewidth=2, marker=dot)
            low, high = np.clip([mean - deviation, mean + deviation], 0, 100)
            axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.set_xlabel("epoch")
        axes.set_ylabel("best validation Jaccard (%)")
        axes.legend(frameon=False, loc="lower right")

    return _panel_a_dataset(records, draw)


def fold_by_fold(runs: pd.DataFrame, records: Sequence[dict[str, Any]]) -> Figure:
    """A panel a dataset: each run's test Jaccard, the models on the same split joined by a line."""

    def draw(axes, of_dataset):
        dataset = of_dataset[0]["dataset"]["name"]
        scores = runs[runs["dataset"] == dataset].pivot(
            index=["repeat", "fold"], columns="model", values="jaccard"
        )
        models = [(name, colour) for name, colour in _model_colours(records) if name in scores]
        for _, row in scores.iterrows():
            axes.plot(row[[name for name, _ in models]].to_numpy(), color="#c8c8d0", zorder=1)
        for place, (name, colour) in enumerate(models):
            axes.scatter([place] * len(scores), scores[name], color=colour, zorder=2, s=36)
            axes.hlines(scores[name].mean(), place - 0.2, place + 0.2, color=colour, linewidth=3)
        slope = {"rotation": 30, "ha": "right"} if len(models) > 3 else {}
        axes.set_xticks(
            range(len(models)), [SEGMENTATION_TITLES.get(name, name) for name, _ in models], **slope
        )
        axes.set_xlim(-0.5, len(models) - 0.5)
        axes.set_ylabel("test Jaccard (%)")

    return _panel_a_dataset(records, draw)


def _panel_a_dataset(records, draw) -> Figure:
    titles = {r["dataset"]["name"]: r["dataset"]["title"] for r in records}
    columns = min(len(titles), 3)
    rows = -(-len(titles) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(5.2 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    for axes, (name, title) in zip(grid.flat, titles.items(), strict=False):
        draw(axes, [r for r in records if r["dataset"]["name"] == name])
        axes.set_title(title, loc="left", fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    for axes in grid.flat[len(titles) :]:
        axes.set_axis_off()
    return figure


def _model_colours(records):
    models = dict.fromkeys(record["model"] for record in records)
    return list(zip(models, itertools.cycle(COLOURS), strict=False))


def _best_so_far(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """Running maxima, `(runs, epochs)`, each carried on to the longest run's length."""
    longest = max(map(len, curves))
    padded = [list(curve) + [max(curve)] * (longest - len(curve)) for curve in curves]
    return np.maximum.accumulate(np.array(padded), axis=1)


def model_bars(runs: pd.DataFrame, dataset: str, title: str = "") -> Figure:
    """Means over the runs of `dataset`, a bar a model and metric; error bars are ± 1 sample sd.

    A model of one run has no error bar. Colours go by the order of the models in `runs`, whatever
    the dataset, as in the other figures.

    Args:
        runs: A row a run: `dataset`, `model`, and `jaccard` and `dice` in percent.
        dataset: Name of the dataset.
        title: Of the figure; the dataset's name if empty.
    """
    colours = dict(zip(dict.fromkeys(runs["model"]), COLOURS, strict=False))
    of_model = dict(iter(runs[runs["dataset"] == dataset].groupby("model")[list(SCORE_TITLES)]))
    models = [(name, colour) for name, colour in colours.items() if name in of_model]

    figure, axes = plt.subplots(
        figsize=(max(4.2, 1.6 + 1.15 * len(models)), 4), layout="constrained"
    )
    width = 0.86 / len(models)
    for number, (name, colour) in enumerate(models):
        scores = of_model[name]
        bars = axes.bar(
            np.arange(len(SCORE_TITLES)) + (number - (len(models) - 1) / 2) * width,
            scores.mean(),
            0.94 * width,
            yerr=scores.std() if len(scores) > 1 else None,
            capsize=3,
            color=colour,
            label=SEGMENTATION_TITLES.get(name, name),
        )
        axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    axes.set_xticks(range(len(SCORE_TITLES)), list(SCORE_TITLES.values()))
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 110)  # room for the numbers
    axes.set_yticks(range(0, 101, 20))
    axes.set_title(title or dataset, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    columns = 2 if len(models) <= 4 else 4
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return figure


def class_maps(
    records: Sequence[dict[str, Any]], dataset: ImageDataset, out: Path, count: int = 4
) -> Figure:
    """Rows of image, ground truth and every model's class map; the background is see-through.

    Test images that hold more than background are ranked by Jaccard, averaged over classes and
    models, and `count` of them shown, from the worst to the best.

    Args:
        records: Records of one dataset of two classes or more.
        prepared: Its prepared set.
        out: The results folder, with the predictions.
        count: Images shown.
    """
    first = [record for record in records if record["repeat"] == 0]
    models = list(dict.fromkeys(record["model"] for record in first))
    images, masks = _load_images(dataset, first)
    truth = {id: mask.argmax(axis=-1) for id, mask in masks.items()}
    predicted = {model: _load_predictions(first, model, out) for model in models}
    jaccard = {model: _jaccard_by_id(first, model) for model in models}
    ids = [id for id in truth if all(id in predicted[model] for model in models)]
    rows = _choose_ranked(ids, truth, jaccard, count)

    columns = 2 + len(models)
    figure, grid = image_grid(len(rows), columns)
    titles = ["image", "ground truth", *(SEGMENTATION_TITLES.get(model, model) for model in models)]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=11)
    for axes_row, id in zip(grid, rows, strict=True):
        show_image(axes_row[0], images[id])
        axes_row[0].set_xlabel(id[:20], fontsize=7, color="#666666")
        show_image(axes_row[1], _tint(images[id], truth[id]))
        for axes, model in zip(axes_row[2:], models, strict=True):
            show_image(axes, _tint(images[id], predicted[model][id]))
            axes.set_xlabel(f"Jaccard {100 * jaccard[model][id]:.1f}", fontsize=9)
    legend = [
        Patch(color=colour, label=name)
        for name, colour in zip(_class_names(dataset), CLASS_COLOURS, strict=False)
    ]
    legend_below(figure, legend, columns=4)
    return figure


def _class_names(dataset: ImageDataset) -> Sequence[str]:
    """Names of the classes after the background; their numbers where they have no names."""
    info = dataset.info
    numbered = [f"class {index}" for index in range(1, info.classes)]
    return CLASS_NAMES.get(info.name, numbered)


def _choose_ranked(
    ids: Sequence[str],
    truth: dict[str, np.ndarray],
    jaccard: dict[str, dict[str, float]],
    count: int,
) -> list[str]:
    """The ids shown, by the rule of `class_maps`; of images of background only if all are."""
    candidates = [id for id in ids if truth[id].any()] or list(ids)
    ranked = sorted(candidates, key=lambda id: np.mean([of[id] for of in jaccard.values()]))
    return evenly_spaced(ranked, count)


def _tint(image: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The image in colour, each pixel mixed with the colour of its class, background as it is."""
    shown = to_rgb(image)
    found = classes > 0
    colours = CLASS_COLOURS[(classes[found].astype(int) - 1) % len(CLASS_COLOURS)]
    shown[found] = 0.35 * shown[found] + 0.65 * colours
    return shown


def cases(
    records: Sequence[dict[str, Any]], dataset: ImageDataset, out: Path, each: int = 2
) -> Figure:
    """Rows of image, ground truth and every model's mask, `each` of the three kinds.

    The hardest images (figure 3.6) have the lowest Jaccard, averaged over the models. The most
    over-segmented (3.7) have the largest area that the first model invents, the most
    under-segmented (3.8) the largest that it misses, relative to the true area. No image is shown
    twice. Of more than one class, all but the background counts as area.

    Args:
        records: Records of one dataset.
        prepared: Its prepared set.
        out: The results folder, with the predictions.
        each: Images of each kind.
    """
    first = [record for record in records if record["repeat"] == 0]
    models = list(dict.fromkeys(record["model"] for record in first))
    images, masks = _load_images(dataset, first)
    truth = {id: _foreground(mask) for id, mask in masks.items()}
    predicted = {model: _masks(first, model, out) for model in models}
    jaccard = {model: _jaccard_by_id(first, model) for model in models}
    ids = [id for id in truth if all(id in predicted[model] for model in models)]
    rows = _choose(ids, truth, predicted[models[0]], jaccard, each)

    columns = 2 + len(models)
    figure, grid = image_grid(len(rows), columns)
    titles = ["image", "ground truth", *(SEGMENTATION_TITLES.get(model, model) for model in models)]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=11)
    for axes_row, (kind, id) in zip(grid, rows, strict=True):
        show_image(axes_row[0], images[id])
        axes_row[0].set_ylabel(kind, fontsize=9)
        show_image(axes_row[1], truth[id].astype(float))
        for axes, model in zip(axes_row[2:], models, strict=True):
            show_image(axes, _overlay(images[id], truth[id], predicted[model][id]))
            axes.set_xlabel(f"Jaccard {100 * jaccard[model][id]:.1f}", fontsize=9)
        axes_row[0].set_xlabel(id[:20], fontsize=7, color="#666666")
    legend = [Patch(color=HIT, label="found"), Patch(color=EXTRA, label="over-segmented"),
              Patch(color=MISSED, label="under-segmented")]  # fmt: skip
    legend_below(figure, legend, columns=3)
    return figure


def _choose(ids, truth, baseline, jaccard, each):
    """`(kind, id)` pairs by the rule of `cases`."""
    area = {id: max(truth[id].sum(), 1) for id in ids}
    ranks = {
        "hardest": lambda id: np.mean([of[id] for of in jaccard.values()]),
        "over-segmented": lambda id: -(baseline[id] & ~truth[id]).sum() / area[id],
        "under-segmented": lambda id: -(truth[id] & ~baseline[id]).sum() / area[id],
    }
    chosen: list[tuple[str, str]] = []
    for kind, rank in ranks.items():
        left = [id for id in ids if id not in {id for _, id in chosen}]
        chosen += [(kind, id) for id in sorted(left, key=rank)[:each]]
    return chosen


def _load_images(dataset: ImageDataset, records):
    """Test images in [0, 1] and their true masks by id, at the size of the training."""
    ids = list(dict.fromkeys(score["id"] for r in records for score in r["scores"]))
    size = tuple(records[0]["image_size"])
    keep = records[0].get("keep_aspect_ratio")
    loaded = load_dataset(
        (dataset, ids), image_size=size, batch_size=1, cache=False, keep_aspect_ratio=keep
    )
    arrays = [(image[0], mask[0]) for image, mask in loaded.as_numpy_iterator()]
    images = {id: image for id, (image, _) in zip(ids, arrays, strict=True)}
    return images, {id: mask for id, (_, mask) in zip(ids, arrays, strict=True)}


def _load_predictions(records, model: str, out: Path) -> dict[str, np.ndarray]:
    """What the trials of `model` left by id: probabilities times 255, or class indices."""
    predictions = {}
    for record in (record for record in records if record["model"] == model):
        for score in record["scores"]:
            path = out / "predictions" / record["key"] / f"{score['id']}.png"
            if path.exists():
                predictions[score["id"]] = np.asarray(Image.open(path))
    return predictions


def _jaccard_by_id(records, model: str) -> dict[str, float]:
    """Jaccard of every test image of `model`, averaged over the classes."""
    of_model = (record for record in records if record["model"] == model)
    return {score["id"]: score["jaccard"] for record in of_model for score in record["scores"]}


def _foreground(mask: np.ndarray) -> np.ndarray:
    return mask[:, :, 0] > 0.5 if mask.shape[-1] == 1 else mask.argmax(axis=-1) > 0


def _masks(records, model, out: Path) -> dict[str, np.ndarray]:
    """Predicted foreground by id, from the predictions that the trials left."""
    threshold = 127.5 if records[0]["dataset"]["classes"] == 1 else 0
    return {id: found > threshold for id, found in _load_predictions(records, model, out).items()}


def _overlay(image, truth, predicted) -> np.ndarray:
    """The image in colour, tinted where the prediction hits, invents and misses."""
    shown = to_rgb(image)
    for where, colour in (
        (truth & predicted, HIT),
        (predicted & ~truth, EXTRA),
        (truth & ~predicted, MISSED),
    ):
        shown[where] = 0.5 * shown[where] + 0.5 * np.array(colour)
    return shown
