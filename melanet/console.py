"""What commands show: nothing of TensorFlow's start, and progress for a terminal or a file."""

import argparse
import contextlib
import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NoReturn

from tqdm import tqdm

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
SECONDS_PER_LINE = 300.0  # of progress that goes into a file


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's start and its warnings off the console of a command.

    For programs only: call it before TensorFlow is imported. A user who wants all of it sets
    `TF_CPP_MIN_LOG_LEVEL=0`. What TensorFlow wrote is shown if its import fails.

    Example:
        >>> from melanet.console import quiet_tensorflow
        >>> quiet_tensorflow()
    """
    if os.environ.setdefault(LOG_LEVEL, "3") == "0":
        return
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # such as of retracing
    if "tensorflow" not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds TensorFlow, whose C++ code writes to the console before it knows the log level."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_quietly(module: Any) -> None:
                with _held_stderr():
                    execute(module)

            spec.loader.exec_module = execute_quietly  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def _held_stderr() -> Iterator[None]:
    """Holds back what is written to the console; it is shown if an error is raised."""
    try:
        stderr = os.dup(2)
    except OSError:  # there is no console
        yield
        return
    with contextlib.suppress(AttributeError, ValueError):  # as without a console
        sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            os.write(stderr, written.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def progress_bar(*arguments: Any, **options: Any) -> tqdm:
    """A progress bar with the time left; in a file, a line per five minutes at most.

    Args:
        *arguments: As of `tqdm.tqdm`.
        **options: As of `tqdm.tqdm`.

    Example:
        >>> from melanet.console import progress_bar
        >>> sum(progress_bar([1, 2, 3], desc="adding"))
        6
    """
    if is_interactive():
        return tqdm(*arguments, **options)
    lines = {
        "file": _Lines(),
        "ascii": True,
        "ncols": 100,
        "position": 0,
        "mininterval": SECONDS_PER_LINE,
        "maxinterval": SECONDS_PER_LINE,
        "miniters": 1,
        "delay": SECONDS_PER_LINE,
    }
    return tqdm(*arguments, **options | lines)


def is_interactive() -> bool:
    """Whether progress is seen where a line can be overwritten: a terminal or a notebook.

    Example:
        >>> from melanet.console import is_interactive
        >>> is_interactive() in (True, False)
        True
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return terminal or "ipykernel" in sys.modules


class _Lines:
    """Writes each state of a progress bar to the file that is standard error, as a line."""

    def __init__(self):
        self._last = ""

    def write(self, text: str) -> None:
        line = text.replace("\x1b[A", "").strip()
        if line and line != self._last:  # a bar that ends writes its last state twice
            print(line, file=sys.stderr)
            self._last = line

    def flush(self) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line.

    Example:
        >>> from melanet.console import Parser
        >>> Parser(prog="melanet").prog
        'melanet'
    """

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")
