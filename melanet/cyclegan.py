"""CycleGAN: two generators that translate between two unpaired domains (eq. 2.1 to 2.5)."""

from functools import partial
from typing import Any

import keras
import tensorflow as tf

from melanet import losses, networks
from melanet.adversarial import TranslationModel, translate_with_identity


@keras.saving.register_keras_serializable("melanet")
class CycleGAN(TranslationModel):
    """Unpaired translation between a first and a second domain.

    `fit` takes a `tf.data.Dataset` of `(first, second)` batches: unpaired images of the two domains
    in [-1, 1], `(batch, height, width, channels)`. It logs every term of the loss as a metric. The
    model saves and loads with its optimizers.

    Args:
        first_to_second: Generator G_B of eq. 2.1, as made by `unet_generator`.
        second_to_first: Generator G_M.
        first_discriminator: D_B, which scores images of the first domain, as made by
            `patchgan_discriminator`.
        second_discriminator: D_M.
        domains: Names of the two domains, which `translate` uses.

    Example:
        >>> from melanet import CycleGAN, patchgan_discriminator, unet_generator
        >>> generators = [unet_generator((16, 16, 1), filters=2) for _ in range(2)]
        >>> discriminators = [patchgan_discriminator((16, 16, 1), filters=2) for _ in range(2)]
        >>> CycleGAN(*generators, *discriminators, domains=("cat", "dog")).domains
        ('cat', 'dog')
    """

    generators = ("first_to_second", "second_to_first")
    discriminators = ("first_discriminator", "second_discriminator")
    settings = (*TranslationModel.settings, "update_order")

    def __init__(
        self,
        first_to_second: keras.Model,
        second_to_first: keras.Model,
        first_discriminator: keras.Model,
        second_discriminator: keras.Model,
        domains: tuple[str, str] = ("benign", "malignant"),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.first_to_second, self.second_to_first = first_to_second, second_to_first
        self.first_discriminator = first_discriminator
        self.second_discriminator = second_discriminator
        first, second = domains
        terms = [
            *(f"adversarial_{name}" for name in (second, first)),
            *(f"cycle_{name}" for name in (first, second)),
            *(f"identity_{name}" for name in (first, second)),
            *(f"discriminator_{name}" for name in (first, second)),
        ]
        self._prepare(domains, terms)

    def compile(
        self,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        *,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.0,
        adversarial_loss: str = "log",
        update_order: str = "together",
        **kwargs: Any,
    ) -> None:
        """Configures the training; the defaults are the thesis's (section 2.3.3).

        Args:
            generator_optimizer: One optimizer for both generators. None is Adam with a rate of 2e-4
                and beta_1 = 0.5, which the released code has and the thesis does not give.
            discriminator_optimizer: One optimizer for both discriminators, likewise.
            cycle_weight: λ of eq. 2.1.
            identity_weight: Weight of the mean absolute change of images that are in the target
                domain already. The thesis has no such term; the released code has 0.1 λ.
            adversarial_loss: `"log"` (thesis) or `"least_squares"` (released).
            update_order: `"together"` takes all gradients at the same weights.
                `"discriminators_first"` is the released code's order: one step of the
                discriminators on real images, one on translated images, then one of the generators
                against the updated discriminators.
            **kwargs: Passed to `keras.Model.compile`.

        Raises:
            ValueError: If a weight is negative, or `adversarial_loss` or `update_order` is unknown.
        """
        if update_order not in ("together", "discriminators_first"):
            raise ValueError(
                '`update_order` must be "together" or "discriminators_first". '
                f"Received: {update_order!r}"
            )
        optimizers = (generator_optimizer, discriminator_optimizer)
        self._configure(optimizers, (cycle_weight, identity_weight), adversarial_loss, kwargs)
        self.update_order = update_order

    def call(self, images, training=False):
        """Translates from the first domain to the second."""
        return self.first_to_second(images, training=training)

    def translate(self, images: Any, direction: str) -> Any:
        """Translates images from one domain to the other.

        Args:
            images: An array of images in [-1, 1], `(images, height, width, channels)`, or a
                `tf.data.Dataset` of batches of them.
            direction: `"FIRST_to_SECOND"` or `"SECOND_to_FIRST"`, by the names of the domains.

        Returns:
            A float32 array in [-1, 1] of the same shape, or a dataset of batches of them, which are
            translated as they are read.

        Raises:
            ValueError: If `direction` is unknown.

        Example:
            >>> import numpy as np
            >>> from melanet import build_cyclegan
            >>> model = build_cyclegan((16, 16, 1), generator_filters=2, discriminator_filters=2)
            >>> model.translate(np.zeros((3, 16, 16, 1)), "benign_to_malignant").shape
            (3, 16, 16, 1)
        """
        first, second = self.domains
        generators = {
            f"{first}_to_{second}": self.first_to_second,
            f"{second}_to_{first}": self.second_to_first,
        }
        if direction not in generators:
            raise ValueError(
                f"`direction` must be one of {', '.join(generators)}. Received: {direction!r}"
            )
        generator = generators[direction]
        if isinstance(images, tf.data.Dataset):
            return images.map(lambda batch: generator(batch, training=False))
        return generator.predict(images, verbose=0)

    def compute_losses(self, first: tf.Tensor, second: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes every term of eq. 2.1 for one batch of each domain.

        The norms treat each image by itself, so a generator's translation and identity inputs share
        a call, and so do a discriminator's real and translated images.

        Args:
            first: Images of the first domain in [-1, 1], `(batch, height, width, channels)`.
            second: Images of the second domain, likewise.

        Returns:
            Float32 scalars by the names in `terms`.
        """
        return self._compute_losses(first, second, self._discriminate)

    def _compute_losses(self, first, second, discriminate):
        """`discriminate` returns the logits of the fake images and the discriminators' losses."""
        fake_second, same_second = translate_with_identity(
            self.first_to_second, self.identity_weight, first, second
        )
        fake_first, same_first = translate_with_identity(
            self.second_to_first, self.identity_weight, second, first
        )
        cycled_first = self.second_to_first(fake_second, training=True)
        cycled_second = self.first_to_second(fake_first, training=True)
        (fake_1, fake_2), discriminator_terms = discriminate(first, second, fake_first, fake_second)
        terms = [
            losses.generator_loss(fake_2, self.adversarial_loss),
            losses.generator_loss(fake_1, self.adversarial_loss),
            losses.cycle_loss(first, cycled_first),
            losses.cycle_loss(second, cycled_second),
            losses.cycle_loss(first, same_first),
            losses.cycle_loss(second, same_second),
            *discriminator_terms,
        ]
        adversarial, cycle, identity, discriminator = (sum(terms[i : i + 2]) for i in (0, 2, 4, 6))
        generator = adversarial + self.cycle_weight * cycle + self.identity_weight * identity
        return dict(zip(self.terms, [*terms, generator, discriminator], strict=True))

    def _update(self, data, fraction):
        if self.update_order == "together":
            return super()._update(data, fraction)
        first, second = data
        return self._update_discriminators_first(first, second, fraction)

    def _update_discriminators_first(self, first, second, fraction):
        def update_and_discriminate(first, second, fake_first, fake_second):
            with tape.stop_recording():
                real = self._update_discriminators("real_logits", first, second, fraction)
                fake = self._update_discriminators("fake_logits", fake_first, fake_second, fraction)
            logits = (
                self.first_discriminator(fake_first, training=True),
                self.second_discriminator(fake_second, training=True),
            )
            return logits, [sum(halves) for halves in zip(real, fake, strict=True)]

        with tf.GradientTape() as tape:
            terms = self._compute_losses(first, second, update_and_discriminate)
            loss = self.generator_optimizer.scale_loss(fraction * terms["generator_loss"])
        gradients = tape.gradient(loss, self.generator_weights)
        self.generator_optimizer.apply(gradients, self.generator_weights)
        return terms

    def _update_discriminators(self, kind, first, second, fraction):
        """Updates both discriminators on real images or on translated ones; returns the losses."""
        with tf.GradientTape() as tape:
            logits = (
                self.first_discriminator(first, training=True),
                self.second_discriminator(second, training=True),
            )
            variant = self.adversarial_loss
            terms = [losses.discriminator_loss(**{kind: x}, variant=variant) for x in logits]
            loss = self.discriminator_optimizer.scale_loss(fraction * sum(terms))
        gradients = tape.gradient(loss, self.discriminator_weights)
        self.discriminator_optimizer.apply(gradients, self.discriminator_weights)
        return terms

    def _discriminate(self, first, second, fake_first, fake_second):
        """Logits of the fake images, and the losses of both discriminators."""
        fake_logits, terms = [], []
        for discriminator, real, fake in (
            (self.first_discriminator, first, fake_first),
            (self.second_discriminator, second, fake_second),
        ):
            images = tf.concat([tf.cast(real, fake.dtype), fake], axis=0)
            logits = discriminator(images, training=True)
            on_real, on_fake = tf.split(logits, [tf.shape(real)[0], tf.shape(fake)[0]])
            fake_logits.append(on_fake)
            terms.append(losses.discriminator_loss(on_real, on_fake, self.adversarial_loss))
        return fake_logits, terms


def build_cyclegan(
    input_shape: tuple[int, ...] = (256, 256, 3),
    domains: tuple[str, str] = ("benign", "malignant"),
    *,
    generator_filters: int = 32,
    discriminator_filters: int = 64,
    norm: str = "instance",
    name: str = "cyclegan",
) -> CycleGAN:
    """Builds the CycleGAN of the thesis (section 2.2.1).

    Args:
        input_shape: `(height, width, channels)`; sides are multiples of 16.
        domains: Names of the two domains.
        generator_filters: Filters of the first block of the generators, see `unet_generator`.
        discriminator_filters: Filters of the first block of the discriminators.
        norm: `"instance"` (thesis) or `"layer"` (released), as in `unet_generator`.
        name: Name of the model.

    Returns:
        A `CycleGAN`, not compiled.

    Raises:
        ValueError: If a side is not a multiple of 16, a number of filters is not positive or `norm`
            is unknown.

    Example:
        >>> from melanet import build_cyclegan
        >>> model = build_cyclegan((16, 16, 1), generator_filters=2, discriminator_filters=2)
        >>> model.compile(adversarial_loss="least_squares", identity_weight=1.0)
    """
    first, second = domains
    generator = partial(networks.unet_generator, norm=norm)
    discriminator = partial(networks.patchgan_discriminator, norm=norm)
    return CycleGAN(
        generator(input_shape, generator_filters, f"{first}_to_{second}"),
        generator(input_shape, generator_filters, f"{second}_to_{first}"),
        discriminator(input_shape, discriminator_filters, f"{first}_discriminator"),
        discriminator(input_shape, discriminator_filters, f"{second}_discriminator"),
        domains,
        name=name,
    )
