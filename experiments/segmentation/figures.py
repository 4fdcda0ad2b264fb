"""The figures of chapter 3 that its tables draw: 3.3 to 3.8. Rules choose the images."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from experiments.common.published import DATASET_TITLES, FIGURE_3_5, Scores
from experiments.common.style import (
    FOUND,
    INVENTED,
    MISSED,
    NEGATIVE,
    ONE_COLUMN,
    POSITIVE,
    QUIET,
    SMALL,
    SYNTHETIC,
    TWO_COLUMNS,
    class_title,
    colours_of,
    draw_bars,
    evenly_spaced,
    image_grid,
    legend_below,
    percent_axis,
    readable,
    shorten,
    show_image,
    styled,
    to_rgb,
    whole_numbers,
    wrap,
)
from melanet.data import ImageDataset
from sharpunet.data import load_dataset
from sharpunet.data.volumes import read_volume, volume_slices

#: Names of the classes after the background, where they have some.
CLASS_NAMES = {"covid_ct": ("ground-glass", "consolidation", "pleural effusion")}
#: Colours of class 1 and on: those that tell apart best, then as many as a map has.
CLASS_COLOURS = np.concatenate(
    [
        [mpl.colors.to_rgb(colour) for colour in (POSITIVE, NEGATIVE[1], *SYNTHETIC[:2])],
        mpl.colormaps["tab20"](range(20))[:, :3],
    ]
)
SCORE_TITLES = {"jaccard": "Jaccard", "dice": "Dice"}


@styled
def learning_curves(records: Sequence[dict[str, Any]], best_so_far: bool = False) -> Figure:
    """Figure 3.3: validation Jaccard after each epoch, one panel per dataset.

    A line is the mean over runs, a band ± 1 sd. Where early stopping has ended some of the runs,
    line and band are those of the rest, and the line is dotted.

    Args:
        records: Records of all datasets and models.
        best_so_far: Whether to draw running maxima, as the thesis's caption reads. A run that has
            ended keeps its best value, so that every epoch averages all runs.
    """

    def draw(axes, of_dataset, colours):
        for model, colour in colours.items():
            curves = [r["history"]["val_jaccard"] for r in of_dataset if r["model"] == model]
            if not curves:
                continue
            values = 100 * (_best_so_far(curves) if best_so_far else _padded(curves))
            epochs = np.arange(1, values.shape[1] + 1)
            mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
            whole = np.isfinite(values).all(axis=0).sum()
            mark = "o" if len(mean) == 1 else None  # one epoch makes no line
            axes.plot(epochs[:whole], mean[:whole], color=colour, marker=mark)
            axes.plot(epochs[whole - 1 :], mean[whole - 1 :], ":", color=colour, linewidth=1)
            low, high = np.clip([mean - deviation, mean + deviation], 0, 100)
            axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{'best ' if best_so_far else ''}validation Jaccard (%)")
        axes.set_ylim(top=min(axes.get_ylim()[1], 100))
        whole_numbers(axes)

    return _panel_per_dataset(records, draw)


@styled
def fold_by_fold(runs: pd.DataFrame, records: Sequence[dict[str, Any]]) -> Figure:
    """Each run's test Jaccard, one panel per dataset; lines join the models on the same split."""

    def draw(axes, of_dataset, colours):
        dataset = of_dataset[0]["dataset"]["name"]
        scores = runs[runs["dataset"] == dataset].pivot(
            index=["repeat", "fold"], columns="model", values="jaccard"
        )
        models = [name for name in colours if name in scores]
        for _, row in scores.iterrows():
            axes.plot(row[models].to_numpy(), color="#c8c8d0", linewidth=0.8, zorder=1)
        for place, name in enumerate(models):
            style = {"color": colours[name], "zorder": 2}
            axes.scatter([place] * len(scores), scores[name], s=12, **style)
            axes.hlines(scores[name].mean(), place - 0.2, place + 0.2, linewidth=2, **style)
        slope = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        names = [readable(name) for name in models]
        axes.set_xticks(range(len(models)), names, **(slope if len(models) > 3 else {}))
        axes.set_xlim(-0.5, len(models) - 0.5)
        axes.set_ylim(top=min(axes.get_ylim()[1], 100.5))  # half a mark above 100
        axes.set_ylabel("test Jaccard (%)")

    return _panel_per_dataset(records, draw, legend=False)


