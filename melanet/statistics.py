"""Intervals and paired tests for the metrics of chapter 2."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from melanet.metrics import _check_samples, _confusion


class AUCDifference(NamedTuple):
    """Difference of two areas under the ROC curve on the same samples, first minus second.

    Attributes:
        difference: The difference, in [-1, 1].
        low: Lower limit of its confidence interval.
        high: Upper limit.
        p_value: Two-sided p-value of no difference.

    Example:
        >>> from melanet.statistics import AUCDifference
        >>> AUCDifference(0.1, -0.05, 0.25, 0.19).difference
        0.1
    """

    difference: float
    low: float
    high: float
    p_value: float


def exact_interval(successes: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a proportion, which covers it at least `confidence` of the time.

    Args:
        successes: Number of successes, 0 to `total`.
        total: Number of trials.
        confidence: Confidence level, between 0 and 1.

    Returns:
        Lower and upper limit; (0, 1) if there are no trials.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from melanet import exact_interval
        >>> low, high = exact_interval(20, 75)
        >>> round(low, 4), round(high, 4)
        (0.1711, 0.3814)
    """
    _check_confidence(confidence)
    if not 0 <= successes <= total:
        raise ValueError(f"`successes` must lie in [0, total]. Received: {successes} of {total}")
    if not total:
        return 0.0, 1.0
    interval = stats.binomtest(successes, total).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def sensitivity_interval(
    y_true: ArrayLike, y_score: ArrayLike, threshold: float = 0.5, confidence: float = 0.95
) -> tuple[float, float]:
    """Exact confidence interval of the sensitivity.

    See `melanet.sensitivity` for arguments and errors, `exact_interval` for `confidence`.

    Returns:
        Lower and upper limit; (0, 1) if there are no positive samples.

    Example:
        >>> from melanet import sensitivity_interval
        >>> low, high = sensitivity_interval([1, 1, 0], [0.9, 0.8, 0.3])
        >>> round(low, 4), high  # the lower limit of 2 in 2 is the square root of 0.025
        (0.1581, 1.0)
    """
    _, _, fn, tp = _confusion(y_true, y_score, threshold)
    return exact_interval(tp, tp + fn, confidence)


def specificity_interval(
    y_true: ArrayLike, y_score: ArrayLike, threshold: float = 0.5, confidence: float = 0.95
) -> tuple[float, float]:
    """Exact confidence interval of the specificity.

    See `melanet.sensitivity` for arguments and errors, `exact_interval` for `confidence`.

    Returns:
        Lower and upper limit; (0, 1) if there are no negative samples.

    Example:
        >>> from melanet import specificity_interval
        >>> low, high = specificity_interval([1, 0, 0], [0.9, 0.2, 0.3])
        >>> round(low, 4), high
        (0.1581, 1.0)
    """
    tn, fp, _, _ = _confusion(y_true, y_score, threshold)
    return exact_interval(tn, tn + fp, confidence)


class Score(NamedTuple):
    """A score with its confidence interval.

    Attributes:
        value: The score; NaN where there is none.
        low: Lower limit of its confidence interval; NaN where there is none.
        high: Upper limit.

    Example:
        >>> from melanet.statistics import Score
        >>> Score(0.8, 0.7, 0.9).low
        0.7
    """

    value: float
    low: float
    high: float


def bootstrap_mean(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    repeats: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Score:
    """The mean of values, with the percentile interval of resampled groups.

    Args:
        values: One value per image.
        groups: What images belong together (a patient, a video, a block of slices): whole groups
            are drawn. Each image is a group of its own if None.
        repeats: Number of bootstrap samples.
        confidence: Confidence level of the interval, between 0 and 1.
        seed: Seed of the drawing.

    Raises:
        ValueError: If `confidence` is out of range.

    Example:
        >>> from melanet.statistics import bootstrap_mean
        >>> bootstrap_mean([0.5, 0.5, 0.5]).low
        0.5
    """
    _check_confidence(confidence)
    table = pd.Series(np.asarray(values, "float64"))
    by_group = table.groupby(np.arange(len(table)) if groups is None else np.asarray(groups))
    totals, counts = by_group.sum().to_numpy(), by_group.size().to_numpy()
    random = np.random.default_rng(seed)
    means = np.empty(repeats)
    for number in range(repeats):  # a matrix of all draws would not fit for thousands of images
        drawn = random.integers(len(totals), size=len(totals))
        means[number] = totals[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, [50 * (1 - confidence), 50 * (1 + confidence)])
    return Score(float(table.mean()), float(low), float(high))


def mcnemar_test(first_correct: ArrayLike, second_correct: ArrayLike) -> float:
    """McNemar's exact test of two conditions on the same samples.

    It asks whether samples that only one of them gets right are split evenly. On positive samples
    alone it compares sensitivities, on negative ones specificities.

    Args:
        first_correct: Booleans of shape `(samples,)`: whether the first condition is right.
        second_correct: The same of the second condition, for the same samples in the same order.

    Returns:
        The two-sided p-value; 1 if both are right on the same samples.

    Raises:
        ValueError: If the arrays are not 1-D, differ in shape, or hold more than 0 and 1.

    Example:
        >>> from melanet import mcnemar_test
        >>> mcnemar_test([1, 1, 1, 1, 0], [0, 0, 0, 0, 0])  # 4 to 0: 2 / 2**4
        0.125
    """
    first, second = np.asarray(first_correct), np.asarray(second_correct)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            f"The arrays must be 1-D, of the same shape. Received: {first.shape}, {second.shape}"
        )
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        raise ValueError("The arrays must hold booleans, or 0 and 1")
    only_first = int(((first == 1) & (second == 0)).sum())
    discordant = int((first != second).sum())
    return float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0


