"""Jaccard index and Dice coefficient, per image and then averaged (eq. 3.4 and 3.5)."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike


def jaccard(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    threshold: float = 0.5,
    *,
    average: str | None = "all",
) -> Any:
    """Jaccard index |G & P| / |G | P|, per image and class, then averaged (eq. 3.4).

    If the true and the predicted mask of an image are both empty, it scores 1; if only one of
    them is, it scores 0.

    Args:
        y_true: Masks, `(images, height, width, classes)`, 0 or 1: a foreground mask for one
            class, one-hot with the background for more.
        y_pred: Probabilities of the same shape. With one class, a pixel above `threshold` is
            foreground; with more, a pixel has its most probable class.
        threshold: Probability above which a pixel is foreground (one class only). 0.5 is the
            rounding of the released code.
        average: `"all"` for one float, the mean over images and classes; `"images"` for the
            mean over images, an array of shape `(classes,)`; None for `(images, classes)`.

    Returns:
        A float or a float32 array in [0, 1], as `average` says.

    Raises:
        ValueError: If the shapes differ or are not 4-D, there is no image, `y_true` has values
            other than 0 and 1, or `average` is unknown.

    Example:
        >>> import numpy as np
        >>> from sharpunet import jaccard
        >>> mask = np.array([1, 1, 1, 0], "float32").reshape(1, 2, 2, 1)
        >>> round(jaccard(mask, [[[[0.9], [0.8]], [[0.1], [0.1]]]]), 3)
        0.667
    """
    return _averaged(_jaccard, y_true, y_pred, threshold, average)


def dice(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    threshold: float = 0.5,
    *,
    average: str | None = "all",
) -> Any:
    """Dice coefficient 2 |G & P| / (|G| + |P|), per image and class, then averaged (eq. 3.5).

    Two empty masks score 1. See `jaccard` for arguments, returns and errors.

    Example:
        >>> import numpy as np
        >>> from sharpunet import dice
        >>> mask = np.array([1, 1, 1, 0], "float32").reshape(1, 2, 2, 1)
        >>> round(dice(mask, [[[[0.9], [0.8]], [[0.1], [0.1]]]]), 3)
        0.8
    """
    return _averaged(_dice, y_true, y_pred, threshold, average)


@keras.saving.register_keras_serializable("sharpunet")
class Jaccard(keras.metrics.MeanMetricWrapper):
    """Streaming `jaccard` for `Model.compile`, the same for any batch size.

    Args:
        threshold: See `jaccard`.
        name: Name of the metric.
        dtype: Type of its sums.

    Example:
        >>> import numpy as np
        >>> from sharpunet import Jaccard
        >>> float(Jaccard()(np.zeros((2, 8, 8, 1)), np.zeros((2, 8, 8, 1))))
        1.0
    """

    def __init__(self, threshold: float = 0.5, name: str = "jaccard", dtype: Any = None):
        super().__init__(_image_means(_jaccard, threshold), name=name, dtype=dtype)
        self.threshold = threshold

    def get_config(self):
        return _metric_config(self)


@keras.saving.register_keras_serializable("sharpunet")
class Dice(keras.metrics.MeanMetricWrapper):
    """Streaming `dice` for `Model.compile`, the same for any batch size.

    Args:
        threshold: See `dice`.
        name: Name of the metric.
        dtype: Type of its sums.

    Example:
        >>> import numpy as np
        >>> from sharpunet import Dice
        >>> float(Dice()(np.zeros((2, 8, 8, 1)), np.ones((2, 8, 8, 1))))
        0.0
    """

    def __init__(self, threshold: float = 0.5, name: str = "dice", dtype: Any = None):
        super().__init__(_image_means(_dice, threshold), name=name, dtype=dtype)
        self.threshold = threshold

    def get_config(self):
        return _metric_config(self)


def _metric_config(metric):
    return {"name": metric.name, "dtype": metric.dtype, "threshold": metric.threshold}


def _image_means(index, threshold):
    def image_means(y_true, y_pred):
        return ops.mean(index(y_true, y_pred, threshold), axis=-1)

    return image_means


def _averaged(index, y_true, y_pred, threshold, average):
    axes = {"all": (0, 1), "images": 0, None: ()}
    if average not in axes:
        raise ValueError(f'`average` must be "all", "images" or None. Received: {average!r}')
    y_true, y_pred = np.asarray(y_true, "float32"), np.asarray(y_pred, "float32")
    if y_true.shape != y_pred.shape or y_true.ndim != 4 or not len(y_true):
        raise ValueError(
            "`y_true` and `y_pred` must both be (images, height, width, classes), with one image "
            f"or more. Received shapes {y_true.shape} and {y_pred.shape}"
        )
    if not np.isin(y_true, (0, 1)).all():
        raise ValueError(
            "`y_true` must hold only 0 and 1; divide a mask of 0 and 255 by 255. "
            f"Received values from {y_true.min():g} to {y_true.max():g}"
        )
    scores = ops.convert_to_numpy(index(y_true, y_pred, threshold)).mean(axis=axes[average])
    return float(scores) if average == "all" else scores


def _jaccard(y_true, y_pred, threshold):
    both, in_true, in_predicted = _areas(y_true, y_pred, threshold)
    return _ratio(both, in_true + in_predicted - both)


def _dice(y_true, y_pred, threshold):
    both, in_true, in_predicted = _areas(y_true, y_pred, threshold)
    return _ratio(2 * both, in_true + in_predicted)


def _areas(y_true, y_pred, threshold):
    """Number of pixels in both masks, in the true and in the predicted: `(images, classes)`."""
    y_true = ops.cast(y_true, "float32")
    classes = y_pred.shape[-1]
    if classes == 1:
        predicted = ops.cast(y_pred > threshold, "float32")
    else:
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), classes, dtype="float32")
    pixels = (1, 2)
    both = ops.sum(y_true * predicted, axis=pixels)
    return both, ops.sum(y_true, axis=pixels), ops.sum(predicted, axis=pixels)


def _ratio(numerator, denominator):
    empty = denominator == 0
    return ops.where(empty, 1.0, numerator / ops.where(empty, 1.0, denominator))
