"""Published runs: the records of a run, and one small file that says how they were made.

    results/published/NAME/run.json          title, commands, reductions
    results/published/NAME/records/KEY.json  one per training
    results/published/NAME/releases/KEY.json tests of synthetic images, if there are any

`results/README.md` says how to add one.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.common.records import read_record
from experiments.common.releases import Release, read_release
from experiments.common.report import describe_hardware
from experiments.common.table import Table, Trial, parse
from melanet.data import InputError

if TYPE_CHECKING:
    from experiments.common.conclusions import Conclusions

RUN_FILE = "run.json"
COMMAND = re.compile(r"python -m (experiments\.\w+) (.+)")
#: Options that a record has as a setting of the same name.
SETTINGS = ("protocol", "batch_size", "loss", "precision", "equal_steps")
#: A file's path: no record that is published may name one.
PATH = re.compile(r"^(/|~|[A-Za-z]:[\\/]).|[\\/](home|Users|root|tmp)[\\/]")


@dataclasses.dataclass(frozen=True)
class Command:
    """A table's command with the records that it made.

    Attributes:
        text: As it was typed.
        table: The table that it runs.
        options: Its options.
        found: Records of finished trainings by their titles.
    """

    text: str
    table: Table
    options: argparse.Namespace
    found: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def planned(self) -> list[str]:
        """Titles of all its trainings, in the table's order."""
        return self.table.trial_titles(self.options)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Records of finished trainings, in the table's order."""
        return [self.found[title] for title in self.planned if title in self.found]

    @property
    def missing(self) -> list[str]:
        """Titles of the trainings that have no record."""
        return [title for title in self.planned if title not in self.found]

    @functools.cached_property
    def conclusions(self) -> Conclusions:
        """What its records show."""
        return self.table.conclude(self.records, self.options)

    def objections(self, record: dict[str, Any]) -> list[str]:
        """Why a record is of none of its trainings; empty if it is of one."""
        if trial_title(record) not in self.planned:
            return [f"no training is called {trial_title(record)}"]
        options = self.options
        asked = {name: getattr(options, name) for name in SETTINGS if hasattr(options, name)}
        asked["epochs"] = options.epochs or self.table.protocols[options.protocol].epochs
        asked["image_size"] = options.image_size or record["dataset"].get("image_size")
        if options.precision == "auto":
            del asked["precision"]
        # Of networks that take no weights, a record says that they have none.
        if record.get("weights") is not None:
            asked["weights"] = None if options.weights == "none" else Path(options.weights).name
        return [
            f"{name} is {record[name]} and not {value}"
            for name, value in asked.items()
            if record.get(name, value) != value
        ]


@dataclasses.dataclass(frozen=True)
class Run:
    """A published run.

    Attributes:
        name: Name of its folder.
        title: For a reader.
        commands: What made its records.
        reductions: Everything in which it is smaller than the thesis's, a sentence each.
        releases: Tests of the synthetic datasets that it made.
    """

    name: str
    title: str
    commands: tuple[Command, ...]
    reductions: tuple[str, ...] = ()
    releases: tuple[Release, ...] = ()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of all its commands."""
        return [record for command in self.commands for record in command.records]

    @property
    def machines(self) -> str:
        """Processors or GPUs that trained."""
        return describe_hardware(self.records) if self.records else ""

    @property
    def hours(self) -> float:
        """Hours of training, of CycleGANs too."""
        gans = {
            gan["key"]: gan["seconds"]
            for record in self.records
            for gan in record.get("synthetic", ())
        }
        return (sum(record["seconds"] for record in self.records) + sum(gans.values())) / 3600


def read_runs(folder: Path) -> list[Run]:
    """The published runs in a folder, by name; folders without a `run.json` are left out.

    Raises:
        InputError: If a run's file or a record is damaged, or they contradict each other.
    """
    return [read_run(path.parent) for path in sorted(folder.glob(f"*/{RUN_FILE}"))]


def read_run(folder: Path) -> Run:
    """Reads a published run.

    Raises:
        InputError: See `read_runs`.
    """
    path = folder / RUN_FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        title, texts = str(said["title"]), [str(text) for text in said["commands"]]
        reductions = tuple(str(text) for text in said["reductions"])
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: needs a title, commands and reductions ({type(error).__name__}: {error})"
        ) from None
    commands = [_parse(path, text) for text in texts]
    for record_path in sorted((folder / "records").glob("[!.]*.json")):
        record = read_record(record_path, Trial.record_fields)
        _check_paths(record_path, record)
        command = _command_of(record, commands, record_path)
        if trial_title(record) in command.found:
            raise InputError(f"{record_path}: is the second record of its training; keep one")
        command.found[trial_title(record)] = record
    return Run(folder.name, title, tuple(commands), reductions, _releases(folder))


def _releases(folder: Path) -> tuple[Release, ...]:
    releases = []
    for path in sorted((folder / "releases").glob("[!.]*.json")):
        release = read_release(path)
        _check_paths(path, release.record)
        releases.append(release)
    return tuple(releases)


def _command_of(record: dict[str, Any], commands: Sequence[Command], path: Path) -> Command:
    """The command that made a record.

    Raises:
        InputError: If that is none of them, or not only one.
    """
    objections = {number: command.objections(record) for number, command in enumerate(commands)}
    takers = [number for number, found in objections.items() if not found]
    if len(takers) == 1:
        return commands[takers[0]]
    if takers:
        raise InputError(f"{path}: is of more than one command of {RUN_FILE}; publish them apart")
    nearest = min(objections.values(), key=len, default=["it has none"])
    raise InputError(
        f"{path}: is of none of the commands of {RUN_FILE} ({'; '.join(nearest)}); move it, or "
        "change that file"
    )


def trial_title(record: dict[str, Any]) -> str:
    """The readable part of a record's name."""
    return record["key"].rpartition("-")[0]


def _parse(path: Path, text: str) -> Command:
    """The command that a run's file has.

    Raises:
        InputError: If it is not one of a table.
    """
    match = COMMAND.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        table, words = importlib.import_module(match[1]).TABLE, shlex.split(match[2])
        options = parse(table, words)
    except (ValueError, ImportError, AttributeError, SystemExit):
        raise InputError(f"{path}: {text!r} is not the command of a table") from None
    for word in filter(PATH.search, words):
        raise InputError(f"{path}: {word} is a path of one machine; write DIR, or the file's name")
    return Command(text, table, options)


def _check_paths(path: Path, record: dict[str, Any]) -> None:
    """Checks that a record names no path of the machine that made it."""
    for place, text in _texts(record):
        if PATH.search(text):
            raise InputError(
                f"{path}: {place} names a path of the machine that made it, {text!r}; leave only "
                "the file's name"
            )


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """All texts in a value of JSON, with their places."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, f"{place}.{name}".strip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, place)
