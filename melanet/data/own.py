"""Images of one's own, or a dataset, as training and evaluation take them: grouped and checked."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from melanet.data import BUILDERS, prepare
from melanet.data.builders import DatasetBuilder
from melanet.data.dataset import INFO_FILE, METADATA_FILE, ImageDataset, open_dataset
from melanet.data.errors import InputError
from melanet.data.groups import group_by, group_copies

#: The dataset that is prepared from a folder of one's own, beside the results.
DATASET_FOLDER = "dataset"


def open_own(
    data: str | Path, out: str | Path, rule: str = "", positive: str | None = None
) -> ImageDataset:
    """Opens images of one's own in classes, which are prepared first unless they are a dataset.

    Args:
        data: A folder per class, `images` with `labels.csv`, or a dataset.
        out: Folder of the results; the dataset is prepared in it.
        rule: Rule for groups, as in `melanet.data.groups.compile_rule`.
        positive: The positive class, as in `melanet.data.find_builder`.

    Raises:
        InputError: If the images cannot be read, or have no labels.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.own import open_own
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> open_own(lesions.folder, "results").info.labels
        ('benign', 'malignant')
    """
    dataset = open_or_prepare(
        data, out, lambda name, folder: prepare(name, data, folder, positive=positive), BUILDERS
    )
    if not dataset.info.labels:
        raise InputError(f"{data}: has masks but no labels; python -m sharpunet takes it")
    return grouped(dataset, rule)


def open_or_prepare(
    data: str | Path,
    out: str | Path,
    build: Callable[[str, Path], ImageDataset],
    builders: Mapping[str, DatasetBuilder],
) -> ImageDataset:
    """Opens a dataset, or prepares one from a folder; and compares the pixels with their hashes.

    Args:
        data: The folder.
        out: Folder of the results; the dataset is prepared in it.
        build: From the dataset's name and its place to the dataset.
        builders: The package's `BUILDERS`.

    Raises:
        InputError: If the folder is missing or wrong, or the results would lie in it.

    Example:
        >>> from melanet.data import BUILDERS, prepare
        >>> from melanet.data.own import open_or_prepare
        >>> folder = prepare("phantom", ".", "prepared/melanet/phantom").folder
        >>> open_or_prepare(folder, "results", print, BUILDERS).info.name
        'phantom'
    """
    data, out = Path(data), Path(out)
    if not data.is_dir():
        raise InputError(f"{data}: no such folder; give one with images, or a dataset")
    if out.resolve().is_relative_to(data.resolve()):
        raise InputError(f"{out}: lies in the folder of the images; choose one outside of it")
    if (data / METADATA_FILE).is_file() and (data / INFO_FILE).is_file():
        dataset = open_dataset(data)
    else:
        name = data.resolve().name
        if name in builders and builders[name].generated:  # the folder's own images are meant
            name = f"own_{name}"
        dataset = build(name, out / DATASET_FOLDER)
    dataset.verify()
    return dataset


def grouped(dataset: ImageDataset, rule: str = "") -> ImageDataset:
    """A dataset with the groups that a split keeps together; copies of a picture are one.

    Warns where no groups are known.

    Args:
        dataset: The images.
        rule: Rule for groups, if any, as in `melanet.data.groups.compile_rule`.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.own import grouped
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> grouped(lesions, "phantom-(..)").metadata["group"].nunique()
        3
    """
    dataset = group_copies(group_by(dataset, rule) if rule else dataset)
    if dataset.metadata["group"].is_unique:
        warnings.warn(
            f"{dataset.info.name}: no groups (patients, videos) are known; images of one patient "
            "may lie in training and test, unless --group-by, such as '(.+)_[LR]', finds them",
            stacklevel=2,
        )
    return dataset
