"""A dataset on disk: a folder of PNGs with `metadata.csv` and `dataset.json`.

The layout is that of Hugging Face's image folder, so that pandas, `datasets.load_dataset` and the
eye can open it without this library:

    NAME/images/ID.png      8-bit grey or RGB
    NAME/masks/ID.png       segmentation only: 0 and 255, or a class index per pixel
    NAME/metadata.csv       one row per image, see `COLUMNS`
    NAME/dataset.json       what holds for all images, see `DatasetInfo`
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from melanet import lazy
from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.data.files import HashCache

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy.module("pandas")

METADATA_FILE = "metadata.csv"
INFO_FILE = "dataset.json"
VERIFIED_FILE = ".verified.json"  # hidden, and no part of the dataset
#: `file_name` and `mask_file_name` are relative to the folder; the stem of the first is the
#: image's id. `parent` is the id of the image that a synthetic one was made from, `sha256` the
#: hash of its pixels and its mask's.
COLUMNS = [
    "file_name",
    "mask_file_name",
    "label",
    "group",
    "split",
    "source",
    "parent",
    "sha256",
]
#: Valid as a file name on every system.
ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
MAX_SIDE = 8192  # pixels per side that images are resized to
MAX_CLASSES = 256  # masks have 8 bits


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What holds for all images of a dataset, with the defaults that the thesis gives it.

    Attributes:
        name: Short name, used on the command line and for the folder.
        title: Name in the thesis's tables.
        image_size: `(height, width)` that the thesis trains at, in pixels.
        channels: 1 or 3.
        classes: Segmentation: 1 for a foreground mask (PNG values 0 and 255), more for a class
            index per pixel, background 0 included.
        labels: Classification: names of the classes, the positive one last.
        keep_aspect_ratio: Whether resizing pads instead of stretching.
        source_fingerprint: Fingerprint of the official files that it was built from.
        notes: What was left out of the official files, and anything else worth knowing.
        class_names: Segmentation: names of the classes, the background's first, where they have
            some.
        spacing: Volumes, whose slices are the images: millimetres between slices, rows and
            columns, the same for all; empty if it is not known.

    Raises:
        ValueError: If a value has the wrong type or is out of range, or `name` is not fit for a
            file name.

    Example:
        >>> from melanet.data import DatasetInfo
        >>> DatasetInfo("lesions", "Lesions", (256, 256), 3, labels=("benign", "malignant")).classes
        1
    """

    name: str
    title: str
    image_size: tuple[int, int]
    channels: int
    classes: int = 1
    labels: tuple[str, ...] = ()
    keep_aspect_ratio: bool = False
    source_fingerprint: str = ""
    notes: str = ""
    class_names: tuple[str, ...] = ()
    spacing: tuple[float, ...] = ()

    def __post_init__(self):
        for field in ("image_size", "labels", "class_names", "spacing"):  # JSON has lists only
            if not isinstance(getattr(self, field), list | tuple):
                raise ValueError(f"`{field}` must be a list")
            object.__setattr__(self, field, tuple(getattr(self, field)))
        texts = [self.name, self.title, self.source_fingerprint, self.notes]
        if not all(type(text) is str for text in (*texts, *self.labels, *self.class_names)):
            raise ValueError(
                "name, title, source_fingerprint, notes, labels and class_names must be text"
            )
        if self.name in ("", ".", "..") or "/" in self.name or not self.name.isprintable():
            raise InputError(f"the name {self.name!r} is not valid as a file name; choose another")
        if len(self.image_size) != 2 or not all(_is_int(n, 1, MAX_SIDE) for n in self.image_size):
            raise ValueError(f"`image_size` must be two whole numbers from 1 to {MAX_SIDE}")
        if not _is_int(self.channels, 1, 3) or self.channels == 2:
            raise ValueError("`channels` must be 1 or 3")
        if not _is_int(self.classes, 1, MAX_CLASSES):
            raise ValueError(f"`classes` must be a whole number from 1 to {MAX_CLASSES}")
        if type(self.keep_aspect_ratio) is not bool:
            raise ValueError("`keep_aspect_ratio` must be true or false")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("`labels` must differ from each other")
        if self.class_names and len(set(self.class_names)) != max(self.classes, 2):
            raise ValueError("`class_names` must be one name per class, the background's first")
        sides = [side for side in self.spacing if type(side) in (int, float) and 0 < side < 1e3]
        if len(self.spacing) not in (0, 3) or len(sides) < len(self.spacing):
            raise ValueError("`spacing` must be three positive numbers of millimetres")

    def to_dict(self) -> dict[str, Any]:
        """The fields as `dataset.json` and the names of trials have them.

        Class names and spacing are left out where there are none, as in datasets from before there
        were any.
        """
        fields = dataclasses.asdict(self)
        for field in ("class_names", "spacing"):
            if not fields[field]:
                del fields[field]
        return fields


