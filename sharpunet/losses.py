"""Losses by name: the thesis's cross-entropy, and region and boundary losses (section 3.2.6)."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

# The module, because importing it first imports this one before its functions exist (see lazy).
from sharpunet import metrics


class _ImageLoss(keras.losses.Loss):
    """A loss of masks, whose `sample_weight` weighs images."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        weights = metrics.image_weights(sample_weight)
        if weights is not None:
            # For pixels, or for a mean over them.
            weights = ops.reshape(weights, (-1, *(1,) * (len(y_pred.shape) - 2)))
        return super().__call__(y_true, y_pred, weights)


@keras.saving.register_keras_serializable("sharpunet")
class CrossEntropy(_ImageLoss):
    """Binary cross-entropy for one class, categorical for more: the thesis's loss (section 3.2.6).

    As in all losses here, values of the true masks above 1 count as 1, and `sample_weight` is one
    weight per image.

    Args:
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    Raises:
        ValueError: When called, if the masks are not both `(images, height, width, classes)`, or
            there is more than one weight per image.

    Example:
        >>> import numpy as np
        >>> from sharpunet.losses import CrossEntropy
        >>> mask = np.ones((1, 8, 8, 1), "float32")
        >>> round(float(CrossEntropy()(mask, 0.5 * mask)), 3)  # log(2)
        0.693
    """

    def __init__(self, name: str = "cross_entropy", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        return _cross_entropy(*_as_targets(y_true, y_pred))


@keras.saving.register_keras_serializable("sharpunet")
class FocalTversky(keras.losses.Loss):
    """Focal Tversky loss, (1 - TI) ** gamma, of the whole batch (Abraham and Khan 2019).

    TI = TP / (TP + alpha FP + beta FN), over all pixels of a class, then averaged over classes; 1
    if there is nothing to find and nothing was found. Weights of images count in the sums: an image
    of weight 0 changes nothing.

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        gamma: 1 gives the Tversky loss; a smaller one stresses what is nearly right.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    Raises:
        ValueError: See `CrossEntropy`.

    Example:
        >>> import numpy as np
        >>> from sharpunet.losses import FocalTversky
        >>> mask = np.ones((1, 8, 8, 1), "float32")
        >>> round(float(FocalTversky(gamma=1)(mask, 0.5 * mask)), 3)  # 0.7 / (1 + 0.7)
        0.412
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 0.75,
        name: str = "focal_tversky",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Not Keras's, which would weigh the loss of the whole batch by each image's weight.
        return self.call(y_true, y_pred, metrics.image_weights(sample_weight))

    def call(self, y_true, y_pred, weights=None):
        y_true, y_pred = _as_targets(y_true, y_pred)
        weights = 1.0 if weights is None else ops.cast(weights, "float32")
        weights = ops.reshape(weights, (-1, *(1,) * (len(y_pred.shape) - 1)))
        pixels = tuple(range(len(y_pred.shape) - 1))
        true_positives = ops.sum(weights * y_true * y_pred, axis=pixels)
        false_positives = ops.sum(weights * (1 - y_true) * y_pred, axis=pixels)
        false_negatives = ops.sum(weights * y_true * (1 - y_pred), axis=pixels)
        wrong = self.alpha * false_positives + self.beta * false_negatives
        share = wrong / (true_positives + wrong + keras.config.epsilon())
        # The slope of the power is infinite at 0.
        right = share == 0
        return ops.mean(ops.where(right, 0.0, ops.where(right, 1.0, share) ** self.gamma))

    def get_config(self):
        own = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("sharpunet")
class Boundary(_ImageLoss):
    """Cross-entropy plus the boundary loss of Kervadec et al. (2019).

    The boundary loss is the mean of the predicted probability times the signed distance, in pixels,
    from the true outline: negative inside. Distances are Euclidean and cut off at `reach`. On its
    own it would favour an empty prediction of a small object, hence the cross-entropy.

    Args:
        weight: Weight of the boundary loss.
        reach: Longest distance, in pixels.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    Raises:
        ValueError: See `CrossEntropy`.

    Example:
        >>> import numpy as np
        >>> from sharpunet.losses import Boundary
        >>> near, far = np.zeros((2, 1, 8, 8, 1), "float32")
        >>> near[0, 3, 3], far[0, 7, 7] = 1, 1
        >>> mask = np.zeros((1, 8, 8, 1), "float32")
        >>> mask[0, 2:4, 1:3] = 1
        >>> bool(Boundary()(mask, near) < Boundary()(mask, far))
        True
    """

    def __init__(
        self, weight: float = 0.01, reach: int = 32, name: str = "boundary", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self.weight, self.reach = weight, reach

    def call(self, y_true, y_pred):
        y_true, y_pred = _as_targets(y_true, y_pred)
        distance = signed_distance(y_true, self.reach)
        # One value per image, so that several devices can share a batch.
        pixels = tuple(range(1, len(y_pred.shape) - 1))
        region = ops.mean(_cross_entropy(y_true, y_pred), axis=pixels, keepdims=True)
        outline = ops.mean(ops.mean(y_pred * distance, axis=-1), axis=pixels, keepdims=True)
        return region + self.weight * outline

    def get_config(self):
        return {**super().get_config(), "weight": self.weight, "reach": self.reach}


def signed_distance(masks: Any, reach: int) -> Any:
    """Distance of every pixel from the outline, in pixels, negative inside.

    It is measured to the nearest pixel on the other side, by centres.

    Args:
        masks: 0 or 1, `(batch, height, width, classes)`, or of volumes.
        reach: Longest distance; also the distance where a mask is empty or full.

    Returns:
        A float32 tensor of the shape of `masks`, from `-reach` to `reach`.

    Example:
        >>> import numpy as np
        >>> from sharpunet.losses import signed_distance
        >>> mask = np.array([0, 0, 1, 1, 1], "float32").reshape(1, 1, 5, 1)
        >>> np.asarray(signed_distance(mask, reach=9)).ravel().tolist()
        [2.0, 1.0, -1.0, -2.0, -3.0]
    """
    masks = ops.cast(masks, "float32")
    return _distance(1 - masks, reach) - _distance(masks, reach)


def _as_targets(y_true, y_pred):
    """Checks shapes and casts; a mask of 0 and 255 counts as one of 0 and 1."""
    y_true, y_pred = metrics.as_masks(y_true, y_pred)
    return ops.minimum(y_true, 1.0), y_pred


def _cross_entropy(y_true, y_pred):
    one = y_pred.shape[-1] == 1
    entropy = keras.losses.binary_crossentropy if one else keras.losses.categorical_crossentropy
    return entropy(y_true, y_pred)


def _distance(inside, reach):
    """Euclidean distance of each pixel of `inside` to the nearest one outside it; 0 outside."""
    squared = inside * float(reach**2)
    for axis in range(1, len(inside.shape) - 1):
        squared = _lower_envelope(squared, axis, reach)
    return ops.sqrt(squared)


def _lower_envelope(values, axis, reach):
    """Minimum of `values` + offset ** 2 over all offsets along an axis, one pass of two."""
    side = ops.shape(values)[axis]
    places = len(values.shape)
    padding = [(reach, reach) if place == axis else (0, 0) for place in range(places)]
    padded = ops.pad(values, padding, constant_values=float(reach**2))
    least = values
    for offset in range(-reach, reach + 1):
        window = [slice(None)] * places
        window[axis] = slice(reach + offset, reach + offset + side)
        least = ops.minimum(least, padded[tuple(window)] + offset**2)
    return least


#: Losses by name, as in `sharpunet.names`, each a function of the number of classes.
LOSSES: dict[str, Callable[[int], keras.losses.Loss]] = {
    "cross_entropy": lambda classes: CrossEntropy(),
    # Neither is Keras's: its Dice is 1 for two empty masks, and the weight that its Tversky has for
    # false positives falls on false negatives.
    "dice": lambda classes: FocalTversky(alpha=0.5, beta=0.5, gamma=1, name="dice"),
    "tversky": lambda classes: FocalTversky(gamma=1, name="tversky"),
    "focal_tversky": lambda classes: FocalTversky(),
    "boundary": lambda classes: Boundary(),
}
