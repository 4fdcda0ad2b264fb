"""Your own images in classes: a folder per class, or `images` with a CSV file of labels."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from melanet.data.builders import DatasetBuilder, is_hidden, list_images
from melanet.data.dataset import DatasetInfo
from melanet.data.errors import InputError
from melanet.data.files import free_id, list_files
from melanet.data.groups import GROUPS_FILE, compile_rule, find_groups
from melanet.data.readers.csv import check_separator, read_header, read_rows
from melanet.data.readers.dicom import read_dicom
from melanet.data.readers.images import describe_window, read_image, read_reduced
from melanet.data.writing import Sample

INSTRUCTIONS = (
    "Put your images into one folder per class, or into its folder images, with a file labels.csv "
    "beside it that has the columns name and label, and if they are known patient and split"
)
#: What the columns may be called, the first one that is there being taken.
NAME = ("name", "image", "file", "filename", "id")
LABEL = ("label", "class", "target")
GROUP = ("patient", "group")
SPLIT = ("split",)
DICOM = {".dcm", ".dicom"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", *DICOM}
#: Images that are to be converted.
UNREAD = {".webp", ".avif", ".heic", ".heif", ".jp2"}


@dataclasses.dataclass(frozen=True)
class LabelledImage:
    """An image file of one's own: its class, and its patient and part where they are known.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.folder import LabelledImage
        >>> LabelledImage(Path("a.png"), "mole").split
        ''
    """

    path: Path
    label: str
    patient: str = ""
    split: str = ""


def is_own(folder: Path) -> bool:
    """Whether a folder holds images in classes: `images`, or folders with image files.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.folder import is_own
        >>> is_own(Path("nowhere"))
        False
    """
    return (folder / "images").is_dir() or bool(_class_folders(folder))


def make_builder(
    name: str, folder: Path, positive: str | None = None, group_by: str = ""
) -> DatasetBuilder:
    """The builder of a dataset of one's own; the images are listed, not decoded.

    Args:
        name: The dataset's name.
        folder: Holds a folder per class, or `images` and a CSV file.
        positive: The positive class; the one with the fewest images if None, and of several such
            the alphabetically last.
        group_by: A regular expression whose first group is the patient in a file's name; it goes
            before the column of patients and `groups.csv`. See `melanet.data.groups`.

    Raises:
        InputError: If the files and the table contradict each other, there are fewer than two
            classes, a class has a single image, or `positive` is none of the classes.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from melanet.data.folder import make_builder
        >>> for label in ("mole", "melanoma"):
        ...     Path("lesions", label).mkdir(parents=True)
        ...     for index in range(2):
        ...         Image.new("RGB", (9, 9)).save(f"lesions/{label}/{index}.png")
        >>> make_builder("lesions", Path("lesions")).info.labels
        ('melanoma', 'mole')
    """
    if group_by:
        compile_rule(group_by)
    table = _find_table(folder) if (folder / "images").is_dir() else None
    images = _read_table(table, folder / "images") if table else _read_class_folders(folder)
    labels = _order_labels(folder, images, positive)
    if table and (folder / GROUPS_FILE).is_file() and any(each.patient for each in images):
        raise InputError(
            f"{folder / GROUPS_FILE}: {table.name} has a column of patients too; remove one of them"
        )
    channels = 1 if all(_is_grey(each.path) for each in images) else 3
    files = ("images", table.name) if table else tuple(each.name for each in _class_folders(folder))
    return DatasetBuilder(
        DatasetInfo(name, name, (256, 256), channels, labels=labels, keep_aspect_ratio=True),
        lambda _: _grouped(_samples(images), folder, group_by),
        INSTRUCTIONS,
        files=(*files, GROUPS_FILE),
        notes=lambda _: _describe_classes(images, labels),
        options=repr((positive, group_by)) if positive is not None or group_by else "",
        replace=True,
    )


def _samples(images: Iterable[LabelledImage]) -> list[Sample]:
    taken: set[str] = set()
    samples = []
    for each in images:
        id = free_id(each.path.stem, taken)
        dicom = each.path.suffix.lower() in DICOM
        read = read_dicom if dicom else partial(read_image, stretch_16_bits=True)
        samples.append(
            Sample(
                id=id,
                group=f"patient-{each.patient}" if each.patient else id,
                image=partial(read_reduced, each.path, read),
                mask=None,
                image_name=str(each.path),
                label=each.label,
                split=each.split,
                original_name="" if id == each.path.stem else each.path.name,
            )
        )
    return samples


def _grouped(samples: Sequence[Sample], folder: Path, group_by: str) -> list[Sample]:
    """The samples in the groups that a rule or a table says, where there is one."""
    groups = find_groups(folder, samples, group_by)
    return [
        dataclasses.replace(sample, group=f"patient-{groups[sample.id]}") if groups else sample
        for sample in samples
    ]


def _class_folders(folder: Path) -> list[Path]:
    """The folders that hold image files, in alphabetical order."""
    if not folder.is_dir():
        return []
    return [
        each
        for each in sorted(folder.iterdir())
        if each.is_dir()
        and not is_hidden(each.name)
        and any(file.suffix.lower() in SUFFIXES | UNREAD for file in each.iterdir())
    ]


def _read_class_folders(folder: Path) -> list[LabelledImage]:
    return [
        LabelledImage(path, label.name)
        for label in _class_folders(folder)
        for path in list_images(label, SUFFIXES)
    ]


def _find_table(folder: Path) -> Path:
    """`labels.csv`, or the only CSV file there."""
    table = folder / "labels.csv"
    found = sorted(path for path in folder.glob("*.csv") if path.name != GROUPS_FILE)
    if table.is_file() or len(found) == 1:
        return table if table.is_file() else found[0]
    if found:
        raise InputError(
            f"{folder}: has {list_files([each.name for each in found])}; call the one with the "
            "labels labels.csv"
        )
    raise InputError(f"{table}: no such file. {INSTRUCTIONS}")


def _read_table(table: Path, folder: Path) -> list[LabelledImage]:
    """The images of `folder` in the order of the table's rows."""
    columns, present = _find_columns(table), list_images(folder, SUFFIXES)
    files = _by_name(present)
    found: dict[Path, str] = {}
    images, missing = [], []
    for place, row in read_rows(table, tuple(columns.values())):
        value = {use: row[column] for use, column in columns.items()}
        path = _file_of(value["name"], files, place)
        if path is None:
            missing.append(value["name"] or "an empty name")
            continue
        if path in found:
            raise InputError(f"{place}: lists {path.name} again, after {found[path]}; remove one")
        found[path] = place.rpartition(": ")[2]
        images.append(_labelled(path, value, place))
    if missing:
        raise InputError(
            f"{table}: {list_files(missing)}: no such file in {folder}; add it or remove the row"
        )
    rest = [path.name for path in present if path not in found]
    if rest:
        raise InputError(
            f"{folder}: {list_files(rest)}: no row in {table.name}; add it or remove it"
        )
    return images


