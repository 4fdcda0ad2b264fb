"""Which images of which dataset."""

from collections.abc import Sequence
from pathlib import Path

from melanet.data.dataset import ImageDataset, open_dataset
from melanet.data.errors import InputError

#: A dataset or its folder; with ids, only these of its images.
Subset = ImageDataset | str | Path | tuple[ImageDataset | str | Path, Sequence[str]]


def open_subset(subset: Subset) -> tuple[ImageDataset, list[str]]:
    """The dataset of a subset, opened if only its folder is given, and the ids of its images.

    Raises:
        InputError: If a folder holds no dataset, or no image is chosen.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.subsets import open_subset
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> len(open_subset(lesions)[1]), open_subset((lesions, ["phantom-0000"]))[1]
        (225, ['phantom-0000'])
    """
    dataset, ids = subset if isinstance(subset, tuple) else (subset, None)
    if not isinstance(dataset, ImageDataset):
        dataset = open_dataset(dataset)
    ids = dataset.ids() if ids is None else list(ids)
    if not ids:
        raise InputError(f"{dataset.folder}: no image was chosen")
    return dataset, ids


def training_ids(dataset: ImageDataset, ids: Sequence[str] | None = None) -> list[str]:
    """`ids`, or those of all images that the official split does not keep for testing.

    Raises:
        InputError: If an id is unknown, or there are no images.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.subsets import training_ids
        >>> len(training_ids(prepare("phantom", ".", "prepared/melanet/phantom")))
        150
    """
    if ids is None:
        ids = dataset.metadata["id"][dataset.metadata["split"] != "test"]
    dataset.paths(list(ids))  # names an unknown id
    return open_subset((dataset, list(ids)))[1]


def check_mergeable(subsets: Sequence[tuple[ImageDataset, Sequence[str]]]) -> None:
    """Checks that there are subsets, and that all have the number of channels of the first.

    Raises:
        InputError: If there are none, or one has other channels.

    Example:
        >>> from melanet.data.subsets import check_mergeable
        >>> check_mergeable([])
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: no dataset was given; give one or more
    """
    if not subsets:
        raise InputError("no dataset was given; give one or more")
    first = subsets[0][0]
    for dataset, _ in subsets:
        if dataset.info.channels != first.info.channels:
            raise InputError(f"{dataset.folder}: its channels differ from those of {first.folder}")
