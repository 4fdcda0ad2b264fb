"""Metrics of several classes: each against the rest, their mean, and the confusion matrix.

A sample is called the class of its highest probability; a tie is the first of them. One class
against the rest is the two-class task of section 2.3.4, with the class as the positive one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from melanet import metrics
from melanet.statistics import exact_interval


def accuracy(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Share of the samples that are called their own class.

    Args:
        y_true: Number of each sample's class, from 0, `(samples,)`.
        y_score: Probabilities, `(samples, classes)`.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: If the shapes do not fit, there are no samples or fewer than two classes, a
            class is not among the columns, or a score is not in [0, 1].

    Example:
        >>> from melanet.multiclass import accuracy
        >>> accuracy([0, 1, 2, 2], [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0, 0, 1], [0.9, 0, 0.1]])
        0.75
    """
    y_true, y_score = _check(y_true, y_score)
    return float((y_score.argmax(axis=1) == y_true).mean())


def macro_sensitivity(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean of the sensitivities of all classes, which is the balanced accuracy.

    See `accuracy` for arguments and errors.

    Returns:
        A float in [0, 1]; NaN if a class has no sample.

    Example:
        >>> from melanet import macro_sensitivity
        >>> macro_sensitivity([0, 0, 1, 1], [[1, 0], [0, 1], [0, 1], [0, 1]])
        0.75
    """
    return _macro(_called(metrics.sensitivity), y_true, y_score)


def macro_f_score(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean of the F-scores of all classes.

    See `accuracy` for arguments and errors.

    Returns:
        A float in [0, 1]; NaN if a class has no sample.

    Example:
        >>> from melanet import macro_f_score
        >>> round(macro_f_score([0, 0, 1, 1], [[1, 0], [0, 1], [0, 1], [0, 1]]), 4)  # 2/3 and 4/5
        0.7333
    """
    return _macro(_called(metrics.f_score), y_true, y_score)


def macro_auc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Mean of the areas under the ROC curves of each class against the rest.

    See `accuracy` for arguments and errors.

    Returns:
        A float in [0, 1]; NaN if a class has no sample, or all samples.

    Example:
        >>> from melanet import macro_auc
        >>> macro_auc([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.2, 0.8]])
        0.75
    """
    return _macro(_scored(metrics.auc), y_true, y_score)


def class_metrics(
    y_true: ArrayLike, y_score: ArrayLike, labels: Sequence[str] | None = None
) -> pd.DataFrame:
    """Metrics of each class against the rest.

    See `accuracy` for the other arguments and errors.

    Args:
        labels: Names of the classes; their numbers if None.

    Returns:
        One row per class, by its name: `samples`, `sensitivity` with its exact 95% interval
        (`sensitivity_low`, `sensitivity_high`), `specificity`, `f_score` and `auc`; NaN where they
        are not defined.

    Example:
        >>> from melanet import class_metrics
        >>> scores = [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0, 0, 1], [0.9, 0, 0.1]]
        >>> class_metrics([0, 1, 2, 2], scores, ["a", "b", "c"])["sensitivity"].to_dict()
        {'a': 1.0, 'b': 1.0, 'c': 0.5}
    """
    y_true, y_score = _check(y_true, y_score)
    counts = confusion(y_true, y_score)
    _, low, high = confusion_shares(counts)
    numbers = range(y_score.shape[1])
    columns = {
        "samples": counts.sum(axis=1),
        "sensitivity": [_called(metrics.sensitivity)(y_true, y_score, n) for n in numbers],
        "sensitivity_low": low.diagonal(),
        "sensitivity_high": high.diagonal(),
        "specificity": [_called(metrics.specificity)(y_true, y_score, n) for n in numbers],
        "f_score": [_called(metrics.f_score)(y_true, y_score, n) for n in numbers],
        "auc": [_scored(metrics.auc)(y_true, y_score, n) for n in numbers],
    }
    return pd.DataFrame(columns, index=pd.Index(labels or numbers, name="class"))


def confusion(y_true: ArrayLike, y_score: ArrayLike) -> np.ndarray:
    """The confusion matrix: how many samples of each class are called each class.

    See `accuracy` for arguments and errors.

    Returns:
        Integers, `(classes, classes)`: a row per true class, a column per called one.

    Example:
        >>> from melanet import confusion
        >>> confusion([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]).tolist()
        [[1, 1], [0, 1]]
    """
    y_true, y_score = _check(y_true, y_score)
    classes = y_score.shape[1]
    pairs = y_true * classes + y_score.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def confusion_shares(counts: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of a confusion matrix's rows, with exact 95% intervals (Clopper-Pearson).

    Args:
        counts: As returned by `confusion`.

    Returns:
        Share, lower and upper limit, each `(classes, classes)`. A class without samples has a
        share of NaN, between 0 and 1.

    Example:
        >>> from melanet import confusion_shares
        >>> share, low, high = confusion_shares([[9, 1], [0, 10]])
        >>> share.tolist(), round(float(low[1, 1]), 3)
        ([[0.9, 0.1], [0.0, 1.0]], 0.692)
    """
    counts = np.asarray(counts)
    totals = counts.sum(axis=1)
    limits = np.array(
        [
            [exact_interval(int(count), int(total)) for count in row]
            for row, total in zip(counts, totals, strict=True)
        ]
    )
    with np.errstate(invalid="ignore"):
        share = counts / totals[:, None]
    return share, limits[..., 0], limits[..., 1]


_Of = Callable[[np.ndarray, np.ndarray, int], float]


def _called(metric: Callable[..., float]) -> _Of:
    """A metric of the samples that are called a class, and that are of it."""
    return lambda true, score, n: metric(true == n, 1.0 * (score.argmax(axis=1) == n))


def _scored(metric: Callable[..., float]) -> _Of:
    """A metric of the probability of a class, and the samples that are of it."""
    return lambda true, score, n: metric(true == n, score[:, n])


def _macro(of_class: _Of, y_true: ArrayLike, y_score: ArrayLike) -> float:
    y_true, y_score = _check(y_true, y_score)
    return float(np.mean([of_class(y_true, y_score, n) for n in range(y_score.shape[1])]))


def _check(y_true: ArrayLike, y_score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y_true, y_score = np.asarray(y_true), np.asarray(y_score, "float64")
    if y_score.ndim != 2 or y_true.shape != y_score.shape[:1] or not len(y_true):
        raise ValueError(
            "`y_true` must be (samples,) and `y_score` (samples, classes), one sample or more. "
            f"Received: {y_true.shape}, {y_score.shape}"
        )
    classes = y_score.shape[1]
    if classes < 2 or not np.isin(y_true, np.arange(classes)).all():
        raise ValueError(
            f"`y_true` must be numbers of the columns of `y_score`, two or more: 0 to "
            f"{classes - 1}. Received: {np.unique(y_true)[:5]}"
        )
    if not ((y_score >= 0) & (y_score <= 1)).all():
        raise ValueError("`y_score` must be probabilities in [0, 1]; some are not")
    return y_true.astype(int), y_score
