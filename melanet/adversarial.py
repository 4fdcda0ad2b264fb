"""What models share that translate images: two optimizers, a logged loss of many terms, saving."""

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import tensorflow as tf

from melanet import distribution, lazy, losses
from melanet.optimizers import Adam


class TranslationModel(keras.Model):
    """Generators and discriminators that are trained together.

    A subclass builds its networks and implements `compile` and `compute_losses`. It saves and loads
    with its optimizers, and logs every term of the loss as a metric.

    Attributes:
        generators, discriminators: Names of the attributes that hold its networks.
        settings: Names of the arguments of `compile` that it saves, beside the optimizers.
        domains: Names of what it translates between.
        terms: Names of the terms of the loss, of which the last two are those that are minimised,
            `generator_loss` and `discriminator_loss`.

    Example:
        >>> from melanet.adversarial import TranslationModel
        >>> from melanet import CycleGAN, StarGAN
        >>> [issubclass(model, TranslationModel) for model in (CycleGAN, StarGAN)]
        [True, True]
    """

    generators: ClassVar[tuple[str, ...]] = ()
    discriminators: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ("cycle_weight", "identity_weight", "adversarial_loss")
    domains: tuple[str, ...]
    terms: list[str]

    def _prepare(self, domains: Any, terms: list[str]) -> None:
        """Ends the construction, once the networks are there."""
        self.domains = tuple(domains)
        self.terms = [*terms, "generator_loss", "discriminator_loss"]
        self.loss_trackers = [keras.metrics.Mean(name=term) for term in self.terms]
        self.built = True

    def _configure(
        self, optimizers: tuple, weights: tuple[float, float], adversarial_loss: str, kwargs: dict
    ) -> None:
        """What `compile` of all subclasses does, with their arguments."""
        generator_optimizer, discriminator_optimizer = optimizers
        cycle_weight, identity_weight = weights
        if cycle_weight < 0 or identity_weight < 0:
            raise ValueError(
                "`cycle_weight` and `identity_weight` must be 0 or more. "
                f"Received: {cycle_weight}, {identity_weight}"
            )
        keras.Model.compile(
            self, optimizer=None, **kwargs
        )  # Keras's default would be a third optimizer
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.adversarial_loss = losses.validate_variant(adversarial_loss)
        self.generator_optimizer = _with_loss_scaling(
            generator_optimizer, getattr(self, self.generators[0])
        )
        self.discriminator_optimizer = _with_loss_scaling(
            discriminator_optimizer, getattr(self, self.discriminators[0])
        )
        self.generator_optimizer.build(self.generator_weights)
        self.discriminator_optimizer.build(self.discriminator_weights)

    @property
    def generator_weights(self) -> list[keras.Variable]:
        """Trainable weights of all generators."""
        return [w for name in self.generators for w in getattr(self, name).trainable_weights]

    @property
    def discriminator_weights(self) -> list[keras.Variable]:
        """Trainable weights of all discriminators."""
        return [w for name in self.discriminators for w in getattr(self, name).trainable_weights]

    @property
    def metrics(self):
        return self.loss_trackers

    def compute_losses(self, *batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes every term of the loss for one batch.

        Returns:
            Float32 scalars by the names in `terms`.
        """
        raise NotImplementedError

    def fit(self, *args, **kwargs):
        """Trains the model; see `keras.Model.fit`. Keras must run on TensorFlow."""
        if keras.config.backend() != "tensorflow":
            raise RuntimeError(
                f"{type(self).__name__}.fit needs Keras on TensorFlow (KERAS_BACKEND=tensorflow). "
                f"Keras runs on {keras.config.backend()}"
            )
        with _without_remapper():
            return super().fit(*args, **kwargs)

    def train_step(self, data):
        # Gradients are summed over the replicas, whose batches may differ in size.
        fraction = distribution.batch_fraction(tf.shape(data[0])[0])
        return self._log(self._update(data, fraction), data[0])

    def _update(self, data, fraction):
        """Takes all gradients at the same weights; returns the terms of the loss."""
        with tf.GradientTape(persistent=True) as tape:
            terms = self.compute_losses(*data)
            generator_loss = self.generator_optimizer.scale_loss(fraction * terms["generator_loss"])
            discriminator_loss = self.discriminator_optimizer.scale_loss(
                fraction * terms["discriminator_loss"]
            )
        generator_gradients = tape.gradient(generator_loss, self.generator_weights)
        discriminator_gradients = tape.gradient(discriminator_loss, self.discriminator_weights)
        self.generator_optimizer.apply(generator_gradients, self.generator_weights)
        self.discriminator_optimizer.apply(discriminator_gradients, self.discriminator_weights)
        return terms

    def test_step(self, data):
        return self._log(self.compute_losses(*data), data[0])

    def _log(self, terms, images):
        for tracker in self.loss_trackers:
            tracker.update_state(terms[tracker.name], sample_weight=tf.shape(images)[0])
        return {tracker.name: tracker.result() for tracker in self.loss_trackers}

    def get_config(self):
        serialised = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in (*self.generators, *self.discriminators)
        }
        return {"name": self.name, "domains": list(self.domains), **serialised}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        built = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in (*cls.generators, *cls.discriminators)
        }
        return cls(**{**config, **built})

    def get_compile_config(self):
        if not self.compiled:
            return None
        optimizers = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in ("generator_optimizer", "discriminator_optimizer")
        }
        return {**optimizers, **{name: getattr(self, name) for name in self.settings}}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))


def translate_with_identity(
    generator: keras.Model, weight: float, images: Any, targets: Any, *classes: Any
) -> Any:
    """Translates `images`, and `targets`, which are in the target domain already, in one call.

    The norms treat each image by itself. Without an identity weight the targets are returned as
    they are: the term is 0 and free.

    Args:
        generator: The generator.
        weight: The weight of the identity loss.
        images: Images to translate, in [-1, 1].
        targets: Images of the target domain.
        *classes: For a generator of several classes, the target of each image and the class of each
            of `targets`, one-hot.

    Returns:
        The translations, and `targets` as the generator returns them.

    Example:
        >>> import tensorflow as tf
        >>> from melanet import unet_generator
        >>> from melanet.adversarial import translate_with_identity
        >>> generator, images = unet_generator((16, 16, 1), filters=2), tf.zeros((1, 16, 16, 1))
        >>> [tuple(x.shape) for x in translate_with_identity(generator, 1.0, images, images)]
        [(1, 16, 16, 1), (1, 16, 16, 1)]
    """
    if not weight:
        inputs = [images, classes[0]] if classes else images
        return generator(inputs, training=True), targets
    both = tf.concat([images, targets], axis=0)
    inputs = [both, tf.concat(classes, axis=0)] if classes else both
    counts = [tf.shape(images)[0], tf.shape(targets)[0]]
    return tf.split(generator(inputs, training=True), counts)


def _with_loss_scaling(optimizer, network):
    """The optimizer, or the default; with loss scaling where float16 loses small gradients."""
    optimizer = optimizer or Adam(2e-4, beta_1=0.5)
    half = any(layer.dtype_policy.name == "mixed_float16" for layer in (network, *network.layers))
    if half and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


@contextlib.contextmanager
def _without_remapper() -> Iterator[None]:
    """Turns off TensorFlow's remapper, which fails on the step's graph and prints an error."""
    before = tf.config.optimizer.get_experimental_options().get("remapping", True)
    tf.config.optimizer.set_experimental_options({"remapping": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"remapping": before})


lazy.import_pending()  # what needs the names of this module
