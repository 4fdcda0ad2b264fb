import numpy as np
import pytest

from melanet import metrics
from melanet.multiclass import (
    accuracy,
    class_metrics,
    confusion,
    confusion_shares,
    macro_auc,
    macro_f_score,
    macro_sensitivity,
)
from melanet.statistics import exact_interval

TRUE = np.array([0, 0, 0, 1, 1, 2])
SCORES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.4, 0.5, 0.1],
        [0.6, 0.2, 0.2],
        [0.2, 0.7, 0.1],
        [0.1, 0.3, 0.6],
        [0.0, 0.2, 0.8],
    ]
)


def test_the_confusion_matrix_and_its_shares_by_hand():
    counts = confusion(TRUE, SCORES)
    assert counts.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    share, low, high = confusion_shares(counts)
    np.testing.assert_allclose(share, [[2 / 3, 1 / 3, 0], [0, 0.5, 0.5], [0, 0, 1]])
    assert (low[0, 0], high[0, 0]) == exact_interval(2, 3)
    assert (low[2, 0], high[2, 0]) == exact_interval(0, 1)


def test_metrics_by_hand():
    assert accuracy(TRUE, SCORES) == 4 / 6
    assert macro_sensitivity(TRUE, SCORES) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # Precisions are 1, 1/2 and 1/2.
    assert macro_f_score(TRUE, SCORES) == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    table = class_metrics(TRUE, SCORES, ["a", "b", "c"])
    assert table["samples"].to_dict() == {"a": 3, "b": 2, "c": 1}
    assert table["specificity"].tolist() == pytest.approx([1, 3 / 4, 4 / 5])
    assert macro_auc(TRUE, SCORES) == pytest.approx(table["auc"].mean())
    assert table.loc["b", "auc"] == pytest.approx(7 / 8)  # one of eight pairs is in wrong order


def test_of_two_classes_each_against_the_rest_is_the_two_class_metric():
    random = np.random.default_rng(0)
    true, positive = random.integers(0, 2, 50), random.random(50)
    table = class_metrics(true, np.stack([1 - positive, positive], axis=1))
    for name in ("sensitivity", "specificity", "f_score", "auc"):
        assert table[name][1] == pytest.approx(getattr(metrics, name)(true, positive))
    assert table["sensitivity"][0] == table["specificity"][1]


def test_a_class_without_samples_has_no_metrics():
    scores = SCORES[:5]
    table = class_metrics(TRUE[:5], scores)
    assert np.isnan(table.loc[2, ["sensitivity", "f_score", "auc"]]).all()
    assert np.isnan([macro_sensitivity(TRUE[:5], scores), macro_auc(TRUE[:5], scores)]).all()
    assert tuple(table.loc[2, ["sensitivity_low", "sensitivity_high"]]) == (0, 1)


@pytest.mark.parametrize(
    ("true", "scores", "message"),
    [
        ([0, 1], np.zeros((3, 2)), "`y_true` must be \\(samples,\\)"),
        ([], np.zeros((0, 2)), "one sample or more"),
        ([0], [[1.0]], "two or more"),
        ([2], [[0.5, 0.5]], "0 to 1"),
        ([0], [[1.5, -0.5]], "probabilities in \\[0, 1\\]"),
        ([0], [[np.nan, 1]], "probabilities in \\[0, 1\\]"),
    ],
)
def test_bad_input_is_named(true, scores, message):
    for metric in (accuracy, macro_sensitivity, macro_auc, macro_f_score, confusion, class_metrics):
        with pytest.raises(ValueError, match=message):
            metric(true, scores)
