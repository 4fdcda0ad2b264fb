import math

import numpy as np
import pytest
from scipy import stats

from melanet import metrics
from melanet.statistics import (
    bootstrap_auc_difference,
    delong_test,
    exact_interval,
    mcnemar_test,
    sensitivity_interval,
    specificity_interval,
)


def test_the_exact_interval_by_hand():
    assert exact_interval(0, 10) == (0, pytest.approx(1 - 0.025 ** (1 / 10)))
    assert exact_interval(10, 10) == (pytest.approx(0.025 ** (1 / 10)), 1)
    assert exact_interval(0, 0) == (0, 1)
    # The limits of 3 in 10, as tables have them.
    assert exact_interval(3, 10) == pytest.approx((0.0667, 0.6525), abs=5e-5)


@pytest.mark.parametrize(("successes", "total", "confidence"), [(20, 75, 0.95), (29, 46, 0.9)])
def test_the_limits_are_just_not_rejected(successes, total, confidence):
    low, high = exact_interval(successes, total, confidence)
    tail = (1 - confidence) / 2
    assert stats.binom.sf(successes - 1, total, low) == pytest.approx(tail)
    assert stats.binom.cdf(successes, total, high) == pytest.approx(tail)


# Table 2.1: false negatives among 75 malignant images, true negatives among 304 benign ones.
TABLE_2_1 = {"vgg_gap": (55, 299), "melanet": (22, 245)}


def predictions(fn, tn):
    y_true = np.repeat([1, 0], [75, 304])
    return y_true, np.concatenate([np.arange(75) >= fn, np.arange(304) >= tn]).astype(float)


def test_intervals_of_table_2_1_show_a_gain_and_a_price():
    vgg, melanet = (predictions(*TABLE_2_1[name]) for name in ("vgg_gap", "melanet"))
    assert sensitivity_interval(*vgg) == exact_interval(20, 75)
    assert sensitivity_interval(*vgg) == pytest.approx((0.1711, 0.3814), abs=5e-5)
    assert sensitivity_interval(*vgg)[1] < sensitivity_interval(*melanet)[0]
    assert specificity_interval(*melanet) == exact_interval(245, 304)
    assert specificity_interval(*melanet)[1] < specificity_interval(*vgg)[0]


def test_mcnemar_by_hand():
    # Of 10 discordant samples one goes to the first: 2 (1 + 10) / 2**10.
    first, second = np.repeat([1, 0, 1, 0], [1, 9, 5, 3]), np.repeat([0, 1, 1, 0], [1, 9, 5, 3])
    assert mcnemar_test(first, second) == pytest.approx(22 / 1024)
    assert mcnemar_test(second, first) == pytest.approx(22 / 1024)
    assert mcnemar_test([1, 0], [0, 1]) == 1
    assert mcnemar_test([True, False], [True, False]) == 1


def samples(count=60, seed=0):
    random = np.random.default_rng(seed)
    y_true = np.arange(count) % 3 == 0
    first = np.clip(0.4 * y_true + 0.6 * random.random(count), 0, 1)
    second = np.clip(0.2 * y_true + 0.8 * random.random(count), 0, 1)
    return y_true.astype(int), first.round(1), second.round(1)  # rounded: there are ties


def test_delong_by_its_definition():
    y_true, first, second = samples()
    kernels = []
    for score in (first, second):
        positive, negative = score[y_true == 1], score[y_true == 0]
        kernels.append([[1.0 * (p > n) + 0.5 * (p == n) for n in negative] for p in positive])
    m, n = np.shape(kernels[0])
    v10 = [np.mean(kernel, axis=1) for kernel in kernels]
    v01 = [np.mean(kernel, axis=0) for kernel in kernels]
    covariance = np.cov(v10) / m + np.cov(v01) / n
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    result = delong_test(y_true, first, second)
    expected = metrics.auc(y_true, first) - metrics.auc(y_true, second)
    assert result.difference == pytest.approx(expected)
    assert result.high - result.difference == pytest.approx(1.959964 * error, rel=1e-5)
    assert result.p_value == pytest.approx(math.erfc(abs(expected) / error / math.sqrt(2)))


def test_delong_rejects_a_true_null_as_often_as_it_should():
    random = np.random.default_rng(0)
    y_true = np.arange(80) % 2
    rejected = 0
    for _ in range(400):
        common = 0.3 * y_true + 0.3 * random.random(80)
        first, second = (common + 0.4 * random.random(80) for _ in range(2))
        rejected += delong_test(y_true, first, second).p_value < 0.05
    assert 0.02 < rejected / 400 < 0.09


def test_without_a_difference_nothing_is_found():
    y_true, first, _ = samples()
    for compare in (delong_test, bootstrap_auc_difference):
        result = compare(y_true, first, first)
        assert (result.difference, result.p_value) == (0, 1)


def test_where_an_auc_or_its_variance_is_unknown():
    for compare in (delong_test, bootstrap_auc_difference):
        assert all(map(math.isnan, compare([1, 1], [0.5, 0.6], [0.1, 0.2])))
    perfect, inverse = [0.9, 0.8, 0.1, 0.2], [0.1, 0.2, 0.9, 0.8]
    result = delong_test([1, 1, 0, 0], perfect, inverse)
    assert result.difference == 1
    assert math.isnan(result.p_value)


def test_the_bootstrap_agrees_with_delong_where_samples_are_independent():
    y_true, first, second = samples(240)
    expected = delong_test(y_true, first, second)
    result = bootstrap_auc_difference(y_true, first, second)
    assert result.difference == pytest.approx(expected.difference)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    assert result == bootstrap_auc_difference(y_true, first, second)
    assert result != bootstrap_auc_difference(y_true, first, second, seed=1)


def test_repeated_images_of_a_patient_do_not_narrow_the_interval():
    y_true, first, second = samples(90)
    copied = [np.tile(values, 4) for values in (y_true, first, second)]
    patients = np.tile([f"patient {i}" for i in range(90)], 4)

    def width(result):
        return result.high - result.low

    once = width(bootstrap_auc_difference(y_true, first, second))
    assert width(bootstrap_auc_difference(*copied, patients)) == pytest.approx(once, rel=0.15)
    assert width(bootstrap_auc_difference(*copied)) < 0.7 * once


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exact_interval(3, 2), "successes"),
        (lambda: exact_interval(1, 2, 95), "confidence"),
        (lambda: mcnemar_test([1, 0], [1]), "same shape"),
        (lambda: mcnemar_test([1, 0.5], [1, 0]), "booleans"),
        (lambda: delong_test([1, 0], [0.5], [0.5]), "same shape"),
        (lambda: delong_test([1, 0], [0.5, 0.1], [0.5, 1.5]), r"\[0, 1\]"),
        (lambda: bootstrap_auc_difference([1, 0], [0.5, 0.1], [0.5, 0.5], ["a"]), "groups"),
        (lambda: bootstrap_auc_difference([1, 0], [0.5, 0.1], [0.5, 0.5], repeats=0), "repeats"),
    ],
)
def test_invalid_input_raises_an_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()
