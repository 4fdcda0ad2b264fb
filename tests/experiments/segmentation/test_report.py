import numpy as np
import pandas as pd
import pytest

from experiments.common.published import TABLE_3_1
from experiments.segmentation.figures import _best_so_far, _choose
from experiments.segmentation.report import add_published_rows, runs_frame, summarise


def record(model, fold, scores, dataset="isbi2012"):
    return {
        "dataset": {"name": dataset},
        "model": model,
        "repeat": 0,
        "fold": fold,
        "scores": [{"id": str(i), "jaccard": s, "dice": s} for i, s in enumerate(scores)],
        "best_epoch": 1,
        "epochs_run": 2,
        "seconds": 3,
        "seed": 0,
        "parameters": {"trainable": 4, "frozen": 0},
        "best_constant": {"jaccard": 0.4, "dice": 0.45},
    }


def test_a_run_is_the_mean_of_its_images_and_a_cell_the_mean_and_sample_sd_of_its_runs():
    records = [record("unet", 0, [0.5, 0.7]), record("unet", 1, [0.8])]
    summary = summarise(runs_frame(records)).iloc[0]
    assert summary["jaccard_mean"] == pytest.approx(70)
    assert summary["jaccard_sd"] == pytest.approx(np.std([60, 80], ddof=1))
    assert summary["runs"] == 2


def test_our_row_stands_above_the_thesis_s_and_datasets_that_were_not_run_come_last():
    records = [record(model, fold, [0.5]) for model in ("unet", "sharp_unet") for fold in (0, 1)]
    shown = add_published_rows(summarise(runs_frame(records)), TABLE_3_1, {})
    assert list(shown.iloc[0, :4]) == ["ISBI-2012", "ours", "50.00 ± 0.00", "50.00 ± 0.00"]
    assert list(shown.iloc[1, :3]) == ["ISBI-2012", "best constant prediction", "40.00"]
    assert list(shown.iloc[2, :3]) == ["ISBI-2012", "thesis", "83.95 ± 3.47"]
    assert list(shown[""]) == ["ours", "best constant prediction"] + ["thesis"] * 6


def test_a_single_run_has_no_standard_deviation():
    shown = add_published_rows(
        summarise(runs_frame([record("unet", 0, [0.5], "mine")])), {}, {"mine": "Mine"}
    )
    assert list(shown.iloc[0]) == ["Mine", "ours", "50.00 ± –", "50.00 ± –"]


def test_the_curve_of_a_run_that_stopped_early_keeps_its_best_value():
    np.testing.assert_array_equal(
        _best_so_far([[0.1, 0.3, 0.2], [0.4]]), [[0.1, 0.3, 0.3], [0.4, 0.4, 0.4]]
    )


def test_cases_are_chosen_by_rule():
    def row(*pixels):
        return np.array([pixels], bool)

    truth = {id: row(1, 1, 0, 0) for id in "abcd"}
    baseline = {"a": row(1, 1, 0, 0), "b": row(1, 1, 1, 1)}
    baseline |= {"c": row(0, 1, 0, 0), "d": row(0, 0, 0, 1)}
    jaccard = {"unet": {"a": 1, "b": 0.5, "c": 0.5, "d": 0}}
    chosen = _choose(list("abcd"), truth, baseline, jaccard, each=1)
    assert chosen == [("hardest", "d"), ("over-segmented", "b"), ("under-segmented", "c")]


def test_the_csv_file_holds_numbers():
    summary = summarise(runs_frame([record("unet", 0, [0.5])]))
    assert all(pd.api.types.is_numeric_dtype(summary[c]) for c in summary if c.endswith("mean"))
