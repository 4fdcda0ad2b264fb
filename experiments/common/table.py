"""A table of the thesis in four stages: prepare, plan, run, report.

    prepare   official files -> datasets
    plan      the table's conditions -> trials
    run       a trial -> predictions and one JSON record
    report    records -> the table, its figures and one page

Each stage leaves plain files and skips what is there already, so that interrupted runs resume.
"""

from __future__ import annotations

import abc
import argparse
import dataclasses
import shlex
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from experiments.common.cli import (
    EarlyExit,
    check_dataset_name,
    check_writable,
    download_folder,
    exit_worker,
    run_cli,
)
from experiments.common.records import (
    checkpoint_path,
    config_hash,
    describe_dataset,
    provenance,
    read_record,
    write_record,
)
from melanet import lazy
from melanet.console import Parser, progress_bar
from melanet.data import ImageDataset, InputError, open_dataset
from melanet.data.dataset import is_dataset

if TYPE_CHECKING:
    from experiments.common import report
    from experiments.common.conclusions import Comparison, Conclusions
    from melanet import checkpoint, distribution
else:
    report = lazy.module("experiments.common.report")
    checkpoint = lazy.module("melanet.checkpoint")
    distribution = lazy.module("melanet.distribution")


class Trial(abc.ABC):
    """One training: a name, and a record that says how it went.

    Subclasses are frozen dataclasses with the fields `dataset` and `seed`.
    """

    dataset: ImageDataset
    seed: int
    #: Fields of its record that the report needs.
    record_fields: ClassVar[tuple[str, ...]] = ("dataset", "seed", "versions", "git", "hardware")

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """The readable part of its key."""

    @property
    @abc.abstractmethod
    def config(self) -> list[Any]:
        """Everything that determines the result, in types that JSON has."""

    @property
    def shared_artifacts(self) -> tuple[str, ...]:
        """Names of what it makes and other trials use too, such as a CycleGAN."""
        return ()

    @property
    def key(self) -> str:
        """Name of its record: the title and a hash of `config`."""
        return f"{self.title}-{config_hash(self.config)}"

    def record_path(self, out: Path) -> Path:
        """Where its record is or will be."""
        return out / "records" / f"{self.key}.json"

    def checkpoint_path(self, out: Path) -> Path:
        """Where its unfinished training is kept."""
        return checkpoint_path(out, self.key)

    def model_path(self, out: Path) -> Path | None:
        """Where its trained model is or will be; None if it is not saved."""
        return None

    @abc.abstractmethod
    def train_and_test(self, out: Path) -> dict[str, Any] | None:
        """Trains and tests; returns its part of the record, None on hosts that only help."""

    def run(self, out: Path) -> dict[str, Any] | None:
        """Trains, tests and writes the record.

        Returns:
            The record; None on hosts that only help to train.
        """
        # Before seeding: the hash in its name may build a model, which draws random weights.
        path = self.record_path(out)
        result = self.train_and_test(out)
        if result is None:
            return None
        record = {
            "key": self.key,
            "dataset": describe_dataset(self.dataset),
            "seed": self.seed,
            **result,
            **provenance(),
        }
        write_record(path, record)
        checkpoint.EpochCheckpoint(self.checkpoint_path(out)).remove()
        return record


