"""Figure 2.15: UMAP embeddings of pooled features, both tasks in six panels.

    python -m experiments.figure_2_15 --out results/covid19

It reads the results of tables 2.2 and 2.3 and trains nothing. According to the thesis, synthetic
COVID-19 lies apart from the other class, and real COVID-19 among both.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments.classification.covid import COVID_CONDITIONS, COVID_MODELS
from experiments.classification.features import features_path
from experiments.classification.figures import umap_panels
from experiments.classification.saved import latest_records
from experiments.common.cli import Parser, run_cli
from experiments.common.report import save_figure
from melanet.data import InputError

NAME = "figure_2_15"
#: Conditions in the columns, in the thesis's order.
PANEL_CONDITIONS = COVID_CONDITIONS[:3]


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    options = parse(arguments)
    return run_cli(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Draws `figures/figure_2_15.png` and `.pdf`.

    Raises:
        InputError: If a condition has no record, or its features are missing or damaged.
    """
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
    save_figure(
        options.out, NAME, umap_panels(panels, [*names, positive], columns=len(PANEL_CONDITIONS))
    )
    print(f"Open {options.out / 'figures' / NAME}.png")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = Parser(prog=f"python -m experiments.{NAME}", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("results") / "covid19",
        help="folder of results of tables 2.2 and 2.3; default: %(default)s")  # fmt: skip
    add("--model", choices=COVID_MODELS, default="vgg_gap", help="default: %(default)s")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
