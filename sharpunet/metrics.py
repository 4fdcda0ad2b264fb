"""Jaccard index and Dice coefficient, per image and then averaged (eq. 3.4 and 3.5)."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

AVERAGES = ("macro", "micro")


def jaccard(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    threshold: float = 0.5,
    *,
    average: str | None = "macro",
    per_image: bool = False,
) -> Any:
    """Jaccard index |G & P| / |G | P|, per image and class, then averaged (eq. 3.4).

    If the true and the predicted mask of an image are both empty, it scores 1; if only one of
    them is, it scores 0.

    The thesis defines the mean over classes, `"macro"`. What its table 3.1 prints for COVID-19 CT
    is `"micro"`, by the author's code: one index over the pixels of all classes together,
    background included, which a large background dominates.

    Args:
        y_true: Masks, `(images, height, width, classes)` or, of volumes, `(volumes, depth, height,
            width, classes)`, 0 or 1: a foreground mask for one class, one-hot with the background
            for more.
        y_pred: Probabilities of the same shape. With one class, a pixel above `threshold` is
            foreground; with more, a pixel has its most probable class.
        threshold: Probability above which a pixel is foreground (one class only). 0.5 is the
            rounding of the released code.
        average: `"macro"` for the mean over the classes of an image, `"micro"` for one index over
            the pixels of all its classes, None for an index per image and class.
        per_image: Whether to return the score of each image instead of their mean.

    Returns:
        The mean over images as a float. With `per_image`, a float32 array, `(images,)`; with
        `average=None` always one, `(images, classes)`.

    Raises:
        ValueError: If the shapes differ or are not 4-D or 5-D, there is no image, `y_true` has
            values other than 0 and 1, `y_pred` has NaN, or `average` is unknown.

    Example:
        >>> import numpy as np
        >>> from sharpunet import jaccard
        >>> mask = np.array([1, 1, 1, 0], "float32").reshape(1, 2, 2, 1)
        >>> round(jaccard(mask, [[[[0.9], [0.8]], [[0.1], [0.1]]]]), 3)
        0.667
    """
    return _score(_jaccard, y_true, y_pred, threshold, average, per_image)


def dice(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    threshold: float = 0.5,
    *,
    average: str | None = "macro",
    per_image: bool = False,
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
    return _score(_dice, y_true, y_pred, threshold, average, per_image)


def best_constant_scores(y_true: ArrayLike, *, average: str = "macro") -> dict[str, float]:
    """Scores of the best prediction that gives every pixel of every image the same class.

    A model is only worth something above them. For one class, the constants are an empty and a full
    mask; for more, each of the classes.

    Args:
        y_true: See `jaccard`.
        average: `"macro"` or `"micro"`, see `jaccard`.

    Returns:
        The highest `jaccard` and the highest `dice`, by these names.

    Raises:
        ValueError: See `jaccard`.

    Example:
        >>> import numpy as np
        >>> from sharpunet.metrics import best_constant_scores
        >>> mask = np.array([1, 1, 1, 0], "float32").reshape(1, 2, 2, 1)
        >>> {name: round(score, 3) for name, score in best_constant_scores(mask).items()}
        {'jaccard': 0.75, 'dice': 0.857}
    """
    y_true = np.asarray(y_true, "float32")
    classes = y_true.shape[-1] if y_true.ndim else 1
    constants = [[0.0], [1.0]] if classes == 1 else np.eye(classes, dtype="float32")
    predictions = [np.broadcast_to(constant, y_true.shape) for constant in constants]
    return {
        index.__name__: max(index(y_true, y_pred, average=average) for y_pred in predictions)
        for index in (jaccard, dice)
    }


class _StreamingIndex(keras.metrics.MeanMetricWrapper):
    """Mean of an index over the images of all batches, weighted by `sample_weight`."""

    _index: Callable

    def __init__(self, threshold, average, name, dtype):
        if average not in AVERAGES:
            raise ValueError(f'`average` must be "macro" or "micro". Received: {average!r}')
        super().__init__(self._scores, name=name, dtype=dtype)
        self.threshold, self.average = threshold, average

    def _scores(self, y_true, y_pred):
        y_true, y_pred = as_masks(y_true, y_pred)
        y_true = ops.cast(y_true > 0.5, "float32")  # a mask of 0 and 255 too
        scores = self._index(y_true, y_pred, self.threshold, self.average)
        broken = ops.any(ops.isnan(y_pred), axis=tuple(range(1, len(y_pred.shape))))
        return ops.where(broken, float("nan"), scores)

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true, y_pred, image_weights(sample_weight))

    def get_config(self):
        names = ("name", "dtype", "threshold", "average")
        return {name: getattr(self, name) for name in names}


def _jaccard(y_true, y_pred, threshold, average):
    both, in_true, in_predicted = _areas(y_true, y_pred, threshold, average)
    return _averaged(_ratio(both, in_true + in_predicted - both), average)


def _dice(y_true, y_pred, threshold, average):
    both, in_true, in_predicted = _areas(y_true, y_pred, threshold, average)
    return _averaged(_ratio(2 * both, in_true + in_predicted), average)


@keras.saving.register_keras_serializable("sharpunet")
class Jaccard(_StreamingIndex):
    """Streaming `jaccard` for `Model.compile`, the same for any batch size.

    It checks shapes, but unlike `jaccard` it cannot check values: whatever in `y_true` is above 0.5
    counts as 1, and an image with a NaN in `y_pred` makes the result NaN.

    Args:
        threshold: See `jaccard`.
        average: `"macro"` or `"micro"`, see `jaccard`.
        name: Name of the metric.
        dtype: Type of its sums.

    Raises:
        ValueError: If `average` is unknown. While training: if the shapes are not those that
            `jaccard` takes, or `sample_weight` is not one weight per image.

    Example:
        >>> import numpy as np
        >>> from sharpunet import Jaccard
        >>> float(Jaccard()(np.zeros((2, 8, 8, 1)), np.zeros((2, 8, 8, 1))))
        1.0
    """

    _index = staticmethod(_jaccard)

    def __init__(
        self,
        threshold: float = 0.5,
        average: str = "macro",
        name: str = "jaccard",
        dtype: Any = None,
    ):
        super().__init__(threshold, average, name, dtype)


@keras.saving.register_keras_serializable("sharpunet")
class Dice(_StreamingIndex):
    """Streaming `dice` for `Model.compile`, the same for any batch size.

    See `Jaccard` for arguments, the treatment of odd values and errors.

    Example:
        >>> import numpy as np
        >>> from sharpunet import Dice
        >>> float(Dice()(np.zeros((2, 8, 8, 1)), np.ones((2, 8, 8, 1))))
        0.0
    """

    _index = staticmethod(_dice)

    def __init__(
        self, threshold: float = 0.5, average: str = "macro", name: str = "dice", dtype: Any = None
    ):
        super().__init__(threshold, average, name, dtype)


def as_masks(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Checks the shapes of tensors as far as they are known, and casts both to float32.

    Args:
        y_true: True masks.
        y_pred: Predicted masks.

    Raises:
        ValueError: If they are not both `(images, height, width, classes)`, or of volumes.

    Example:
        >>> import numpy as np
        >>> from sharpunet.metrics import as_masks
        >>> as_masks(np.zeros((2, 8, 8, 1), bool), np.zeros((2, 8, 8, 1)))[0].dtype.name
        'float32'
    """
    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    sides = list(zip(y_true.shape, y_pred.shape, strict=False))
    if not len(y_true.shape) == len(y_pred.shape) in _RANKS or any(
        None not in pair and pair[0] != pair[1] for pair in sides
    ):
        raise ValueError(
            f"{_SHAPES}; labels need one-hot encoding. "
            f"Received shapes {tuple(y_true.shape)} and {tuple(y_pred.shape)}"
        )
    return y_true, y_pred


