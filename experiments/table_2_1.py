"""Table 2.1: VGG-GAP plain, augmented offline, and over-sampled by translation (MelaNet).

    python -m experiments.table_2_1 --data DIR

It should give (AUC, false negatives of 75): VGG-GAP 79.08 and 55, MelaNet 81.18 and 22. What the
thesis prints as sensitivity there is the negative predictive value; `published.audit_table_2_1`
has the true one, 26.67 and 70.67.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import figure_classes
from experiments.classification import (
    PROTOCOLS,
    Condition,
    Settings,
    Translation,
    Trial,
    split_images,
)
from experiments.published import TABLE_2_1, audit_table_2_1
from experiments.report import Section, describe_origin, values_of, write_section
from experiments.sweep import (
    Finished,
    add_common_arguments,
    at_least,
    check_set_name,
    download_folder,
    list_trials,
    not_negative,
    positive,
    run_command,
    run_sweep,
)
from experiments.trial import resolve_precision
from melanet import metrics
from melanet.classifiers import CLASSIFIERS
from melanet.data import InputError, PreparedSet, prepare, read_prepared
from melanet.data.prepared import MANIFEST

TITLE = "Table 2.1: melanoma classification by VGG-GAP and MelaNet"
CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition("vgg_gap", "VGG-GAP"),
        Condition("augment_5x", "VGG-GAP + Augment-5x", augment=5),
        Condition("augment_10x", "VGG-GAP + Augment-10x", augment=10),
        Condition("melanet", "MelaNet", oversample=True),
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
    prepared = prepared_set(options)
    trials = plan(prepared, options)
    if options.dry_run:
        list_trials(trials, options.out)
        raise Finished
    records = run_sweep(trials, options.out)
    return make_section(title, prepared, trials, records, options.out)


def plan(prepared: PreparedSet, options: argparse.Namespace) -> list[Trial]:
    """The trials of every seed and condition.

    Raises:
        InputError: If a size does not suit the networks, or a class cannot be split.
    """
    size = tuple(options.image_size or prepared.description.image_size)
    if any(side % 16 or side < 32 for side in size):
        raise InputError(f"--image-size {size[0]} {size[1]}: multiples of 16, 32 or more, will do")
    described = prepared.description
    if len(described.labels) != 2 or described.channels != 3:
        raise InputError(
            f"{prepared.folder}: has {len(described.labels)} classes and {described.channels} "
            "channels; two classes of colour images are expected"
        )
    weights = None if options.weights == "none" else options.weights
    if not options.dry_run:
        _check_weights(options.model, weights, size)
    settings = Settings(
        protocol=options.protocol,
        model=options.model,
        weights=weights,
        weights_sha256=_file_hash(weights),
        epochs=options.epochs,
        translation=_translation(options),
        batch_size=options.batch_size,
        image_size=size,
        precision=resolve_precision(options.precision),
        deterministic=options.deterministic,
    )
    trials = []
    for seed in range(options.seed, options.seed + options.repeats):
        split = split_images(prepared, options.protocol, seed)
        for name in dict.fromkeys(options.conditions):
            trials.append(Trial(prepared, CONDITIONS[name], split, settings, seed))
    return trials


def _translation(options: argparse.Namespace) -> Translation:
    """How the CycleGAN is trained: as the protocol says, but where an option says otherwise."""
    loss, weight = _adversarial(options.protocol)
    return Translation(
        epochs=options.gan_epochs,
        filters=tuple(options.gan_filters),
        rates=tuple(options.gan_rates),
        adversarial_loss=options.adversarial_loss or loss,
        identity_weight=weight if options.identity_weight is None else options.identity_weight,
    )


def _check_weights(model: str, weights: str | None, size: tuple[int, int]) -> None:
    """Builds the classifier once: weights that do not fit are said before hours of work."""
    try:
        CLASSIFIERS[model]((*size, 3), 2, weights=weights)
    except ValueError as error:
        raise InputError(f"--weights {weights}: {error}") from None
    except Exception as error:  # Keras has no class of its own for a failed download
        raise InputError(
            f"--weights {weights}: cannot be downloaded ({error}); give a weights file, or none"
        ) from None


def _file_hash(weights: str | None) -> str | None:
    """SHA-256 of a weights file: another content is another trial."""
    if weights is None or not Path(weights).is_file():
        return None
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()


def make_section(
    title: str,
    prepared: PreparedSet,
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
    for trial in trials:
        folder = trial.synthetic_folder(out)
        if "translations" not in figures and (folder / MANIFEST).is_file():
            first, second = prepared.description.labels
            figures["translations"] = (
                f"{first.capitalize()} images and their translations to {second} (as figure 2.16).",
                figure_classes.translations(prepared, read_prepared(folder)),
            )
    summary = summarise(runs)
    return write_section(
        out,
        title=title,
        caption=_caption(records),
        numbers=summary,
        shown=beside_thesis(summary),
        emphasised=lambda cells, style: cells,
        figures=figures,
        settings=describe(records),
        runs=runs,
    )


def runs_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row a training: its metrics on the test images, rates in percent."""
    rows = []
    for record in records:
        true = [int(score["positive"]) for score in record["scores"]]
        scores = [score["score"] for score in record["scores"]]
        rows.append(
            {
                "condition": record["condition"],
                "seed": record["seed"],
                "auc": 100 * metrics.auc(true, scores),
                "sensitivity": 100 * metrics.sensitivity(true, scores),
                "false_negatives": metrics.false_negatives(true, scores),
                "specificity": 100 * metrics.specificity(true, scores),
                "npv": 100 * metrics.negative_predictive_value(true, scores),
                "f_score": 100 * metrics.f_score(true, scores),
                "positives": sum(true),
                "epochs_run": record["epochs_run"],
                "best_epoch": record["best_epoch"],
                "seconds": record["seconds"],
                "gan_seconds": (record["gan"] or {}).get("seconds"),
            }
        )
    return pd.DataFrame(rows)


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation over the seeds of each condition."""
    grouped = runs.groupby("condition", sort=False)
    return grouped.agg(
        runs=("seed", "size"),
        **{
            f"{column}_{name}": (column, function)
            for column in COLUMNS
            for name, function in (("mean", "mean"), ("sd", "std"))
        },
    ).reset_index()


def beside_thesis(summary: pd.DataFrame) -> pd.DataFrame:
    """A row "ours" a condition, the thesis's own beneath, true and as printed."""
    audit = audit_table_2_1()
    rows = []
    for row in summary.itertuples():
        title = CONDITIONS[row.condition].title
        cells = {
            name: _cell(getattr(row, f"{column}_mean"), getattr(row, f"{column}_sd"))
            for column, name in COLUMNS.items()
        }
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


