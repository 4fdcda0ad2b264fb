"""The losses of chapter 2: adversarial (eq. 2.2, 2.3), cycle (eq. 2.4) and focal (eq. 2.6)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

#: Adversarial losses: the thesis's log loss, and the squared error of the released code.
ADVERSARIAL_LOSSES = ("log", "least_squares")


def discriminator_loss(
    real_logits: Any = None, fake_logits: Any = None, variant: str = "log"
) -> Any:
    """Loss of a discriminator: the negative of eq. 2.2 (or 2.3).

    `"log"` is the mean of -log D(real) plus the mean of -log(1 - D(fake)), where D is the sigmoid
    of a logit. `"least_squares"` is the mean of (real - 1)² plus the mean of fake².

    Args:
        real_logits: Scores of the patches of real images, a tensor of any shape; None leaves out
            their half of the loss.
        fake_logits: Scores of the patches of translated images, likewise.
        variant: A name in `ADVERSARIAL_LOSSES`.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: If `variant` is unknown.

    Example:
        >>> import numpy as np
        >>> from melanet.losses import discriminator_loss
        >>> round(float(discriminator_loss(np.zeros(4), np.zeros(4))), 3)  # undecided: 2 log 2
        1.386
    """
    halves = []
    if real_logits is not None:
        halves.append(generator_loss(real_logits, variant))
    if fake_logits is not None:
        fake = ops.cast(fake_logits, "float32")
        log = validate_variant(variant) == "log"
        halves.append(ops.mean(ops.softplus(fake) if log else ops.square(fake)))
    return sum(halves)


def generator_loss(fake_logits: Any, variant: str = "log") -> Any:
    """Adversarial loss of a generator: the discriminator's loss if the images were real.

    `"log"` is the mean of -log D(fake). Eq. 2.5 minimises log(1 - D(fake)) instead; both are least
    where D(fake) is 1, but only this one has a gradient while the discriminator wins (Goodfellow
    et al. 2014, section 3). `"least_squares"` is the mean of (fake - 1)².

    Args:
        fake_logits: The discriminator's scores of the patches of translated images.
        variant: A name in `ADVERSARIAL_LOSSES`.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: If `variant` is unknown.

    Example:
        >>> import numpy as np
        >>> from melanet.losses import generator_loss
        >>> float(generator_loss(np.full(4, 3.0), "least_squares"))
        4.0
    """
    fake = ops.cast(fake_logits, "float32")
    if validate_variant(variant) == "log":
        return ops.mean(ops.softplus(-fake))
    return ops.mean(ops.square(fake - 1))


def cycle_loss(images: Any, reconstructed: Any) -> Any:
    """Mean absolute difference of two batches (eq. 2.4, its norm divided by the number of values).

    Args:
        images: A tensor of any shape.
        reconstructed: The same images after a translation there and back.

    Returns:
        A float32 scalar.

    Example:
        >>> import numpy as np
        >>> from melanet.losses import cycle_loss
        >>> float(cycle_loss(np.zeros((1, 8, 8, 3)), np.full((1, 8, 8, 3), 0.5)))
        0.5
    """
    difference = ops.cast(images, "float32") - ops.cast(reconstructed, "float32")
    return ops.mean(ops.absolute(difference))


def class_loss(labels: Any, logits: Any) -> Any:
    """Mean cross-entropy of classes that a discriminator sees (Choi et al. 2018, eq. 2 and 3).

    Args:
        labels: One-hot, `(batch, classes)`.
        logits: Of the same shape.

    Returns:
        A float32 scalar.

    Example:
        >>> import numpy as np
        >>> from melanet.losses import class_loss
        >>> round(float(class_loss(np.eye(4), np.zeros((4, 4)))), 3)  # undecided: log 4
        1.386
    """
    labels, logits = (ops.cast(each, "float32") for each in (labels, logits))
    return ops.mean(ops.categorical_crossentropy(labels, logits, from_logits=True))


def validate_variant(variant: str) -> str:
    """Checks the name of an adversarial loss.

    Args:
        variant: A name in `ADVERSARIAL_LOSSES`.

    Returns:
        The same name.

    Raises:
        ValueError: If it is unknown.

    Example:
        >>> from melanet.losses import validate_variant
        >>> validate_variant("log")
        'log'
    """
    if variant not in ADVERSARIAL_LOSSES:
        raise ValueError(
            f"The adversarial loss must be one of {', '.join(ADVERSARIAL_LOSSES)}. "
            f"Received: {variant!r}"
        )
    return variant


def focal_loss(
    alpha: float | Sequence[float] = 0.25, gamma: float = 2.0, variant: str = "thesis"
) -> keras.losses.Loss:
    """Focal loss of softmax columns: of negative and positive, or of any number of classes.

    `"thesis"` is eq. 2.6: -α_t (1 - p_t)^γ log(p_t), where α_t is `alpha` for positive samples and
    `1 - alpha` for negative ones, or the `alpha` of a sample's class. `"released"` is what the
    author's code computes for two classes: the binary form of eq. 2.6 on each column, then the sum
    of both. One column of a sample is positive and the other negative, so every sample weighs
    α + (1 - α) = 1 and `alpha` has no effect.

    Args:
        alpha: Weight of the positive class, in [0, 1], or a weight per class.
        gamma: Focusing parameter, 0 or more; with 0 the loss is a weighted cross-entropy.
        variant: `"thesis"` or `"released"`.

    Returns:
        A loss of `(y_true, y_pred)`, both `(batch, classes)`: one-hot labels and softmax
        probabilities; two classes, unless `alpha` has more weights.

    Raises:
        ValueError: If an argument is out of range, or `"released"` gets a weight per class.

    Example:
        >>> import numpy as np
        >>> from melanet import focal_loss
        >>> loss = focal_loss()(np.array([[0.0, 1.0]]), np.array([[0.2, 0.8]]))
        >>> round(float(loss), 5)  # -0.25 * 0.2**2 * log(0.8)
        0.00223
        >>> of_three = focal_loss(alpha=[0.2, 0.3, 0.5])
        >>> loss = of_three(np.array([[0.0, 0.0, 1.0]]), np.array([[0.1, 0.1, 0.8]]))
        >>> round(float(loss), 5)  # -0.5 * 0.2**2 * log(0.8)
        0.00446
    """
    weights = np.atleast_1d(np.asarray(alpha, float)).tolist()
    if single := np.ndim(alpha) == 0:
        weights = [1 - weights[0], weights[0]]
    if len(weights) < 2 or not all(0 <= weight <= 1 for weight in weights) or not gamma >= 0:
        raise ValueError(
            "`alpha` must lie in [0, 1], or be such a weight for each of two classes or more, and "
            f"`gamma` be 0 or more. Received: {alpha}, {gamma}"
        )
    if variant == "thesis":
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=weights, gamma=gamma, name="focal_loss"
        )
    if variant == "released" and single:
        return ReleasedFocalLoss(weights[1], gamma)
    raise ValueError(
        '`variant` must be "thesis", or "released" with a single `alpha`. '
        f"Received: {variant!r}, {alpha}"
    )


@keras.saving.register_keras_serializable("melanet")
class ReleasedFocalLoss(keras.losses.Loss):
    """The focal loss as the author's code computes it.

    See `focal_loss` for the formula and the arguments.

    Example:
        >>> from melanet.losses import ReleasedFocalLoss
        >>> ReleasedFocalLoss(gamma=1.0).get_config()["gamma"]
        1.0
    """

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        name: str = "released_focal_loss",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.alpha, self.gamma = alpha, gamma

    def call(self, y_true, y_pred):
        y_pred = ops.clip(y_pred, 1e-7, 1 - 1e-7)
        positive = self.alpha * (1 - y_pred) ** self.gamma * ops.log(y_pred)
        negative = (1 - self.alpha) * y_pred**self.gamma * ops.log(1 - y_pred)
        return -ops.sum(y_true * positive + (1 - y_true) * negative, axis=-1)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "gamma": self.gamma}


@keras.saving.register_keras_serializable("melanet")
class WeightedCrossentropy(keras.losses.Loss):
    """The cross-entropy of softmax probabilities, with a weight per class.

    Keras computes it from the logits wherever the softmax is the model's last operation, so that a
    saturated softmax still has a gradient. Keras's focal loss clips probabilities instead, and a
    model that is sure and wrong would never change again.

    Args:
        class_weights: A weight per class.
        name: Name of the loss.
        **kwargs: Of `keras.losses.Loss`.

    Example:
        >>> import numpy as np
        >>> from melanet.losses import WeightedCrossentropy
        >>> loss = WeightedCrossentropy([1.0, 2.0])(np.array([[0.0, 1.0]]), np.array([[0.2, 0.8]]))
        >>> round(float(loss), 4)  # -2 * log(0.8)
        0.4463
    """

    def __init__(
        self, class_weights: Sequence[float], name: str = "weighted_crossentropy", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self.class_weights = [float(weight) for weight in class_weights]

    def call(self, y_true, y_pred):
        weights = ops.sum(y_true * ops.convert_to_tensor(self.class_weights, y_true.dtype), axis=-1)
        return weights * ops.categorical_crossentropy(y_true, y_pred)

    def get_config(self):
        return {**super().get_config(), "class_weights": self.class_weights}
