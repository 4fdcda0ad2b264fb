"""The prepared set: a folder of PNGs, `dataset.json` and one `manifest.csv`.

Every dataset is brought into this form once; everything after it reads only this form. The folder
is written beside its place and moved there whole, so a folder that has its manifest is complete;
what a killed run has written beside it is gone on with.
This file stands in both packages, the same to the letter, because neither imports the other.
"""

import contextlib
import csv
import dataclasses
import fcntl
import functools
import glob
import hashlib
import io
import json
import os
import re
import shutil
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

MANIFEST = "manifest.csv"
DESCRIPTION = "dataset.json"
LONGEST_TO_SHORTEST = 16  # a side may not vanish when the other is resized
SHORTEST = 8  # pixels a side: less is a placeholder, no image
LONGEST = 8192  # pixels a side that images are resized to
#: Pillow's own limit: more may be a small file that fills the memory. The largest image of the
#: thesis has 30 million.
MOST_PIXELS = 89_478_485
#: Others that Pillow knows run a program (EPS) or are videos and documents.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
#: What a file can be called everywhere.
ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
COLUMNS = ["id", "image", "mask", "label", "group", "split", "source", "parent", "sha256"]


class InputError(ValueError):
    """Something the user gave is wrong: one line that names it, says what is wrong and the cure."""

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """Escapes what names of files may hold: line ends, and worse for a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


@contextlib.contextmanager
def refusals_named() -> Iterator[None]:
    """Makes an InputError of what the file system refuses: no permission, too long a name."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}); mend that and try again"
        ) from None


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Makes an InputError of what the file system refuses to write: no room, no permission."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); mend that, and the same "
            "command goes on where it stopped"
        ) from None


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` when it is whole: nobody sees half of it.

    Other processes and hosts may write the same. What those of this host left that were killed in
    the midst of it is removed, see `remove_leftovers`.

    Raises:
        InputError: If the file system refuses to write.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        folder = path.with_name(f"{_own_prefix(path)}{os.getpid()}")
        shutil.rmtree(folder, ignore_errors=True)  # of another with this number, which is dead
        try:
            folder.mkdir()
            whole = folder / path.name
            yield whole
            with whole.open("rb") as file:
                os.fsync(file.fileno())
            whole.replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Removes what killed processes of this host left half-written of a file."""
    prefix = _own_prefix(path)
    for folder in path.parent.glob(f"{glob.escape(prefix)}*"):
        process = folder.name.removeprefix(prefix)
        if process.isdecimal() and not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _own_prefix(path: Path) -> str:
    return f".{path.name}.{socket.gethostname()}."


@dataclasses.dataclass(frozen=True)
class Item:
    """One image with its mask or label, still in the official files.

    Attributes:
        id: Its name in the prepared set: letters, digits, `.`, `_` and `-`.
        group: What must not be split between training and test: a patient, a video, a block of
            neighbouring slices. Its own id where the images are independent.
        image: Reads the image: uint8, `(height, width)` or `(height, width, 3)`. It is asked for
            once, or never where a killed run has written it already.
        mask: Reads the mask: integers, `(height, width)`. None in a set for classification.
        image_name, mask_name: The files they come from, for messages.
        label: Class of the whole image. Empty in a set for segmentation.
        split: `"train"` or `"test"` where the official download says so.
        source: `"real"` or `"synthetic"`.
        parent: Id of the image that a synthetic or augmented one was made from.
    """

    id: str
    group: str
    image: Callable[[], np.ndarray]
    mask: Callable[[], np.ndarray] | None
    image_name: str
    mask_name: str = ""
    label: str = ""
    split: str = ""
    source: str = "real"
    parent: str = ""


@dataclasses.dataclass(frozen=True)
class Description:
    """What holds for all images of a set, and the defaults that the thesis gives it.

    Attributes:
        name: Short name: the command line's, and by default the folder's.
        title: Name in the tables of the thesis.
        image_size: `(height, width)` that the thesis trains at.
        channels: 1 or 3.
        classes: Of a mask: 1 for a foreground (PNG values 0 and 255); more for a class index per
            pixel, background 0 included.
        labels: Of a set for classification: its classes, the positive one last.
        keep_aspect_ratio: Whether resizing pads rather than stretches.
        origin: Mark of the official files that it was prepared from.
        notes: What was left out of the official files, and what else to know of them.

    Raises:
        ValueError: If a number is out of its range, a text is none, `name` is not fit for a file,
            or a label is there twice.
    """

    name: str
    title: str
    image_size: tuple[int, int]
    channels: int
    classes: int = 1
    labels: tuple[str, ...] = ()
    keep_aspect_ratio: bool = False
    origin: str = ""
    notes: str = ""

    def __post_init__(self):
        for name in ("image_size", "labels"):  # JSON knows lists only
            if not isinstance(getattr(self, name), list | tuple):
                raise ValueError(f"{name} must be a list")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        numbers = [*self.image_size, self.classes]
        if len(numbers) != 3 or not all(type(n) is int and n > 0 for n in numbers):
            raise ValueError("image_size must be two, classes one positive whole number")
        if max(self.image_size) > LONGEST or self.classes > 256:  # masks have 8 bits
            raise ValueError(f"image_size must be {LONGEST}, classes 256 at most")
        flags = type(self.channels) is int, type(self.keep_aspect_ratio) is bool
        if self.channels not in (1, 3) or not all(flags):  # to Python, True is 1
            raise ValueError("channels must be 1 or 3, keep_aspect_ratio true or false")
        texts = [self.name, self.title, self.origin, self.notes, *self.labels]
        if not all(type(text) is str for text in texts):
            raise ValueError("name, title, origin, notes and labels must be text")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels must differ")
        if self.name in ("", ".", "..") or "/" in self.name or not self.name.isprintable():
            raise InputError(f"the name {self.name!r} cannot be that of a file; choose another")


@dataclasses.dataclass(frozen=True)
class PreparedSet:
    """A prepared set on disk: `description`, `manifest` (a row an image), and its `folder`."""

    folder: Path
    description: Description
    manifest: pd.DataFrame

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, which holds the pixels' own: the set's identity."""
        return hashlib.sha256((self.folder / MANIFEST).read_bytes()).hexdigest()

    def verify(self) -> None:
        """Reads every file once, without decoding it.

        Raises:
            InputError: If one is damaged, or a mask has not the size of its image.
        """
        for row in self.manifest.itertuples():
            size = _verified_size(self.folder / row.image)
            if row.mask and _verified_size(self.folder / row.mask) != size:
                raise InputError(f"{self.folder / row.mask}: its size differs from its image's")

    def paths(self, ids: Sequence[str], column: str) -> list[str]:
        """Files of `column` ("image" or "mask") for `ids`, in their order."""
        files = self.manifest.set_index("id")[column]
        unknown = [id for id in ids if id not in files.index]
        if unknown:
            raise InputError(f"{self.folder}: no image has the id {unknown[0]!r}")
        return [str(self.folder / files[id]) for id in ids]


@refusals_named()
def read_prepared(folder: str | Path) -> PreparedSet:
    """Opens a prepared set and checks that its parts are there.

    Raises:
        InputError: If the folder, its manifest, its description or a listed file is missing, or
            the manifest lacks a column, is empty, lists an id twice or a file outside of the
            folder, or holds an unknown word, or the description is out of its ranges.
    """
    folder = Path(folder)
    for name in (MANIFEST, DESCRIPTION):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: not a prepared set, it has no {name}; prepare it first")
    try:
        manifest = pd.read_csv(folder / MANIFEST, dtype=str, keep_default_na=False)
        description = Description(**json.loads((folder / DESCRIPTION).read_text()))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{folder}: cannot read its {MANIFEST} or {DESCRIPTION} ({error}); prepare it anew"
        ) from None
    _check_manifest(folder, manifest, description)
    return PreparedSet(folder, description, manifest)


def _check_manifest(folder: Path, manifest: pd.DataFrame, description: Description) -> None:
    missing = [column for column in COLUMNS if column not in manifest]
    if missing:
        raise InputError(f"{folder / MANIFEST}: the column {missing[0]!r} is missing")
    if manifest.empty:
        raise InputError(f"{folder / MANIFEST}: lists no image")
    if manifest["id"].duplicated().any():
        twice = manifest["id"][manifest["id"].duplicated()].iloc[0]
        raise InputError(f"{folder / MANIFEST}: lists the id {twice!r} twice")
    for id in manifest["id"]:
        if not ID.fullmatch(id):
            raise InputError(f"{folder / MANIFEST}: {id!r} cannot be an id; prepare the set anew")
    for id, mark in zip(manifest["id"], manifest["sha256"], strict=True):
        if not re.fullmatch(r"[0-9a-f]{64}", mark):
            raise InputError(f"{folder / MANIFEST}: {id}'s row is cut off; prepare the set anew")
    files = [manifest["image"]] if description.labels else [manifest["image"], manifest["mask"]]
    for file in pd.concat(files):
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise InputError(f"{folder / MANIFEST}: {file!r} lies outside; prepare the set anew")
        if not (folder / file).is_file():
            raise InputError(f"{folder / file}: listed in {MANIFEST}, but not there")
    words = {"split": ("", "train", "test"), "source": ("real", "synthetic")}
    if description.labels:
        words["label"] = description.labels
    for column, known in words.items():
        for word in manifest[column].unique():
            if word not in known:
                raise InputError(
                    f"{folder / MANIFEST}: the {column} {word!r} is none of {', '.join(known)}"
                )


def reopen(folder: str | Path, description: Description) -> PreparedSet | None:
    """The set that was made in `folder` before from the same origin; None if there is none.

    Raises:
        InputError: If `folder` holds a set of another origin.
    """
    if not (Path(folder) / MANIFEST).is_file():
        return None
    there = read_prepared(folder)
    if there.description.origin != description.origin:
        raise InputError(
            f"{folder}: was made from other images or with other settings; remove it or choose "
            "another folder"
        )
    return there


def write_prepared(
    folder: str | Path,
    description: Description,
    items: Sequence[Item],
    *,
    allow_empty_masks: bool = False,
) -> PreparedSet:
    """Checks every image with its mask and writes the prepared set, whole or not at all.

    It is written to `.NAME.partial` beside `folder`. A run that was killed left it there, and the
    same call goes on with the next image; after bad input nothing is left. A second process that
    is to write the same set waits for the first.

    Args:
        folder: Where the set will be. It must not exist, or be empty, or hold the same set.
        description: What holds for all its images.
        items: The images, in the manifest's order.
        allow_empty_masks: Whether a mask of one value is a fact of the data, not a mistake.

    Raises:
        InputError: If there is no item, an id is unfit or occurs twice, an image or mask cannot
            be read, their sizes differ, a mask has unexpected values, or `folder` is taken.
    """
    folder = Path(folder).resolve()
    _check_ids(folder, items)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(folder, folder.with_name(f".{folder.name}.lock")):
            return _write(folder, description, items, allow_empty_masks)


def _write(folder, description, items, allow_empty_masks) -> PreparedSet:
    if there := reopen(folder, description):  # another process was faster
        return there
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder}: exists and is not a prepared set; nothing was changed. "
            "Remove it or choose another folder"
        )
    partial = folder.with_name(f".{folder.name}.partial")
    content = json.dumps(dataclasses.asdict(description), indent=2) + "\n"
    rows = _rows_left_by_a_killed_run(partial, content, [item.id for item in items])
    try:
        with (
            (partial / MANIFEST).open("a", newline="") as journal,
            tqdm(
                total=len(items),
                initial=len(rows),
                desc=f"preparing {description.title}",
                unit="image",
            ) as bar,
        ):
            writer = csv.writer(journal, lineterminator="\n")
            for item in items[len(rows) :]:
                writer.writerow(_write_item(partial, item, description, allow_empty_masks))
                journal.flush()  # after its files: a row that is there vouches for them
                bar.update()
        partial.replace(folder)
    except InputError:  # whatever else stops it leaves what can be gone on with
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return read_prepared(folder)


def _rows_left_by_a_killed_run(partial: Path, description: str, ids: Sequence[str]) -> list:
    """Rows of the images that `partial` holds already, if it is of the same set; makes it if not.

    Its files are checked by the checksums of the PNGs, for a machine may have lost power.
    """
    there = partial / DESCRIPTION
    same = there.is_file() and there.read_bytes() == description.encode()
    if not same:
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "images").mkdir(parents=True)
        (partial / DESCRIPTION).write_text(description)
    # The last line may be cut off.
    journal = partial / MANIFEST
    lines = journal.read_text(errors="replace") if journal.is_file() else ""
    whole, _, _ = lines.rpartition("\n")
    rows: list[list[str]] = []
    for id, row in zip(ids, list(csv.reader(io.StringIO(whole)))[1:], strict=False):
        known = dict(zip(COLUMNS, row, strict=False))
        if len(row) != len(COLUMNS) or known["id"] != id:
            break
        try:
            for file in filter(None, (known["image"], known["mask"])):
                _verified_size(partial / file)
        except InputError:
            break
        rows.append(row)
    checked = partial / "checked.csv"
    with checked.open("w", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows([COLUMNS, *rows])
    checked.replace(journal)
    return rows


@contextlib.contextmanager
def only_writer(folder: Path, lock: Path) -> Iterator[None]:
    """Waits until no other process writes `folder`: whoever does holds the file `lock`."""
    with contextlib.ExitStack() as opened:
        while True:
            file = opened.enter_context(lock.open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{folder}: another process is writing it; waiting ...", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            # The one before has removed the file it held: then this is a lock of nothing.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                    break
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def read_image(path: str | Path | IO[bytes], name: str | None = None) -> np.ndarray:
    """An image file as uint8, `(height, width)` if it is grey, else `(height, width, 3)`.

    Palette, CMYK and transparent images become RGB; transparency is dropped. What is inside counts,
    not how the name ends. Of a JPEG file with previews, the image itself is taken.

    Args:
        path: A file's path, or an open binary file.
        name: What to call it in a message; the path if None.

    Raises:
        InputError: If it is missing, truncated, none of `FORMATS`, or has more than 8 bits,
            several frames or pages, or more than `MOST_PIXELS`.
    """
    name = name or str(path)
    try:
        with _open_image(path, FORMATS) as image:
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            image.load()
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name}: has more than {MOST_PIXELS:,} pixels; reduce it") from None
    except Exception as error:  # Pillow lets those of its formats through
        raise InputError(f"{name}: cannot be read as an image ({error}); get it anew") from None
    if frames > 1:
        raise InputError(f"{name}: has {frames} frames or pages; save the one that is meant")
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
        return np.asarray(image.convert("RGB"))
    raise InputError(f"{name}: has pixels of mode {image.mode}; 8-bit grey or colour is expected")


@contextlib.contextmanager
def _open_image(path: str | Path | IO[bytes], formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """An image that is closed at the end; from `MOST_PIXELS` on Pillow raises, not only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=formats) as image:
            yield image


def _verified_size(path: Path) -> tuple[int, int]:
    try:
        with _open_image(path, ("PNG",)) as image:
            image.verify()  # the checksums of a PNG
            return image.size
    except Exception as error:  # Pillow lets those of its formats through
        raise InputError(f"{path}: is damaged ({error}); prepare the set anew") from None


def _check_ids(folder, items):
    if not items:
        raise InputError(f"{folder}: nothing to prepare, no image was found")
    seen: set[str] = set()
    for item in items:
        if not ID.fullmatch(item.id):
            raise InputError(
                f"{item.image_name}: its id {item.id!r} may hold only letters, digits, '.', '_' "
                "and '-', 200 at most; rename the file"
            )
        # Without case, because some file systems do not tell a.png from A.png.
        if item.id.lower() in seen:
            raise InputError(
                f"{item.image_name}: the id {item.id!r} occurs twice, whatever the case; rename one"
            )
        seen.add(item.id.lower())


def _write_item(partial, item, description, allow_empty_masks):
    image = _with_channels(item.image(), description.channels)
    if max(image.shape[:2]) > LONGEST_TO_SHORTEST * min(image.shape[:2]):
        raise InputError(f"{item.image_name}: {_size(image)} is too long and thin to be resized")
    if min(image.shape[:2]) < SHORTEST:
        raise InputError(
            f"{item.image_name}: {_size(image)} is too small; {SHORTEST} pixels a side will do"
        )
    pixels = hashlib.sha256(image.tobytes())
    image_file, mask_file = f"images/{item.id}.png", ""
    Image.fromarray(image).save(partial / image_file)
    if item.mask is not None:
        mask = item.mask()
        if image.shape[:2] != mask.shape[:2]:
            raise InputError(
                f"{item.mask_name}: its size {_size(mask)} differs from the size {_size(image)} "
                f"of {item.image_name}"
            )
        mask = _checked_mask(mask, item.mask_name, description.classes, allow_empty_masks)
        pixels.update(mask.tobytes())
        mask_file = f"masks/{item.id}.png"
        (partial / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(partial / mask_file)
    elif item.label not in description.labels:
        names = ", ".join(description.labels)
        raise InputError(f"{item.image_name}: its label {item.label!r} is none of {names}")
    known = [item.label, item.group, item.split, item.source, item.parent]
    return [item.id, image_file, mask_file, *known, pixels.hexdigest()]


def _with_channels(image, channels):
    if channels == 1:
        return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def _checked_mask(mask, name, classes, allow_empty):
    if mask.ndim != 2:
        raise InputError(f"{name}: a mask has one channel; this one has shape {mask.shape}")
    values = np.unique(mask)
    if classes == 1:
        if set(values.tolist()) - {0, 1} and set(values.tolist()) - {0, 255}:
            raise InputError(
                f"{name}: the mask is not binary: it holds {len(values)} values "
                f"({values[0]} to {values[-1]}); 0 and 255, or 0 and 1, are expected"
            )
        mask = np.where(mask > 0, 255, 0)
    elif values[0] < 0 or values[-1] >= classes:
        raise InputError(
            f"{name}: holds the class {values[-1]}; {classes} classes are 0 to {classes - 1}"
        )
    if len(values) == 1 and not allow_empty:
        raise InputError(f"{name}: the mask has one value only ({values[0]}): nothing is outlined")
    return mask.astype("uint8")


def _size(array):
    return f"{array.shape[1]}x{array.shape[0]}"
