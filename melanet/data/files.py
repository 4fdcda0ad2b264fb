"""The files that official downloads are made of: tables with a header, and large images."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from melanet.data.prepared import InputError, read_image

#: The originals have up to 4,288 pixels a side and are trained at 256: more would only fill disks.
LONGEST_SIDE = 512


def read_reduced(path: Path, read: Callable[[Path], np.ndarray] = read_image) -> np.ndarray:
    """An image file of at most `LONGEST_SIDE` pixels a side: larger ones are reduced to that.

    Args:
        path: The file.
        read: Reads it: uint8, `(height, width)` or `(height, width, 3)`.

    Raises:
        InputError: If it cannot be read.
    """
    pixels = read(path)
    factor = LONGEST_SIDE / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    reduced = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
    return np.asarray(reduced)


def read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file, each with its place for messages: the file and the row's first line.

    Args:
        path: The file: UTF-8, with a header. A byte-order mark and any line ends are fine.
        columns: The columns that it must have; the rows hold these alone, without outer spaces.

    Raises:
        InputError: If it cannot be read, lacks a column, or a row has not as many as the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            for column in columns:
                if column not in header:
                    raise InputError(f"{path}: line 1: the column {column!r} is missing")
            before = rows.line_num  # a quoted field may hold line ends
            for row in rows:
                place, before = f"{path}: line {before + 1}", rows.line_num
                if row and len(row) != len(header):
                    raise InputError(
                        f"{place}: has {len(row)} fields; the header has {len(header)}"
                    )
                if row:
                    yield place, {name: row[header.index(name)].strip() for name in columns}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table in UTF-8 ({error})") from None