class Protocol(typing.Protocol):
    """How a table's data are split and its models trained."""

    @property
    def text(self) -> str:
        """What it does, in a sentence."""

    @property
    def epochs(self) -> int:
        """Epochs at most, unless an option says otherwise."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table(abc.ABC):
    """A table of the thesis as data, with its four stages.

    Attributes:
        name: Name of its command.
        title: Title of its page.
        protocols: What each protocol does, by name.
        results: Name of its folder below `results`, if other tables share it.
    """

    name: str
    title: str
    protocols: Mapping[str, Protocol]
    results: str = ""

    def page_folder(self, out: Path) -> Path:
        """Where page, table and figures go: a folder of its own if tables share the results."""
        return out / self.name if self.results else out

    @abc.abstractmethod
    def add_arguments(self, parser: argparse.ArgumentParser, out: Path) -> None:
        """Adds its flags; `out` is the default folder of the results."""

    def complete(self, options: argparse.Namespace) -> argparse.Namespace:
        """The options, with those filled in whose defaults depend on others."""
        return options

    @abc.abstractmethod
    def prepare(self, options: argparse.Namespace) -> list[ImageDataset]:
        """The datasets that the options name, built now if they are missing."""

    @abc.abstractmethod
    def plan(
        self, datasets: Sequence[ImageDataset], options: argparse.Namespace
    ) -> Sequence[Trial]:
        """Its trials, in the order of the table."""

    @abc.abstractmethod
    def report(
        self,
        datasets: Sequence[ImageDataset],
        trials: Sequence[Trial],
        records: Sequence[dict[str, Any]],
        out: Path,
    ) -> report.Section:
        """Writes the table and its figures into its page folder."""

    @abc.abstractmethod
    def trial_titles(self, options: argparse.Namespace) -> list[str]:
        """Titles of all trials that the options ask for, without their datasets."""

    @abc.abstractmethod
    def conclude(
        self, records: Sequence[dict[str, Any]], options: argparse.Namespace
    ) -> Conclusions:
        """What records say, of which some may be missing; without their datasets."""

    @abc.abstractmethod
    def compare_protocols(self, records: Sequence[dict[str, Any]]) -> list[Comparison]:
        """How much the protocols of records differ on the same images."""


def run_table(table: Table, arguments: Sequence[str] | None = None) -> int:
    """Runs a table from the command line, from official files to its page.

    Returns:
        The exit code, see `run_cli`.
    """
    options = parse(table, arguments)
    page = table.page_folder(options.out)
    return run_report(lambda: [run_stages(table, options)], page, table.title)


def parse(table: Table, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the options of a table's command line; defaults are the thesis's."""
    parser = Parser(
        prog=f"python -m experiments.{table.name}",
        description=table.title,
        epilog="; ".join(f"{name}: {each.text}" for name, each in table.protocols.items()),
    )
    table.add_arguments(parser, Path("results") / (table.results or table.name))
    words = sys.argv[1:] if arguments is None else arguments
    options = table.complete(parser.parse_args(words))
    options.command = command_text(table.name, words)
    return options


def command_text(name: str, words: Sequence[str]) -> str:
    """A command for a reader: `DIR` for the folder of the data, no other folder of this machine.

    Example:
        >>> from experiments.common.table import command_text
        >>> command_text("table_3_1", ["--data", "/home/me/images", "--out=here", "--folds", "3"])
        'python -m experiments.table_3_1 --data DIR --folds 3'
    """
    shown, left = [], [part for word in words for part in _split_flag(word)]
    while left:
        word = left.pop(0)
        if word in ("--out", "--prepared"):
            del left[:1]
        elif word == "--data":
            shown += [word, "DIR"]
            del left[:1]
        else:
            shown.append(Path(word).name if Path(word).is_absolute() else word)
    return shlex.join(["python", "-m", f"experiments.{name}", *shown])


