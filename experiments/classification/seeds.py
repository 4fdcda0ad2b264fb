"""Differences of two conditions over all seeds, by one bootstrap of the patients of all of them.

Seeds share test images, so that their p-values cannot be combined; a patient who is drawn is drawn
in all seeds. The interval answers for other patients, and not for other trainings: the verdict also
requires that all seeds agree.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.classification.comparisons import (
    SIGNIFICANCE_LEVEL,
    THRESHOLD,
    chosen_threshold,
)
from experiments.common.conclusions import NOT_SHOWN
from experiments.common.significance import Difference

RESAMPLES = 2000
NOTE = (
    "Chapter 2. Percent points, means over seeds. The interval and p are of a bootstrap that draws "
    "whole patients, the same ones in all seeds: they are about other patients, not about other "
    "trainings. A difference is shown if p is below 0.05 after Holm's correction for all "
    "comparisons of a table, and every seed has its sign."
)


@dataclasses.dataclass(frozen=True)
class Samples:
    """Test images of a training: labels, scores, the threshold, and how often each is drawn.

    `weights` has the shape `(draws, images)`, the others `(images,)`.
    """

    positive: np.ndarray
    score: np.ndarray
    threshold: float
    weights: np.ndarray

    def share(self, of: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Share of the images `of` that are `counted`, of each draw; NaN where none is drawn."""
        with np.errstate(invalid="ignore"):
            return (self.weights @ (of & counted)) / (self.weights @ of)

    @property
    def called(self) -> np.ndarray:
        """Whether each image is called positive."""
        return self.score >= self.threshold


@dataclasses.dataclass(frozen=True)
class ClassSamples:
    """Test images of a training on several classes, and how often each is drawn.

    `label` holds the number of each image's class, `(images,)`; `probabilities` are `(images,
    classes)`, `weights` `(draws, images)`.
    """

    label: np.ndarray
    probabilities: np.ndarray
    weights: np.ndarray

    @property
    def called(self) -> np.ndarray:
        """The class that each image is called."""
        return self.probabilities.argmax(axis=1)

    def against_the_rest(self) -> list[Samples]:
        """The samples as those of each class and of the others."""
        return [
            Samples(self.label == number, scores, THRESHOLD, self.weights)
            for number, scores in enumerate(self.probabilities.T)
        ]


def sensitivity(samples: Samples) -> np.ndarray:
    """TP / (TP + FN) of each draw."""
    return samples.share(samples.positive, samples.called)


def specificity(samples: Samples) -> np.ndarray:
    """TN / (TN + FP) of each draw."""
    return samples.share(~samples.positive, ~samples.called)


def npv(samples: Samples) -> np.ndarray:
    """TN / (TN + FN) of each draw."""
    return samples.share(~samples.called, ~samples.positive)


def balanced_accuracy(samples: Samples) -> np.ndarray:
    """Mean of sensitivity and specificity of each draw."""
    return (sensitivity(samples) + specificity(samples)) / 2


def auc(samples: Samples) -> np.ndarray:
    """Area under the ROC curve of each draw: pairs of classes in the right order, ties half."""
    scores = samples.score[samples.positive][:, None] - samples.score[~samples.positive]
    right = (scores > 0) + 0.5 * (scores == 0)
    drawn = samples.weights[:, samples.positive], samples.weights[:, ~samples.positive]
    pairs = drawn[0].sum(axis=1) * drawn[1].sum(axis=1)
    with np.errstate(invalid="ignore"):
        return ((drawn[0] @ right) * drawn[1]).sum(axis=1) / pairs


def accuracy(samples: ClassSamples) -> np.ndarray:
    """Share of the images that are called their own class, of each draw."""
    right = samples.called == samples.label
    return (samples.weights @ right) / samples.weights.sum(axis=1)


def macro_sensitivity(samples: ClassSamples) -> np.ndarray:
    """Mean of the sensitivities of all classes, of each draw."""
    called = samples.called
    each = [
        of_class.share(of_class.positive, called == number)
        for number, of_class in enumerate(samples.against_the_rest())
    ]
    return np.mean(each, axis=0)