def image_weights(sample_weight: Any) -> Any:
    """Checks that there is one weight per image, as far as the shape is known.

    Args:
        sample_weight: Weights, or None.

    Returns:
        Weights of shape `(images,)`, a single weight, or None.

    Raises:
        ValueError: If there are more weights per image.

    Example:
        >>> import numpy as np
        >>> from sharpunet.metrics import image_weights
        >>> tuple(image_weights(np.ones((4, 1))).shape)
        (4,)
    """
    if sample_weight is None:
        return None
    sample_weight = ops.convert_to_tensor(sample_weight)
    shape = tuple(sample_weight.shape)
    if any(side != 1 for side in shape[1:]):
        raise ValueError(f"`sample_weight` must be one weight per image. Received shape {shape}")
    return ops.reshape(sample_weight, (-1,)) if shape else sample_weight


_RANKS = (4, 5)
_SHAPES = (
    "`y_true` and `y_pred` must both be (images, height, width, classes), or (volumes, depth, "
    "height, width, classes)"
)


def _score(index, y_true, y_pred, threshold, average, per_image):
    if average not in (*AVERAGES, None):
        raise ValueError(f'`average` must be "macro", "micro" or None. Received: {average!r}')
    y_true, y_pred = np.asarray(y_true, "float32"), np.asarray(y_pred, "float32")
    if y_true.shape != y_pred.shape or y_true.ndim not in _RANKS or not len(y_true):
        raise ValueError(
            f"{_SHAPES}, with one image or more. Received shapes {y_true.shape} and {y_pred.shape}"
        )
    if not np.isin(y_true, (0, 1)).all():
        raise ValueError(
            "`y_true` must hold only 0 and 1; divide a mask of 0 and 255 by 255. "
            f"Received values from {y_true.min():g} to {y_true.max():g}"
        )
    if np.isnan(y_pred).any():
        raise ValueError("`y_pred` must hold probabilities. Received NaN")
    scores = ops.convert_to_numpy(index(y_true, y_pred, threshold, average))
    return scores if per_image or average is None else float(scores.mean())


def _areas(y_true, y_pred, threshold, average):
    """Pixels in both masks, in the true and in the predicted one, per image (and class)."""
    classes = y_pred.shape[-1]
    if classes == 1:
        predicted = ops.cast(y_pred > threshold, "float32")
    else:
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), classes, dtype="float32")
    spatial = tuple(range(1, len(y_true.shape) - 1))
    axes = (*spatial, -1) if average == "micro" else spatial
    both = ops.sum(y_true * predicted, axis=axes)
    return both, ops.sum(y_true, axis=axes), ops.sum(predicted, axis=axes)


def _ratio(numerator, denominator):
    empty = denominator == 0
    return ops.where(empty, 1.0, numerator / ops.where(empty, 1.0, denominator))


def _averaged(scores, average):
    return ops.mean(scores, axis=-1) if average == "macro" else scores
