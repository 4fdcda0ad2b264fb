"""RSNA Pneumonia Detection Challenge: normal chest X-rays and those with pneumonia.

The images are a selection of the NIH's ChestX-ray8, in which patients have up to dozens of images;
the challenge's own `patientId` differs for each image.
"""

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path

from melanet.data.builders import require_file
from melanet.data.errors import InputError
from melanet.data.readers.csv import read_rows
from melanet.data.readers.dicom import read_dicom
from melanet.data.readers.images import read_reduced
from melanet.data.writing import Sample

INSTRUCTIONS = (
    "get stage_2_train_images (26,684 .dcm, about 3.7 GB) and stage_2_detailed_class_info.csv of "
    "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data (needs a Kaggle account; "
    "the competition's rules hold); and, for splits by patient, which images are of the same NIH "
    "patient: pneumonia-challenge-dataset-mappings_2018.json of "
    "https://www.rsna.org/rsnai/ai-image-challenge (2018), or a nih_source.csv "
    "(patientId,nih_image, such as 00000001_000.png)"
)
IMAGES, TABLE = "stage_2_train_images", "stage_2_detailed_class_info.csv"
#: Either names the NIH image, and so the patient, of each image; the second is the RSNA's own.
NIH_TABLE, NIH_MAPPING = "nih_source.csv", "pneumonia-challenge-dataset-mappings_2018.json"
NORMAL, OPACITY, NEITHER = "Normal", "Lung Opacity", "No Lung Opacity / Not Normal"
CLASSES = (NORMAL, OPACITY, NEITHER)


def read(folder: Path, of_class: str, label: str) -> list[Sample]:
    """Lists the images of a class, in the order of the table.

    Args:
        folder: Holds `stage_2_train_images`, `stage_2_detailed_class_info.csv` and perhaps
            `nih_source.csv` or the RSNA's mapping.
        of_class: `"Normal"` or `"Lung Opacity"`.
        label: Label of the samples.

    Returns:
        One sample per image. Patients are groups; where they are not known, each image is its own.

    Raises:
        InputError: If a file is missing, a table is not as expected, or an image has two classes.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data import rsna
        >>> rsna.read(Path("nowhere"), "Normal", "normal")
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: nowhere/stage_2_train_images: no such folder. Please ...
    """
    images = folder / IMAGES
    if not images.is_dir():
        raise InputError(f"{images}: no such folder. Please {INSTRUCTIONS}")
    classes = _read_classes(folder)
    patients = _read_patients(folder)
    samples = []
    for id in (id for id, name in classes.items() if name == of_class):
        path = images / f"{id}.dcm"
        if not path.is_file():
            raise InputError(f"{folder / TABLE}: has {id}, but {path} is not there")
        if patients is not None and id not in patients:
            raise InputError(f"{_nih_file(folder)}: {id} is missing; complete or remove the file")
        samples.append(
            Sample(
                id=id,
                group=f"rsna-{id}" if patients is None else f"nih-{patients[id]}",
                image=partial(read_reduced, path, read_dicom),
                mask=None,
                image_name=str(path),
                label=label,
            )
        )
    return samples


def count_classes(folder: Path) -> dict[str, int]:
    r"""Counts the images of each class.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data import rsna
        >>> n = Path(rsna.TABLE).write_text("patientId,class\na,Normal\n")
        >>> rsna.count_classes(Path("."))
        {'Normal': 1, 'Lung Opacity': 0, 'No Lung Opacity / Not Normal': 0}
    """
    counts = Counter(_read_classes(folder).values())
    return {name: counts[name] for name in CLASSES}


def knows_patients(folder: Path) -> bool:
    """Whether a file says which images are of the same patient.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data import rsna
        >>> rsna.knows_patients(Path("nowhere"))
        False
    """
    return _nih_file(folder) is not None


def _read_classes(folder: Path) -> dict[str, str]:
    table = require_file(folder, TABLE, f"Please {INSTRUCTIONS}")
    classes = _read_pairs(table, "patientId", "class")
    for id, (name, place) in classes.items():
        if name not in CLASSES:
            raise InputError(f"{place}: the class {name!r} of {id} is none of {', '.join(CLASSES)}")
    return {id: name for id, (name, _) in classes.items()}


def _read_patients(folder: Path) -> dict[str, str] | None:
    """The NIH's number of each image's patient; None if there is no such table."""
    path = _nih_file(folder)
    if path is None:
        return None
    if path.suffix == ".json":
        names = _read_mapping(path)
    else:
        names = _read_pairs(path, "patientId", "nih_image")
    for name, place in names.values():
        if not re.fullmatch(r"\d{8}_\d{3}\.png", name):
            raise InputError(f"{place}: {name!r} is not an NIH name such as 00000001_000.png")
    return {id: name[:8] for id, (name, _) in names.items()}


def _nih_file(folder: Path) -> Path | None:
    tables = (folder / name for name in (NIH_TABLE, NIH_MAPPING))
    return next((path for path in tables if path.is_file()), None)


def _read_mapping(path: Path) -> dict[str, tuple[str, str]]:
    """NIH names, with their place for messages, by the challenge's ids: the RSNA's JSON."""
    try:
        entries = json.loads(path.read_text())
        return {entry["subset_img_id"]: (entry["img_id"], str(path)) for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: not the RSNA's list of subset_img_id and img_id ({error}); get it anew"
        ) from None


def _read_pairs(path: Path, key: str, column: str) -> dict[str, tuple[str, str]]:
    """`column`, with its place, by `key`; rows may be repeated, as there is one per box."""
    pairs: dict[str, tuple[str, str]] = {}
    for place, row in read_rows(path, (key, column)):
        value = row[column]
        if pairs.setdefault(row[key], (value, place))[0] != value:
            raise InputError(
                f"{place}: {row[key]} is {value!r}, but was {pairs[row[key]][0]!r} before"
            )
    return pairs
