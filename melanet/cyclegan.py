"""CycleGAN: two generators that translate between two classes without pairs (eq. 2.1 to 2.5)."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from melanet.distribution import batch_fraction
from melanet.losses import cycle_loss, discriminator_loss, generator_loss, validate_variant
from melanet.networks import patchgan_discriminator, unet_generator


@keras.saving.register_keras_serializable("melanet")
class CycleGAN(keras.Model):
    """Unpaired translation between a first and a second domain, trained with plain `fit`.

    `fit` takes a `tf.data.Dataset` of `(first, second)` batches: images of the two domains in
    [-1, 1], `(batch, height, width, channels)`, not paired. Every loss term is a logged metric.
    Saves and loads whole, optimizers included.

    Args:
        first_to_second: Generator G_B of eq. 2.1, as `unet_generator`.
        second_to_first: Generator G_M.
        first_discriminator: D_B, which scores images of the first domain, as
            `patchgan_discriminator`.
        second_discriminator: D_M.
        domains: Names of the two domains; translations are called by them.
    """

    def __init__(
        self,
        first_to_second,
        second_to_first,
        first_discriminator,
        second_discriminator,
        domains=("benign", "malignant"),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.first_to_second, self.second_to_first = first_to_second, second_to_first
        self.first_discriminator = first_discriminator
        self.second_discriminator = second_discriminator
        self.domains = tuple(domains)
        first, second = self.domains
        self.terms = [
            *(f"adversarial_{name}" for name in (second, first)),
            *(f"cycle_{name}" for name in (first, second)),
            *(f"identity_{name}" for name in (first, second)),
            *(f"discriminator_{name}" for name in (first, second)),
            "generator_loss",
            "discriminator_loss",
        ]
        self.loss_trackers = [keras.metrics.Mean(name=term) for term in self.terms]
        self.built = True

    def compile(
        self,
        generator_optimizer=None,
        discriminator_optimizer=None,
        *,
        cycle_weight=10.0,
        identity_weight=0.0,
        adversarial_loss="log",
        **kwargs,
    ):
        """Configures the training. Defaults are the thesis's (section 2.3.3).

        Args:
            generator_optimizer, discriminator_optimizer: One for both generators and one for both
                discriminators. Adam with rate 2e-4 if None, and beta_1 = 0.5, which the thesis
                does not give and the released code does.
            cycle_weight: λ of eq. 2.1.
            identity_weight: Weight of the mean absolute change of an image that is in the target
                domain already. The thesis has none; the released code 0.1 λ.
            adversarial_loss: `"log"` (thesis) or `"least_squares"` (released).

        Raises:
            ValueError: If a weight is negative or `adversarial_loss` is unknown.
        """
        if cycle_weight < 0 or identity_weight < 0:
            raise ValueError(
                "`cycle_weight` and `identity_weight` must be 0 or more. "
                f"Received: {cycle_weight}, {identity_weight}"
            )
        super().compile(optimizer=None, **kwargs)  # not a third one beside its two
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.adversarial_loss = validate_variant(adversarial_loss)
        self.generator_optimizer = with_loss_scaling(
            generator_optimizer or _adam(), self.first_to_second
        )
        self.discriminator_optimizer = with_loss_scaling(
            discriminator_optimizer or _adam(), self.first_discriminator
        )
        self.generator_optimizer.build(self.generator_weights)
        self.discriminator_optimizer.build(self.discriminator_weights)

    @property
    def generator_weights(self):
        """Trainable weights of both generators."""
        return self.first_to_second.trainable_weights + self.second_to_first.trainable_weights

    @property
    def discriminator_weights(self):
        """Trainable weights of both discriminators."""
        return (
            self.first_discriminator.trainable_weights + self.second_discriminator.trainable_weights
        )

    @property
    def metrics(self):
        return self.loss_trackers

    def call(self, images, training=False):
        """Translates from the first domain to the second."""
        return self.first_to_second(images, training=training)

    def translate(self, images, direction: str):
        """Translates images, `"FIRST_to_SECOND"` or back, by the names of the domains.

        Args:
            images: An array of images in [-1, 1], `(images, height, width, channels)`, or a
                `tf.data.Dataset` of batches of them.
            direction: For example `"benign_to_malignant"`.

        Returns:
            A float32 array in [-1, 1] of the same shape, or a dataset of batches of them, which
            translates as it is read.

        Raises:
            ValueError: If `direction` is unknown.
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

    def compute_losses(self, first, second) -> dict[str, tf.Tensor]:
        """Every loss term of eq. 2.1 for one batch of each domain, as float32 scalars by name.

        What can be one call is one call: instance norm treats each image by itself, so a
        generator's translation and identity inputs share a batch, and so do a discriminator's
        real and fake images.
        """
        fake_second, same_second = self._translate_with_identity(
            self.first_to_second, first, second
        )
        fake_first, same_first = self._translate_with_identity(self.second_to_first, second, first)
        cycled_first = self.second_to_first(fake_second, training=True)
        cycled_second = self.first_to_second(fake_first, training=True)
        real_d1, fake_d1 = self._discriminate(self.first_discriminator, first, fake_first)
        real_d2, fake_d2 = self._discriminate(self.second_discriminator, second, fake_second)
        form = self.adversarial_loss
        terms = [
            generator_loss(fake_d2, form),
            generator_loss(fake_d1, form),
            cycle_loss(first, cycled_first),
            cycle_loss(second, cycled_second),
            cycle_loss(first, same_first),
            cycle_loss(second, same_second),
            discriminator_loss(real_d1, fake_d1, form),
            discriminator_loss(real_d2, fake_d2, form),
        ]
        adversarial, cycle, identity, judged = (sum(terms[at : at + 2]) for at in (0, 2, 4, 6))
        whole = adversarial + self.cycle_weight * cycle + self.identity_weight * identity
        return dict(zip(self.terms, [*terms, whole, judged], strict=True))

    def fit(self, *arguments, **named):
        """As that of any Keras model."""
        with _without_remapper():
            return super().fit(*arguments, **named)

    def train_step(self, data):
        first, second = data
        with tf.GradientTape(persistent=True) as tape:
            terms = self.compute_losses(first, second)
            # The gradients of all replicas are added: each one's mean counts for its part.
            part = batch_fraction(tf.shape(first)[0])
            to_generators = self.generator_optimizer.scale_loss(part * terms["generator_loss"])
            to_discriminators = self.discriminator_optimizer.scale_loss(
                part * terms["discriminator_loss"]
            )
        generator_gradients = tape.gradient(to_generators, self.generator_weights)
        discriminator_gradients = tape.gradient(to_discriminators, self.discriminator_weights)
        self.generator_optimizer.apply(generator_gradients, self.generator_weights)
        self.discriminator_optimizer.apply(discriminator_gradients, self.discriminator_weights)
        return self._log(terms, first)

    def test_step(self, data):
        first, second = data
        return self._log(self.compute_losses(first, second), first)

    def get_config(self):
        parts = (
            "first_to_second",
            "second_to_first",
            "first_discriminator",
            "second_discriminator",
        )
        serialised = {
            part: keras.saving.serialize_keras_object(getattr(self, part)) for part in parts
        }
        return {"name": self.name, "domains": list(self.domains), **serialised}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            key: keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
            for key, value in config.items()
        }
        return cls(**parts)

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {
            "generator_optimizer": keras.saving.serialize_keras_object(self.generator_optimizer),
            "discriminator_optimizer": keras.saving.serialize_keras_object(
                self.discriminator_optimizer
            ),
            "cycle_weight": self.cycle_weight,
            "identity_weight": self.identity_weight,
            "adversarial_loss": self.adversarial_loss,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _translate_with_identity(self, generator, images, own):
        """Translated `images`; and `own`, of the target domain, as the generator keeps them.

        Without an identity weight the second is `own` itself: its loss is 0 and costs nothing.
        """
        if not self.identity_weight:
            return generator(images, training=True), own
        both = generator(tf.concat([images, own], axis=0), training=True)
        return tf.split(both, [tf.shape(images)[0], tf.shape(own)[0]])

    def _discriminate(self, discriminator, real, fake):
        both = discriminator(tf.concat([tf.cast(real, fake.dtype), fake], axis=0), training=True)
        return tf.split(both, [tf.shape(real)[0], tf.shape(fake)[0]])

    def _log(self, terms, images):
        for mean in self.loss_trackers:
            mean.update_state(terms[mean.name], sample_weight=tf.shape(images)[0])
        return {mean.name: mean.result() for mean in self.loss_trackers}


def build_cyclegan(
    input_shape=(256, 256, 3),
    domains=("benign", "malignant"),
    *,
    generator_filters=32,
    discriminator_filters=64,
    name="cyclegan",
) -> CycleGAN:
    """A CycleGAN of two `unet_generator`s and two `patchgan_discriminator`s.

    Args:
        input_shape: `(height, width, channels)`, sides multiples of 16.
        domains: Names of the two domains.
        generator_filters, discriminator_filters: Filters of their first blocks.
        name: Name of the model.
    """
    first, second = domains
    return CycleGAN(
        unet_generator(input_shape, generator_filters, name=f"{first}_to_{second}"),
        unet_generator(input_shape, generator_filters, name=f"{second}_to_{first}"),
        patchgan_discriminator(input_shape, discriminator_filters, f"{first}_discriminator"),
        patchgan_discriminator(input_shape, discriminator_filters, f"{second}_discriminator"),
        domains,
        name=name,
    )


def _adam():
    return keras.optimizers.Adam(2e-4, beta_1=0.5)


def with_loss_scaling(optimizer, network):
    """The optimizer, with loss scaling where float16 would lose small gradients."""
    half = network.dtype_policy.name == "mixed_float16" or any(
        layer.dtype_policy.name == "mixed_float16" for layer in network.layers
    )
    if half and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


@contextlib.contextmanager
def _without_remapper() -> Iterator[None]:
    """TensorFlow's remapper of operations fails on the step's graph, and says so amid progress."""
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})
