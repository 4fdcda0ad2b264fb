"""COVID-19 Image Data Collection: frontal chest X-rays of COVID-19 (section 2.3.1).

CT slices, lateral views and other kinds of pneumonia are left out, as in the thesis.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from melanet.data.builders import require_file
from melanet.data.errors import InputError
from melanet.data.files import free_id
from melanet.data.readers.csv import read_rows
from melanet.data.readers.images import read_reduced
from melanet.data.writing import Sample

INSTRUCTIONS = (
    "clone https://github.com/ieee8023/covid-chestxray-dataset (no account; metadata.csv and "
    "images/ are read, about 600 MB; each image has a licence of its own, in metadata.csv)"
)
FILES = ("metadata.csv", "images")
#: "PA", "AP Supine", "AP Erect" and, in newer versions, "AP erect" and "AP semi erect".
FRONTAL = re.compile(r"(PA|AP)( .+)?", re.IGNORECASE)
COLUMNS = ("patientid", "finding", "view", "modality", "filename")
OTHER_FINDING, CT, OTHER_VIEW = "of another finding", "CT", "of a lateral or other view"


def read(folder: Path, label: str = "covid19") -> list[Sample]:
    """Lists the frontal X-rays of COVID-19, in the order of `metadata.csv`.

    Args:
        folder: Holds `metadata.csv` and `images/`.
        label: Label of the samples.

    Returns:
        One sample per image; patients are groups.

    Raises:
        InputError: If a file, column or patient id is missing, or a file is listed twice.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data import covid_collection
        >>> covid_collection.read(Path("nowhere"))
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: nowhere/metadata.csv: no such file. Please clone ...
    """
    samples: list[Sample] = []
    taken: set[str] = set()
    places: dict[str, str] = {}
    for place, row in _rows(folder):
        if _left_out(row):
            continue
        if not row["patientid"]:
            raise InputError(f"{place}: has no patientid, so it cannot be kept with its patient's")
        if row["filename"] in places:
            raise InputError(
                f"{place}: lists {row['filename']} again, after {places[row['filename']]}"
            )
        places[row["filename"]] = place.rpartition(": ")[2]
        if Path(row["filename"]).name != row["filename"]:
            raise InputError(f"{place}: {row['filename']!r} is not a file name; remove the line")
        path = folder / "images" / row["filename"]
        if not row["filename"] or not path.is_file():
            raise InputError(f"{place}: {path} is not there; get it, or remove the line")
        id = free_id(path.stem, taken)
        samples.append(
            Sample(
                id=id,
                group=f"covid-{row['patientid']}",
                image=partial(read_reduced, path),
                mask=None,
                image_name=str(path),
                label=label,
            )
        )
    return samples


def count_left_out(folder: Path) -> dict[str, int]:
    r"""Counts the rows of `metadata.csv` that are left out, by the first reason that holds.

    Raises:
        InputError: As in `read`.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data import covid_collection
        >>> n = Path("metadata.csv").write_text(
        ...     "patientid,finding,view,modality,filename\n1,SARS,PA,X-ray,a.png\n"
        ... )
        >>> covid_collection.count_left_out(Path("."))
        {'of another finding': 1, 'CT': 0, 'of a lateral or other view': 0}
    """
    counts = Counter(_left_out(row) for _, row in _rows(folder))
    return {reason: counts[reason] for reason in (OTHER_FINDING, CT, OTHER_VIEW)}


def _rows(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    table = require_file(folder, "metadata.csv", f"Please {INSTRUCTIONS}")
    return read_rows(table, COLUMNS)


def _left_out(row: dict[str, str]) -> str:
    """Why a row is left out; empty if it is kept."""
    # "COVID-19", "COVID-19, ARDS" and, in newer versions, "Pneumonia/Viral/COVID-19".
    if "COVID-19" not in re.split(r"\s*[,/]\s*", row["finding"]):
        return OTHER_FINDING
    if row["modality"].casefold() != "x-ray":
        return CT
    return "" if FRONTAL.fullmatch(row["view"]) else OTHER_VIEW
