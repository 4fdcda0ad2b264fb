"""Losses by name: the default of section 3.2.6, and others of the kinds that it names beside it."""

from collections.abc import Callable

import keras
from keras import ops


def cross_entropy(classes: int) -> keras.losses.Loss:
    """Binary cross-entropy for one class, categorical for more: the thesis's loss."""
    if classes == 1:
        return keras.losses.BinaryCrossentropy()
    return keras.losses.CategoricalCrossentropy()


@keras.saving.register_keras_serializable("sharpunet")
class FocalTversky(keras.losses.Loss):
    """Focal Tversky loss, (1 - TI) ** gamma, of the whole batch (Abraham and Khan 2019).

    TI = TP / (TP + alpha FP + beta FN), over all pixels of a class, then averaged over classes.

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        gamma: 1 gives the Tversky loss; less puts weight on what is nearly right.
    """

    def __init__(self, alpha=0.3, beta=0.7, gamma=0.75, name="focal_tversky", **kwargs):
        super().__init__(name=name, **kwargs)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def call(self, y_true, y_pred):
        y_true = ops.cast(y_true, y_pred.dtype)
        pixels = (0, 1, 2)
        hits = ops.sum(y_true * y_pred, axis=pixels)
        false_positives = ops.sum((1 - y_true) * y_pred, axis=pixels)
        misses = ops.sum(y_true * (1 - y_pred), axis=pixels)
        wrong = self.alpha * false_positives + self.beta * misses
        # Epsilon, because the power's slope has no end at 0.
        share = (wrong + keras.config.epsilon()) / (hits + wrong + keras.config.epsilon())
        return ops.mean(share**self.gamma)

    def get_config(self):
        own = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("sharpunet")
class Boundary(keras.losses.Loss):
    """Cross-entropy plus the boundary loss of Kervadec et al. (2019).

    The boundary loss is the mean of the predicted probability times the signed distance, in pixels,
    from the true outline: negative inside. Distances are Euclidean, and cut off at `reach`, beyond
    which a pixel is as wrong as any; alone, the loss would also be least for an empty prediction of
    a small object, so that cross-entropy goes with it.

    Args:
        weight: Weight of the boundary loss.
        reach: Longest distance, in pixels.
    """

    def __init__(self, weight=0.01, reach=32, name="boundary", **kwargs):
        super().__init__(name=name, **kwargs)
        self.weight, self.reach = weight, reach

    def call(self, y_true, y_pred):
        y_true = ops.cast(y_true, y_pred.dtype)
        one = y_pred.shape[-1] == 1
        entropy = keras.losses.binary_crossentropy if one else keras.losses.categorical_crossentropy
        # A value an image: several devices can share a batch.
        region = ops.mean(entropy(y_true, y_pred), axis=(1, 2))
        distance = signed_distance(y_true, self.reach)
        return region + self.weight * ops.mean(y_pred * distance, axis=(1, 2, 3))

    def get_config(self):
        return {**super().get_config(), "weight": self.weight, "reach": self.reach}


def signed_distance(masks, reach: int):
    """Distance of every pixel to the other side of the outline, in pixels, negative inside.

    Args:
        masks: 0 or 1, `(batch, height, width, classes)`.
        reach: Distances beyond it are cut off; so it is where a mask has one side only.

    Returns:
        Of the shape of `masks`, from `-reach` to `reach`.
    """
    masks = ops.cast(masks, "float32")
    return _distance(1 - masks, reach) - _distance(masks, reach)


def _distance(inside, reach):
    """Euclidean distance from each pixel of `inside` to the nearest outside it; 0 outside."""
    squared = inside * float(reach**2)
    for axis in (1, 2):
        squared = _lower_envelope(squared, axis, reach)
    return ops.sqrt(squared)


def _lower_envelope(values, axis, reach):
    """The least of `values` + offset ** 2 over all offsets along an axis: a pass of two."""
    side = ops.shape(values)[axis]
    padding = [(reach, reach) if place == axis else (0, 0) for place in range(4)]
    padded = ops.pad(values, padding, constant_values=float(reach**2))
    least = values
    for offset in range(-reach, reach + 1):
        window = [slice(None)] * 4
        window[axis] = slice(reach + offset, reach + offset + side)
        least = ops.minimum(least, padded[tuple(window)] + offset**2)
    return least


#: Those that are no mean over the images of a batch: devices that share one cannot have them.
OF_WHOLE_BATCH = ("dice", "tversky", "focal_tversky")
#: Losses by name, each from the number of classes.
LOSSES: dict[str, Callable[[int], keras.losses.Loss]] = {
    "cross_entropy": cross_entropy,
    "dice": lambda classes: keras.losses.Dice(axis=(0, 1, 2)),
    # Not Keras's: of its two weights, the one documented for false positives falls on misses.
    "tversky": lambda classes: FocalTversky(gamma=1, name="tversky"),
    "focal_tversky": lambda classes: FocalTversky(),
    "boundary": lambda classes: Boundary(),
}
