"""Writing a dataset whole or not at all."""

import csv
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from melanet.console import progress_bar
from melanet.data.dataset import (
    COLUMNS,
    ID,
    INFO_FILE,
    METADATA_FILE,
    DatasetInfo,
    ImageDataset,
    hash_pixels,
    open_dataset,
    open_existing,
)
from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.data.files import atomic_write, file_lock, remove_file

__all__ = ["Sample", "atomic_write", "file_lock", "remove_file", "write_dataset"]

MAX_ASPECT_RATIO = 16  # a side must not vanish when the other is resized
MIN_SIDE = 8  # pixels; anything smaller is a placeholder, not an image


@dataclasses.dataclass(frozen=True)
class Sample:
    """One image with its mask or label, still in the official files.

    Attributes:
        id: Its name in the dataset: letters, digits, `.`, `_` and `-`.
        group: What a split must keep together: a patient, a video, a block of neighbouring slices.
            The id itself where images are independent.
        image: Reads the image: uint8, `(height, width)` or `(height, width, 3)`. Called once, or
            not at all if an interrupted run has written the image already.
        mask: Reads the mask: integers, `(height, width)`. None in a dataset for classification.
        image_name: The image's official file, for messages.
        mask_name: The mask's official file, for messages.
        label: Class of the whole image; empty in a dataset for segmentation.
        split: `"train"` or `"test"` where the official download says so.
        source: `"real"` or `"synthetic"`.
        parent: Id of the image that a synthetic or augmented one was made from.
        original_name: Its name in the official files, where the id had to be made from it.

    Example:
        >>> import numpy as np
        >>> from melanet.data import Sample
        >>> Sample("a", "a", lambda: np.zeros((8, 8)), None, "a.png", label="benign").source
        'real'
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
    original_name: str = ""


def write_dataset(
    folder: str | Path,
    info: DatasetInfo,
    samples: Sequence[Sample],
    *,
    allow_empty_masks: bool = False,
    replace: bool = False,
) -> ImageDataset:
    """Checks every image with its mask and writes a dataset, whole or not at all.

    Interrupted runs resume: images are written to `.NAME.partial` beside `folder`, which the same
    call continues with the next image. Bad input leaves nothing behind. If two processes write the
    same dataset, the second waits for the first.

    Args:
        folder: Where the dataset will be. It must be missing, empty, or hold the same dataset;
            or one of the same name, with `replace`.
        info: What holds for all its images.
        samples: The images, in the order of `metadata.csv`.
        allow_empty_masks: Whether a mask with a single value is a fact rather than a mistake.
        replace: Whether a dataset of the same name that was made from something else gives way,
            once the new one is whole.

    Raises:
        InputError: If there are no samples, an id is invalid or repeated, an image or mask cannot
            be read, their sizes differ, a mask has unexpected values, or `folder` is taken.

    Example:
        >>> import numpy as np
        >>> from melanet.data import DatasetInfo, Sample, write_dataset
        >>> info = DatasetInfo("tiny", "Tiny", (8, 8), 1, labels=("benign", "malignant"))
        >>> grey = Sample("a", "a", lambda: np.zeros((8, 8), "uint8"), None, "a", label="benign")
        >>> write_dataset("tiny", info, [grey]).ids()
        ['a']
    """
    folder = Path(folder).resolve()
    _check_ids(folder, samples)
    lock = folder.with_name(f".{folder.name}.lock")
    with os_errors_as_input_errors("write", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(lock, f"{folder}: another process is writing it; waiting ..."):
            outdated = replace and _is_outdated(folder, info)
            if not outdated and (existing := open_existing(folder, info)):
                return existing  # the other process was faster
            taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
            if taken and not outdated:
                raise InputError(
                    f"{folder}: exists and is not a dataset; nothing was changed. "
                    "Remove it or choose another folder"
                )
            partial = folder.with_name(f".{folder.name}.partial")
            try:
                _write_samples(partial, info, samples, allow_empty_masks)
            except InputError:  # any other interruption leaves what the next run resumes from
                shutil.rmtree(partial, ignore_errors=True)
                raise
            moved = folder.with_name(f".{folder.name}.old")
            if outdated:
                shutil.rmtree(moved, ignore_errors=True)
                folder.replace(moved)
            partial.replace(folder)
            if replace:
                shutil.rmtree(moved, ignore_errors=True)
    return open_dataset(folder)


def _is_outdated(folder: Path, info: DatasetInfo) -> bool:
    """Whether `folder` holds a dataset of the same name that was made from something else."""
    if not (folder / METADATA_FILE).is_file():
        return False
    existing = open_dataset(folder).info
    return existing.name == info.name and existing.source_fingerprint != info.source_fingerprint


def _write_samples(
    partial: Path, info: DatasetInfo, samples: Sequence[Sample], allow_empty_masks: bool
) -> None:
    count = _resume(partial, info, samples)
    bar = progress_bar(
        total=len(samples), initial=count, desc=f"preparing {info.title}", unit="image"
    )
    with bar, (partial / METADATA_FILE).open("a", newline="") as table:
        writer = csv.writer(table, lineterminator="\n")
        named = len(_columns(samples)) > len(COLUMNS)
        for sample in samples[count:]:
            row = _write_sample(partial, sample, info, allow_empty_masks)
            writer.writerow([*row, sample.original_name] if named else row)
            table.flush()  # after the image's files: a row vouches for them
            bar.update()


def _resume(partial: Path, info: DatasetInfo, samples: Sequence[Sample]) -> int:
    """Number of images that an interrupted run has written; starts anew if there was none."""
    columns = _columns(samples)
    header = ",".join(columns) + "\n"
    expected = (json.dumps(info.to_dict(), indent=2) + "\n").encode()
    table, info_file = partial / METADATA_FILE, partial / INFO_FILE
    same = table.is_file() and info_file.is_file() and info_file.read_bytes() == expected
    if not same or not table.read_bytes().startswith(header.encode()):
        shutil.rmtree(partial, ignore_errors=True)
        for kind in ("images",) if info.labels else ("images", "masks"):
            (partial / kind).mkdir(parents=True)
        table.write_text(header)
        info_file.write_bytes(expected)
    with table.open(newline="") as file:
        lines = file.readlines()
    rows = csv.reader(lines)
    next(rows)
    count, end = 0, rows.line_num
    for sample, row in zip(samples, rows, strict=False):
        # The last line may be cut off, and a crash of the machine may have emptied files.
        if not lines[rows.line_num - 1].endswith("\n") or not (
            len(row) == len(columns) and _is_written(partial, sample, row)
        ):
            break
        count, end = count + 1, rows.line_num
    os.truncate(table, len("".join(lines[:end]).encode()))
    return count


def _columns(samples: Sequence[Sample]) -> list[str]:
    """The columns of `metadata.csv`: original names only where an id was made from one."""
    named = any(sample.original_name for sample in samples)
    return [*COLUMNS, "original_name"] if named else COLUMNS


def _is_written(partial: Path, sample: Sample, row: Sequence[str]) -> bool:
    """Whether a row of `metadata.csv` is the sample's, and its files are as it says."""
    if row[0] != f"images/{sample.id}.png":
        return False
    try:
        return (
            hash_pixels(*(partial / name for name in row[:2] if name))
            == row[COLUMNS.index("sha256")]
        )
    except InputError:
        return False


