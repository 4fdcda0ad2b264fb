"""A table of chapter 3: models compared on datasets by a protocol's splits."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from experiments.published import Scores
from experiments.report import Section
from experiments.segmentation import Settings, Trial
from experiments.segmentation_report import make_section
from experiments.sweep import (
    Finished,
    add_common_arguments,
    at_least,
    check_set_name,
    download_folder,
    list_trials,
    run_command,
    run_sweep,
)
from experiments.trial import resolve_precision
from sharpunet import MODELS
from sharpunet.data import InputError, PreparedSet, prepare, read_prepared
from sharpunet.data.prepared import MANIFEST
from sharpunet.models import check_sides
from sharpunet.protocols import PROTOCOLS, splits


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of chapter 3 as data: what is compared on what, and what the thesis printed."""

    name: str
    title: str
    datasets: Sequence[str]
    models: Sequence[str]
    published: dict[tuple[str, str], Scores]


def run_table(table: Table, arguments: Sequence[str] | None = None) -> int:
    """The command line of a table, from official files to its report; returns the exit code."""
    options = parse(table, arguments)
    return run_command(lambda: [run(table, options)], options.out, table.title)


def run(table: Table, options: argparse.Namespace) -> Section:
    """Prepares, trains and reports.

    Raises:
        InputError: If something that the user gave is wrong.
        Finished: After a dry run.
    """
    sets = [_prepared(name, options) for name in dict.fromkeys(options.datasets)]
    trials = plan(sets, options)
    if options.dry_run:
        list_trials(trials, options.out)
        raise Finished
    records = run_sweep(trials, options.out)
    return make_section(table, records, sets, options.out)


def plan(sets: Sequence[PreparedSet], options: argparse.Namespace) -> list[Trial]:
    """The trials of every set, model and split, one dataset after another.

    Raises:
        InputError: If a size does not suit the models, or the images do not suffice.
    """
    trials = []
    for prepared in sets:
        size = tuple(options.image_size or prepared.description.image_size)
        try:
            check_sides(size)
        except ValueError as error:
            raise InputError(f"--image-size: {error}") from None
        settings = Settings(
            protocol=options.protocol,
            epochs=options.epochs,
            batch_size=options.batch_size,
            image_size=size,
            precision=resolve_precision(options.precision),
            deterministic=options.deterministic,
        )
        protocol = {"folds": options.folds, "repeats": options.repeats}
        for split in splits(prepared.manifest, options.protocol, **protocol):
            for model in dict.fromkeys(options.models):
                trials.append(Trial(prepared, model, split, settings, options.seed))
    return trials


def parse(table: Table, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a table's command line; defaults are the thesis's."""
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{table.name}",
        description=table.title,
        epilog="; ".join(f"{name}: {meaning}" for name, meaning in PROTOCOLS.items()),
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with a folder for each dataset: its "
        "official download, a prepared set, or images and masks of your own")  # fmt: skip
    add("--datasets", nargs="+", default=list(table.datasets), metavar="NAME")
    add("--models", nargs="+", default=list(table.models), choices=MODELS, metavar="NAME",
        help=", ".join(MODELS))  # fmt: skip
    add("--folds", type=at_least(2), default=5)
    add("--repeats", type=at_least(1), default=5)
    add("--epochs", type=at_least(1), default=200, help="at most; early stopping may end sooner")
    add("--protocol", choices=PROTOCOLS, default="thesis")
    add_common_arguments(parser, Path("results") / table.name)
    return parser.parse_args(arguments)


def _prepared(name: str, options: argparse.Namespace) -> PreparedSet:
    download = download_folder(options.data, name)
    if (download / MANIFEST).is_file():
        prepared = read_prepared(download)
        check_set_name(prepared, name)
    else:
        prepared = prepare(name, download, options.prepared / name)
    prepared.verify()
    return prepared
