"""Tables with a header, as CSV files."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from melanet.data.errors import InputError


def read_header(path: Path) -> list[str]:
    r"""Reads the names of a CSV file's columns, without outer spaces.

    Raises:
        InputError: If the file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.readers.csv import read_header
        >>> n = Path("labels.csv").write_text("id, label\na,benign\n")
        >>> read_header(Path("labels.csv"))
        ['id', 'label']
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [name.strip() for name in next(csv.reader(file, strict=True), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: cannot be read as a table in UTF-8 ({error}); save it as CSV in UTF-8"
    )


def check_separator(path: Path, header: Sequence[str]) -> None:
    r"""Checks that fields are separated by commas, as spreadsheets of some countries do not.

    Raises:
        InputError: If they are separated by something else.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.readers.csv import check_separator
        >>> check_separator(Path("labels.csv"), ["name;label"])
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: labels.csv: line 1: fields are separated by ';'; save ...
    """
    for separator, name in ((";", "';'"), ("\t", "tabs"), ("|", "'|'")):
        if len(header) == 1 and separator in header[0]:
            raise InputError(
                f"{path}: line 1: fields are separated by {name}; save the table with commas"
            )


def read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    r"""Reads the rows of a CSV file, each with its place for messages: the file and first line.

    Args:
        path: The file: UTF-8, with a header. A byte-order mark and any line ends are fine.
        columns: The columns to return, without outer spaces; others are left out.

    Raises:
        InputError: If the file cannot be read or lacks a column, or a row and the header differ
            in length.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.readers.csv import read_rows
        >>> n = Path("labels.csv").write_text("id,label,note\na, benign,\n")
        >>> list(read_rows(Path("labels.csv"), ("id", "label")))
        [('labels.csv: line 2', {'id': 'a', 'label': 'benign'})]
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            check_separator(path, header)
            for column in columns:
                if column not in header:
                    raise InputError(f"{path}: line 1: the column {column!r} is missing; add it")
            before = rows.line_num  # a quoted field may hold line ends
            for row in rows:
                place, before = f"{path}: line {before + 1}", rows.line_num
                if row and len(row) != len(header):
                    raise InputError(
                        f"{place}: has {len(row)} fields; the header has {len(header)}; correct it"
                    )
                if row:
                    yield place, {name: row[header.index(name)].strip() for name in columns}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from None
