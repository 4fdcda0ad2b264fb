"""Figure 2.15: UMAP embeddings of pooled features, both tasks in six panels.

    python -m experiments.figure_2_15 --out results/covid19

It reads the results of tables 2.2 and 2.3 and trains nothing. According to the thesis, synthetic
COVID-19 lies apart from the other class, and real COVID-19 among both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.classification.covid import COVID_CONDITIONS, COVID_MODELS
from experiments.classification.features import features_path
from experiments.classification.saved import latest_records
from experiments.common.figure import run_figure
from melanet.data import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NAME = "figure_2_15"
#: Conditions in the columns, in the thesis's order.
PANEL_CONDITIONS = COVID_CONDITIONS[:3]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    out = Path("results") / "covid19"
    return run_figure(NAME, __doc__, draw, arguments, add_arguments=_add_arguments, out=out)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", choices=COVID_MODELS, default="vgg_gap",
        help="default: %(default)s")  # fmt: skip


def draw(options: argparse.Namespace) -> Figure:
    """The figure of the results of tables 2.2 and 2.3 in `options.out`.

    Raises:
        InputError: If a condition has no record, or its features are missing or damaged.
    """
    from experiments.classification.figures import umap_panels

    records = latest_records(options.out, options.model)
    if not records:
        raise InputError(f"--out {options.out}: has no record of {options.model}; run table_2_2")
    panels: dict[str, Path | pd.DataFrame] = {}
    labels: dict[str, None] = {}
    for name in dict.fromkeys(name for name, _ in records):
        for condition in PANEL_CONDITIONS:
            if (name, condition.name) not in records:
                raise InputError(
                    f"--out {options.out}: has no record of {name}, {condition.name}; run the "
                    "table with that condition"
                )
            record = records[name, condition.name]
            info = record["dataset"]
            panels[f"{info['title']}\n{condition.title}"] = features_path(
                options.out, record["key"]
            )
            labels |= dict.fromkeys(info["labels"])
    positive = info["labels"][-1]  # of all: a table's second dataset has the same
    names = [label for label in labels if label != positive]
    return umap_panels(panels, [*names, positive], columns=len(PANEL_CONDITIONS))


if __name__ == "__main__":
    sys.exit(main())
