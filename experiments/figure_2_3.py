"""Figure 2.3: sample malignant (left) and benign (right) images of a dataset.

    python -m experiments.figure_2_3 --data DIR

The images are at even steps of the training images of each class. The thesis sees malignant ones
that differ much among themselves, and benign ones that do not.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.common.cli import bounded_int
from experiments.common.figure import run_figure
from experiments.common.style import TWO_COLUMNS, class_title, evenly_spaced, show_image, styled
from experiments.table_2_1 import TABLE
from melanet.data import ImageDataset, InputError, load_dataset
from melanet.data.loading import training_ids

NAME = "figure_2_3"
COLUMNS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(NAME, __doc__, draw, arguments, add_arguments=_add_arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=Path, required=True,
        help="folder with one folder per official download or per dataset")  # fmt: skip
    add("--dataset", dest="datasets", nargs=1, default=list(TABLE.datasets), metavar="NAME",
        help="default: isic2016; the phantom needs no download")  # fmt: skip
    add("--prepared", type=Path, default=Path("prepared"),
        help="folder of the prepared datasets; default: %(default)s")  # fmt: skip
    add("--images", type=bounded_int(1, 60), default=12,
        help="images of each class; default: %(default)s")  # fmt: skip


def draw(options: argparse.Namespace) -> Figure:
    """The figure of the dataset that the options name.

    Raises:
        InputError: If it is missing or has no classes.
    """
    (dataset,) = TABLE.prepare(options)
    if len(dataset.info.labels) < 2:
        raise InputError(f"{dataset.folder}: has no classes to show")
    return class_samples(dataset, options.images)


@styled
def class_samples(dataset: ImageDataset, count: int = 12) -> Figure:
    """Training images at even steps, those of the positive class to the left of the first class.

    Args:
        dataset: A dataset with classes.
        count: Images of each class at most.
    """
    training = set(training_ids(dataset))
    sides = [dataset.info.labels[-1], dataset.info.labels[0]]
    rows = -(-count // COLUMNS)
    width = TWO_COLUMNS / (2 * COLUMNS)
    figure = plt.figure(figsize=(TWO_COLUMNS, rows * width + 0.3))
    parts: Any = figure.subfigures(1, 2, wspace=0.05)
    for part, label in zip(parts, sides, strict=True):
        ids = [id for id in dataset.ids(label=label) if id in training]
        grid = part.subplots(rows, COLUMNS, squeeze=False)
        part.suptitle(f"{class_title(label)} ({len(ids)} training images)", fontweight="bold")
        batches = load_dataset((dataset, evenly_spaced(ids, count)), cache=False)
        images = np.concatenate([images for images, _ in batches.as_numpy_iterator()])
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, image in zip(grid.flat, images, strict=False):
            show_image(axes, image)
    return figure


if __name__ == "__main__":
    sys.exit(main())