def delong_test(
    y_true: ArrayLike,
    first_score: ArrayLike,
    second_score: ArrayLike,
    confidence: float = 0.95,
) -> AUCDifference:
    """DeLong's test of the difference of two AUCs on the same samples (DeLong et al. 1988).

    Samples must be independent; with several images per patient, `bootstrap_auc_difference` is the
    right one.

    Args:
        y_true: Labels of shape `(samples,)`, 1 for positive and 0 for negative.
        first_score: Probabilities of the positive class by the first condition.
        second_score: The same by the second condition.
        confidence: Confidence level of the interval, between 0 and 1.

    Returns:
        The difference with its normal interval and p-value. All are NaN unless both classes have
        two samples or more; the p-value is NaN if the difference has no variance, and 1 if there is
        no difference either.

    Raises:
        ValueError: As in `melanet.sensitivity`, or if `confidence` is out of range.

    Example:
        >>> from melanet import delong_test
        >>> delong_test([1, 1, 0, 0], [0.9, 0.4, 0.2, 0.6], [0.9, 0.7, 0.2, 0.6]).difference
        -0.25
    """
    _check_confidence(confidence)
    labels, first = _check_samples(y_true, first_score)
    _, second = _check_samples(y_true, second_score)
    positive = labels == 1
    if min(positive.sum(), (~positive).sum()) < 2:
        return AUCDifference(*[float("nan")] * 4)
    pairs = zip(_placements(first, positive), _placements(second, positive), strict=True)
    over_positives, over_negatives = (a - b for a, b in pairs)
    difference = float(over_positives.mean())
    variance = sum(np.var(each, ddof=1) / len(each) for each in (over_positives, over_negatives))
    error = float(np.sqrt(variance))
    margin = stats.norm.ppf((1 + confidence) / 2) * error
    if error:
        p_value = float(2 * stats.norm.sf(abs(difference) / error))
    else:
        p_value = float("nan") if difference else 1.0
    return AUCDifference(difference, difference - margin, difference + margin, p_value)


def bootstrap_auc_difference(
    y_true: ArrayLike,
    first_score: ArrayLike,
    second_score: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    repeats: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> AUCDifference:
    """Bootstrap of the difference of two AUCs that draws whole patients.

    Args:
        y_true: Labels of shape `(samples,)`, 1 for positive and 0 for negative.
        first_score: Probabilities of the positive class by the first condition.
        second_score: The same by the second condition.
        groups: The patient of each sample; each sample is its own if None.
        repeats: Number of bootstrap samples. Those without both classes are left out.
        confidence: Confidence level of the interval, between 0 and 1.
        seed: Seed of the draws.

    Returns:
        The difference with its percentile interval and p-value; all NaN unless there are samples of
        both classes.

    Raises:
        ValueError: As in `melanet.sensitivity`, if `groups` has another length, or `repeats` or
            `confidence` is out of range.

    Example:
        >>> from melanet import bootstrap_auc_difference
        >>> scores = [0.9, 0.4, 0.2, 0.6], [0.9, 0.7, 0.2, 0.6]
        >>> bootstrap_auc_difference([1, 1, 0, 0], *scores, ["a", "b", "c", "d"]).difference
        -0.25
    """
    _check_confidence(confidence)
    if repeats < 1:
        raise ValueError(f"`repeats` must be 1 or more. Received: {repeats}")
    labels, first = _check_samples(y_true, first_score)
    _, second = _check_samples(y_true, second_score)
    patients = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if patients.shape != labels.shape:
        raise ValueError(f"`groups` must have the shape {labels.shape}. Received: {patients.shape}")
    _, patients = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(patients == patient) for patient in range(patients.max() + 1)]
    random = np.random.default_rng(seed)

    def compute(rows):
        positive = labels[rows] == 1
        if positive.all() or not positive.any():
            return float("nan")
        placements = [_placements(score[rows], positive)[0].mean() for score in (first, second)]
        return float(placements[0] - placements[1])

    drawn = random.integers(len(members), size=(repeats, len(members)))
    values = np.array([compute(np.concatenate([members[p] for p in row])) for row in drawn])
    difference, values = compute(np.arange(len(labels))), values[np.isfinite(values)]
    if not len(values) or np.isnan(difference):
        return AUCDifference(*[float("nan")] * 4)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    tail = min((values <= 0).sum(), (values >= 0).sum())
    p_value = min(1.0, 2 * (int(tail) + 1) / (len(values) + 1))
    return AUCDifference(difference, float(low), float(high), p_value)


def _placements(score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the negatives below each positive, and of the positives above each negative.

    Ties count half. The mean of either is the AUC.
    """
    ranks, (m, n) = stats.rankdata(score), (positive.sum(), (~positive).sum())
    above = (ranks[positive] - stats.rankdata(score[positive])) / n
    below = 1 - (ranks[~positive] - stats.rankdata(score[~positive])) / m
    return above, below


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must lie between 0 and 1. Received: {confidence}")
