"""Which images of a classification dataset train, validate and test."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.classification.protocols import ClassifierProtocol
from melanet import lazy
from melanet.data import ImageDataset, InputError
from melanet.data.copies import merge_groups
from melanet.splits import TEST_FOLDS, patient_groups, stratified

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy.module("pandas")

VALIDATION_FOLDS = 10  # a tenth of the training images validates


@dataclasses.dataclass(frozen=True)
class Split:
    """Image ids: `train`, `validation` and `test`.

    Those of `validation` stop the training or choose a threshold; there may be none.
    """

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
            train, test = stratified(metadata, TEST_FOLDS, seed)
        validation = test if protocol.watch == "test" else train.head(0)
        if protocol.watch == "validation" or protocol.choose_threshold:
            train, validation = stratified(train, VALIDATION_FOLDS, seed)
    except ValueError as error:
        raise InputError(f"{dataset.folder}: cannot be split: {error}") from None
    own = set(dataset.ids())
    return Split(
        *(tuple(id for id in part["id"] if id in own) for part in (train, validation, test))
    )


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