def _panel_per_dataset(
    records: Sequence[dict[str, Any]], draw: Callable[..., None], legend: bool = True
) -> Figure:
    titles = {r["dataset"]["name"]: r["dataset"]["title"] for r in records}
    colours = colours_of(record["model"] for record in records)
    columns = min(len(titles), 3)
    rows = -(-len(titles) // columns)
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS
    size = (width, (2.2 if columns < 3 else 1.9) * rows + 0.3)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axes, (name, title) in zip(grid.flat, titles.items(), strict=False):
        draw(axes, [r for r in records if r["dataset"]["name"] == name], colours)
        axes.set_title(title, loc="left", fontweight="bold")
        axes.grid(axis="y")
    for axes in grid.flat[len(titles) :]:
        axes.set_axis_off()
    for axes in [axes for line in grid for axes in line[1:]]:
        axes.set_ylabel("")  # as the first one's
    if legend:
        lines = [Line2D([], [], color=c, label=readable(name)) for name, c in colours.items()]
        legend_below(figure, lines, columns=2 if columns == 1 else 4)
    return figure


def _padded(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """Curves as `(runs, epochs)`, with NaN where a run has ended."""
    longest = max(map(len, curves))
    return np.array([[*curve, *[np.nan] * (longest - len(curve))] for curve in curves])


def _best_so_far(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """Running maxima, `(runs, epochs)`, each carried on to the longest run's length."""
    return np.fmax.accumulate(_padded(curves), axis=1)


@styled
def model_bars(
    runs: pd.DataFrame,
    dataset: str,
    title: str = "",
    published: Mapping[tuple[str, str], Scores] = FIGURE_3_5,
) -> Figure:
    """Figure 3.5: mean Jaccard and Dice of each model on `dataset`; error bars are ± 1 sample sd.

    A model of one run has no error bar.

    Args:
        runs: One row per run: `dataset`, `model`, and `jaccard` and `dice` in percent.
        dataset: Name of the dataset.
        title: Title of the figure; the dataset's name if empty.
        published: The thesis's scores by dataset and model, marked beside the bars.
    """
    of_model = dict(iter(runs[runs["dataset"] == dataset].groupby("model")[list(SCORE_TITLES)]))
    models = {name: c for name, c in colours_of(runs["model"]).items() if name in of_model}
    wide = len(models) > 4
    figure, axes = plt.subplots(figsize=(TWO_COLUMNS if wide else ONE_COLUMN, 2.6))
    width = 0.86 / len(models)
    for number, (name, colour) in enumerate(models.items()):
        places = np.arange(len(SCORE_TITLES)) + (number - (len(models) - 1) / 2) * width
        printed = published.get((dataset, name))
        marks = None if printed is None else _mark_published(axes, places + 0.3 * width, printed)
        draw_bars(
            axes,
            places,
            of_model[name],
            0.9 * width,
            limit=100,
            marks=marks,
            color=colour,
            label=readable(name),
        )
    axes.set_xticks(range(len(SCORE_TITLES)), list(SCORE_TITLES.values()))
    axes.tick_params(axis="x", length=0)
    percent_axis(axes, "percent")
    note = ""
    if any((dataset, name) in published for name in models):
        note = " (diamonds: the thesis's)"
    axes.set_title(f"{title or readable(dataset, DATASET_TITLES)}{note}", loc="left")
    handles = axes.get_legend_handles_labels()[0]
    legend_below(figure, handles, columns=4 if wide else 2)
    return figure


def _mark_published(
    axes: Axes, places: np.ndarray, scores: Scores
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the thesis's Jaccard and Dice, mean ± sd; returns the ends of both."""
    printed = (scores.jaccard, scores.dice)
    means = np.array([score.mean for score in printed])
    deviations = np.array([score.deviation for score in printed])
    lows, highs = means - deviations, np.fmin(means + deviations, 100)
    axes.vlines(places, lows, highs, color="black", linewidth=0.6, zorder=3)
    axes.scatter(
        places, means, s=9, marker="D", color="white", edgecolors="black", linewidths=0.6, zorder=4
    )
    return lows, highs


@styled
def class_maps(
    records: Sequence[dict[str, Any]], dataset: ImageDataset, out: Path, count: int = 4
) -> Figure:
    """Figure 3.4: rows of image, ground truth and each model's class map, background untinted.

    Test images that hold more than background are ranked by Jaccard, averaged over classes and
    models, and `count` of them shown, from the worst to the best.

    Args:
        records: Records of one dataset of two classes or more.
        dataset: The dataset.
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

    figure, grid = _image_rows(len(rows), models, images)
    for axes_row, id in zip(grid, rows, strict=True):
        show_image(axes_row[0], images[id])
        axes_row[0].set_xlabel(shorten(id), fontsize=SMALL, color=QUIET)
        show_image(axes_row[1], _tint(images[id], truth[id]))
        for axes, model in zip(axes_row[2:], models, strict=True):
            show_image(axes, _tint(images[id], predicted[model][id]))
            axes.set_xlabel(f"Jaccard {100 * jaccard[model][id]:.1f}", fontsize=SMALL)
    legend = [
        Patch(color=colour, label=class_title(name))
        for name, colour in zip(_class_names(dataset), CLASS_COLOURS, strict=False)
    ]
    legend_below(figure, legend)
    return figure


def _image_rows(rows: int, models: Sequence[str], images: dict[str, np.ndarray]) -> tuple:
    """A figure of images; its columns are the image, the ground truth and one per model."""
    columns = 2 + len(models)
    width = min(1.6, TWO_COLUMNS / columns)
    height, breadth = next(iter(images.values())).shape[:2]
    figure, grid = image_grid(rows, columns, (width, width * height / breadth + 0.2))
    for axes, title in zip(grid[0], ["image", "ground truth", *map(readable, models)], strict=True):
        axes.set_title(wrap(title, width), fontsize=SMALL)
    return figure, grid


def _class_names(dataset: ImageDataset) -> Sequence[str]:
    """Names of the classes after the background; their numbers where they have no names."""
    info = dataset.info
    if info.class_names:
        return info.class_names[1:]
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


@styled
def cases(
    records: Sequence[dict[str, Any]], dataset: ImageDataset, out: Path, each: int = 2
) -> Figure:
    """Figures 3.6 to 3.8: rows of image, ground truth and each model's mask, of three kinds.

    The hardest images (figure 3.6) have the lowest Jaccard, averaged over the models. The most
    over-segmented (3.7) have the largest area that the first model invents, the most
    under-segmented (3.8) the largest that it misses, relative to the true area. No image is shown
    twice, and each only as the kind of mistake of which it has more: a kind without an image has no
    row. Of more than one class, all but the background counts as area.

    Args:
        records: Records of one dataset.
        dataset: The dataset.
        out: The results folder, with the predictions.
        each: Images of each kind at most.
    """
    first = [record for record in records if record["repeat"] == 0]
    models = list(dict.fromkeys(record["model"] for record in first))
    images, masks = _load_images(dataset, first)
    truth = {id: _foreground(mask) for id, mask in masks.items()}
    predicted = {model: _masks(first, model, out) for model in models}
    jaccard = {model: _jaccard_by_id(first, model) for model in models}
    ids = [id for id in truth if all(id in predicted[model] for model in models)]
    rows = _choose(ids, truth, predicted[models[0]], jaccard, each)

    figure, grid = _image_rows(len(rows), models, images)
    for axes_row, (kind, id) in zip(grid, rows, strict=True):
        show_image(axes_row[0], images[id])
        axes_row[0].set_ylabel(kind.replace("-", "-\n"), fontsize=SMALL)
        axes_row[0].set_xlabel(shorten(id), fontsize=SMALL, color=QUIET)
        show_image(axes_row[1], truth[id].astype(float))
        for axes, model in zip(axes_row[2:], models, strict=True):
            show_image(axes, _overlay(images[id], truth[id], predicted[model][id]))
            axes.set_xlabel(f"Jaccard {100 * jaccard[model][id]:.1f}", fontsize=SMALL)
    legend = [Patch(color=FOUND, label="found"), Patch(color=INVENTED, label="over-segmented"),
              Patch(color=MISSED, label="under-segmented")]  # fmt: skip
    legend_below(figure, legend, columns=3)
    return figure


@styled
def planes(
    records: Sequence[dict[str, Any]], dataset: ImageDataset, out: Path, each: int = 2
) -> Figure:
    """Axial, coronal and sagittal planes of the hardest volumes: image, truth and each model.

    The planes go through the middle of the true foreground. Of more than one class, all but the
    background counts as foreground.

    Args:
        records: Records of one dataset of volumes.
        dataset: The dataset.
        out: The results folder, with the predictions.
        each: Volumes at most.
    """
    first = [record for record in records if record["repeat"] == 0]
    models = list(dict.fromkeys(record["model"] for record in first))
    jaccard = {model: _jaccard_by_id(first, model) for model in models}
    hardest = sorted(
        jaccard[models[0]], key=lambda id: np.mean([jaccard[model].get(id, 0) for model in models])
    )[:each]
    rows = [
        (id, f"{id}\n{plane}", pictures)
        for id in hardest
        for plane, pictures in _planes(dataset, id, first, models, out)
    ]
    figure, grid = _image_rows(len(rows), models, {"": rows[0][2][0]})
    for axes_row, (id, title, (image, truth, *found)) in zip(grid, rows, strict=True):
        axes_row[0].set_ylabel(title, fontsize=SMALL)
        show_image(axes_row[0], image)
        show_image(axes_row[1], truth.astype(float))
        for axes, model, predicted in zip(axes_row[2:], models, found, strict=True):
            show_image(axes, _overlay(image[..., None], truth, predicted))
            axes.set_xlabel(f"Jaccard {100 * jaccard[model][id]:.1f}", fontsize=SMALL)
    legend = [Patch(color=FOUND, label="found"), Patch(color=INVENTED, label="over-segmented"),
              Patch(color=MISSED, label="under-segmented")]  # fmt: skip
    legend_below(figure, legend, columns=3)
    return figure


def _planes(
    dataset: ImageDataset,
    id: str,
    records: Sequence[dict[str, Any]],
    models: Sequence[str],
    out: Path,
) -> list[tuple[str, list[np.ndarray]]]:
    """Of each plane its name, the image, the truth and the masks, all square pixels apart."""
    slices = volume_slices(dataset.ids())[id]
    volume = read_volume(dataset, slices)
    threshold = 127.5 if dataset.info.classes == 1 else 0
    truth = volume.mask > 0
    found = [_predicted_volume(records, model, id, slices, out) > threshold for model in models]
    middle = np.argwhere(truth).mean(axis=0) if truth.any() else np.array(truth.shape) / 2
    spacing = dataset.info.spacing or (1, 1, 1)
    pictures = []
    for axis, name in enumerate(("axial", "coronal", "sagittal")):
        cut = [
            each.take(int(middle[axis]), axis) for each in (volume.scaled()[..., 0], truth, *found)
        ]
        sides = [spacing[other] for other in range(3) if other != axis]
        pictures.append((name, [_to_square_pixels(each, sides) for each in cut]))
    return pictures


def _predicted_volume(
    records: Sequence[dict[str, Any]], model: str, id: str, slices: Sequence[str], out: Path
) -> np.ndarray:
    [key] = [
        record["key"]
        for record in records
        if record["model"] == model and id in {score["id"] for score in record["scores"]}
    ]
    folder = out / "predictions" / key
    return np.stack([np.asarray(Image.open(folder / f"{name}.png")) for name in slices])


def _to_square_pixels(plane: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """A plane with its rows and columns repeated, so that it has the proportions of the body."""
    times = [max(1, round(side / min(spacing))) for side in spacing]
    return plane.repeat(times[0], axis=0).repeat(times[1], axis=1)


def _choose(
    ids: Sequence[str],
    truth: dict[str, np.ndarray],
    baseline: dict[str, np.ndarray],
    jaccard: dict[str, dict[str, float]],
    each: int,
) -> list[tuple[str, str]]:
    """`(kind, id)` pairs by the rule of `cases`."""
    area = {id: max(truth[id].sum(), 1) for id in ids}
    invented = {id: (baseline[id] & ~truth[id]).sum() / area[id] for id in ids}
    missed = {id: (truth[id] & ~baseline[id]).sum() / area[id] for id in ids}
    error = {id: 1 - np.mean([of[id] for of in jaccard.values()]) for id in ids}
    chosen: list[tuple[str, str]] = []
    # What is wrong mostly by the other mistake is no example of this one.
    over = {id: invented[id] if invented[id] >= missed[id] else 0 for id in ids}
    under = {id: missed[id] if missed[id] >= invented[id] else 0 for id in ids}
    for kind, rank in (("hardest", error), ("over-segmented", over), ("under-segmented", under)):
        shown = {id for _, id in chosen}
        left = [id for id in ids if id not in shown and (kind == "hardest" or rank[id] > 0)]
        chosen += [(kind, id) for id in sorted(left, key=rank.__getitem__, reverse=True)[:each]]
    return chosen


def _load_images(
    dataset: ImageDataset, records: Sequence[dict[str, Any]]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Test images in [0, 1] and their true masks by id, at the size of the training."""
    ids = list(dict.fromkeys(score["id"] for r in records for score in r["scores"]))
    size = tuple(records[0]["image_size"])
    keep = records[0].get("keep_aspect_ratio")
    loaded = load_dataset(
        (dataset, ids), image_size=size, batch_size=1, cache="none", keep_aspect_ratio=keep
    )
    arrays = [(image[0], mask[0]) for image, mask in loaded.as_numpy_iterator()]
    images = {id: image for id, (image, _) in zip(ids, arrays, strict=True)}
    return images, {id: mask for id, (_, mask) in zip(ids, arrays, strict=True)}


def _load_predictions(
    records: Sequence[dict[str, Any]], model: str, out: Path
) -> dict[str, np.ndarray]:
    """What the trials of `model` left by id: probabilities times 255, or class indices."""
    predictions = {}
    for record in (record for record in records if record["model"] == model):
        for score in record["scores"]:
            path = out / "predictions" / record["key"] / f"{score['id']}.png"
            if path.exists():
                predictions[score["id"]] = np.asarray(Image.open(path))
    return predictions


def _jaccard_by_id(records: Sequence[dict[str, Any]], model: str) -> dict[str, float]:
    """Jaccard of every test image of `model`, averaged over the classes."""
    of_model = (record for record in records if record["model"] == model)
    return {score["id"]: score["jaccard"] for record in of_model for score in record["scores"]}


def _foreground(mask: np.ndarray) -> np.ndarray:
    return mask[:, :, 0] > 0.5 if mask.shape[-1] == 1 else mask.argmax(axis=-1) > 0


def _masks(records: Sequence[dict[str, Any]], model: str, out: Path) -> dict[str, np.ndarray]:
    """Predicted foreground by id, from the predictions that the trials left."""
    threshold = 127.5 if records[0]["dataset"]["classes"] == 1 else 0
    return {id: found > threshold for id, found in _load_predictions(records, model, out).items()}


def _overlay(image: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The image in colour, tinted where the prediction hits, invents and misses."""
    shown = to_rgb(image)
    for where, colour in (
        (truth & predicted, FOUND),
        (predicted & ~truth, INVENTED),
        (truth & ~predicted, MISSED),
    ):
        shown[where] = 0.5 * shown[where] + 0.5 * np.array(mpl.colors.to_rgb(colour))
    return shown
