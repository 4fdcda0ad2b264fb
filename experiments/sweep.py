"""Many trials: skip what is done, run the rest, collect. And what every command shares."""

import argparse
import errno
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol

from tqdm import tqdm

from experiments.report import Section, write_page
from experiments.trial import PRECISIONS, checkpoint_path, read_record
from melanet.checkpoint import EpochCheckpoint
from melanet.data.dataset import MAX_SIDE
from melanet.data.errors import os_errors_as_input_errors
from melanet.distribution import (
    NAMES,
    WORKER_ERRORS,
    barrier,
    check_workers_agree,
    is_chief,
    is_single_worker,
)
from sharpunet.data import InputError


class Parser(argparse.ArgumentParser):
    """A command's arguments; what is wrong with them is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


class Trial(Protocol):
    """One training, of whatever kind: a name, a place for its record, and a way to run it."""

    @property
    def key(self) -> str: ...

    @property
    def seed(self) -> int: ...

    @property
    def shared_artifacts(self) -> tuple[str, ...]:
        """Names of what it makes and other trials use, such as a CycleGAN."""
        ...

    def record_path(self, out: Path) -> Path: ...

    def run(self, out: Path) -> dict[str, Any] | None: ...


class EarlyExit(Exception):
    """Ends a command that has done what it was asked to, without a report."""


def run_command(make_sections: Callable[[], Sequence[Section]], out: Path, title: str) -> int:
    """Runs the command of one table or more, and writes their page into `out`.

    Returns:
        The exit code: 0; 1 if another host was lost; 2 for bad input, said in one line; 130 if it
        was interrupted.
    """

    def report():
        sections = make_sections()
        page = write_page(out / "index.html", title, sections)
        print(*(section.markdown for section in sections), sep="\n")
        print(f"Open {page}")
        barrier()  # a chief that is killed before this finds the others when it starts again

    return run_cli(report)


def run_cli(act: Callable[[], None]) -> int:
    """Does what a command is for; returns its exit code, as `run_command` gives it."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            act()
    except EarlyExit:
        return 0
    except (InputError, OSError) as error:  # an OSError says which file, and what is wrong
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        cure = "; make room, and the same command goes on where it stopped" if full else ""
        print(f"error: {error}{cure}", file=sys.stderr)
        return 2
    except WORKER_ERRORS:
        if is_single_worker():
            raise
        print(
            "error: another host is gone; start all of them again with the same command: they go "
            "on from the last epoch that was saved",
            file=sys.stderr,
        )
        return 1
    except (KeyboardInterrupt, RuntimeError) as error:
        # What interrupts TensorFlow while it waits for other hosts comes as a RuntimeError.
        if isinstance(error, RuntimeError) and "KeyboardInterrupt" not in str(error):
            raise
        print("\nstopped; the same command goes on with what is not done", file=sys.stderr)
        return 130
    return 0


def _warn(message, *_, **__) -> None:
    print("warning:", message, file=sys.stderr)


def run_sweep(
    trials: Sequence[Trial], out: Path, shard: tuple[int, int] = (1, 1)
) -> list[dict[str, Any]]:
    """Runs what has no record yet; returns the records of all, in the order of `trials`.

    Args:
        trials: All trials of the sweep.
        out: Results folder, which may be shared with other machines.
        shard: `(number, of)`: only this part of them is run here, others elsewhere.

    Raises:
        InputError: If `out` cannot be written to, or a record in it is damaged.
        Finished: If this part is done and another is not, or another host writes the report.
    """
    check_writable(out)
    done = {trial.key: trial.record_path(out).exists() for trial in trials}
    for trial in (trial for trial in trials if done[trial.key]):
        read_record(trial.record_path(out))  # a damaged one is said now, not after hours
        # Of a run that was killed just after it had saved its result.
        EpochCheckpoint(checkpoint_path(out, trial.key)).remove()
    mine = {trial.key for trial in take_shard(trials, shard)}
    waiting = [trial for trial in trials if trial.key in mine and not done[trial.key]]
    if any(done.values()):
        print(f"{sum(done.values())} of {len(trials)} trials are done already")
    check_workers_agree(f"--out {out}", [trial.key for trial in waiting])
    for trial in tqdm(waiting, desc="trials", unit="trial", disable=not waiting):
        trial.run(out)
        barrier()
    if not is_chief():
        exit_worker()
    missing = sum(not trial.record_path(out).exists() for trial in trials)
    if missing:
        print(f"shard {shard[0]}/{shard[1]} is done; {missing} trials of other shards are not yet")
        exit_worker()
    return [read_record(trial.record_path(out)) for trial in trials]


