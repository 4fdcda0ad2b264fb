"""Random splits that keep groups together and every class in all parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy
from melanet.data import ImageDataset, InputError

if TYPE_CHECKING:
    import pandas as pd
    from scipy import sparse
    from scipy.sparse import csgraph
    from sklearn import model_selection
else:
    pd = lazy.module("pandas")
    sparse = lazy.module("scipy.sparse")
    csgraph = lazy.module("scipy.sparse.csgraph")
    model_selection = lazy.module("sklearn.model_selection")

TEST_FOLDS = 5  # a fifth is tested
VALIDATION_FOLDS = 8  # an eighth of the rest, a tenth of all, validates


@dataclasses.dataclass(frozen=True)
class Holdout:
    """Ids of the images that train, that choose the weights, and that test.

    Example:
        >>> from melanet.splits import Holdout
        >>> Holdout(("a", "b"), ("c",), ("d",)).test
        ('d',)
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def hold_out(dataset: ImageDataset, seed: int = 0) -> Holdout:
    """Holds out a fifth of the images to test and a tenth to validate, by whole groups.

    Where the dataset has an official test split, that is tested.

    Args:
        dataset: The images.
        seed: Seed of the split.

    Raises:
        InputError: If there are too few images or groups.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.splits import hold_out
        >>> split = hold_out(prepare("phantom", ".", "prepared/melanet/phantom"))
        >>> len(split.train), len(split.validation), len(split.test)
        (131, 19, 75)
    """
    metadata = dataset.metadata
    official = metadata["split"] == "test"
    try:
        rest, test = metadata[~official], metadata[official]
        if not official.any():
            rest, test = stratified(metadata, TEST_FOLDS, seed)
        train, validation = stratified(rest, VALIDATION_FOLDS, seed)
        for name, part in (("to train", train), ("to validate", validation), ("to test", test)):
            if part.empty:
                raise ValueError(f"there are too few groups to leave some {name}")
        for label in sorted(set(metadata["label"]) - set(train["label"])):
            raise ValueError(f"no image of {label} would be left to train")
    except ValueError as error:
        raise InputError(f"{dataset.info.name}: cannot be split: {error}; add images") from None
    return Holdout(*(tuple(part["id"]) for part in (train, validation, test)))


def patient_groups(
    metadata: pd.DataFrame, columns: Sequence[str] = ("group", "sha256")
) -> np.ndarray:
    """A number per image that is equal for images that agree in any of the columns.

    Collections list the same picture under two names and as of two patients (COVID-19: 78 and 201;
    ISIC-2016: 1442 and 1742); a split must not part them.

    Example:
        >>> import pandas as pd
        >>> from melanet.splits import patient_groups
        >>> table = pd.DataFrame({"group": ["a", "a", "b"], "sha256": ["1", "2", "2"]})
        >>> len(set(patient_groups(table)))
        1
    """
    count = len(metadata)
    keys = [pd.factorize(metadata[column])[0] + n * count for n, column in enumerate(columns)]
    first, others = np.tile(keys[0], len(keys) - 1), np.concatenate(keys[1:])
    size = count * len(keys)
    agreeing = sparse.coo_array((np.ones(len(first)), (first, others)), shape=(size, size))
    return csgraph.connected_components(agreeing, directed=False)[1][keys[0]]


def stratified(metadata: pd.DataFrame, folds: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divides into all but one, and one, of `folds` parts with similar shares of every label.

    Args:
        metadata: One row per image with a `group` and a `label`.
        folds: Number of parts; fewer if a label has fewer images, or if there are fewer groups.
        seed: Seed of the split.

    Raises:
        ValueError: If a label has fewer than two images, there is one group only, or they cannot be
            divided.

    Example:
        >>> import pandas as pd
        >>> from melanet.splits import stratified
        >>> table = pd.DataFrame({"group": list("aabbccdd"), "label": ["x", "y"] * 4})
        >>> [len(part) for part in stratified(table, 4, seed=0)]
        [6, 2]
    """
    counts = metadata["label"].value_counts()
    if counts.min() < 2:
        raise ValueError("a class has fewer than two images")
    groups = metadata["group"].to_numpy()
    group_count = len(np.unique(groups))
    if group_count < 2:
        raise ValueError(f"{len(groups)} images are of one group (patient, volume)")
    if group_count == len(groups):
        try:
            return model_selection.train_test_split(
                metadata, test_size=1 / folds, stratify=metadata["label"], random_state=seed
            )
        except ValueError:
            raise ValueError("there are too few images to leave some of each class") from None
    folds = min(folds, counts.min(), group_count)
    by_group = model_selection.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    wanted = counts / folds

    def unevenness(part):
        found = metadata["label"].iloc[part[1]].value_counts()
        return ((found.reindex(wanted.index, fill_value=0) - wanted).abs() / wanted).max()

    parts = by_group.split(metadata, metadata["label"], groups)
    train, test = min(parts, key=unevenness)  # patients have unequal numbers of images
    return metadata.iloc[train], metadata.iloc[test]
