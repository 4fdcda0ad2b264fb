import math

from experiments.classification.covid import COVID_MODELS
from experiments.common.published import (
    COVID_CONDITIONS,
    DATASET_TITLES,
    TABLE_2_1,
    TABLE_2_2,
    TABLE_2_3,
    TABLE_3_1,
    audit_skews,
    audit_table_2_1,
)
from experiments.table_2_1 import TABLE as MELANOMA


def test_table_3_1_is_complete():
    pair = ("unet", "sharp_unet")
    assert set(TABLE_3_1) == {(name, model) for name in DATASET_TITLES for model in pair}


def test_sharp_unet_is_printed_better_on_every_dataset():
    for dataset in DATASET_TITLES:
        plain, sharp = (TABLE_3_1[dataset, model] for model in ("unet", "sharp_unet"))
        assert sharp.jaccard.mean > plain.jaccard.mean
        assert sharp.dice.mean > plain.dice.mean


def test_every_row_of_table_2_1_has_one_possible_number_of_true_negatives():
    audit = audit_table_2_1()
    assert {name: found.true_negatives for name, found in audit.items()} == {
        "vgg_gap": 299, "augment_5x": 297, "augment_10x": 291, "melanet": 245,
    }  # fmt: skip
    sensitivities = [audit[name].sensitivity for name in TABLE_2_1]
    assert sensitivities == [26.67, 32.0, 37.33, 70.67]
    assert audit["melanet"].specificity == 80.59
    assert set(MELANOMA.titles) == set(TABLE_2_1)


def test_the_printed_skews_hold_with_4135_pneumonia_images_and_not_with_4758():
    assert all(finding.holds for finding in audit_skews().values())
    failing = {place for place, found in audit_skews(4758).items() if not found.holds}
    assert failing == {
        ("table 2.2", "both"),
        ("table 2.3", "real"),
        ("table 2.3", "own"),
        ("table 2.3", "both"),
    }


def test_three_printed_sensitivities_contradict_their_own_false_negatives():
    contradicting = {
        (name, *place): cell.sensitivity
        for name, table in (("2.2", TABLE_2_2), ("2.3", TABLE_2_3))
        for place, cell in table.items()
        if not cell.holds
    }
    assert contradicting == {
        ("2.2", "densenet121_gap", "both"): 34.78,
        ("2.3", "vgg_gap", "own"): 47.83,
        ("2.3", "densenet121_gap", "both"): 30.43,
    }
    for table in (TABLE_2_2, TABLE_2_3):
        assert set(table) == {(m, c) for m in COVID_MODELS for c in COVID_CONDITIONS}
        assert all(math.isnan(table[model, "synthetic"].skew) for model in COVID_MODELS)
