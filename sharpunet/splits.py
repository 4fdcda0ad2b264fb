"""Training, validation and test images by protocol: the thesis's, the released code's, a clean one.

The thesis keeps the weights with the best validation loss and reports the held-out folds, without
saying that these are different images. Here they always are, except under `released`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from melanet import lazy
from melanet.data import InputError

if TYPE_CHECKING:
    import pandas as pd
    from sklearn import model_selection
else:
    pd = lazy.module("pandas")
    model_selection = lazy.module("sklearn.model_selection")

#: Protocols by name, each with a sentence on what it does.
PROTOCOLS = {
    "thesis": "k folds of images, repeated with different splits; weights chosen on images held "
    "out of the training folds (sections 3.2.6 and 3.3.3)",
    "released": "one 80/20 split (seed 42; 0 for several classes) trained repeatedly; weights "
    "chosen on its test images, as in the author's code, which makes the scores optimistic",
    "clean": "as thesis, but the images of a group (patient, video, block of slices) stay together",
}
VALIDATION_FRACTION = 0.1


@dataclasses.dataclass(frozen=True)
class Split:
    """Image ids of one training run.

    Attributes:
        repeat: Number of the repetition, from 0.
        fold: Number of the fold, from 0.
        train: Ids of the training images.
        validation: Ids of the images on which the weights are chosen.
        test: Ids of the test images.

    Example:
        >>> from sharpunet.splits import Split
        >>> Split(repeat=0, fold=0, train=("a", "b"), validation=("c",), test=("d",)).test
        ('d',)
    """

    repeat: int
    fold: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def splits(
    metadata: pd.DataFrame,
    protocol: str = "thesis",
    *,
    folds: int = 5,
    repeats: int = 5,
    classes: int = 1,
) -> Iterator[Split]:
    """Generates the splits of a protocol: `folds * repeats`, or `repeats` for `"released"`.

    Args:
        metadata: One row per image with an `id` and a `group`, as `ImageDataset.metadata`.
        protocol: A name in `PROTOCOLS`.
        folds: Number of folds, 2 or more. In each repetition, each image is tested once.
        repeats: Number of repetitions; the number of each is its seed. If there are as many
            groups as folds, those of `clean` differ only in the order of the folds.
        classes: Number of classes of the masks; the seed of `released` depends on it.

    Raises:
        InputError: If the protocol is unknown, or there are too few images or groups.

    Example:
        >>> import pandas as pd
        >>> from sharpunet.splits import splits
        >>> metadata = pd.DataFrame({"id": list("abcdefghij"), "group": list("aabbccddee")})
        >>> len(list(splits(metadata, "clean", folds=5, repeats=2)))
        10
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol {protocol!r} is unknown; choose from {', '.join(PROTOCOLS)}")
    if folds < 2 or repeats < 1:
        raise InputError(f"{folds} folds and {repeats} repeats; at least 2 and 1 are needed")
    units = metadata["group"].nunique() if protocol == "clean" else len(metadata)
    folds = 5 if protocol == "released" else folds
    largest_test = -(-units // folds)
    if units < folds or units - largest_test < 2:
        kind = "groups" if protocol == "clean" else "images"
        raise InputError(
            f"{units} {kind} are too few for {folds} folds that leave two to train and validate"
        )
    if protocol == "released":
        return _released(metadata, repeats, seed=42 if classes == 1 else 0)
    divide = _divide_groups if protocol == "clean" else _divide_images
    return _cross_validation(metadata, folds, repeats, divide)


def _released(metadata, repeats, seed):
    train, test = model_selection.train_test_split(metadata["id"], test_size=0.2, random_state=seed)
    for repeat in range(repeats):
        yield Split(repeat, 0, tuple(train), tuple(test), tuple(test))


def _cross_validation(metadata, folds, repeats, divide):
    for repeat in range(repeats):
        divided = divide(metadata, folds, seed=repeat)
        for fold, (train, validation, test) in enumerate(divided):
            ids = (tuple(metadata["id"].iloc[rows]) for rows in (train, validation, test))
            yield Split(repeat, fold, *ids)


def _divide_images(metadata, folds, seed):
    for rest, test in model_selection.KFold(folds, shuffle=True, random_state=seed).split(metadata):
        train, validation = model_selection.train_test_split(
            rest, test_size=VALIDATION_FRACTION, random_state=seed
        )
        yield train, validation, test


def _divide_groups(metadata, folds, seed):
    groups = metadata["group"].to_numpy()
    by_group = model_selection.GroupKFold(folds, shuffle=True, random_state=seed)
    for rest, test in by_group.split(metadata, groups=groups):
        inner = model_selection.GroupShuffleSplit(
            1, test_size=VALIDATION_FRACTION, random_state=seed
        )
        train, validation = next(inner.split(rest, groups=groups[rest]))
        yield rest[train], rest[validation], test
