"""The one error for bad input, and how errors of the file system become it."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal


class InputError(ValueError):
    """Bad input from the user: one line that names it, says what is wrong and how to fix it.

    Example:
        >>> from melanet.data import InputError
        >>> str(InputError("labels.csv: line 3: the label is missing; add it"))
        'labels.csv: line 3: the label is missing; add it'
    """

    def __str__(self) -> str:
        return escape_unprintable(super().__str__())


def escape_unprintable(text: str) -> str:
    r"""Escapes what file names may contain but a terminal must not: line breaks, control codes.

    Example:
        >>> from melanet.data.errors import escape_unprintable
        >>> print(escape_unprintable("two" + chr(10) + "lines"))
        two\nlines
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


@contextlib.contextmanager
def one_line_warnings() -> Iterator[None]:
    """Prints warnings in one line, without the place in the code that raised them.

    Example:
        >>> from melanet.data.errors import one_line_warnings
        >>> with one_line_warnings():
        ...     pass
    """
    with warnings.catch_warnings():
        warnings.showwarning = _print_warning
        yield


def _print_warning(message, *_, **__) -> None:
    print("warning:", escape_unprintable(str(message)), file=sys.stderr)


@contextlib.contextmanager
def os_errors_as_input_errors(
    action: Literal["read", "write"], path: str | Path | None = None
) -> Iterator[None]:
    """Converts OSError (permission denied, disk full, name too long) to InputError.

    Args:
        action: What was attempted.
        path: The file or folder to name; the one that the OSError names if None.

    Raises:
        InputError: If the block raises an OSError.

    Example:
        >>> from melanet.data.errors import os_errors_as_input_errors
        >>> with os_errors_as_input_errors("read"):
        ...     text = open("missing.csv").read()
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: missing.csv: cannot be read (No such file or directory); ...
    """
    try:
        yield
    except OSError as error:
        named, reason = path or error.filename, error.strerror or error
        if action == "read":
            raise InputError(
                f"{named}: cannot be read ({reason}); fix this and try again"
            ) from None
        if isinstance(error, FileExistsError | NotADirectoryError) and (file := _in_the_way(named)):
            raise InputError(f"{file}: is a file, not a folder; choose another place") from None
        raise InputError(
            f"{named}: cannot be written ({reason}); fix this, and the same command resumes "
            "where it stopped"
        ) from None


def _in_the_way(path: str | Path) -> Path | None:
    """The file that is where a folder is needed, if that is what went wrong."""
    places = (Path(path), *Path(path).parents)
    return next((place for place in places if place.exists() and not place.is_dir()), None)
