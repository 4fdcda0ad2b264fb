import numpy as np
import pytest

from experiments.classification.seeds import METRICS, Samples, compare_seeds
from melanet import metrics
from melanet.statistics import bootstrap_auc_difference
from tests.experiments.example_records import classification_record

RANDOM = np.random.default_rng(0)
TRUE = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
SCORES = {
    seed: (np.round(RANDOM.random(10), 1), np.round(RANDOM.random(10) / 2 + TRUE / 2, 1))
    for seed in range(3)
}


def pairs(scores=SCORES):
    return [
        tuple(
            classification_record(condition, seed, list(values))
            for condition, values in zip(("vgg_gap", "melanet"), both, strict=True)
        )
        for seed, both in scores.items()
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("auc", metrics.auc),
        ("sensitivity", metrics.sensitivity),
        ("specificity", metrics.specificity),
        ("npv", metrics.negative_predictive_value),
    ],
)
def test_metrics_of_drawn_images_are_those_of_the_images_as_often_as_drawn(name, expected):
    weights = RANDOM.integers(0, 4, (5, 10))
    score = SCORES[0][0]
    found = METRICS[name].compute(Samples(TRUE == 1, score, 0.5, weights))
    drawn = [np.repeat(np.arange(10), row) for row in weights]
    assert found == pytest.approx([expected(TRUE[d], score[d]) for d in drawn], nan_ok=True)


def test_the_difference_is_the_mean_over_seeds():
    found = compare_seeds(pairs(), "auc")
    by_seed = [100 * (metrics.auc(TRUE, b) - metrics.auc(TRUE, a)) for a, b in SCORES.values()]
    assert found.mean == pytest.approx(np.mean(by_seed))
    assert found.low < found.mean < found.high
    assert found == compare_seeds(pairs(), "auc")


def test_of_one_seed_it_is_the_bootstrap_of_patients():
    found = compare_seeds(pairs({0: SCORES[0]}), "auc")
    known = bootstrap_auc_difference(TRUE, SCORES[0][1], SCORES[0][0])
    assert found.mean == pytest.approx(100 * known.difference)
    assert (found.low, found.high) == pytest.approx((100 * known.low, 100 * known.high), abs=4)


def test_seeds_of_the_same_images_are_no_new_patients():
    once, thrice = (compare_seeds(pairs(dict.fromkeys(s, SCORES[0])), "auc") for s in ("0", "012"))
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high))


def test_a_difference_on_which_seeds_disagree_is_not_shown():
    good, bad = np.where(TRUE, 0.9, 0.1), np.where(TRUE, 0.1, 0.9)
    worse, better = np.where(TRUE, 0.4, 0.45), np.where(TRUE, 0.6, 0.45)
    both = compare_seeds(pairs({0: (bad, good), 1: (better, worse)}), "sensitivity")
    assert not both.agree
    assert both.verdict(0.001) == "no difference shown"
    one = compare_seeds(pairs({0: (bad, good)}), "sensitivity")
    assert (one.verdict(0.001), one.verdict(0.05)) == ("higher", "no difference shown")
    assert one.mean == 100


def test_only_images_of_both_are_compared_and_without_a_class_nothing_is_said():
    first = classification_record("vgg_gap", 0, [0.9, 0.2, 0.8, 0.3])
    second = classification_record("vgg_gap", 0, [0.1, 0.9, 0.8, 0.3], "clean")
    second["scores"] = second["scores"][1:]
    found = compare_seeds([(first, second)], "sensitivity")
    assert found.mean == 100  # the first image, on which they disagree too, is not of both
    negatives = {**first, "scores": first["scores"][2:]}
    nothing = compare_seeds([(negatives, second)], "auc")
    assert np.isnan(nothing.mean)
    assert nothing.verdict(nothing.p) == "no difference shown"
