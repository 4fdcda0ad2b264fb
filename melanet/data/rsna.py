"""RSNA Pneumonia Detection Challenge: normal chest X-rays and those with pneumonia.

The images are a selection of the NIH's ChestX-ray8, in which a patient has up to dozens of images;
the challenge's own `patientId` is one an image.
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
#: Either says which NIH image, and so which patient's, each image is; the second is the RSNA's.
NIH_TABLE, NIH_MAPPING = "nih_source.csv", "pneumonia-challenge-dataset-mappings_2018.json"
NORMAL, OPACITY, NEITHER = "Normal", "Lung Opacity", "No Lung Opacity / Not Normal"
CLASSES = (NORMAL, OPACITY, NEITHER)


def read(folder: Path, of_class: str, label: str) -> list[Sample]:
    """One item an image of a class, in the order of the table; a group a patient, if known.

    Args:
        folder: Holds `stage_2_train_images`, `stage_2_detailed_class_info.csv` and perhaps
            `nih_source.csv` or the RSNA's mapping.
        of_class: `"Normal"` or `"Lung Opacity"`.
        label: Label of the items.

    Raises:
        InputError: If a file is missing, a table is not as expected, or an image has two classes.
    """
    images = folder / IMAGES
    if not images.is_dir():
        raise InputError(f"{images}: no such folder. Please {INSTRUCTIONS}")
    classes = _read_classes(folder)
    patients = _read_patients(folder)
    items = []
    for id in (id for id, name in classes.items() if name == of_class):
        path = images / f"{id}.dcm"
        if not path.is_file():
            raise InputError(f"{folder / TABLE}: has {id}, but {path} is not there")
        if patients is not None and id not in patients:
            raise InputError(f"{_nih_file(folder)}: {id} is missing; complete or remove the file")
        items.append(
            Sample(
                id=id,
                group=f"rsna-{id}" if patients is None else f"nih-{patients[id]}",
                image=partial(read_reduced, path, read_dicom),
                mask=None,
                image_name=str(path),
                label=label,
            )
        )
    return items


def count_classes(folder: Path) -> dict[str, int]:
    """Number of images of each class."""
    counts = Counter(_read_classes(folder).values())
    return {name: counts[name] for name in CLASSES}


def knows_patients(folder: Path) -> bool:
    """Whether a file is there that says which images are of the same patient."""
    return _nih_file(folder) is not None


def _read_classes(folder: Path) -> dict[str, str]:
    table = require_file(folder, TABLE, f"Please {INSTRUCTIONS}")
    classes = _read_pairs(table, "patientId", "class")
    for id, (name, place) in classes.items():
        if name not in CLASSES:
            raise InputError(f"{place}: the class {name!r} of {id} is none of {', '.join(CLASSES)}")
    return {id: name for id, (name, _) in classes.items()}


def _read_patients(folder: Path) -> dict[str, str] | None:
    """The NIH's number of each image's patient; None if the table is not there."""
    path = _nih_file(folder)
    if path is None:
        return None
    if path.suffix == ".json":
        names = _read_mapping(path)
    else:
        names = _read_pairs(path, "patientId", "nih_image")
    for name, place in names.values():
        if not re.fullmatch(r"\d{8}_\d{3}\.png", name):
            raise InputError(f"{place}: {name!r} is no NIH name such as 00000001_000.png")
    return {id: name[:8] for id, (name, _) in names.items()}


def _nih_file(folder: Path) -> Path | None:
    there = (folder / name for name in (NIH_TABLE, NIH_MAPPING))
    return next((path for path in there if path.is_file()), None)


def _read_mapping(path: Path) -> dict[str, tuple[str, str]]:
    """NIH names by the challenge's id, with their place, of the RSNA's JSON."""
    try:
        entries = json.loads(path.read_text())
        return {entry["subset_img_id"]: (entry["img_id"], str(path)) for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: not the RSNA's list of subset_img_id and img_id ({error}); get it anew"
        ) from None


def _read_pairs(path: Path, key: str, column: str) -> dict[str, tuple[str, str]]:
    """`column` by `key`, with its place; a row may be repeated, as one is for each box."""
    pairs: dict[str, tuple[str, str]] = {}
    for place, row in read_rows(path, (key, column)):
        value = row[column]
        if pairs.setdefault(row[key], (value, place))[0] != value:
            raise InputError(
                f"{place}: {row[key]} is {value!r}, but was {pairs[row[key]][0]!r} before"
            )
    return pairs
