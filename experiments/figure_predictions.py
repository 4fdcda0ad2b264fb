"""The discussion of chapter 2 as a figure: MelaNet on all benign images and on synthesised ones.

    python -m experiments.figure_predictions --out results/table_2_1

The thesis prints, for 727 benign training images and 10 synthesised malignant ones: 89% and 100%
called right, 77 benign images called malignant, F-scores of 94% and 21%. The 21% says nothing of
the synthesised images: all of them are found. It follows from how few they are: with n of them,
all found, and 77 false alarms, F = 2n / (2n + 77), which is 20.6% for n = 10 (a prevalence of 10 in
737) and 95.0% for n = 727.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.classification.figures_predictions import (
    PUBLISHED,
    SAMPLED,
    predict_groups,
    prediction_panels,
    summary_line,
)
from experiments.classification.saved import (
    TABLE_COMMAND,
    add_data_arguments,
    condition_records,
    find_dataset,
    synthetic_folder,
)
from experiments.common.figure import run_figure
from experiments.table_2_1 import TABLE
from melanet.data import InputError, open_dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "figure_predictions"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure and prints its numbers; returns the exit code."""
    out = Path("results") / TABLE.name
    return run_figure(NAME, __doc__, draw, arguments, add_arguments=_add_arguments, out=out)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, images=SAMPLED)


def draw(options: argparse.Namespace) -> Figure:
    """The figure of the MelaNet in `options.out`; prints its numbers beside the thesis's.

    Raises:
        InputError: If its record, model or synthetic images are missing.
    """
    record = condition_records(options.out, ["melanet"])["melanet"]
    dataset = find_dataset(record, options.prepared)
    folder = synthetic_folder(record, options.out)
    if not folder.is_dir():
        raise InputError(f"{folder}: is missing; run {TABLE_COMMAND} --out {options.out}")
    scores, ours = predict_groups(
        record, dataset, open_dataset(folder), options.out, options.images
    )
    for name, result in (("ours", ours), ("thesis", PUBLISHED)):
        print(summary_line(name, result))
    return prediction_panels(scores, ours, dataset.info.labels)


if __name__ == "__main__":
    sys.exit(main())
