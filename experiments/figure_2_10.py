"""Figure 2.10: UMAP of VGG-GAP's features, on the original and on the balanced training set.

    python -m experiments.figure_2_10 --out results/table_2_1

It reads the results of `table_2_1` and trains nothing. Each panel shows a classifier's features of
the images that it was trained on. According to the thesis, malignant and benign images are hard to
tell apart, and synthesised images lie close to real ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.classification.figures_features import FEATURE_PANELS, feature_panels
from experiments.classification.saved import condition_records
from experiments.common.figure import run_figure
from experiments.table_2_1 import TABLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "figure_2_10"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(NAME, __doc__, draw, arguments, out=Path("results") / TABLE.name)


def draw(options: argparse.Namespace) -> Figure:
    """Draws the results in `options.out`.

    Raises:
        InputError: If a record or its features are missing or damaged.
    """
    records = condition_records(options.out, list(FEATURE_PANELS))
    return feature_panels(records, options.out)


if __name__ == "__main__":
    sys.exit(main())