def _write_sample(
    partial: Path, sample: Sample, info: DatasetInfo, allow_empty_masks: bool
) -> list[str]:
    """Writes a sample's files; returns its row of `metadata.csv`."""
    image = _checked_image(sample, info)
    pixels = hashlib.sha256(image.tobytes())
    file_name, mask_file_name = f"images/{sample.id}.png", ""
    Image.fromarray(image).save(partial / file_name)
    if sample.mask is not None:
        mask = _checked_mask(sample, sample.mask(), image.shape[:2], info.classes)
        if mask.min() == mask.max() and not allow_empty_masks:
            raise InputError(
                f"{sample.mask_name}: the mask has a single value: nothing is outlined; correct "
                "it, or remove it with its image"
            )
        pixels.update(mask.tobytes())
        mask_file_name = f"masks/{sample.id}.png"
        Image.fromarray(mask).save(partial / mask_file_name)
    elif sample.label not in info.labels:
        raise InputError(
            f"{sample.image_name}: its label {sample.label!r} is none of {', '.join(info.labels)}"
        )
    known = [sample.label, sample.group, sample.split, sample.source, sample.parent]
    return [file_name, mask_file_name, *known, pixels.hexdigest()]


def _checked_image(sample: Sample, info: DatasetInfo) -> np.ndarray:
    image = sample.image()
    height, width = image.shape[:2]
    if max(height, width) > MAX_ASPECT_RATIO * min(height, width):
        raise InputError(f"{sample.image_name}: {width}x{height} is too long and thin to resize")
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"{sample.image_name}: {width}x{height} is too small; each side needs {MIN_SIDE} pixels"
        )
    if info.channels == 1:
        return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def _checked_mask(
    sample: Sample, mask: np.ndarray, size: tuple[int, ...], classes: int
) -> np.ndarray:
    """The mask as it is stored: 0 and 255, or class indices."""
    name, values = sample.mask_name, np.unique(mask)
    if mask.shape[:2] != size:
        turned = mask.shape[:2] == size[::-1]
        raise InputError(
            f"{name}: its size {mask.shape[1]}x{mask.shape[0]} differs from the size "
            f"{size[1]}x{size[0]} of {sample.image_name}"
            + (
                ", upright as its EXIF orientation says; turn the mask likewise"
                if turned
                else "; save both in one size"
            )
        )
    if mask.ndim != 2:
        raise InputError(f"{name}: a mask has one channel; this one has shape {mask.shape}")
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
    return mask.astype("uint8")


def _check_ids(folder: Path, samples: Sequence[Sample]) -> None:
    if not samples:
        raise InputError(f"{folder}: nothing to prepare, no image was found")
    seen: set[str] = set()
    for sample in samples:
        if not ID.fullmatch(sample.id):
            raise InputError(
                f"{sample.image_name}: its id {sample.id!r} may hold only letters, digits, '.', "
                "'_' and '-', 200 at most; rename the file"
            )
        # Ignoring case, because some file systems do not tell a.png from A.png.
        if sample.id.lower() in seen:
            raise InputError(
                f"{sample.image_name}: the id {sample.id!r} occurs twice, ignoring case; rename one"
            )
        seen.add(sample.id.lower())