def exit_worker() -> NoReturn:
    """Ends what another process finishes; hosts of one training leave together with the chief."""
    if not is_chief():
        print("done here; the first host writes the report")
    barrier()
    raise EarlyExit


def take_shard(trials: Sequence[Trial], shard: tuple[int, int]) -> list[Trial]:
    """Part `number` of `of` equal parts: the same on every machine, and without overlap.

    Trials that use the same CycleGAN or augmented set stay together, so that none is made twice.
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
    number, of = shard
    return [trial for _, unit in units[number - 1 :: of] for trial in unit]


def shard_of(text: str) -> tuple[int, int]:
    """An argparse type: `I/N`, the Ith of N parts."""
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N")
    return int(number), int(of)


def list_trials(trials: Sequence[Trial], out: Path) -> None:
    """Prints every trial and whether it is done."""
    for trial in trials:
        done = trial.record_path(out).exists()
        print(f"{'done' if done else 'to do':6} {trial.key}  seed {trial.seed}")
    done_count = sum(trial.record_path(out).exists() for trial in trials)
    print(f"{len(trials)} trials, {len(trials) - done_count} to do")


def add_common_arguments(parser: argparse.ArgumentParser, out: Path) -> None:
    """The flags that every table's command has."""
    add = parser.add_argument
    add("--image-size", type=bounded_int(1, MAX_SIDE), nargs=2, metavar=("H", "W"),
        help="default: the thesis's")  # fmt: skip
    add("--batch-size", type=bounded_int(1), default=16, help="default: %(default)s")
    add("--precision", choices=PRECISIONS, default="auto",
        help="auto: the fastest that the hardware computes natively")  # fmt: skip
    add("--seed", type=bounded_int(0, 2**31), default=0, help="added to the seed of every trial")
    add("--shard", type=shard_of, default=(1, 1), metavar="I/N",
        help="run only the Ith of N parts; N machines that share OUT do all")  # fmt: skip
    add("--distribute", choices=NAMES, default="auto",
        help="each batch: over the GPUs of this host (mirrored; auto: if it has more than one), or "
        "of all hosts of TF_CONFIG (multiworker)")  # fmt: skip
    add("--deterministic", action=argparse.BooleanOptionalAction, default=True)
    add("--out", type=Path, default=out, help="folder of the results; default: %(default)s")
    add("--prepared", type=Path, default=Path("prepared"), help="where prepared sets are kept")
    add("--dry-run", action="store_true", help="prepare the data, list the trials and stop")


def bounded_int(least: int, most: int = 10**6) -> Callable[[str], int]:
    """An argparse type: a whole number within bounds."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not at least {least} and at most {most}")
        return value

    return number


def positive(text: str) -> float:
    """An argparse type: a number above 0."""
    value = not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def not_negative(text: str) -> float:
    """An argparse type: a finite number that is 0 or more."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return value


def download_folder(data: Path, name: str) -> Path:
    """`data/name`, or an InputError if `data` is not there."""
    if not data.is_dir():
        raise InputError(f"--data {data}: no such folder; see --help for what it holds")
    return data / name


def check_dataset_name(dataset, name: str) -> None:
    """Records and pages go by a set's own name: two sets must not share one."""
    if dataset.info.name != name:
        raise InputError(
            f"{dataset.folder}: holds the set {dataset.info.name!r}; name the folder so"
        )


def check_writable(out: Path) -> None:
    """An InputError if `out` cannot be written to; makes it if it is not there."""
    with os_errors_as_input_errors("write", f"--out {out}"):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
