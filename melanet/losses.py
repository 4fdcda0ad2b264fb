"""The losses of chapter 2: adversarial (eq. 2.2, 2.3), cycle (eq. 2.4) and focal (eq. 2.6)."""

from collections.abc import Callable

import keras
from keras import ops

#: Adversarial losses by name: the thesis's log loss and the released code's squared error.
ADVERSARIAL = ("log", "least_squares")


def discriminator_loss(real_logits, fake_logits, form="log"):
    """What a discriminator minimises: eq. 2.2 (or 2.3) with its sign turned.

    `"log"`: mean of -log D(real) plus mean of -log(1 - D(fake)), D being the sigmoid of a logit.
    `"least_squares"`: mean of (real - 1)² plus mean of fake², on the logits themselves.

    Args:
        real_logits, fake_logits: Scores of patches of any shape.
        form: A name in `ADVERSARIAL`.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: If `form` is unknown.
    """
    real, fake = ops.cast(real_logits, "float32"), ops.cast(fake_logits, "float32")
    if validate_variant(form) == "log":
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))
    return ops.mean(ops.square(real - 1)) + ops.mean(ops.square(fake))


def generator_loss(fake_logits, form="log"):
    """What a generator minimises to be taken for real.

    `"log"`: mean of -log D(fake). Eq. 2.5 has the generator minimise log(1 - D(fake)); both are
    least where D(fake) is 1, but only this one has a gradient while the discriminator wins
    (Goodfellow 2014, section 3). `"least_squares"`: mean of (fake - 1)².

    Arguments, result and what is raised are those of `discriminator_loss`.
    """
    fake = ops.cast(fake_logits, "float32")
    if validate_variant(form) == "log":
        return ops.mean(ops.softplus(-fake))
    return ops.mean(ops.square(fake - 1))


def cycle_loss(images, reconstructed):
    """Mean absolute difference of a pixel (eq. 2.4, its norm divided by the number of values)."""
    difference = ops.cast(images, "float32") - ops.cast(reconstructed, "float32")
    return ops.mean(ops.absolute(difference))


def validate_variant(form: str) -> str:
    """`form` itself, or a ValueError that names the adversarial losses there are."""
    if form not in ADVERSARIAL:
        raise ValueError(
            f"the adversarial loss must be one of {', '.join(ADVERSARIAL)}. Received: {form!r}"
        )
    return form


def focal_loss(alpha=0.25, gamma=2.0, form="thesis") -> Callable:
    """Focal loss of two softmax columns, negative and positive.

    `"thesis"` is eq. 2.6: -alpha_t (1 - p_t)^gamma log(p_t), alpha_t being `alpha` for positive
    samples and `1 - alpha` for negative ones. `"released"` is what the author's code computes: the
    binary form of eq. 2.6 on *each* column, both summed. As one column is positive and the other
    negative for any sample, each is weighted by alpha + (1 - alpha) = 1: alpha has no effect.

    Args:
        alpha: Weight of the positive class, in [0, 1].
        gamma: Focusing parameter, 0 or more; with 0 the loss is a weighted cross-entropy.
        form: `"thesis"` or `"released"`.

    Returns:
        A loss of `(y_true, y_pred)`, both `(batch, 2)`: one-hot labels and softmax probabilities.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if not 0 <= alpha <= 1 or gamma < 0:
        raise ValueError(
            f"`alpha` must lie in [0, 1] and `gamma` be 0 or more. Received: {alpha}, {gamma}"
        )
    if form == "thesis":
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=[1 - alpha, alpha], gamma=gamma, name="focal_loss"
        )
    if form == "released":
        return ReleasedFocalLoss(alpha, gamma)
    raise ValueError(f'`form` must be "thesis" or "released". Received: {form!r}')


@keras.saving.register_keras_serializable("melanet")
class ReleasedFocalLoss(keras.losses.Loss):
    """The focal loss as the author's code computes it; see `focal_loss`."""

    def __init__(self, alpha=0.25, gamma=2.0, name="released_focal_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.alpha, self.gamma = alpha, gamma

    def call(self, y_true, y_pred):
        y_pred = ops.clip(y_pred, 1e-7, 1 - 1e-7)
        positive = self.alpha * (1 - y_pred) ** self.gamma * ops.log(y_pred)
        negative = (1 - self.alpha) * y_pred**self.gamma * ops.log(1 - y_pred)
        return -ops.sum(y_true * positive + (1 - y_true) * negative, axis=-1)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "gamma": self.gamma}
