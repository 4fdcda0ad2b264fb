"""Table 2.1: VGG-GAP plain, augmented offline, and over-sampled by translation (MelaNet).

    python -m experiments.table_2_1 --data DIR

It should give (AUC, false negatives of 75): VGG-GAP 79.08 and 55, MelaNet 81.18 and 22. What the
thesis prints as sensitivity there is the negative predictive value; `published.audit_table_2_1`
has the true one, 26.67 and 70.67.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import figure_classes
from experiments.classification import PROTOCOLS, Condition, Trial, split_images
from experiments.classification_table import (
    add_training_arguments,
    cell,
    cyclegan_config,
    describe,
    over_seeds,
    prepare_dataset,
    runs_frame,
    settings_of,
    summarise,
    synthetic_stage,
)
from experiments.published import TABLE_2_1, audit_table_2_1
from experiments.report import Section, write_section
from experiments.sweep import EarlyExit, Parser, list_trials, run_command, run_sweep, take_shard
from melanet.classifiers import CLASSIFIERS
from melanet.data import ImageDataset, open_dataset
from melanet.data.dataset import METADATA_FILE
from melanet.distribution import make_strategy

TITLE = "Table 2.1: melanoma classification by VGG-GAP and MelaNet"
CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition("vgg_gap", "VGG-GAP"),
        Condition("augment_5x", "VGG-GAP + Augment-5x", augment=5),
        Condition("augment_10x", "VGG-GAP + Augment-10x", augment=10),
        Condition("melanet", "MelaNet", synthetic_sets=1),
    )
}
COLUMNS = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "false_negatives": "FN",
    "specificity": "Specificity",
    "npv": "NPV",
}


def main(arguments: Sequence[str] | None = None, title: str = TITLE) -> int:
    """The command line, from official files to the report; returns the exit code."""
    options = parse(arguments)
    return run_command(lambda: [run(options, title)], options.out, title)


def run(options: argparse.Namespace, title: str = TITLE) -> Section:
    """Prepares, over-samples, trains and reports.

    Raises:
        InputError: If something that the user gave is wrong.
        Finished: After a dry run.
    """
    make_strategy(options.distribute)  # that of several hosts must be the first thing made
    dataset = prepare_dataset(options, options.dataset)
    trials = plan(dataset, options)
    if options.dry_run:
        list_trials(take_shard(trials, options.shard), options.out)
        raise EarlyExit
    records = run_sweep(trials, options.out, options.shard)
    return make_section(title, dataset, trials, records, options.out)


def plan(dataset: ImageDataset, options: argparse.Namespace) -> list[Trial]:
    """The trials of every seed and condition.

    Raises:
        InputError: If a size does not suit the networks, or a class cannot be split.
    """
    settings = settings_of(dataset, options, options.model)
    translation = cyclegan_config(options)
    trials = []
    for seed in range(options.seed, options.seed + options.repeats):
        split = split_images(dataset, options.protocol, seed)
        synthesis = synthetic_stage(dataset, split, settings, translation, seed)
        for name in dict.fromkeys(options.conditions):
            condition = CONDITIONS[name]
            synthetic_stages = (synthesis,) * condition.synthetic_sets
            trials.append(
                Trial(
                    dataset, condition, split, settings, seed, synthetic_stages, options.save_models
                )
            )
    return trials


def make_section(
    title: str,
    dataset: ImageDataset,
    trials: Sequence[Trial],
    records: Sequence[dict[str, Any]],
    out: Path,
) -> Section:
    """Writes the table and the figures of `records` into `out`."""
    runs = runs_frame(records)
    titles = {name: CONDITIONS[name].title for name in dict.fromkeys(runs["condition"])}
    figures = {
        "classes": (
            "Training images of each class in every condition (as figure 2.4).",
            figure_classes.class_histogram(records, titles),
        ),
        "bars": (
            "Test results (as figure 2.6), with the specificity that a gain may cost.",
            figure_classes.bars(runs, titles),
        ),
        "roc": (
            "ROC curves (as figure 2.7); the dots are the threshold 0.5.",
            figure_classes.roc_curves(records, titles),
        ),
    }
    folders = [synthesis.folder(out) for trial in trials for synthesis in trial.synthetic_stages]
    for folder in folders[:1]:
        if (folder / METADATA_FILE).is_file():
            first, second = dataset.info.labels
            figures["translations"] = (
                f"{first.capitalize()} images and their translations to {second} (as figure 2.16).",
                figure_classes.translations(dataset, open_dataset(folder)),
            )
    summary = summarise(runs, list(COLUMNS))
    return write_section(
        out,
        title=title,
        caption=_caption(records),
        numbers=summary,
        shown=add_published_rows(summary),
        emphasised=lambda cells, style: cells,
        figures=figures,
        settings=describe(records, PROTOCOLS),
        runs=runs,
    )


def add_published_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """A row "ours" a condition, the thesis's own beneath, true and as printed."""
    audit = audit_table_2_1()
    rows = []
    for row in summary.itertuples():
        title = CONDITIONS[row.condition].title
        cells = {name: cell(row, column) for column, name in COLUMNS.items()}
        rows.append({"Condition": title, "": "ours", **cells, 'Printed as "sensitivity"': "–"})
        printed, true = TABLE_2_1[row.condition], audit[row.condition]
        rows.append(
            {
                "Condition": title,
                "": "thesis",
                "AUC": f"{printed.auc:.2f}",
                "Sensitivity": f"{true.sensitivity:.2f}",
                "FN": f"{printed.false_negatives} of 75",
                "Specificity": f"{true.specificity:.2f}",
                "NPV": f"{printed.printed_sensitivity:.2f}",
                'Printed as "sensitivity"': f"{printed.printed_sensitivity:.2f} (the NPV)",
            }
        )
    return pd.DataFrame(rows)


def _caption(records) -> str:
    positives = sum(score["positive"] for score in records[0]["scores"])
    return (
        f"Percent, and FN as a count of {positives} positive test images; "
        f"{over_seeds(records)}, threshold 0.5; protocol "
        f'{records[0]["protocol"]}. What the thesis prints as "sensitivity" is TN / (TN + FN), the '
        "NPV; its true sensitivity and specificity follow from the printed FN."
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line; defaults are the thesis's."""
    parser = Parser(
        prog="python -m experiments.table_2_1",
        info=TITLE,
        epilog="; ".join(f"{name}: {meaning}" for name, meaning in PROTOCOLS.items()),
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with a folder isic2016: its official "
        "download, or a prepared set")  # fmt: skip
    add("--dataset", default="isic2016", metavar="NAME")
    add("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS, metavar="NAME",
        help=", ".join(CONDITIONS))  # fmt: skip
    add("--model", default="vgg_gap", choices=CLASSIFIERS, metavar="NAME",
        help=", ".join(CLASSIFIERS))  # fmt: skip
    add("--protocol", choices=PROTOCOLS, default="thesis")
    add_training_arguments(parser, Path("results") / "table_2_1")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
