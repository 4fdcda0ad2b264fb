"""Which images of a classification dataset train, validate and test."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from experiments.classification.protocols import ClassifierProtocol
from melanet.data import ImageDataset, InputError
from melanet.data.copies import merge_groups

TEST_FOLDS = 5  # a fifth is tested
VALIDATION_FOLDS = 10  # a tenth of the training images validates


@dataclasses.dataclass(frozen=True)
class Split:
    """Image ids: `train`, `validation` (stops the training; may be empty) and `test`."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_images(
    dataset: ImageDataset,
    protocol: ClassifierProtocol,
    seed: int,
    split_jointly_with: Sequence[ImageDataset] = (),
) -> Split:
    """The official split, or an 80/20 split as the protocol says where the dataset has none.

    In a stratified split the images of one patient stay together, and copies of one picture, see
    `melanet.data.copies`.

    Args:
        dataset: The dataset.
        protocol: Says how the images are split, and which of them stop the training.
        seed: Seed of the split, where it is not official.
        split_jointly_with: Datasets that share images or patients with it. All are split as one:
            nobody who is tested in one of them is trained with in another. Equal ids must be equal
            images.

    Raises:
        InputError: If a class has too few images, or the datasets contradict each other.
    """
    for other in split_jointly_with:
        _check_consistent(dataset, other)
    metadata = _joint_metadata([dataset, *split_jointly_with])
    official = metadata["split"] == "test"
    try:
        if official.any():
            train, test = metadata[~official], metadata[official]
        elif protocol.split == "file_order":
            train, test = _by_file_order(metadata)
        else:
            train, test = _stratified(metadata, TEST_FOLDS, seed)
        validation = test if protocol.watch == "test" else train.head(0)
        if protocol.watch == "validation":
            train, validation = _stratified(train, VALIDATION_FOLDS, seed)
    except ValueError as error:
        raise InputError(f"{dataset.folder}: cannot be split: {error}") from None
    own = set(dataset.ids())
    return Split(
        *(tuple(id for id in part["id"] if id in own) for part in (train, validation, test))
    )


def patient_groups(
    metadata: pd.DataFrame, columns: Sequence[str] = ("group", "sha256")
) -> np.ndarray:
    """A number per image that is equal for images that agree in any of the columns.

    Collections list the same picture under two names and as of two patients (COVID-19: 78 and 201;
    ISIC-2016: 1442 and 1742); a split must not part them.
    """
    count = len(metadata)
    keys = [pd.factorize(metadata[column])[0] + n * count for n, column in enumerate(columns)]
    first, others = np.tile(keys[0], len(keys) - 1), np.concatenate(keys[1:])
    size = count * len(keys)
    agreeing = coo_array((np.ones(len(first)), (first, others)), shape=(size, size))
    return connected_components(agreeing, directed=False)[1][keys[0]]


def _joint_metadata(datasets: Sequence[ImageDataset]) -> pd.DataFrame:
    """One row per image of all datasets; `group` is a patient, with copies of their pictures."""
    tables = [each.metadata.assign(copies=merge_groups(each)) for each in datasets]
    metadata = pd.concat(tables, ignore_index=True)
    metadata["group"] = patient_groups(metadata, ("group", "sha256", "id", "copies"))
    if len(datasets) > 1:  # the same table and numbers, whatever the order of the datasets
        metadata = metadata.drop_duplicates("id").sort_values("id", ignore_index=True)
        metadata["group"] = pd.factorize(metadata["group"])[0]
    return metadata


def _check_consistent(first: ImageDataset, second: ImageDataset) -> None:
    official = [(each.metadata["split"] == "test").any() for each in (first, second)]
    if official[0] != official[1]:
        raise InputError(
            f"{second.folder}: only one of it and {first.folder} has an official split"
        )
    columns = ["id", "label", "group", "sha256"]
    both = first.metadata[columns].merge(second.metadata[columns], on="id")
    for name in columns[1:]:
        for id in both["id"][both[f"{name}_x"] != both[f"{name}_y"]]:
            raise InputError(
                f"{second.folder}: the {name} of {id} differs from that in {first.folder}; "
                "give different images different ids"
            )


def _by_file_order(metadata: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first 80% of each class, as 180 of 226 and 16,537 of 20,672 images, and the rest."""
    ordered = metadata.sort_values("id")
    place = ordered.groupby("label").cumcount()
    count = ordered.groupby("label")["id"].transform("size")
    first = place < count * (TEST_FOLDS - 1) // TEST_FOLDS
    return ordered[first], ordered[~first]


def _stratified(metadata: pd.DataFrame, folds: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divides into all but one, and one, of `folds` parts with similar shares of every label."""
    counts = metadata["label"].value_counts()
    if counts.min() < 2:
        raise ValueError("a class has fewer than two images")
    groups = metadata["group"].to_numpy()
    if len(np.unique(groups)) == len(groups):
        return train_test_split(
            metadata, test_size=1 / folds, stratify=metadata["label"], random_state=seed
        )
    folds = min(folds, counts.min())
    by_group = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    wanted = counts / folds

    def unevenness(part):
        found = metadata["label"].iloc[part[1]].value_counts()
        return ((found.reindex(wanted.index, fill_value=0) - wanted).abs() / wanted).max()

    parts = by_group.split(metadata, metadata["label"], groups)
    train, test = min(parts, key=unevenness)  # patients have unequal numbers of images
    return metadata.iloc[train], metadata.iloc[test]
