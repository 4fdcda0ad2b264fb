"""Which images train, validate and test: the thesis's protocol, the released code's, a clean one.

The thesis keeps the best weights by the validation loss, and reports the held-out folds; it does
not say that these are different images. Here they always are, except under `released`.
"""

import dataclasses
from collections.abc import Iterator

import pandas as pd
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold, train_test_split

from melanet.data import InputError

#: What each protocol does, in a sentence.
PROTOCOLS = {
    "thesis": "k folds of images, repeated with other splits; weights chosen on images held out "
    "of the training folds (sections 3.2.6 and 3.3.3)",
    "released": "one 80/20 split (seed 42) trained repeatedly; weights chosen on its test images, "
    "as the author's code does: the score flatters",
    "clean": "as thesis, but images of one group (patient, video, block of slices) stay together",
}
VALIDATION_FRACTION = 0.1


@dataclasses.dataclass(frozen=True)
class Split:
    """Image ids of one training: `train`, `validation` (chooses the weights) and `test`."""

    repeat: int
    fold: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def splits(metadata: pd.DataFrame, protocol="thesis", *, folds=5, repeats=5) -> Iterator[Split]:
    """The splits of a protocol, `folds * repeats` of them (`repeats` for `"released"`).

    Args:
        manifest: Rows with an `id` and a `group`, as `PreparedSet.manifest`.
        protocol: A name in `PROTOCOLS`.
        folds: Number of folds, 2 or more. Each image is tested once a repeat.
        repeats: Number of different divisions into folds; its number is the seed of each. With
            as many groups as folds, `clean` divides the same way each time, in another order.

    Raises:
        InputError: If the protocol is unknown, or there are too few images or groups.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol {protocol!r} is unknown; there are {', '.join(PROTOCOLS)}")
    if folds < 2 or repeats < 1:
        raise InputError(f"{folds} folds and {repeats} repeats; 2 and 1 are the least")
    units = metadata["group"].nunique() if protocol == "clean" else len(metadata)
    folds = 5 if protocol == "released" else folds
    largest_test = -(-units // folds)
    if units < folds or units - largest_test < 2:
        kind = "groups" if protocol == "clean" else "images"
        raise InputError(
            f"{units} {kind} are too few for {folds} folds that leave two to train and validate"
        )
    if protocol == "released":
        return _released(metadata, repeats)
    divide = _divide_groups if protocol == "clean" else _divide_images
    return _cross_validation(metadata, folds, repeats, divide)


def _released(metadata, repeats):
    train, test = train_test_split(metadata["id"], test_size=0.2, random_state=42)
    for repeat in range(repeats):
        yield Split(repeat, 0, tuple(train), tuple(test), tuple(test))


def _cross_validation(metadata, folds, repeats, divide):
    for repeat in range(repeats):
        divided = divide(metadata, folds, seed=repeat)
        for fold, (train, validation, test) in enumerate(divided):
            ids = (tuple(metadata["id"].iloc[rows]) for rows in (train, validation, test))
            yield Split(repeat, fold, *ids)


def _divide_images(metadata, folds, seed):
    for rest, test in KFold(folds, shuffle=True, random_state=seed).split(metadata):
        train, validation = train_test_split(rest, test_size=VALIDATION_FRACTION, random_state=seed)
        yield train, validation, test


def _divide_groups(metadata, folds, seed):
    groups = metadata["group"].to_numpy()
    by_group = GroupKFold(folds, shuffle=True, random_state=seed)
    for rest, test in by_group.split(metadata, groups=groups):
        inner = GroupShuffleSplit(1, test_size=VALIDATION_FRACTION, random_state=seed)
        train, validation = next(inner.split(rest, groups=groups[rest]))
        yield rest[train], rest[validation], test