def _labelled(path: Path, value: dict[str, str], place: str) -> LabelledImage:
    label, split = value["label"], value.get("split", "").lower()
    if not label or "/" in label or not label.isprintable():
        raise InputError(f"{place}: the label {label!r} cannot be a class's name; change it")
    if split not in ("", "train", "test"):
        raise InputError(f"{place}: the split {split!r} is neither train nor test; change it")
    return LabelledImage(path, label, value.get("patient", ""), split)


def _find_columns(table: Path) -> dict[str, str]:
    """The table's column for each use: name, label, and if they are there patient and split."""
    header = read_header(table)
    check_separator(table, header)
    spelled = {column.lower(): column for column in reversed(header)}
    columns = {}
    for use, names in {"name": NAME, "label": LABEL, "patient": GROUP, "split": SPLIT}.items():
        column = next((spelled[name] for name in names if name in spelled), None)
        if column is not None:
            columns[use] = column
        elif use in ("name", "label"):
            raise InputError(
                f"{table}: line 1: none of the columns {list_files(header) or 'there'} is the "
                f"image's {use}; call it {names[0]} (or {', '.join(names[1:])})"
            )
    return columns


def _by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by their names with and without suffix."""
    found: dict[str, list[Path]] = {}
    for path in files:
        for name in dict.fromkeys((path.name, path.stem)):
            found.setdefault(name, []).append(path)
    return found


def _file_of(name: str, files: dict[str, list[Path]], place: str) -> Path | None:
    """The file that a row means: by its whole name if there is one, else by its stem."""
    matches = files.get(name) or files.get(re.split(r"[/\\]", name)[-1]) or []
    exact = [path for path in matches if name.endswith(path.name)]
    if len(exact or matches) > 1:
        raise InputError(
            f"{place}: {name} could be {list_files([path.name for path in matches])}; add the "
            "suffix"
        )
    return next(iter(exact or matches), None)


def _order_labels(
    folder: Path, images: Sequence[LabelledImage], positive: str | None
) -> tuple[str, ...]:
    """The classes in alphabetical order, but the positive one last."""
    counts = Counter(each.label for each in images)
    if len(counts) < 2:
        found = "a single class" if counts else "no classes"
        raise InputError(f"{folder}: has {found}; two are needed. {INSTRUCTIONS}")
    for label, count in sorted(counts.items()):
        if count == 1:
            raise InputError(
                f"{folder}: the class {label} has a single image; add more, to train and to test"
            )
    if positive is not None and positive not in counts:
        raise InputError(
            f"--positive {positive}: is none of the classes {list_files(sorted(counts))}"
        )
    _check_split(folder, images)
    fewest = min(counts.values())
    positive = positive or max(label for label, count in counts.items() if count == fewest)
    return (*sorted(counts.keys() - {positive}), positive)


def _check_split(folder: Path, images: Sequence[LabelledImage]) -> None:
    """Checks that a split, where there is one, is of all images and has all classes twice."""
    parts = {split: {i.label for i in images if i.split == split} for split in ("train", "test")}
    if not parts["train"] and not parts["test"]:
        return
    without = [each.path.name for each in images if not each.split]
    if without:
        raise InputError(
            f"{folder}: {list_files(without)}: no split; fill it in, or empty the column"
        )
    for split, labels in parts.items():
        for label in sorted({each.label for each in images} - labels):
            raise InputError(
                f"{folder}: the split {split} has no image of the class {label}; change the split, "
                "or empty the column for a random one"
            )


def _describe_classes(images: Sequence[LabelledImage], labels: Sequence[str]) -> str:
    counts = Counter(each.label for each in images)
    listed = ", ".join(f"{label} {counts[label]}" for label in labels)
    notes = [f"Images of each class: {listed}. The positive class is {labels[-1]}."]
    paths = [each.path for each in images]
    notes.append(describe_window(paths))
    if count := sum(path.suffix.lower() in DICOM for path in paths):
        notes.append(
            f"{count} of {len(paths)} images are DICOM: by the window of each file, or from its "
            "minimum to its maximum where it has none."
        )
    return " ".join(filter(None, notes))


def _is_grey(path: Path) -> bool:
    if path.suffix.lower() in DICOM:
        return True
    try:
        with Image.open(path) as image:  # its header only
            return image.mode in ("1", "L", "LA") or image.mode.startswith("I")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.ndim(read_image(path)) == 2