def _split_flag(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith("--") else [word]


def run_stages(table: Table, options: argparse.Namespace) -> report.Section:
    """Prepares, plans, runs and reports.

    Raises:
        InputError: If the user's input is wrong.
        EarlyExit: After a dry run, or where another process writes the report.
    """
    if options.distribute == "multiworker":  # must be made before anything else
        distribution.make_strategy(options.distribute)
    datasets = table.prepare(options)
    trials = table.plan(datasets, options)
    if options.dry_run:
        list_trials(take_shard(trials, options.shard), options.out)
        raise EarlyExit
    records = run_trials(trials, options.out, options.shard)
    section = dataclasses.replace(
        table.report(datasets, trials, records, options.out),
        comparisons=table.conclude(records, options).comparisons,
        command=options.command,
    )
    report.keep_section(table.page_folder(options.out), section)
    return section


def run_report(make_sections: Callable[[], Sequence[report.Section]], out: Path, title: str) -> int:
    """Runs one table or more and writes their page into `out`; returns the exit code.

    The page of one table has the table's title, which may name the dataset, and that of several
    has `title`.
    """

    def command():
        sections = make_sections()
        heading = sections[0].title if len(sections) == 1 else title
        page = report.write_report(out, heading, sections)
        print(*(section.markdown for section in sections), sep="\n")
        print(f"Open {page}")
        # A chief that is killed before this finds the other hosts when it restarts.
        distribution.barrier()

    return run_cli(command)


def prepare_dataset(
    data: Path,
    name: str,
    folder: Path,
    build: Callable[[Path, Path], ImageDataset],
    given: str = "",
) -> ImageDataset:
    """The dataset `name` in `data`, built into `folder` if it is an official download.

    Args:
        data: Folder with one folder per dataset: an official download, or a dataset.
        name: Name of the dataset and of its folder.
        folder: Where the dataset is or will be, if it is built.
        build: From the folder of the download and `folder` to the dataset.
        given: Flags for images of one's own that are not for a dataset, if any were given.

    Raises:
        InputError: If it is missing, incomplete or damaged.
    """
    download = download_folder(data, name)
    if is_dataset(download):
        if given:
            raise InputError(
                f"{download}: is a dataset already; leave out {given}, or prepare it anew with it"
            )
        dataset = open_dataset(download)
        check_dataset_name(dataset, name)
    else:
        with distribution.chief_first():
            dataset = build(download, folder)
    dataset.verify()
    return dataset


def run_trials(
    trials: Sequence[Trial], out: Path, shard: tuple[int, int] = (1, 1)
) -> list[dict[str, Any]]:
    """Runs the trials that have no record yet; returns the records of all, in their order.

    Args:
        trials: All trials of a table.
        out: Results folder, which other machines may share.
        shard: `(number, count)`: only this part is run here, the others elsewhere.

    Raises:
        InputError: If `out` cannot be written to, or a record in it is damaged.
        EarlyExit: If this part is done but another is not, or another host writes the report.
    """
    check_writable(out)
    done = {trial.key: trial.record_path(out).exists() for trial in trials}
    for trial in (trial for trial in trials if done[trial.key]):
        # A damaged record is reported now, not after hours.
        read_record(trial.record_path(out), trial.record_fields)
        # A run that was killed after its record leaves a checkpoint.
        checkpoint.EpochCheckpoint(trial.checkpoint_path(out)).remove()
    mine = {trial.key for trial in take_shard(trials, shard)}
    waiting = [trial for trial in trials if trial.key in mine and not done[trial.key]]
    if any(done.values()):
        print(f"{sum(done.values())} of {len(trials)} trials are done already")
    _report_missing_models([trial for trial in trials if done[trial.key]], out)
    _report_unused_records(trials, out)
    distribution.check_workers_agree(f"--out {out}", [trial.key for trial in waiting])
    for trial in progress_bar(waiting, desc="trials", unit="trial", disable=not waiting):
        trial.run(out)
        distribution.barrier()
    if not distribution.is_chief():
        exit_worker()
    missing = sum(not trial.record_path(out).exists() for trial in trials)
    if missing:
        print(f"shard {shard[0]}/{shard[1]} is done; {missing} trials of other shards are not yet")
        exit_worker()
    return [read_record(trial.record_path(out), trial.record_fields) for trial in trials]


def _report_missing_models(trials: Sequence[Trial], out: Path) -> None:
    """Reports trials that were done before their models were asked for."""
    paths = [path for trial in trials if (path := trial.model_path(out))]
    missing = sum(not path.exists() for path in paths)
    if missing:
        print(
            f"--save-models: {missing} of the trials that are done left no model; remove their "
            "records, or give another --out, to train them again"
        )


def _report_unused_records(trials: Sequence[Trial], out: Path) -> None:
    """Reports records of trials of the same title with other settings, data, models or code."""
    keys = {trial.key for trial in trials}
    titles = {trial.title for trial in trials}
    others = [
        path
        for path in (out / "records").glob("*.json")
        if path.stem not in keys and path.stem.rpartition("-")[0] in titles
    ]
    if others:
        print(f"{len(others)} records are of other settings, data, models or code: not used here")


def take_shard(trials: Sequence[Trial], shard: tuple[int, int]) -> list[Trial]:
    """Part `number` of `count` parts: the same on every machine, and without overlap.

    Trials that share a CycleGAN or an augmented dataset stay together, so that none is made twice.
    """
    units: list[tuple[set[str], list[Trial]]] = []
    for trial in trials:
        names, together = set(trial.shared_artifacts), [trial]
        apart = []
        for unit in units:
            if names & unit[0]:
                names |= unit[0]
                together = unit[1] + together
            else:
                apart.append(unit)
        units = [*apart, (names, together)]
    number, count = shard
    return [trial for _, unit in units[number - 1 :: count] for trial in unit]


def list_trials(trials: Sequence[Trial], out: Path) -> None:
    """Prints every trial and whether it is done."""
    done = [trial.record_path(out).exists() for trial in trials]
    for trial, is_done in zip(trials, done, strict=True):
        print(f"{'done' if is_done else 'to do':6} {trial.key}  seed {trial.seed}")
    print(f"{len(trials)} trials, {len(trials) - sum(done)} to do")
