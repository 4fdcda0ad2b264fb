"""`make reproduce`: both chapters on embedded phantoms, in minutes, without a download.

    python -m experiments.reproduce

It should give a mean Jaccard above 60 for both segmentation models, and a higher mean sensitivity
for MelaNet than for VGG-GAP. It is a rehearsal: the code of the tables, on small generated images.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import table_2_1, table_3_1
from experiments.common.table import parse, run_report, run_stages

if TYPE_CHECKING:
    from experiments.common.report import Section

TITLE = "Both chapters on phantoms"
SEGMENTATION = dataclasses.replace(
    table_3_1.TABLE,
    name="reproduce",
    title="Chapter 3: U-Net and Sharp U-Net on the phantom, beside table 3.1",
    datasets=["phantom"],
)
SEGMENTATION_OPTIONS = ["--repeats", "1", "--epochs", "20", "--batch-size", "4", "--save-models"]
CLASSIFICATION = dataclasses.replace(
    table_2_1.TABLE, title="Chapter 2: VGG-GAP and MelaNet on the phantom, beside table 2.1"
)
# Of so few steps, small networks make the most. Layer norm leaves the colours of an image as they
# are, and falling learning rates end on weights whose translations are free of coloured patterns.
# Random weights hardly learn from pixels in [0, 1] in so few steps: `clean` preprocesses them.
CLASSIFICATION_OPTIONS = [
    *("--protocol", "clean", "--batch-size", "16"),
    *("--dataset", "phantom", "--conditions", "vgg_gap", "melanet", "--repeats", "3"),
    *("--weights", "none", "--epochs", "16", "--gan-epochs", "30", "--gan-filters", "16", "16"),
    *("--gan-rates", "1e-3", "1e-3", "--gan-decay", "--gan-norm", "layer"),
    *("--adversarial-loss", "least_squares", "--identity-weight", "5", "--save-models"),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs both comparisons and writes one page; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.reproduce", description=TITLE)
    parser.add_argument("--out", type=Path, default=Path("results") / "phantom")
    parser.add_argument("--prepared", type=Path, default=Path("prepared"))
    options = parser.parse_args(arguments)
    code = run_report(lambda: run(options.out, options.prepared), options.out, TITLE)
    if code == 0:
        print("The real thing: .venv/bin/python -m experiments.table_3_1 --data DIR, or table_2_1")
        print("  DIR holds the official downloads, a folder each; --help says more")
    return code


def run(out: Path, dataset: Path) -> list[Section]:
    """The sections of chapter 3 and of chapter 2; their tables and records land below `out`."""

    def places(part: str) -> list[str]:
        return ["--data", ".", "--prepared", str(dataset), "--out", str(out / part)]

    segmentation = parse(SEGMENTATION, [*SEGMENTATION_OPTIONS, *places("segmentation")])
    classification = parse(CLASSIFICATION, [*CLASSIFICATION_OPTIONS, *places("classification")])
    CLASSIFICATION.prepare(classification)  # to report bad input before the first training
    return [
        run_stages(SEGMENTATION, segmentation),
        run_stages(CLASSIFICATION, classification),
    ]


if __name__ == "__main__":
    sys.exit(main())
