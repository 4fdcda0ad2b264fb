"""What tables 2.2 and 2.3 share: one task's data in, four classifiers in four conditions out."""

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import figure_classes
from experiments.classification import Condition, Trial, split_images
from experiments.classification_table import (
    MODELS,
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
from experiments.figure_confidence import confidences, first_of
from experiments.figure_umap import MAX_POINTS, umap_panels
from experiments.published import COVID_MODELS, PNEUMONIA_TRANSLATED, Detection, audit_skews
from experiments.report import Section, write_section
from experiments.sweep import EarlyExit, Parser, list_trials, run_command, run_sweep, take_shard
from melanet.data import ImageDataset, InputError, open_dataset
from melanet.data.dataset import METADATA_FILE
from melanet.distribution import make_strategy

#: The thesis's hyper-parameters are not tuned, so its protocol has no validation set; its code for
#: this section is not public.
PROTOCOLS = {
    "thesis": "trained until the training loss stops improving, best weights kept",
    "clean": "as thesis, but stopped by a tenth of the training patients, whom no training sees",
}
CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition("real", "Real"),
        Condition("own", "Real + own synthetic", synthetic_sets=1),
        Condition("both", "Real + both synthetic", synthetic_sets=2),
        Condition("synthetic", "Only synthetic", synthetic_sets=1, real_positives=False),
    )
}
COLUMNS = {
    "sensitivity": "Sensitivity",
    "false_negatives": "FN",
    "specificity": "Specificity",
    "auc": "AUC",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """A task of section 2.3.6.

    Attributes:
        name: Name of its command and of its folder of results.
        title: Title of its report.
        datasets: Its own set, and the one whose synthetic images join in "both".
        published: What the thesis prints, by model and condition.
    """

    name: str
    title: str
    datasets: tuple[str, str]
    published: Mapping[tuple[str, str], Detection]


def run_table(table: Table, arguments: Sequence[str] | None = None) -> int:
    """The command line of a table, from official files to the report; returns the exit code."""
    options = parse(table, arguments)
    return run_command(lambda: [run(table, options)], options.out / table.name, table.title)


def run(table: Table, options: argparse.Namespace) -> Section:
    """Prepares, over-samples, trains and reports.

    Raises:
        InputError: If something that the user gave is wrong.
        Finished: After a dry run.
    """
    make_strategy(options.distribute)  # that of several hosts must be the first thing made
    sets = [prepare_dataset(options, name) for name in options.datasets]
    trials = plan(sets, options)
    if options.dry_run:
        list_trials(take_shard(trials, options.shard), options.out)
        raise EarlyExit
    records = run_sweep(trials, options.out, options.shard)
    return make_section(table, sets, trials, records, options.out)


def plan(sets: Sequence[ImageDataset], options: argparse.Namespace) -> list[Trial]:
    """The trials of every seed, model and condition.

    Both sets are split as one, by patient: else a synthetic image could be made from, or a CycleGAN
    trained with, an image of somebody who is tested.

    Raises:
        InputError: If a size or weights do not suit the networks, or a class cannot be split.
    """
    labels = [dataset.info.labels for dataset in sets]
    if labels[0][-1] != labels[1][-1]:
        raise InputError(
            f"--datasets: {options.datasets[1]} translates to {labels[1][-1]}, not to "
            f"{labels[0][-1]}; both sets must have the same positive class"
        )
    models = list(dict.fromkeys(options.models))
    settings = {
        model: settings_of(sets[0], options, model, loss="cross_entropy") for model in models
    }
    translation = cyclegan_config(options)
    trials = []
    for seed in range(options.seed, options.seed + options.repeats):
        splits = [
            split_images(dataset, options.protocol, seed, split_jointly_with=[other])
            for dataset, other in (sets, reversed(sets))
        ]
        synthetic_stages = tuple(
            synthetic_stage(dataset, split, settings[models[0]], translation, seed)
            for dataset, split in zip(sets, splits, strict=True)
        )
        for model in models:
            for name in dict.fromkeys(options.conditions):
                condition = CONDITIONS[name]
                trials.append(
                    Trial(
                        sets[0],
                        condition,
                        splits[0],
                        settings[model],
                        seed,
                        synthetic_stages[: condition.synthetic_sets],
                        options.save_models,
                    )
                )
    return trials


def make_section(
    table: Table,
    sets: Sequence[ImageDataset],
    trials: Sequence[Trial],
    records: Sequence[dict[str, Any]],
    out: Path,
) -> Section:
    """Writes the table and the figures of `records` into `out`, in a folder of the table's own."""
    runs = runs_frame(records)
    summary = summarise(runs, [*COLUMNS, "skew"])
    return write_section(
        out / table.name,
        title=table.title,
        caption=_caption(records, sets),
        numbers=summary,
        shown=add_published_rows(table, summary),
        emphasised=lambda cells, style: cells,
        figures=_figures(sets, trials, records, out),
        settings=_describe(records, sets),
        runs=runs,
    )


def add_published_rows(table: Table, summary: pd.DataFrame) -> pd.DataFrame:
    """A row "ours" a model and condition, the thesis's own beneath."""
    rows = []
    for row in summary.itertuples():
        names = {
            "Model": COVID_MODELS[row.model],
            "Trained on": CONDITIONS[row.condition].title,
        }
        ours = {title: cell(row, column) for column, title in COLUMNS.items()}
        rows.append({**names, "": "ours", **ours, "Skew": f"{row.skew_mean:.2f}"})
        printed = table.published.get((row.model, row.condition))
        if printed is not None:
            rows.append({**names, "": "thesis", **_thesis_cells(printed)})
    return pd.DataFrame(rows)


def _thesis_cells(printed: Detection) -> dict[str, str]:
    sensitivity = f"{printed.printed_sensitivity:.2f}"
    if not printed.holds:
        sensitivity += f" (!) its FN gives {printed.sensitivity:.2f}"
    return {
        "Sensitivity": sensitivity,
        "FN": f"{printed.false_negatives} of 46",
        "Specificity": "–",
        "AUC": "–",
        "Skew": _thesis_skew(printed),
    }


def _thesis_skew(printed: Detection) -> str:
    if math.isnan(printed.skew):
        return "–"
    config = f"{printed.skew:g}"
    found = next(
        found
        for found in audit_skews(PNEUMONIA_TRANSLATED).values()
        if found.printed == printed.skew
    )
    return config if found.holds else f"{config} (!) section 2.2.4 gives {found.recomputed:.2f}"


def _figures(sets, trials, records, out) -> dict[str, Any]:
    model = records[0]["model"]
    first_seed = [r for r in records if (r["model"], r["seed"]) == (model, records[0]["seed"])]
    conditions = [record["condition"] for record in first_seed]
    figures = {
        "distribution": (
            "Training images of each class in every condition, and their skew (as figure 2.5).",
            figure_classes.class_histogram(first_seed, _titles_with_skew(first_seed)),
        )
    }
    for name in conditions:
        figures[f"confidence_{name}"] = (
            f"Confidence of {COVID_MODELS[model]} in each positive test image, trained on: "
            f"{CONDITIONS[name].title.lower()} (as figures 2.11 to 2.14).",
            confidences(first_of(first_seed, model, name), CONDITIONS[name].title),
        )
    panels = {
        trial.condition.title: trial.features_path(out)
        for trial in trials
        if trial.settings.model == model and trial.seed == trials[0].seed
    }
    figures["umap"] = (
        f"UMAP of the pooled features of {COVID_MODELS[model]}, each panel of the classifier "
        f"trained so, training and test images together (as figure 2.15); at most {MAX_POINTS} of "
        "each class and set, evenly picked.",
        umap_panels(panels, sets[0].info.labels),
    )
    made = {s.key: s for trial in trials for s in trial.synthetic_stages}
    for synthesis in made.values():
        folder = synthesis.folder(out)
        if (folder / METADATA_FILE).is_file() and synthesis.seed == trials[0].seed:
            first, second = synthesis.dataset.info.labels
            figures[f"translations_{first}"] = (
                f"{first.capitalize()} images and their translations to {second}.",
                figure_classes.translations(synthesis.dataset, open_dataset(folder)),
            )
    return figures


def _titles_with_skew(records) -> dict[str, str]:
    skews = runs_frame(records).set_index("condition")["skew"]
    return {name: f"{CONDITIONS[name].title}\nskew {skew:.2f}" for name, skew in skews.items()}


def _caption(records, sets) -> str:
    positives = sum(score["positive"] for score in records[0]["scores"])
    own, other = (dataset.info.labels for dataset in sets)
    return (
        f"Percent, and FN as a count of {positives} positive test images; "
        f"{over_seeds(records)}, threshold 0.5; protocol "
        f"{records[0]['protocol']}. Skew is that of the training images (eq. 2.8). Own synthetic "
        f"set: {own[0]} images translated to {own[1]}; the other: {other[0]} images. Sensitivity "
        "alone can mislead: a classifier that calls everyone positive has 100. (!) marks what the "
        "thesis contradicts itself in: a sensitivity and its own FN; a skew and the numbers of "
        "images in section 2.2.4. Its 16,537 normal images are 80% of all 20,672 without opacity, "
        "abnormal ones included; the RSNA class Normal alone has 8,851."
    )


def _describe(records, sets) -> dict[str, str]:
    config = describe(records, PROTOCOLS)
    notes = {f"{s.info.title}, left out": s.info.notes or "nothing" for s in sets}
    other = f"{sets[1].info.name} {sets[1].fingerprint[:16]}"
    split = "80/20 by group (patient, where known; with copies of a picture), both sets as one"
    return {**config, "split": split, "other set (SHA-256 of metadata.csv)": other, **notes}


def parse(table: Table, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a table's command line; defaults are the thesis's."""
    parser = Parser(
        prog=f"python -m experiments.{table.name}",
        info=table.title,
        epilog="; ".join(f"{name}: {meaning}" for name, meaning in PROTOCOLS.items()),
    )
    add = parser.add_argument
    add("--data", type=Path, default=Path("."), help="folder with the two official downloads, or "
        "with a prepared set for each of --datasets")  # fmt: skip
    add("--datasets", nargs=2, default=table.datasets, metavar=("OWN", "OTHER"),
        help="the task's set, and the one whose synthetic images join it; phantom_normal and "
        "phantom_pneumonia need no download")  # fmt: skip
    add("--models", nargs="+", default=list(MODELS), choices=MODELS, metavar="NAME",
        help=", ".join(MODELS))  # fmt: skip
    add("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS, metavar="NAME",
        help=", ".join(CONDITIONS))  # fmt: skip
    add("--protocol", choices=PROTOCOLS, default="thesis")
    add_training_arguments(parser, Path("results") / "covid19")
    return parser.parse_args(arguments)
