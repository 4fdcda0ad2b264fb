"""Figures 2.8 and 2.9: where the classifiers of table 2.1 find their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.classification.comparisons import THRESHOLD
from experiments.classification.saved import load_classifier, load_images
from experiments.common.style import (
    FOUND,
    QUIET,
    SMALL,
    TWO_COLUMNS,
    heat_bar,
    image_grid,
    shorten,
    show_heat,
    show_image,
    styled,
    wrap,
)
from melanet import lazy
from melanet.data import ImageDataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from melanet import explain
else:
    explain = lazy.module("melanet.explain")

IMAGES_SHOWN = 4


def explain_images(
    ids: Sequence[str],
    records: dict[str, dict[str, Any]],
    titles: dict[str, str],
    dataset: ImageDataset,
    out: Path,
    *,
    class_index: int | None = None,
) -> Figure:
    """Heat maps of saved classifiers on some test images.

    Args:
        ids: Names of the images.
        records: Record of each condition.
        titles: Titles of the conditions, by name.
        dataset: Their dataset.
        out: Folder of the results.
        class_index: The class whose evidence is shown; that which each method predicts if None.

    Raises:
        InputError: If a model was not saved, or is damaged.
    """
    images = load_images(next(iter(records.values())), dataset, ids)
    maps = {
        condition: explain.grad_cam(load_classifier(record, out), images, class_index=class_index)
        for condition, record in records.items()
    }
    return heat_maps(ids, images, maps, records, titles)


def choose(records: Sequence[dict[str, Any]], *, found: bool) -> list[str]:
    """Ids of positive test images that a method misses (finds), those of the most methods first.

    Ties are ordered by the mean score, the lowest (highest) first.
    """
    scores: dict[str, list[float]] = {}
    for record in records:
        for score in record["scores"]:
            if score["positive"]:
                scores.setdefault(score["id"], []).append(score["score"])
    sign = 1 if found else -1
    counts = {id: sum((v >= THRESHOLD) == found for v in values) for id, values in scores.items()}
    ids = [id for id in scores if counts[id]]
    return sorted(ids, key=lambda id: (-counts[id], -sign * np.mean(scores[id])))


@styled
def heat_maps(
    ids: Sequence[str],
    images: np.ndarray,
    maps: dict[str, np.ndarray],
    records: dict[str, dict[str, Any]],
    titles: dict[str, str],
) -> Figure:
    """One row per image: the image, and each method's heat map over it with its score.

    Args:
        ids: Names of the images.
        images: `(images, height, width, channels)` in [0, 1].
        maps: Heat maps in [0, 1] of each condition, `(images, height, width)`.
        records: Record of each condition.
        titles: Titles of the conditions, by name.
    """
    width = TWO_COLUMNS / (1 + len(maps))
    height = width * images.shape[1] / images.shape[2]
    figure, grid = image_grid(len(ids), 1 + len(maps), (width, height + 0.2), extra=0.6)
    headings = ["image", *(titles[condition] for condition in maps)]
    for axes, title in zip(grid[0], headings, strict=True):
        axes.set_title(wrap(title, width), fontsize=SMALL)
    for row, (axes_row, id) in enumerate(zip(grid, ids, strict=True)):
        show_image(axes_row[0], images[row])
        axes_row[0].set_xlabel(shorten(id), fontsize=SMALL, color=QUIET)
        for axes, (condition, heat) in zip(axes_row[1:], maps.items(), strict=True):
            show_heat(axes, images[row], heat[row])
            of_image = {s["id"]: s["score"] for s in records[condition]["scores"]}
            hit = of_image[id] >= THRESHOLD
            text = f"{'found' if hit else 'missed'}: {of_image[id]:.2f}"
            axes.set_xlabel(text, fontsize=SMALL, color=FOUND if hit else "#a0527d")
    heat_bar(figure, grid)
    return figure
