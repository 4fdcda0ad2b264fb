import math

import pytest

from experiments.classification.covid import COVID_MODELS
from experiments.common.published import (
    COVID_CONDITIONS,
    DATASET_TITLES,
    FIGURE_3_5,
    NORMAL_TEST,
    PNEUMONIA_TRANSLATED,
    PRINTED,
    SEGMENTATION_TITLES,
    TABLE_2_1,
    TABLE_2_1_EARLIER,
    TABLE_2_2,
    TABLE_2_3,
    TABLE_3_1,
    TABLE_3_2,
    audit_skews,
    audit_table_2_1,
    covid_cells,
    matches,
)
from experiments.table_2_1 import TABLE as MELANOMA

CVC = "cvc_clinicdb"


def test_table_3_1_is_complete():
    pair = ("unet", "sharp_unet")
    assert set(TABLE_3_1) == {(name, model) for name in DATASET_TITLES for model in pair}


def test_sharp_unet_is_printed_better_everywhere():
    for dataset in DATASET_TITLES:
        plain, sharp = (TABLE_3_1[dataset, model] for model in ("unet", "sharp_unet"))
        assert sharp.jaccard.mean > plain.jaccard.mean
        assert sharp.dice.mean > plain.dice.mean


def test_every_model_has_a_published_score():
    assert {model for _, model in {**TABLE_3_2, **FIGURE_3_5}} == set(SEGMENTATION_TITLES)


def test_figure_3_5_has_the_wide_models_and_agrees_with_table_3_2():
    wide, sharp = FIGURE_3_5[CVC, "wide_unet"], FIGURE_3_5[CVC, "wide_sharp_unet"]
    assert f"{wide.jaccard}, {wide.dice}" == "73.98 ± 3.41, 82.17 ± 3.00"
    assert f"{sharp.jaccard}, {sharp.dice}" == "75.93 ± 1.80, 83.90 ± 1.49"
    for key in FIGURE_3_5.keys() & TABLE_3_2.keys():
        for metric in ("jaccard", "dice"):
            bar, printed = (getattr(scores[key], metric) for scores in (FIGURE_3_5, TABLE_3_2))
            assert matches(printed.mean, bar.mean)
            assert matches(printed.deviation, bar.deviation)


def test_table_2_1_has_the_rows_of_other_papers():
    assert {(row.auc, row.sensitivity) for row in TABLE_2_1_EARLIER.values()} == {
        (80.40, 50.70), (78.20, 42.70), (78.30, 54.70),
    }  # fmt: skip


def test_every_printed_number_has_a_place():
    assert all(each.place.startswith("section") for each in PRINTED.values())
    assert all(math.isfinite(each.value) for each in PRINTED.values())


@pytest.mark.parametrize(
    ("printed", "value", "digits", "agrees"),
    [
        (19.56, 19.5652, 2, True),  # cut
        (19.57, 19.5652, 2, True),  # rounded
        (34.73, 34.7826, 2, False),
        (28.27, 28.2609, 2, False),
        (22.9, 22.9722, 1, True),
        (22.9, 26.4333, 1, False),
        (23.7, 23.752273, 1, True),
    ],
)
def test_a_printed_number_may_be_rounded_or_cut(printed, value, digits, agrees):
    assert matches(printed, value, digits) is agrees


def test_the_printed_skews_fit_the_number_of_normal_test_images():
    assert NORMAL_TEST == 4135
    skews = audit_skews(NORMAL_TEST)
    assert all(skew.holds for skew in skews.values())
    others = [round(skew.recomputed, 3) for key, skew in skews.items() if key[0] == "table 2.3"]
    assert others == [22.972, 0.958, 0.198]
    assert round(skews["table 2.2", "both"].recomputed, 3) == 0.793


def test_four_printed_skews_do_not_fit_the_pneumonia_images_that_were_translated():
    skews = audit_skews(PNEUMONIA_TRANSLATED)
    assert [key for key, skew in skews.items() if skew.holds] == [
        ("table 2.2", "real"), ("table 2.2", "own"),
    ]  # fmt: skip
    assert round(skews["table 2.2", "real"].recomputed, 2) == 91.87


def test_three_cells_contradict_their_own_false_negatives():
    wrong = {
        (table, *key): cell.sensitivity
        for table, cells in (("2.2", TABLE_2_2), ("2.3", TABLE_2_3))
        for key, cell in cells.items()
        if not cell.holds
    }
    assert wrong == {
        ("2.2", "densenet121_gap", "both"): 34.78,
        ("2.3", "vgg_gap", "own"): 47.83,
        ("2.3", "densenet121_gap", "both"): 30.43,
    }


def test_contradictions_are_marked_in_the_tables():
    cells = covid_cells(TABLE_2_3["vgg_gap", "own"])
    assert cells["Sensitivity"] == "29.50 (!) its FN gives 47.83"
    assert cells["Skew"] == "0.95 (!) section 2.2.4 gives 0.96"
    assert covid_cells(TABLE_2_2["vgg_gap", "real"])["Skew"] == "91.87"


def test_every_row_of_table_2_1_has_one_possible_number_of_true_negatives():
    audit = audit_table_2_1()
    assert {name: found.true_negatives for name, found in audit.items()} == {
        "vgg_gap": 299, "augment_5x": 297, "augment_10x": 291, "melanet": 245,
    }  # fmt: skip
    sensitivities = [audit[name].sensitivity for name in TABLE_2_1]
    assert sensitivities == [26.67, 32.0, 37.33, 70.67]
    assert audit["melanet"].specificity == 80.59
    assert set(MELANOMA.titles) == set(TABLE_2_1)


def test_tables_2_2_and_2_3_are_complete():
    for table in (TABLE_2_2, TABLE_2_3):
        assert set(table) == {(m, c) for m in COVID_MODELS for c in COVID_CONDITIONS}
        assert all(math.isnan(table[model, "synthetic"].skew) for model in COVID_MODELS)
