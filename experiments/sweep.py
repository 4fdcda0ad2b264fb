"""Many trials: prepare the data, skip what is done, run the rest, collect the records."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments import report
from experiments.published import Scores
from experiments.segmentation import Settings, Trial, run_trial
from experiments.trial import PRECISIONS, read_record, resolve_precision, write_atomically
from sharpunet import MODELS
from sharpunet.data import InputError, PreparedSet, prepare
from sharpunet.data.prepared import MANIFEST, read_prepared
from sharpunet.models import check_sides
from sharpunet.protocols import PROTOCOLS, splits


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the thesis as data: what is compared on what, and what it printed."""

    name: str
    title: str
    datasets: Sequence[str]
    models: Sequence[str]
    published: dict[tuple[str, str], Scores]


def run_table(table: Table, arguments: Sequence[str] | None = None) -> int:
    """The command line of a table, from official files to its report.

    Returns:
        The exit code: 0; 2 for bad input, said in one line; 130 if it was interrupted.
    """
    options = _parser(table).parse_args(arguments)
    try:
        sets = [_prepared(name, options) for name in dict.fromkeys(options.datasets)]
        trials = plan(sets, options)
        if options.dry_run:
            _list_trials(trials, options.out)
            return 0
        _check_writable(options.out)
        records = run_sweep(trials, options.out)
        page = report.write(table, records, sets, options.out)
    except InputError as error:
        print("error:", *str(error).split(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on with what is not done", file=sys.stderr)
        return 130
    print((options.out / "table.md").read_text())
    print(f"Open {page}")
    return 0


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


def run_sweep(trials: Sequence[Trial], out: Path) -> list[dict[str, Any]]:
    """Runs what has no record yet; returns the records of all, in the order of `trials`."""
    done = {trial.key: trial.record_path(out).exists() for trial in trials}
    for trial in (trial for trial in trials if done[trial.key]):
        read_record(trial.record_path(out))  # a damaged one is said now, not after hours
    waiting = [trial for trial in trials if not done[trial.key]]
    if len(waiting) < len(trials):
        print(f"{len(trials) - len(waiting)} of {len(trials)} trials are done already")
    for trial in tqdm(waiting, desc="trials", unit="trial", disable=not waiting):
        run_trial(trial, out)
    return [read_record(trial.record_path(out)) for trial in trials]


def _parser(table: Table) -> argparse.ArgumentParser:
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
    add("--folds", type=_at_least(2), default=5)
    add("--repeats", type=_at_least(1), default=5)
    add("--epochs", type=_at_least(1), default=200, help="at most; early stopping may end sooner")
    add("--batch-size", type=_at_least(1), default=16)
    add("--image-size", type=_at_least(1), nargs=2, metavar=("H", "W"), help="the thesis's if none")
    add("--protocol", choices=PROTOCOLS, default="thesis")
    add("--precision", choices=PRECISIONS, default="auto")
    add("--seed", type=_at_least(0, 2**31), default=0, help="added to the seed of every trial")
    add("--deterministic", action=argparse.BooleanOptionalAction, default=True)
    add("--out", type=Path, default=Path("results") / table.name)
    add("--prepared", type=Path, default=Path("prepared"), help="where prepared sets are kept")
    add("--dry-run", action="store_true", help="prepare the data, list the trials and stop")
    return parser


def _at_least(least: int, most: int = sys.maxsize):
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            bounds = f"at least {least}" + (f" and at most {most}" if most < sys.maxsize else "")
            raise argparse.ArgumentTypeError(f"{value} is not {bounds}")
        return value

    return number


def _prepared(name: str, options: argparse.Namespace) -> PreparedSet:
    download = options.data / name
    if not options.data.is_dir():
        raise InputError(f"--data {options.data}: no such folder")
    if (download / MANIFEST).is_file():
        prepared = read_prepared(download)
        if prepared.description.name != name:
            # Records and pages go by the set's own name: two sets must not share one.
            raise InputError(
                f"{download}: holds the set {prepared.description.name!r}; name the folder so"
            )
    else:
        prepared = prepare(name, download, options.prepared / name)
    prepared.verify()
    return prepared


def _check_writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / ".writable", "")
        (out / ".writable").unlink()
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written to ({error.strerror})") from None


def _list_trials(trials: Sequence[Trial], out: Path) -> None:
    for trial in trials:
        done = trial.record_path(out).exists()
        print(f"{'done' if done else 'to do':6} {trial.key}  seed {trial.seed}")
    done_count = sum(trial.record_path(out).exists() for trial in trials)
    print(f"{len(trials)} trials, {len(trials) - done_count} to do")
