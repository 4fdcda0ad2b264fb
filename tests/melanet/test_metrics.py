import math

import numpy as np
import pytest

from melanet import metrics

TRUE = [1, 1, 1, 0, 0, 0, 0, 0]
SCORE = [0.9, 0.5, 0.2, 0.8, 0.4, 0.3, 0.1, 0.0]  # TP 2, FN 1, FP 1, TN 4


def test_values_computed_by_hand():
    assert metrics.sensitivity(TRUE, SCORE) == pytest.approx(2 / 3)
    assert metrics.specificity(TRUE, SCORE) == pytest.approx(4 / 5)
    assert metrics.false_negatives(TRUE, SCORE) == 1
    assert metrics.negative_predictive_value(TRUE, SCORE) == pytest.approx(4 / 5)
    assert metrics.f_score(TRUE, SCORE) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    # Of the 15 pairs of a positive and a negative, 5 + 4 + 2 are in the right order.
    assert metrics.auc(TRUE, SCORE) == pytest.approx(11 / 15)
    assert metrics.skew(TRUE) == pytest.approx(5 / 3)


@pytest.mark.parametrize(
    ("fn", "tn", "printed", "true"),
    [
        (55, 299, 84.46, 26.67),
        (51, 297, 85.34, 32.0),
        (47, 291, 86.09, 37.33),
        (22, 245, 91.76, 70.67),
    ],
)
def test_table_2_1_prints_the_negative_predictive_value(fn, tn, printed, true):
    y_true = np.repeat([1, 0], [75, 304])
    y_score = np.concatenate([np.arange(75) >= fn, np.arange(304) >= tn]).astype(float)
    predictive_value = metrics.negative_predictive_value(y_true, y_score)
    assert 100 * predictive_value == pytest.approx(printed, abs=0.005)
    assert 100 * metrics.sensitivity(y_true, y_score) == pytest.approx(true, abs=0.005)
    assert metrics.false_negatives(y_true, y_score) == fn


def test_skews_of_the_thesis():
    assert metrics.skew([1] * 180 + [0] * 16_537) == pytest.approx(91.87, abs=0.005)
    assert metrics.skew([1] * 173 + [0] * 727) == pytest.approx(4.2, abs=0.005)


def test_a_class_without_samples():
    negatives, positives = ([0, 0], [0.1, 0.2]), ([1, 1], [0.9, 0.8])
    for metric in (metrics.sensitivity, metrics.f_score, metrics.auc):
        assert math.isnan(metric(*negatives))
    assert math.isnan(metrics.specificity(*positives))
    assert math.isnan(metrics.negative_predictive_value(*positives))
    assert math.isnan(metrics.auc(*positives))
    assert metrics.false_negatives(*negatives) == 0
    assert metrics.skew([0, 0]) == math.inf
    assert metrics.f_score([1, 0], [0.1, 0.2]) == 0


def test_scores_at_the_threshold_are_positive():
    assert metrics.sensitivity([1], [0.5]) == 1
    assert metrics.sensitivity([1], [0.5], threshold=0.6) == 0


@pytest.mark.parametrize(
    ("y_true", "y_score", "message"),
    [
        ([1, 0], [0.5], "same shape"),
        ([1, 2], [0.5, 0.5], "0 and 1 only"),
        ([1, 0], [0.5, 1.5], r"\[0, 1\]"),
        ([1, 0], [0.5, np.nan], r"\[0, 1\]"),
        ([], [], "at least one sample"),
        ([[1, 0]], [[0.5, 0.5]], "1-D"),
    ],
)
def test_invalid_input_raises_an_error(y_true, y_score, message):
    for metric in (metrics.sensitivity, metrics.auc, metrics.f_score):
        with pytest.raises(ValueError, match=message):
            metric(y_true, y_score)


def test_calibration_by_hand():
    # Bins of a half: 0.4, 0.3, 0.2, 0.1, 0.0 hold one positive of five, 0.9, 0.5, 0.8 two of three.
    scores, shares, counts = metrics.reliability(TRUE, SCORE, bins=2)
    assert counts.tolist() == [5, 3]
    assert scores == pytest.approx([0.2, 2.2 / 3])
    assert shares == pytest.approx([1 / 5, 2 / 3])
    by_hand = (5 * abs(0.2 - 0.2) + 3 * abs(2.2 / 3 - 2 / 3)) / 8
    assert metrics.expected_calibration_error(TRUE, SCORE, bins=2) == pytest.approx(by_hand)
    squares = 0.01 + 0.25 + 0.64 + 0.64 + 0.16 + 0.09 + 0.01
    assert metrics.brier_score(TRUE, SCORE) == pytest.approx(squares / 8)
    assert metrics.expected_calibration_error([1, 0], [1.0, 0.0]) == 0
    with pytest.raises(ValueError, match="`bins`"):
        metrics.reliability(TRUE, SCORE, bins=0)


def test_youden_s_threshold_by_hand():
    # Of the thresholds between two scores, 0.45 finds two of three and clears four of five.
    assert metrics.youden_threshold(TRUE, SCORE) == pytest.approx(0.45)
    assert metrics.youden_threshold([1, 0, 0], [0.04, 0.02, 0.0]) == pytest.approx(0.03)
    assert metrics.youden_threshold([1, 0], [0.9, 0.9]) == 0.5
    assert math.isnan(metrics.youden_threshold([1, 1], [0.9, 0.8]))