def macro_auc(samples: ClassSamples) -> np.ndarray:
    """Mean of the areas under the ROC curves of each class against the rest, of each draw."""
    return np.mean([auc(of_class) for of_class in samples.against_the_rest()], axis=0)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of test images, its name for a reader, and whether validation sets the threshold."""

    title: str
    compute: Callable[[Any], np.ndarray]
    chosen: bool = False


METRICS = {
    "auc": Metric("AUC", auc),
    "sensitivity": Metric("sensitivity", sensitivity),
    "specificity": Metric("specificity", specificity),
    "npv": Metric("NPV", npv),
    "balanced_accuracy": Metric("mean of sensitivity and specificity at 0.5", balanced_accuracy),
    "chosen_balanced_accuracy": Metric(
        "mean of sensitivity and specificity at the threshold that validation chooses",
        balanced_accuracy,
        chosen=True,
    ),
    "accuracy": Metric("accuracy", accuracy),
    "macro_sensitivity": Metric("mean sensitivity of the classes", macro_sensitivity),
    "macro_auc": Metric("mean AUC of each class against the rest", macro_auc),
}


@dataclasses.dataclass(frozen=True)
class SeedDifference(Difference):
    """A difference in percent points; `agree` says whether all seeds have its sign."""

    agree: bool = True

    def verdict(self, p: float) -> str:
        """What it shows, `p` being corrected."""
        if not p < SIGNIFICANCE_LEVEL or not self.agree:
            return NOT_SHOWN
        return "higher" if self.mean > 0 else "lower"

    def caution(self, p: float) -> str:
        """Why a small p shows nothing, `p` being corrected; empty if it does, or is not small."""
        small = p < SIGNIFICANCE_LEVEL
        return "not every seed has its sign" if small and not self.agree else ""


def compare_seeds(
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], name: str, seed: int = 0
) -> SeedDifference:
    """The difference of a metric between records of the same seeds, on the images of both.

    Args:
        pairs: Records of the baseline and of the contender, a pair for each seed.
        name: A name in `METRICS`.
        seed: Seed of the draws.
    """
    tested = [_common_scores(*pair) for pair in pairs]
    patients = sorted({score["group"] for scores in tested for score, _ in scores})
    place = {patient: number for number, patient in enumerate(patients)}
    even = np.full(len(patients), 1 / len(patients))
    draws = np.random.default_rng(seed).multinomial(len(patients), even, size=RESAMPLES)
    whole = np.ones((1, len(patients)), int)
    # The first row is of the images as they are.
    of_patients = np.concatenate([whole, draws])
    differences = np.array(
        [
            _difference(
                METRICS[name],
                pair,
                scores,
                of_patients[:, [place[score["group"]] for score, _ in scores]],
            )
            for pair, scores in zip(pairs, tested, strict=True)
        ]
    )
    by_seed, drawn = differences[:, 0], differences[:, 1:].mean(axis=0)
    drawn, mean = drawn[np.isfinite(drawn)], float(by_seed.mean())
    if not len(drawn) or np.isnan(mean):
        return SeedDifference(mean, np.nan, np.nan, np.nan)
    low, high = np.percentile(drawn, [2.5, 97.5])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (int(tail) + 1) / (len(drawn) + 1))
    agree = bool((np.sign(by_seed) == np.sign(mean)).all())
    return SeedDifference(mean, float(low), float(high), p, agree)


def _common_scores(
    baseline: dict[str, Any], contender: dict[str, Any]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The scores of both records on the test images that they share."""
    by_id = {score["id"]: score for score in contender["scores"]}
    return [(score, by_id[score["id"]]) for score in baseline["scores"] if score["id"] in by_id]


def _difference(metric: Metric, pair, scores, weights: np.ndarray) -> np.ndarray:
    """Contender less baseline in percent, of each draw."""
    baseline, contender = (
        metric.compute(_samples(metric, record, [both[side] for both in scores], weights))
        for side, record in enumerate(pair)
    )
    return 100 * (contender - baseline)


def _samples(metric: Metric, record, scores, weights: np.ndarray) -> Samples | ClassSamples:
    if "probabilities" in scores[0]:
        labels = record["dataset"]["labels"]
        numbers = np.array([labels.index(score["label"]) for score in scores])
        probabilities = np.array([score["probabilities"] for score in scores])
        return ClassSamples(numbers, probabilities, weights)
    return Samples(
        np.array([score["positive"] for score in scores]),
        np.array([score["score"] for score in scores]),
        chosen_threshold(record) if metric.chosen else THRESHOLD,
        weights,
    )
