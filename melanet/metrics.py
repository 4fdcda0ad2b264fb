"""Metrics of chapter 2 for a positive class, on labels and probabilities (section 2.3.4)."""

import warnings

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score


def sensitivity(y_true, y_score, threshold=0.5) -> float:
    """Part of the positive samples that are found, TP / (TP + FN) (eq. 2.9).

    Args:
        y_true: Labels, 1 for positive and 0 for negative, of shape `(samples,)`.
        y_score: Probability of the positive class, of the same shape.
        threshold: A sample is called positive at this probability or above. With 0.5 this is
            the larger of two softmax columns, a tie being positive.

    Returns:
        A float in [0, 1]; NaN without a positive sample.

    Raises:
        ValueError: If the shapes differ, are not 1-D or empty, a label is neither 0 nor 1, or a
            score is not in [0, 1].
    """
    _, _, missed, found = _counts(y_true, y_score, threshold)
    return _ratio(found, found + missed)


def specificity(y_true, y_score, threshold=0.5) -> float:
    """Part of the negative samples that are cleared, TN / (TN + FP); NaN without one.

    Arguments and what is raised are those of `sensitivity`.
    """
    cleared, accused, _, _ = _counts(y_true, y_score, threshold)
    return _ratio(cleared, cleared + accused)


def false_negatives(y_true, y_score, threshold=0.5) -> int:
    """Number of positive samples that are missed. Arguments are those of `sensitivity`."""
    return _counts(y_true, y_score, threshold)[2]


def negative_predictive_value(y_true, y_score, threshold=0.5) -> float:
    """Part of the samples called negative that are, TN / (TN + FN); NaN if none is called so.

    This is what table 2.1 prints as "sensitivity". Arguments are those of `sensitivity`.
    """
    cleared, _, missed, _ = _counts(y_true, y_score, threshold)
    return _ratio(cleared, cleared + missed)


def f_score(y_true, y_score, threshold=0.5) -> float:
    """Harmonic mean of sensitivity and precision; 0 if nothing is found, NaN without a positive.

    Arguments and what is raised are those of `sensitivity`.
    """
    y_true, y_score = _checked(y_true, y_score)
    if not y_true.any():
        return float("nan")
    return float(f1_score(y_true, y_score >= threshold, zero_division=0))


def auc(y_true, y_score) -> float:
    """Area under the ROC curve; NaN without a sample of each class.

    Arguments and what is raised are those of `sensitivity`.
    """
    y_true, y_score = _checked(y_true, y_score)
    if len(np.unique(y_true)) < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return float(roc_auc_score(y_true, y_score))


def skew(y_true) -> float:
    """Negative samples a positive one (eq. 2.8): 1 is balanced, more a negative majority.

    Args:
        y_true: Labels, 1 for positive and 0 for negative.

    Returns:
        A float; infinity without a positive sample.

    Raises:
        ValueError: If there is no sample, or a label is neither 0 nor 1.
    """
    y_true = _checked_labels(y_true)
    positives = int(y_true.sum())
    return (len(y_true) - positives) / positives if positives else float("inf")


def _counts(y_true, y_score, threshold) -> tuple[int, int, int, int]:
    """True negatives, false positives, false negatives, true positives."""
    y_true, y_score = _checked(y_true, y_score)
    table = confusion_matrix(y_true, y_score >= threshold, labels=[0, 1])
    true_negative, false_positive, false_negative, true_positive = map(int, table.ravel())
    return true_negative, false_positive, false_negative, true_positive


def _checked(y_true, y_score):
    y_true, y_score = _checked_labels(y_true), np.asarray(y_score, "float64")
    if y_true.shape != y_score.shape:
        raise ValueError(
            f"`y_true` and `y_score` must have one shape. Received: {y_true.shape}, {y_score.shape}"
        )
    if not ((y_score >= 0) & (y_score <= 1)).all():
        raise ValueError("`y_score` must be probabilities in [0, 1]; some are not")
    return y_true, y_score


def _checked_labels(y_true):
    y_true = np.asarray(y_true)
    if y_true.ndim != 1 or not len(y_true):
        raise ValueError(
            f"`y_true` must be 1-D, with a sample or more. Received shape {y_true.shape}"
        )
    if not np.isin(y_true, (0, 1)).all():
        raise ValueError(f"`y_true` must hold 0 and 1 only. Received: {np.unique(y_true)[:5]}")
    return y_true.astype(int)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
