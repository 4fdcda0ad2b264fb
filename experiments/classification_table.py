"""What the tables of chapter 2 share: options, settings, metrics of records, how they were made."""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.classification import BAGGED_TREES, Settings, Split
from experiments.report import describe_origin, values_of
from experiments.sweep import (
    add_common_arguments,
    bounded_int,
    check_dataset_name,
    download_folder,
    not_negative,
    positive,
)
from experiments.synthesis import CycleGANConfig, SyntheticSetStage
from experiments.trial import resolve_precision
from melanet import metrics
from melanet.classifiers import CLASSIFIERS
from melanet.data import BUILDERS, ImageDataset, InputError, open_dataset, prepare
from melanet.data.dataset import METADATA_FILE
from melanet.distribution import chief_first, count_replicas, make_strategy, resolve
from melanet.trees import BaggedTrees

#: Every classifier of chapter 2 by name, the trees too.
MODELS = (*CLASSIFIERS, BAGGED_TREES)


def add_training_arguments(parser: argparse.ArgumentParser, out: Path) -> None:
    """The flags of classifiers and CycleGANs; defaults are the thesis's."""
    add = parser.add_argument
    add("--weights", default="imagenet", help="imagenet, none, or a weights file")
    add("--repeats", type=bounded_int(1, 1000), default=1, help="seeds; the thesis trains once")
    add("--epochs", type=bounded_int(1), default=100,
        help="at most, early stopping may end sooner; default: %(default)s")  # fmt: skip
    gan = CycleGANConfig()
    add("--gan-epochs", type=bounded_int(1), default=gan.epochs, help="default: %(default)s")
    add(
        "--gan-batch-size", type=bounded_int(1), default=gan.batch_size, help="default: %(default)s"
    )
    add("--gan-filters", type=bounded_int(1, 1024), nargs=2, default=gan.filters,
        metavar=("GENERATOR", "DISCRIMINATOR"), help="of their first blocks")  # fmt: skip
    add("--gan-rates", type=positive, nargs=2, default=gan.rates,
        metavar=("GENERATOR", "DISCRIMINATOR"), help="learning rates of Adam")  # fmt: skip
    add("--adversarial-loss", choices=("log", "least_squares"), help="the protocol's if none")
    add("--identity-weight", type=not_negative, help="the protocol's if none")
    add("--save-models", action=argparse.BooleanOptionalAction, default=False,
        help="keep every trained classifier below OUT/models")  # fmt: skip
    add_common_arguments(parser, out)


def prepare_dataset(options: argparse.Namespace, name: str) -> ImageDataset:
    """The prepared set `name` below `--data`, made now if it is not there.

    Raises:
        InputError: If the download or the prepared set is missing or damaged.
    """
    download = download_folder(options.data, name)
    if (download / METADATA_FILE).is_file():
        dataset = open_dataset(download)
        check_dataset_name(dataset, name)
    else:
        if name in BUILDERS and BUILDERS[name].parts:
            download = options.data  # made of several downloads, which lie there
        # Chapter 3 has a phantom, too: sets of chapter 2 are kept apart from its.
        with chief_first():
            dataset = prepare(name, download, options.prepared / "melanet" / name)
    dataset.verify()
    return dataset


def settings_of(
    dataset: ImageDataset, options: argparse.Namespace, model: str, loss: str = "focal"
) -> Settings:
    """The settings that the options give for one classifier.

    Raises:
        InputError: If the set has not two classes, or a size or weights do not suit.
    """
    size = tuple(options.image_size or dataset.info.image_size)
    if any(side % 16 or side < 32 for side in size):
        raise InputError(f"--image-size {size[0]} {size[1]}: multiples of 16, 32 or more, will do")
    if len(dataset.info.labels) != 2:
        raise InputError(
            f"{dataset.folder}: has {len(dataset.info.labels)} classes; two are expected"
        )
    weights = None if options.weights == "none" else options.weights
    if not options.dry_run:
        _check_weights(model, weights, (*size, dataset.info.channels))
    return Settings(
        protocol=options.protocol,
        model=model,
        weights=weights,
        weights_sha256=_file_hash(weights),
        epochs=options.epochs,
        batch_size=options.batch_size,
        image_size=size,
        precision=resolve_precision(options.precision),
        loss=loss,
        deterministic=options.deterministic,
        distribute=resolve(options.distribute),
    )


def _distribution_of(translation: CycleGANConfig, distribute: str) -> str:
    """That of the trials, where a batch has an image of each class for every device."""
    replicas = count_replicas(make_strategy(distribute))
    return distribute if translation.batch_size >= replicas else "none"


def synthetic_stage(
    dataset: ImageDataset,
    split: Split,
    settings: Settings,
    translation: CycleGANConfig,
    seed: int,
) -> SyntheticSetStage:
    """The CycleGAN, and its synthetic set, of one split of a set."""
    return SyntheticSetStage(
        dataset=dataset,
        train=split.train,
        translation=translation,
        image_size=settings.image_size,
        keep_aspect_ratio=settings.keep_aspect_ratio,
        precision=settings.precision,
        deterministic=settings.deterministic,
        seed=seed,
        distribute=_distribution_of(translation, settings.distribute),
    )


def cyclegan_config(options: argparse.Namespace) -> CycleGANConfig:
    """How the CycleGAN is trained: as the protocol says, but where an option says otherwise."""
    own = _of_protocol(options.protocol)
    return CycleGANConfig(
        epochs=options.gan_epochs,
        batch_size=options.gan_batch_size,
        filters=tuple(options.gan_filters),
        rates=tuple(options.gan_rates),
        adversarial_loss=options.adversarial_loss or own.adversarial_loss,
        identity_weight=(
            own.identity_weight if options.identity_weight is None else options.identity_weight
        ),
        flip=own.flip,
    )


