"""Figure 2.3: sample malignant (left) and benign (right) images of a dataset.

    python -m experiments.figure_2_3 --data DIR

The images are at even steps of the training images of each class. According to the thesis,
malignant images differ much among themselves, and benign ones do not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.common.cli import bounded_int
from experiments.common.figure import run_figure
from experiments.table_2_1 import TABLE
from melanet.data import InputError
from melanet.data.builders import POSITIVE_HELP
from melanet.data.groups import GROUP_BY_HELP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "figure_2_3"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(NAME, __doc__, draw, arguments, add_arguments=_add_arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=Path, required=True,
        help="folder with one folder per official download or per dataset")  # fmt: skip
    add("--dataset", dest="datasets", nargs=1, default=list(TABLE.datasets), metavar="NAME",
        help="default: isic2016; the phantom needs no download")  # fmt: skip
    add("--positive", metavar="CLASS", help=POSITIVE_HELP)
    add("--group-by", default="", metavar="REGEX", help=GROUP_BY_HELP)
    add("--prepared", type=Path, default=Path("prepared"),
        help="folder of the prepared datasets; default: %(default)s")  # fmt: skip
    add("--images", type=bounded_int(1, 60), default=12,
        help="images of each class; default: %(default)s")  # fmt: skip


def draw(options: argparse.Namespace) -> Figure:
    """The figure of the dataset that the options name.

    Raises:
        InputError: If it is missing or has no classes.
    """
    from experiments.classification.figures import class_samples

    (dataset,) = TABLE.prepare(options)
    if len(dataset.info.labels) < 2:
        raise InputError(f"{dataset.folder}: has no classes to show")
    return class_samples(dataset, options.images)


if __name__ == "__main__":
    sys.exit(main())