def _is_int(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high  # bool is a subclass of int


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """A dataset on disk, opened by `open_dataset`.

    Attributes:
        folder: Where it lies.
        info: What holds for all its images.
        metadata: `metadata.csv` as a data frame: one row per image, the columns of `COLUMNS` and
            `id`. All values are text, empty where there is none.

    Example:
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> lesions.info.labels, len(lesions.ids(split="train", label="malignant"))
        (('benign', 'malignant'), 30)
    """

    folder: Path
    info: DatasetInfo
    metadata: pd.DataFrame

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of `metadata.csv`, which holds the pixels' own hashes: the dataset's identity."""
        return hashlib.sha256((self.folder / METADATA_FILE).read_bytes()).hexdigest()

    def ids(self, **columns: str) -> list[str]:
        """Ids, in order, of the images whose columns have the given values; of all without any."""
        rows = self.metadata
        for column, value in columns.items():
            rows = rows[rows[column] == value]
        return list(rows["id"])

    def values(self, column: str, ids: Sequence[str]) -> list[str]:
        """Values of a column for `ids`, in their order.

        Raises:
            InputError: If an id is unknown.
        """
        rows = self.metadata.set_index("id")[column]
        for id in ids:
            if id not in rows.index:
                raise InputError(f"{self.folder}: no image has the id {id!r}")
        return list(rows.loc[list(ids)])

    def paths(self, ids: Sequence[str], column: str = "file_name") -> list[str]:
        """Paths of the images of `ids`; of their masks with `column="mask_file_name"`.

        Raises:
            InputError: If an id is unknown.
        """
        return [str(self.folder / name) for name in self.values(column, ids)]

    def verify(self) -> None:
        """Checks that the pixels of all images and masks are those that `metadata.csv` vouches for.

        Files whose sizes and times have not changed since the last time are not read again.

        Raises:
            InputError: If a file is damaged or was changed.
        """
        files = {
            row.file_name: [self.folder / name for name in row[1:] if name]
            for row in self.metadata[["file_name", "mask_file_name"]].itertuples()
        }
        cache = HashCache(self.folder / VERIFIED_FILE)
        found = cache.hash(files, hash_pixels, f"checking {self.info.title}")
        for name, known in zip(found, self.metadata["sha256"], strict=True):
            if found[name] != known:
                raise InputError(
                    f"{self.folder / name}: it or its mask was changed after the dataset was "
                    "prepared; prepare the dataset anew"
                )
        cache.save()


def hash_pixels(*paths: Path) -> str:
    """Hashes the pixels of an image and its mask, as `metadata.csv` lists it.

    Args:
        *paths: The PNG of the image and, if there is one, of its mask.

    Returns:
        SHA-256 of the image's pixels followed by the mask's.

    Raises:
        InputError: If a file is damaged, or not a PNG of 8-bit grey or RGB.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.dataset import hash_pixels
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> hash_pixels(lesions.folder / lesions.metadata["file_name"][0])[:8]
        '77025d27'
    """
    pixels = hashlib.sha256()
    for path in paths:
        try:
            with Image.open(path, formats=("PNG",)) as image:
                pixels.update(image.tobytes())
        except Exception as error:  # Pillow lets its formats' own exceptions through
            raise InputError(f"{path}: is damaged ({error}); prepare the dataset anew") from None
        if image.mode not in ("L", "RGB"):
            raise InputError(f"{path}: has pixels of mode {image.mode}; prepare the dataset anew")
    return pixels.hexdigest()


def is_dataset(folder: Path) -> bool:
    """Whether a folder holds what `open_dataset` opens, rather than an official download.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.dataset import is_dataset
        >>> is_dataset(Path("nowhere"))
        False
    """
    return (folder / METADATA_FILE).is_file() and (folder / INFO_FILE).is_file()


@os_errors_as_input_errors("read")
def open_dataset(folder: str | Path) -> ImageDataset:
    """Opens a dataset and checks that it is whole.

    Args:
        folder: Holds `metadata.csv`, `dataset.json` and the files that the first lists.

    Raises:
        InputError: If a file is missing, `metadata.csv` lacks a column, is empty, lists an id
            twice, a file outside the folder or an unknown label, or `dataset.json` is out of range.

    Example:
        >>> from melanet.data import open_dataset, prepare
        >>> folder = prepare("phantom", ".", "prepared/melanet/phantom").folder
        >>> open_dataset(folder).info.title
        'Phantom'
    """
    folder = Path(folder)
    if (folder / "manifest.csv").is_file() and not (folder / METADATA_FILE).is_file():
        raise InputError(
            f"{folder}: has the layout of an earlier version (manifest.csv); remove it and prepare "
            "the dataset anew"
        )
    for name in (METADATA_FILE, INFO_FILE):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: is not a dataset, it has no {name}; prepare it first")
    try:
        metadata = pd.read_csv(folder / METADATA_FILE, dtype=str, keep_default_na=False)
        info = DatasetInfo(**json.loads((folder / INFO_FILE).read_text()))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{folder}: cannot read its {METADATA_FILE} or {INFO_FILE} ({error}); prepare it anew"
        ) from None
    for column in COLUMNS:
        if column not in metadata:
            raise InputError(f"{folder / METADATA_FILE}: the column {column!r} is missing")
    metadata.insert(0, "id", [Path(name).stem for name in metadata["file_name"]])
    _check_metadata(folder, metadata, info)
    return ImageDataset(folder, info, metadata)


def open_existing(folder: str | Path, info: DatasetInfo) -> ImageDataset | None:
    """Opens the dataset that `folder` holds already, if it was built from the same files.

    Args:
        folder: Where the dataset may be.
        info: What the dataset should be; its `source_fingerprint` is compared.

    Returns:
        The dataset, or None if `folder` holds none.

    Raises:
        InputError: If `folder` holds a dataset built from something else.

    Example:
        >>> from melanet.data import DatasetInfo
        >>> from melanet.data.dataset import open_existing
        >>> open_existing("nowhere", DatasetInfo("polyps", "Polyps", (64, 64), 3)) is None
        True
    """
    if not (Path(folder) / METADATA_FILE).is_file():
        return None
    existing = open_dataset(folder)
    if existing.info.source_fingerprint != info.source_fingerprint:
        raise InputError(
            f"{folder}: was made from other images or with other settings; remove it or choose "
            "another folder"
        )
    return existing


def _check_metadata(folder: Path, metadata: pd.DataFrame, info: DatasetInfo) -> None:
    def refuse(what: str) -> InputError:
        return InputError(f"{folder / METADATA_FILE}: {what}; prepare the dataset anew")

    if metadata.empty:
        raise refuse("lists no image")
    for id in metadata["id"][metadata["id"].duplicated()]:
        raise refuse(f"lists the id {id!r} twice")
    for row in metadata.itertuples():
        if not ID.fullmatch(row.id):
            raise refuse(f"{row.id!r} is not valid as an id")
        if not re.fullmatch(r"[0-9a-f]{64}", row.sha256):
            raise refuse(f"the row of {row.id} is cut off")
        for file in [row.file_name] if info.labels else [row.file_name, row.mask_file_name]:
            if Path(file).is_absolute() or ".." in Path(file).parts:
                raise refuse(f"{file!r} lies outside the folder")
            if not (folder / file).is_file():
                raise InputError(f"{folder / file}: is listed in {METADATA_FILE} but missing")
    known = {"split": ("", "train", "test"), "source": ("real", "synthetic")}
    if info.labels:
        known["label"] = info.labels
    for column, words in known.items():
        for word in set(metadata[column]) - set(words):
            raise refuse(f"the {column} {word!r} is none of {', '.join(filter(None, words))}")
