"""Metrics of chapter 2, on labels and probabilities of the positive class (section 2.3.4)."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score


def sensitivity(y_true: ArrayLike, y_score: ArrayLike, threshold: float = 0.5) -> float:
    """Share of the positive samples that are found, TP / (TP + FN) (eq. 2.9).

    Args:
        y_true: Labels of shape `(samples,)`, 1 for positive and 0 for negative.
        y_score: Probabilities of the positive class, of the same shape.
        threshold: Samples are called positive at this probability or above. At 0.5 that is the
            larger of two softmax columns; a tie is positive.

    Returns:
        A float in [0, 1]; NaN if there are no positive samples.

    Raises:
        ValueError: If the shapes differ or are not 1-D, there are no samples, a label is neither
            0 nor 1, or a score is not in [0, 1].

    Example:
        >>> from melanet import sensitivity
        >>> sensitivity([1, 1, 0, 0], [0.9, 0.4, 0.2, 0.6])
        0.5
    """
    _, _, fn, tp = _confusion(y_true, y_score, threshold)
    return _ratio(tp, tp + fn)


def specificity(y_true: ArrayLike, y_score: ArrayLike, threshold: float = 0.5) -> float:
    """Share of the negative samples that are called negative, TN / (TN + FP).

    See `sensitivity` for arguments and errors.

    Returns:
        A float in [0, 1]; NaN if there are no negative samples.

    Example:
        >>> from melanet import specificity
        >>> specificity([1, 1, 0, 0], [0.9, 0.4, 0.2, 0.6])
        0.5
    """
    tn, fp, _, _ = _confusion(y_true, y_score, threshold)
    return _ratio(tn, tn + fp)


def false_negatives(y_true: ArrayLike, y_score: ArrayLike, threshold: float = 0.5) -> int:
    """Number of positive samples that are missed.

    See `sensitivity` for arguments and errors.

    Example:
        >>> from melanet import false_negatives
        >>> false_negatives([1, 1, 0, 0], [0.9, 0.4, 0.2, 0.6])
        1
    """
    return _confusion(y_true, y_score, threshold)[2]


def negative_predictive_value(
    y_true: ArrayLike, y_score: ArrayLike, threshold: float = 0.5
) -> float:
    """Share of the samples called negative that are negative, TN / (TN + FN).

    This is what table 2.1 prints as "sensitivity". See `sensitivity` for arguments and errors.

    Returns:
        A float in [0, 1]; NaN if no sample is called negative.

    Example:
        >>> from melanet import negative_predictive_value
        >>> negative_predictive_value([1, 1, 0, 0], [0.9, 0.4, 0.2, 0.6])
        0.5
    """
    tn, _, fn, _ = _confusion(y_true, y_score, threshold)
    return _ratio(tn, tn + fn)


def f_score(y_true: ArrayLike, y_score: ArrayLike, threshold: float = 0.5) -> float:
    """Harmonic mean of sensitivity and precision.

    See `sensitivity` for arguments and errors.

    Returns:
        A float in [0, 1], 0 if no positive sample is found; NaN if there are none.

    Example:
        >>> from melanet import f_score
        >>> f_score([1, 1, 0, 0], [0.9, 0.4, 0.2, 0.6])
        0.5
    """
    y_true, y_score = _check_samples(y_true, y_score)
    if not y_true.any():
        return float("nan")
    return float(f1_score(y_true, y_score >= threshold, zero_division=0))


def auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Area under the ROC curve.

    See `sensitivity` for arguments and errors.

    Returns:
        A float in [0, 1]; NaN unless there are samples of both classes.

    Example:
        >>> from melanet import auc
        >>> auc([1, 1, 0, 0], [0.9, 0.4, 0.2, 0.6])
        0.75
    """
    y_true, y_score = _check_samples(y_true, y_score)
    if len(np.unique(y_true)) < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return float(roc_auc_score(y_true, y_score))


def skew(y_true: ArrayLike) -> float:
    """Negative samples per positive sample (eq. 2.8); 1 is balanced.

    Args:
        y_true: Labels of shape `(samples,)`, 1 for positive and 0 for negative.

    Returns:
        A float, 0 or more; infinity if there are no positive samples.

    Raises:
        ValueError: If there are no samples, or a label is neither 0 nor 1.

    Example:
        >>> from melanet import skew
        >>> skew([1, 0, 0, 0])
        3.0
    """
    y_true = _check_labels(y_true)
    positives = int(y_true.sum())
    return (len(y_true) - positives) / positives if positives else float("inf")


