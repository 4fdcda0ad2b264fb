"""Figure 2.8: Grad-CAM of all methods of table 2.1 on malignant images that they miss.

    python -m experiments.figure_2_8 --out results/table_2_1

It reads the results of `table_2_1 --save-models` and trains nothing. It shows the malignant test
images that most methods miss, those with the lowest mean score first. A heat map is the evidence in
the last convolution for the class that the method predicts, or for malignant with `--explain
malignant`, scaled by its own peak. According to the thesis, the baselines find their evidence on
the lesion, MelaNet around it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.classification.figures_heat_maps import IMAGES_SHOWN, choose, explain_images
from experiments.classification.saved import add_data_arguments, condition_records, find_dataset
from experiments.common.figure import run_figure
from experiments.table_2_1 import TABLE
from melanet.data import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    add_data_arguments(parser, images=IMAGES_SHOWN)
    parser.add_argument("--explain", choices=("predicted", "malignant"), default="predicted",
        help="class whose evidence is shown; default: %(default)s")  # fmt: skip


def draw(options: argparse.Namespace, *, found: bool) -> Figure:
    """Draws the results in `options.out`.

    Raises:
        InputError: If results are missing, or no image is missed (found) by any method.
    """
    records = condition_records(options.out, list(TABLE.titles))
    ids = choose(list(records.values()), found=found)[: options.images]
    if not ids:
        verb = "finds" if found else "misses"
        raise InputError(f"--out {options.out}: no method {verb} any malignant test image")
    dataset = find_dataset(next(iter(records.values())), options.prepared)
    index = None if options.explain == "predicted" else len(dataset.info.labels) - 1
    return explain_images(ids, records, TABLE.titles, dataset, options.out, class_index=index)


if __name__ == "__main__":
    sys.exit(main())
