import numpy as np
import pytest
from scipy import stats

from experiments.common.significance import bootstrap, comparisons, corrected_t_test, holm

DIFFERENCES = [1.2, 0.4, -0.3, 2.1, 0.9]


def test_the_corrected_test_agrees_with_a_calculation_by_hand():
    # mean 0.86, variance 0.803; (1/5 + 1/4) * 0.803 = 0.36135, its root 0.601124
    found = corrected_t_test(DIFFERENCES, test_to_training=1 / 4)
    assert found.mean == pytest.approx(0.86)
    t = 0.86 / 0.601124
    assert found.p == pytest.approx(2 * stats.t.sf(t, df=4), rel=1e-4)
    reach = 2.776445 * 0.601124  # the 97.5% point of t with 4 degrees of freedom
    assert (found.low, found.high) == pytest.approx((0.86 - reach, 0.86 + reach), rel=1e-5)


def test_without_shared_images_it_is_the_paired_t_test():
    found = corrected_t_test(DIFFERENCES, test_to_training=0)
    assert found.p == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0).pvalue)


def test_five_folds_are_weaker_evidence_than_five_independent_runs():
    independent, folds = (corrected_t_test(DIFFERENCES, share) for share in (0, 1 / 4))
    assert folds.p > independent.p
    assert folds.low < independent.low


def test_equal_differences_have_p_0_or_1_and_one_run_is_an_error():
    assert corrected_t_test([0, 0, 0], 0.25).p == 1
    assert corrected_t_test([1, 1, 1], 0.25).p == 0
    with pytest.raises(ValueError, match="two runs or more"):
        corrected_t_test([1], 0.25)


def test_the_bootstrap_interval_is_close_to_the_normal_one():
    values = np.random.default_rng(0).normal(1, 2, 400)
    found = bootstrap(values)
    reach = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - reach, values.mean() + reach), abs=0.03
    )
    assert found == bootstrap(values)


def test_the_bootstrap_draws_whole_groups():
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 100)
    grouped = bootstrap(values, np.repeat(list("abcd"), 100))
    single = bootstrap(values)
    assert grouped.mean == single.mean == 1.5
    # The mean of four groups has ten times the standard error of that of 400 images.
    ratio = (grouped.high - grouped.low) / (single.high - single.low)
    assert ratio == pytest.approx(10, rel=0.15)


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests():
    np.testing.assert_allclose(holm([0.04, 0.01, np.nan, 0.03]), [0.06, 0.03, np.nan, 0.06])


def record(model, fold, scores, repeat=0):
    return {
        "dataset": {"name": "isbi2012"},
        "model": model,
        "repeat": repeat,
        "fold": fold,
        "images": {"train": 8, "validation": 0, "test": 2},
        "scores": [{"id": id, "jaccard": score} for id, score in scores.items()],
    }


def records(gains, ids=lambda fold: (f"{fold}a", f"{fold}b")):
    """Five folds of two images each; the sharp model gains this much on each fold."""
    plain = [record("unet", f, dict.fromkeys(ids(f), 0.5)) for f in range(len(gains))]
    sharp = [
        record("sharp_unet", f, dict.fromkeys(ids(f), 0.5 + gain)) for f, gain in enumerate(gains)
    ]
    return plain + sharp


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([0.10, 0.11, 0.09, 0.10, 0.12], "better"),
        ([-0.10, -0.11, -0.09, -0.10, -0.12], "worse"),
        ([0.10, -0.11, 0.09, -0.10, 0.12], "no difference shown"),
    ],
)
def test_the_verdict_follows_from_the_differences(gains, verdict):
    [row] = comparisons(records(gains), [("unet", "sharp_unet"), ("unet", "missing")]).itertuples()
    assert row.verdict == verdict
    assert row.runs == 5
    assert row.difference == pytest.approx(100 * np.mean(gains))
    assert row.low < row.difference < row.high
    test = corrected_t_test([100 * gain for gain in gains], 2 / 8)
    assert row.p == pytest.approx(test.p)


def test_repeats_of_the_same_splits_add_no_evidence():
    gains = [0.10, 0.02, 0.07, 0.01, 0.09]
    once = records(gains)
    again = [{**r, "repeat": repeat} for repeat in range(5) for r in once]
    pairs = [("unet", "sharp_unet")]
    [first], [repeated] = (comparisons(r, pairs).itertuples() for r in (once, again))
    assert repeated.runs == 25
    assert (repeated.p, repeated.low) == pytest.approx((first.p, first.low))


def test_one_split_trained_five_times_gives_no_verdict():
    same = records([0.10, 0.11, 0.09, 0.10, 0.12], ids=lambda fold: ("a", "b"))
    [row] = comparisons(same, [("unet", "sharp_unet")]).itertuples()
    assert row.verdict == "one split: no test"
    assert np.isnan(row.p)
    assert row.images_low == pytest.approx(row.images_high)  # two images, one difference
