"""The command line of every experiment: arguments, exit codes, one line per mistake."""

import argparse
import errno
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from melanet import lazy
from melanet.data import ImageDataset, InputError
from melanet.data.dataset import MAX_SIDE
from melanet.data.errors import one_line_warnings, os_errors_as_input_errors
from melanet.names import CACHES, STRATEGIES
from melanet.precision import PRECISIONS

if TYPE_CHECKING:
    from melanet import distribution
else:
    distribution = lazy.module("melanet.distribution")


class EarlyExit(Exception):
    """Ends a command that has done what it was asked to, without a report."""


def run_cli(command: Callable[[], None]) -> int:
    """Runs a command and returns its exit code.

    Returns:
        0 on success, 1 if another host was lost, 2 for bad input (said in one line), 130 if
        interrupted.
    """
    try:
        with one_line_warnings():
            command()
    except EarlyExit:
        return 0
    except (InputError, OSError) as error:  # an OSError names its file and reason
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        cure = "; make room, and the same command resumes where it stopped" if full else ""
        print(f"error: {error}{cure}", file=sys.stderr)
        return 2
    except _worker_errors():
        if distribution.is_single_worker():
            raise
        print(
            "error: another host is gone; start all of them again with the same command: training "
            "resumes from the last saved epoch",
            file=sys.stderr,
        )
        return 1
    except (KeyboardInterrupt, RuntimeError) as error:
        # An interrupt while TensorFlow waits for other hosts arrives as a RuntimeError.
        if isinstance(error, RuntimeError) and "KeyboardInterrupt" not in str(error):
            raise
        print("\nstopped; the same command resumes where it stopped", file=sys.stderr)
        return 130
    return 0


def _worker_errors() -> tuple[type[Exception], ...]:
    """Errors that say that another host is lost; none where TensorFlow was not needed yet."""
    return distribution.WORKER_ERRORS if "melanet.distribution" in sys.modules else ()


def exit_worker() -> NoReturn:
    """Ends a process whose work another one finishes; all hosts leave together with the chief."""
    if not distribution.is_chief():
        print("done here; the first host writes the report")
    distribution.barrier()
    raise EarlyExit


def add_common_arguments(
    parser: argparse.ArgumentParser,
    out: Path,
    sides: tuple[str, ...] = ("H", "W"),
    size_help: str = "in pixels; default: the thesis's",
) -> None:
    """Adds the flags that every table's command has."""
    add = parser.add_argument
    add("--image-size", type=bounded_int(1, MAX_SIDE), nargs=len(sides), metavar=sides,
        help=size_help)  # fmt: skip
    add("--batch-size", type=bounded_int(1), default=16, help="default: %(default)s")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="auto: the fastest that the hardware computes natively, which the page names",
    )
    add("--seed", type=bounded_int(0, 2**31), default=0, help="added to the seed of every trial")
    add("--shard", type=shard, default=(1, 1), metavar="I/N",
        help="run only the Ith of N parts; N machines that share OUT run all of them")  # fmt: skip
    add("--distribute", choices=STRATEGIES, default="auto",
        help="share each batch among the GPUs of this host (mirrored; auto: if it has several) or "
        "of all hosts in TF_CONFIG (multiworker)")  # fmt: skip
    add("--cache", choices=CACHES, default="memory",
        help="where resized images stay between epochs; default: %(default)s")  # fmt: skip
    add("--deterministic", action=argparse.BooleanOptionalAction, default=True,
        help="use deterministic kernels only; default: yes")  # fmt: skip
    add("--save-models", action=argparse.BooleanOptionalAction, default=False,
        help="keep every trained model in OUT/models, ready to predict with")  # fmt: skip
    add("--tensorboard", action="store_true",
        help="log every epoch in OUT/tensorboard, which TensorBoard shows")  # fmt: skip
    add("--out", type=Path, default=out, help="folder of the results; default: %(default)s")
    add("--prepared", type=Path, default=Path("prepared"),
        help="folder of the prepared datasets; default: %(default)s")  # fmt: skip
    add("--dry-run", action="store_true", help="prepare the data, list the trials and stop")


def bounded_int(low: int, high: int = 10**6) -> Callable[[str], int]:
    """An argparse type: a whole number from `low` to `high`."""

    def number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return number


def positive_float(text: str) -> float:
    """An argparse type: a number above 0."""
    value = non_negative_float(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def non_negative_float(text: str) -> float:
    """An argparse type: a finite number, 0 or more."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 0 or more")
    return value


def shard(text: str) -> tuple[int, int]:
    """An argparse type: `I/N`, the Ith of N parts."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N")
    return int(number), int(count)


def download_folder(data: Path, name: str) -> Path:
    """The folder `data/name`.

    Raises:
        InputError: If `data` is missing.
    """
    if not data.is_dir():
        raise InputError(f"--data {data}: no such folder; --help says what it holds")
    return data / name


def check_dataset_name(dataset: ImageDataset, name: str) -> None:
    """Checks that a dataset is called like its folder: records and pages go by that name.

    Raises:
        InputError: If it is not.
    """
    if dataset.info.name != name:
        raise InputError(
            f"{dataset.folder}: holds the dataset {dataset.info.name!r}; rename the folder to it"
        )


def check_writable(out: Path) -> None:
    """Makes the folder `out` if it is missing, and checks that it can be written to.

    Raises:
        InputError: If it cannot.
    """
    with os_errors_as_input_errors("write", f"--out {out}"):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
