"""Images of one's own, or a dataset, as training and evaluation take them: grouped and checked."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from melanet.data import BUILDERS, prepare
from melanet.data.builders import DatasetBuilder
from melanet.data.copies import find_copies
from melanet.data.dataset import ImageDataset, is_dataset, open_dataset
from melanet.data.errors import InputError
from melanet.data.files import list_files
from melanet.data.groups import COPIES_THRESHOLD, group_by, group_copies

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

    def build(name: str, folder: Path) -> ImageDataset:
        own_rule = "" if name in BUILDERS else rule
        return prepare(name, data, folder, positive=positive, group_by=own_rule)

    given = "--positive" if positive is not None else ""
    dataset = open_or_prepare(data, out, build, BUILDERS, rule, given)
    if not dataset.info.labels:
        raise InputError(f"{data}: has masks but no labels; python -m sharpunet takes it")
    return dataset


def open_or_prepare(
    data: str | Path,
    out: str | Path,
    build: Callable[[str, Path], ImageDataset],
    builders: Mapping[str, DatasetBuilder],
    rule: str = "",
    given: str = "",
) -> ImageDataset:
    """Opens a dataset, or prepares one from a folder; compares pixels with hashes, finds groups.

    Args:
        data: The folder.
        out: Folder of the results; the dataset is prepared in it.
        build: From the dataset's name and its place to the dataset.
        builders: The package's `BUILDERS`.
        rule: Rule for groups; `build` follows it for images of one's own.
        given: Flags for images of one's own that are not for a dataset, if any were given.

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
    if is_dataset(data):
        if given:
            raise InputError(f"{data}: is a dataset, whose classes are known; leave out {given}")
        dataset, own = open_dataset(data), False
    else:
        name = data.resolve().name
        if name in builders and builders[name].generated:  # the folder's own images are meant
            name = f"own_{name}"
        dataset, own = build(name, out / DATASET_FOLDER), name not in builders
    dataset.verify()
    return grouped(dataset, "" if own else rule)


def grouped(dataset: ImageDataset, rule: str = "") -> ImageDataset:
    """A dataset with the groups that a split keeps together; copies of a picture are one.

    Warns where no groups are known, and where copies of one picture have several labels.

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
    warn_of_contradictions(dataset)
    return dataset


def warn_of_contradictions(dataset: ImageDataset) -> None:
    """Warns of pictures that are there more than once, under several labels.

    Args:
        dataset: The images; without labels, nothing contradicts.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.own import warn_of_contradictions
        >>> warn_of_contradictions(prepare("phantom", ".", "prepared/melanet/phantom"))
    """
    labels = dict(zip(dataset.ids(), dataset.metadata["label"], strict=True))
    copies = find_copies(dataset, COPIES_THRESHOLD)
    pictures = [ids for ids in copies if len({labels[id] for id in ids}) > 1]
    if pictures:
        named = list_files([f"{id} ({labels[id]})" for id in pictures[0]])
        more = f", and so with {len(pictures) - 1} more pictures" if len(pictures) > 1 else ""
        warnings.warn(
            f"{dataset.info.name}: {named} are one picture with several labels{more}; correct "
            "them, or remove the copies",
            stacklevel=3,
        )