def _of_protocol(protocol: str) -> CycleGANConfig:
    if protocol == "released":
        return CycleGANConfig(adversarial_loss="least_squares", identity_weight=1.0, flip=True)
    return CycleGANConfig()


def _check_weights(model: str, weights: str | None, input_shape: tuple[int, ...]) -> None:
    """Builds the classifier once: weights that do not fit are said before hours of work."""
    build = BaggedTrees if model == BAGGED_TREES else CLASSIFIERS[model]
    try:
        build(input_shape, 2, weights=weights)
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


def runs_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row a training: its metrics on the test images, rates in percent."""
    rows = []
    for record in records:
        true = [int(score["positive"]) for score in record["scores"]]
        scores = [score["score"] for score in record["scores"]]
        negative, positive_label = record["dataset"]["labels"]
        trained = record["training_images"]
        rows.append(
            {
                "model": record["model"],
                "condition": record["condition"],
                "seed": record["seed"],
                "auc": 100 * metrics.auc(true, scores),
                "sensitivity": 100 * metrics.sensitivity(true, scores),
                "false_negatives": metrics.false_negatives(true, scores),
                "specificity": 100 * metrics.specificity(true, scores),
                "npv": 100 * metrics.negative_predictive_value(true, scores),
                "f_score": 100 * metrics.f_score(true, scores),
                "positives": sum(true),
                "skew": trained[negative] / trained[positive_label],
                "epochs_run": record["epochs_run"],
                "best_epoch": record["best_epoch"],
                "seconds": record["seconds"],
            }
        )
    return pd.DataFrame(rows)


def summarise(runs: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Mean and sample standard deviation over the seeds of each model and condition."""
    grouped = runs.groupby(["model", "condition"], sort=False)
    return grouped.agg(
        runs=("seed", "size"),
        **{
            f"{column}_{name}": (column, function)
            for column in columns
            for name, function in (("mean", "mean"), ("sd", "std"))
        },
    ).reset_index()


def over_seeds(records: Sequence[dict[str, Any]]) -> str:
    """What a cell is of, in words."""
    seeds = len({record["seed"] for record in records})
    return f"mean ± sample sd over {seeds} seeds" if seeds > 1 else "one seed"


def cell(row: Any, column: str) -> str:
    """Mean ± deviation of a column of `summarise`, as a table shows it."""
    mean, deviation = getattr(row, f"{column}_mean"), getattr(row, f"{column}_sd")
    if np.isnan(mean):
        return "–"
    if np.isnan(deviation) and column == "false_negatives":
        return f"{mean:.0f}"
    return f"{mean:.2f}" + ("" if np.isnan(deviation) else f" ± {deviation:.2f}")


def describe(records: Sequence[dict[str, Any]], protocols: dict[str, str]) -> dict[str, str]:
    """How the results were made, for a reader; `protocols` says what each protocol does."""
    first = records[0]
    synthetic = [notes for record in records for notes in record["synthetic"]]
    gan_seconds = {notes["key"]: notes["seconds"] for notes in synthetic}
    return {
        "protocol": f"{first['protocol']}: {protocols[first['protocol']]}"
        + _departure(first["protocol"], synthetic),
        "images (train / validation / test)": values_of(
            records, lambda r: " / ".join(map(str, r["images"].values()))
        ),
        "size": values_of(records, lambda r: f"{r['image_size'][0]} × {r['image_size'][1]}"),
        "classifiers": "; ".join(dict.fromkeys(_describe_classifier(record) for record in records)),
        "CycleGAN": values_of(synthetic, _describe_translation) or "none",
        **describe_origin(records),
        "training time": f"{sum(r['seconds'] for r in records) / 60:.1f} min of classifiers, "
        f"{sum(gan_seconds.values()) / 60:.1f} min of CycleGANs",
    }


def _describe_classifier(record) -> str:
    weights = f"weights {record['weights'] or 'random at the start'}"
    if record["model"] == BAGGED_TREES:
        return f"{record['model']}, {weights}, frozen"
    return (
        f"{record['model']}, {weights}, {record['loss'].replace('_', ' ')} loss, "
        f"{record['optimizer']}, batch {record['batch_size']}, at most {record['epochs']} epochs"
    )


def _departure(protocol, synthetic) -> str:
    """What the CycleGANs did otherwise than the protocol says, by an option."""
    config = []
    own = _of_protocol(protocol)
    for notes in synthetic[:1]:
        if notes["adversarial_loss"] != own.adversarial_loss:
            config.append(f"{notes['adversarial_loss'].replace('_', ' ')} loss")
        if notes["identity_weight"] != own.identity_weight:
            config.append(f"identity weight {notes['identity_weight']:g}")
    return f" – but here, by option: {', '.join(config)}" if config else ""


def _describe_translation(notes) -> str:
    generators, discriminators = (f"{rate:g}" for rate in notes["rates"])
    return (
        f"{notes['epochs']} epochs, batch {notes['batch_size']}, first filters "
        f"{' and '.join(map(str, notes['filters']))}, Adam {generators} and {discriminators} "
        f"(generators and discriminators), {notes['adversarial_loss'].replace('_', ' ')} loss, "
        f"identity weight {notes['identity_weight']:g}"
    )