def describe(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """How the results were made, for a reader."""
    first = records[0]
    translating = [record for record in records if record["gan"]]
    gan_seconds = {r["gan"]["key"]: r["gan"]["seconds"] for r in translating}
    return {
        "protocol": f"{first['protocol']}: {PROTOCOLS[first['protocol']]}"
        + _departure(translating),
        "images (train / validation / test)": values_of(
            records, lambda r: " / ".join(map(str, r["images"].values()))
        ),
        "size": values_of(records, lambda r: f"{r['image_size'][0]} × {r['image_size'][1]}"),
        "classifier": f"{first['model']}, weights {first['weights'] or 'random at the start'}, "
        f"{first['optimizer']}, batch {first['batch_size']}, at most {first['epochs']} epochs",
        "CycleGAN": values_of(translating, _describe_translation) or "none",
        **describe_origin(records),
        "training time": f"{sum(r['seconds'] for r in records) / 60:.1f} min of classifiers, "
        f"{sum(gan_seconds.values()) / 60:.1f} min of CycleGANs",
    }


def _departure(translating) -> str:
    """What the CycleGANs did otherwise than the protocol says, by an option."""
    told = []
    for record in translating[:1]:
        loss, weight = _adversarial(record["protocol"])
        translation = Translation(**record["translation"])
        if translation.adversarial_loss != loss:
            told.append(f"{translation.adversarial_loss.replace('_', ' ')} loss")
        if translation.identity_weight != weight:
            told.append(f"identity weight {translation.identity_weight:g}")
    return f" – but here, by option: {', '.join(told)}" if told else ""


def _adversarial(protocol: str) -> tuple[str, float]:
    """Adversarial loss and identity weight of a protocol."""
    return ("least_squares", 1.0) if protocol == "released" else ("log", 0.0)


def _describe_translation(record) -> str:
    translation = Translation(**record["translation"])
    generators, discriminators = (f"{rate:g}" for rate in translation.rates)
    return (
        f"{translation.epochs} epochs, batch 1, first filters "
        f"{' and '.join(map(str, translation.filters))}, Adam {generators} and {discriminators} "
        f"(generators and discriminators), {translation.adversarial_loss.replace('_', ' ')} loss, "
        f"identity weight {translation.identity_weight:g}"
    )


def _caption(records) -> str:
    seeds = len({record["seed"] for record in records})
    positives = sum(score["positive"] for score in records[0]["scores"])
    return (
        f"Percent, and FN as a count of {positives} positive test images; mean ± sample sd over "
        f"{seeds} seed{'s' if seeds > 1 else ''}, threshold 0.5; protocol "
        f'{records[0]["protocol"]}. What the thesis prints as "sensitivity" is TN / (TN + FN), the '
        "NPV; its true sensitivity and specificity follow from the printed FN."
    )


def _cell(mean: float, sd: float) -> str:
    if np.isnan(mean):
        return "–"
    return f"{mean:.2f}" + ("" if np.isnan(sd) else f" ± {sd:.2f}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line; defaults are the thesis's."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.table_2_1",
        description=TITLE,
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
    add("--weights", default="imagenet", help="imagenet, none, or a weights file")
    add("--repeats", type=at_least(1), default=1, help="seeds; the thesis trains once")
    add("--epochs", type=at_least(1), default=100, help="at most; early stopping may end sooner")
    gan = Translation()
    add("--gan-epochs", type=at_least(1), default=gan.epochs)
    add("--gan-filters", type=at_least(1), nargs=2, default=gan.filters,
        metavar=("GENERATOR", "DISCRIMINATOR"), help="of their first blocks")  # fmt: skip
    add("--gan-rates", type=positive, nargs=2, default=gan.rates,
        metavar=("GENERATOR", "DISCRIMINATOR"), help="learning rates of Adam")  # fmt: skip
    add("--adversarial-loss", choices=("log", "least_squares"), help="the protocol's if none")
    add("--identity-weight", type=not_negative, help="the protocol's if none")
    add("--protocol", choices=PROTOCOLS, default="thesis")
    add_common_arguments(parser, Path("results") / "table_2_1")
    return parser.parse_args(arguments)


def prepared_set(options: argparse.Namespace) -> PreparedSet:
    """The prepared set that `--data` and `--dataset` name, made now if it is not there.

    Raises:
        InputError: If the download or the prepared set is missing or damaged.
    """
    download = download_folder(options.data, options.dataset)
    if (download / MANIFEST).is_file():
        prepared = read_prepared(download)
        check_set_name(prepared, options.dataset)
    else:
        # Chapter 3 has a phantom, too: sets of chapter 2 are kept apart from its.
        prepared = prepare(
            options.dataset, download, options.prepared / "melanet" / options.dataset
        )
    prepared.verify()
    return prepared


if __name__ == "__main__":
    sys.exit(main())