def brier_score(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean squared difference of a probability and what happened, 0 at best.

    See `sensitivity` for arguments and errors.

    Returns:
        A float in [0, 1].

    Example:
        >>> from melanet import brier_score
        >>> round(brier_score([1, 0], [0.8, 0.4]), 6)  # (0.04 + 0.16) / 2
        0.1
    """
    y_true, y_score = _check_samples(y_true, y_score)
    return float(np.mean((y_score - y_true) ** 2))


def reliability(
    y_true: ArrayLike, y_score: ArrayLike, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a reliability diagram shows: scores in bins of equal width, and what happened there.

    See `sensitivity` for the other arguments and errors.

    Args:
        bins: Number of bins in [0, 1]. A score on a border belongs to the bin above it.

    Returns:
        Of each bin that has samples: their mean score, the share of positives among them, and
        their number.

    Raises:
        ValueError: If `bins` is below 1, or as in `sensitivity`.

    Example:
        >>> from melanet import reliability
        >>> scores, shares, counts = reliability([1, 0, 1], [0.1, 0.3, 0.9], bins=2)
        >>> scores.tolist(), shares.tolist(), counts.tolist()
        ([0.2, 0.9], [0.5, 1.0], [2, 1])
    """
    if bins < 1:
        raise ValueError(f"`bins` must be 1 or more. Received: {bins}")
    y_true, y_score = _check_samples(y_true, y_score)
    places = np.minimum((y_score * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    filled = counts > 0
    sums = [np.bincount(places, values, bins)[filled] for values in (y_score, y_true)]
    return sums[0] / counts[filled], sums[1] / counts[filled], counts[filled]


def expected_calibration_error(y_true: ArrayLike, y_score: ArrayLike, bins: int = 10) -> float:
    """Mean distance of the scores in a bin from the share of positives among them.

    Bins are weighted by their samples: sum of n_b / n |mean score - share of positives| (Naeini et
    al. 2015). The score is the probability of the positive class. See `reliability` for arguments
    and errors.

    Returns:
        A float in [0, 1], 0 if the scores are calibrated.

    Example:
        >>> from melanet import expected_calibration_error
        >>> round(expected_calibration_error([1, 0, 1], [0.1, 0.3, 0.9], bins=2), 6)
        0.233333
    """
    scores, shares, counts = reliability(y_true, y_score, bins)
    return float(np.average(np.abs(scores - shares), weights=counts))


def youden_threshold(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """The threshold with the highest sum of sensitivity and specificity (Youden 1950).

    Choose it on validation samples: on those that are tested, it flatters. It lies midway between
    two scores; of equally good ones it is the nearest to 0.5. See `sensitivity` for arguments and
    errors.

    Returns:
        A float in [0, 1]; 0.5 if all scores are equal; NaN unless both classes have samples.

    Example:
        >>> from melanet import youden_threshold
        >>> youden_threshold([1, 1, 0, 0], [0.75, 0.5, 0.25, 0.125])
        0.375
    """
    y_true, y_score = _check_samples(y_true, y_score)
    positives, negatives = (np.sort(y_score[y_true == label]) for label in (1, 0))
    if not len(positives) or not len(negatives):
        return float("nan")
    values = np.unique(y_score)
    if len(values) < 2:
        return 0.5
    candidates = (values[1:] + values[:-1]) / 2
    missed = np.searchsorted(positives, candidates) / len(positives)
    index = np.searchsorted(negatives, candidates) / len(negatives) - missed
    best = candidates[np.isclose(index, index.max(), rtol=0, atol=1e-12)]
    return float(min(best, key=lambda threshold: abs(threshold - 0.5)))


def _confusion(
    y_true: ArrayLike, y_score: ArrayLike, threshold: float
) -> tuple[int, int, int, int]:
    y_true, y_score = _check_samples(y_true, y_score)
    tn, fp, fn, tp = confusion_matrix(y_true, y_score >= threshold, labels=[0, 1]).ravel().tolist()
    return tn, fp, fn, tp


def _check_samples(y_true: ArrayLike, y_score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y_true, y_score = _check_labels(y_true), np.asarray(y_score, "float64")
    if y_true.shape != y_score.shape:
        raise ValueError(
            "`y_true` and `y_score` must have the same shape. "
            f"Received: {y_true.shape}, {y_score.shape}"
        )
    if not ((y_score >= 0) & (y_score <= 1)).all():
        raise ValueError("`y_score` must be probabilities in [0, 1]; some are not")
    return y_true, y_score


def _check_labels(y_true: ArrayLike) -> np.ndarray:
    y_true = np.asarray(y_true)
    if y_true.ndim != 1 or not len(y_true):
        raise ValueError(
            f"`y_true` must be 1-D and hold at least one sample. Received shape {y_true.shape}"
        )
    if not np.isin(y_true, (0, 1)).all():
        raise ValueError(f"`y_true` must hold 0 and 1 only. Received: {np.unique(y_true)[:5]}")
    return y_true.astype(int)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
