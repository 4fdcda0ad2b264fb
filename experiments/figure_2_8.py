"""Figure 2.8: Grad-CAM of all methods of table 2.1 on malignant images that they miss.

    python -m experiments.figure_2_8 --out results/table_2_1

It reads the results of `table_2_1 --save-models` and trains nothing. It shows the malignant test
images that most methods miss, those with the lowest mean score first. A heat map is the evidence in
the last convolution for the class that the method predicts, or for malignant with `--explain
malignant`, scaled by its own peak. According to the thesis, the baselines find their evidence on
the lesion, MelaNet around it.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.classification.comparisons import THRESHOLD
from experiments.classification.saved import (
    add_data_arguments,
    condition_records,
    find_dataset,
    load_classifier,
    load_images,
)
from experiments.common.figure import run_figure
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
from experiments.table_2_1 import TABLE
from melanet.data import InputError
from melanet.explain import grad_cam

NAME = "figure_2_8"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(
        NAME,
        __doc__,
        partial(draw, found=False),
        arguments,
        add_arguments=add_arguments,
        out=Path("results") / TABLE.name,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of figures 2.8 and 2.9."""
    add_data_arguments(parser)
    parser.add_argument("--explain", choices=("predicted", "malignant"), default="predicted",
        help="class whose evidence is shown; default: %(default)s")  # fmt: skip


def draw(options: argparse.Namespace, *, found: bool) -> Figure:
    """Draws the results in `options.out`.

    Raises:
        InputError: If results are missing, or no image is missed (found) by any method.
    """
    records = condition_records(options.out, list(TABLE.titles))
    rows = choose(list(records.values()), found=found)[: options.images]
    if not rows:
        verb = "finds" if found else "misses"
        raise InputError(f"--out {options.out}: no method {verb} any malignant test image")
    first = next(iter(records.values()))
    dataset = find_dataset(first, options.prepared)
    images = load_images(first, dataset, rows)
    index = None if options.explain == "predicted" else len(dataset.info.labels) - 1
    maps = {
        condition: grad_cam(load_classifier(record, options.out), images, class_index=index)
        for condition, record in records.items()
    }
    return heat_maps(rows, images, maps, records)


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
) -> Figure:
    """One row per image: the image, and each method's heat map over it with its score.

    Args:
        ids: Names of the images.
        images: `(images, height, width, channels)` in [0, 1].
        maps: Heat maps in [0, 1] of each condition, `(images, height, width)`.
        records: Record of each condition.
    """
    width = TWO_COLUMNS / (1 + len(maps))
    height = width * images.shape[1] / images.shape[2]
    figure, grid = image_grid(len(ids), 1 + len(maps), (width, height + 0.2), extra=0.6)
    titles = ["image", *(TABLE.titles[condition] for condition in maps)]
    for axes, title in zip(grid[0], titles, strict=True):
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


if __name__ == "__main__":
    sys.exit(main())
