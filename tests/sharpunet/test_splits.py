import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, train_test_split

from sharpunet.data import InputError
from sharpunet.splits import PROTOCOLS, splits


@pytest.fixture
def metadata():
    """Forty images of ten patients."""
    ids = [f"image-{index:02d}" for index in range(40)]
    return pd.DataFrame({"id": ids, "group": [f"patient-{index % 10}" for index in range(40)]})


@pytest.mark.parametrize("protocol", ["thesis", "clean"])
def test_subsets_are_disjoint_and_each_repetition_tests_every_image_once(metadata, protocol):
    all_splits = list(splits(metadata, protocol, folds=5, repeats=3))
    assert len(all_splits) == 15
    for repeat in range(3):
        tested: list[str] = []
        for split in (s for s in all_splits if s.repeat == repeat):
            parts = [set(split.train), set(split.validation), set(split.test)]
            assert all(parts)
            assert sum(map(len, parts)) == len(set.union(*parts)) == 40
            tested += split.test
        assert sorted(tested) == list(metadata["id"])


def test_clean_keeps_groups_whole(metadata):
    group = dict(zip(metadata["id"], metadata["group"], strict=True))
    for split in splits(metadata, "clean", folds=5, repeats=2):
        parts = [{group[id] for id in part} for part in (split.train, split.validation, split.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 10


def test_thesis_splits_groups(metadata):
    group = dict(zip(metadata["id"], metadata["group"], strict=True))
    split = next(splits(metadata, "thesis"))
    assert {group[id] for id in split.test} & {group[id] for id in split.train}


def test_the_first_test_fold_of_thesis_is_that_of_scikit_learn_with_seed_0(metadata):
    _, test = next(KFold(5, shuffle=True, random_state=0).split(metadata))
    assert list(next(splits(metadata)).test) == list(metadata["id"].iloc[test])


def test_repeats_divide_differently_and_reproducibly(metadata):
    first, second = (list(splits(metadata, repeats=2)) for _ in range(2))
    assert first == second
    assert set(first[0].test) != set(first[5].test)


def test_released_is_one_split_that_validates_on_its_test_images(metadata):
    all_splits = list(splits(metadata, "released", repeats=5))
    assert len(all_splits) == 5
    assert len({split.test for split in all_splits}) == 1
    assert len(all_splits[0].test) == 8
    assert all(split.validation == split.test for split in all_splits)
    assert not set(all_splits[0].train) & set(all_splits[0].test)


@pytest.mark.parametrize(("classes", "seed"), [(1, 42), (3, 0)])
def test_released_divides_by_the_seed_of_the_author_s_code(metadata, classes, seed):
    _, test = train_test_split(metadata["id"], test_size=0.2, random_state=seed)
    split = next(splits(metadata, "released", classes=classes))
    assert split.test == tuple(test)


def test_only_released_validates_on_test_images(metadata):
    for protocol in set(PROTOCOLS) - {"released"}:
        for split in splits(metadata, protocol, repeats=1):
            assert not set(split.validation) & set(split.test)


@pytest.mark.parametrize(
    ("protocol", "folds", "message"),
    [("clean", 11, "10 groups are too few"), ("thesis", 41, "40 images"), ("best", 5, "unknown")],
)
def test_an_impossible_split_raises(metadata, protocol, folds, message):
    with pytest.raises(InputError, match=message):
        splits(metadata, protocol, folds=folds)


@pytest.mark.parametrize(("images", "folds"), [(3, 3), (4, 2), (5, 5), (12, 2)])
def test_every_subset_has_an_image(metadata, images, folds):
    for split in splits(metadata.head(images), folds=folds, repeats=1):
        assert all([split.train, split.validation, split.test])


@pytest.mark.parametrize(("images", "folds"), [(2, 2), (3, 2), (2, 3)])
def test_too_few_images_raise(metadata, images, folds):
    with pytest.raises(InputError, match="too few"):
        splits(metadata.head(images), folds=folds, repeats=1)


def test_too_few_folds_raise(metadata):
    with pytest.raises(InputError, match="at least 2 and 1 are needed"):
        splits(metadata, folds=1)


def test_the_global_seed_has_no_effect(metadata):
    np.random.seed(0)
    before = [split.test for split in splits(metadata, repeats=1)]
    np.random.seed(1)
    assert [split.test for split in splits(metadata, repeats=1)] == before
