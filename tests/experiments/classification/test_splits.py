import dataclasses

import pytest

from experiments.classification.protocols import COVID_PROTOCOLS, MELANOMA_PROTOCOLS
from experiments.classification.splits import split_images
from melanet.data import InputError
from melanet.splits import patient_groups
from tests.conftest import write_xrays

THESIS, CLEAN = MELANOMA_PROTOCOLS["thesis"], MELANOMA_PROTOCOLS["clean"]


def parts(split):
    return split.train, split.validation, split.test


def test_an_official_split_is_kept_and_clean_validates_on_training_images(dermoscopy):
    official = set(dermoscopy.ids(split="test"))
    for name, protocol in MELANOMA_PROTOCOLS.items():
        split = split_images(dermoscopy, protocol, seed=0)
        assert set(split.test) == official
        assert not set(split.train) & official
        if name == "released":
            assert split.validation == split.test
        else:
            assert not set(split.validation) & (set(split.train) | official)
        assert bool(split.validation) == (name != "thesis")


@pytest.mark.parametrize("protocol", [THESIS, CLEAN], ids=["thesis", "clean"])
def test_the_images_of_a_patient_stay_together(protocol, dermoscopy):
    metadata = dermoscopy.metadata
    metadata["split"] = ""
    metadata["group"] = [f"patient-{index // 2}" for index in range(len(metadata))]
    split = split_images(dermoscopy, protocol, seed=0)
    groups = [set(dermoscopy.values("group", part)) for part in parts(split)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 13


def test_without_an_official_split_images_are_split_by_class_and_seed(dermoscopy):
    metadata = dermoscopy.metadata
    metadata["split"] = ""
    split = split_images(dermoscopy, THESIS, seed=1)
    assert dermoscopy.values("label", split.test).count("malignant") == 1
    assert dermoscopy.values("label", split.train).count("malignant") == 4
    assert split == split_images(dermoscopy, THESIS, seed=1)
    assert split != split_images(dermoscopy, THESIS, seed=2)
    positives = metadata.index[metadata["label"] == "malignant"]
    one_positive = dataclasses.replace(dermoscopy, metadata=metadata.drop(positives[1:]))
    with pytest.raises(InputError, match="cannot be split"):
        split_images(one_positive, THESIS, seed=1)


def test_the_released_code_splits_by_file_order(xrays):
    split = split_images(xrays[0], COVID_PROTOCOLS["released"], seed=0)
    for label, count in (("normal", 30), ("covid19", 10)):
        ids = sorted(xrays[0].ids(label=label))
        assert [id for id in split.train if id in ids] == ids[: count * 4 // 5]
        assert [id for id in split.test if id in ids] == ids[count * 4 // 5 :]
    assert split.validation == split.test


def test_copies_of_a_picture_stay_together(dermoscopy):
    metadata = dermoscopy.metadata
    metadata["split"] = ""
    benign = metadata.index[metadata["label"] == "benign"]
    assert len(set(patient_groups(metadata))) == len(metadata)
    # Two pairs of copies, and a patient who has one of each.
    metadata.loc[benign[1], "sha256"] = metadata["sha256"][benign[0]]
    metadata.loc[benign[3], "sha256"] = metadata["sha256"][benign[2]]
    metadata.loc[benign[3], "group"] = metadata["group"][benign[1]]
    assert len(set(patient_groups(metadata)[benign[:4]])) == 1
    assert len(set(patient_groups(metadata))) == len(metadata) - 3
    together = set(metadata["id"][benign[:4]])
    for seed in range(10):
        split = split_images(dermoscopy, CLEAN, seed)
        assert sum(together <= set(part) for part in parts(split)) == 1


def test_nobody_who_is_tested_is_trained_with_in_either_dataset(xrays):
    for protocol in (THESIS, CLEAN):
        tested, seen, positives = set(), set(), []
        for dataset, other in (xrays, reversed(xrays)):
            split = split_images(dataset, protocol, 0, split_jointly_with=[other])
            train, validation, test = (set(dataset.values("group", part)) for part in parts(split))
            assert not train & validation
            tested |= test
            seen |= train | validation
            labels = dataset.values("label", split.test)
            positives.append([i for i, n in zip(split.test, labels, strict=True) if n == "covid19"])
        assert not tested & seen
        assert positives[0] == positives[1] != []


def test_datasets_that_contradict_each_other_are_not_split_as_one(tmp_path):
    first, second = write_xrays(tmp_path)
    groups = second.metadata["group"].copy()
    second.metadata.loc[second.metadata["label"] == "covid19", "group"] = "someone-else"
    with pytest.raises(InputError, match=r"the group of .* differs from that in"):
        split_images(first, THESIS, 0, split_jointly_with=[second])
    second.metadata["group"] = groups
    first.metadata.loc[0, "split"] = "test"
    with pytest.raises(InputError, match="has an official split"):
        split_images(first, THESIS, 0, split_jointly_with=[second])
