"""StarGAN: one generator and one discriminator that translate among several classes (4.3.1)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from melanet import losses, networks
from melanet.adversarial import TranslationModel, translate_with_identity


@keras.saving.register_keras_serializable("melanet")
class StarGAN(TranslationModel):
    """Unpaired translation among any number of classes (Choi et al., arXiv:1711.09020).

    The thesis names the cost of a generative model per class as what stands in the way of MelaNet
    for several classes (section 4.3.1). Here the generator takes the class that an image is to be
    translated to, and the discriminator also says which class it sees: two networks for any number
    of classes, and with two classes the translations of a `CycleGAN`.

    `fit` takes a `tf.data.Dataset` of `(images, labels)` batches: images in [-1, 1], `(batch,
    height, width, channels)`, and one-hot labels, `(batch, classes)`. Every image is translated to
    a class that is not its own: the next one, the one after that, and so on, in turn from step to
    step, so that every pair of classes is seen equally often. It logs every term of the loss as a
    metric. The model saves and loads with its optimizers.

    Args:
        generator: As made by `unet_generator` with `classes`.
        discriminator: As made by `patchgan_discriminator` with `classes`.
        domains: Names of the classes, in the order of the labels.

    Raises:
        ValueError: If there are fewer than two domains.

    Example:
        >>> from melanet import StarGAN, patchgan_discriminator, unet_generator
        >>> generator = unet_generator((16, 16, 1), filters=2, classes=3)
        >>> discriminator = patchgan_discriminator((16, 16, 1), filters=2, classes=3)
        >>> StarGAN(generator, discriminator, domains=("cat", "dog", "owl")).domains
        ('cat', 'dog', 'owl')
    """

    generators = ("generator",)
    discriminators = ("discriminator",)
    settings = (*TranslationModel.settings, "class_weight")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        domains: Sequence[str],
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if len(domains) < 2:
            raise ValueError(f"`domains` must be two or more. Received: {domains}")
        self.generator, self.discriminator = generator, discriminator
        of_generator = ["adversarial", "class_of_translated", "cycle", "identity"]
        self._prepare(domains, [*of_generator, "discriminator", "class_of_real"])

    def compile(
        self,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        *,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.0,
        class_weight: float = 1.0,
        adversarial_loss: str = "log",
        update_order: str = "together",
        **kwargs: Any,
    ) -> None:
        """Configures the training.

        The defaults are those of the thesis's CycleGAN (section 2.3.3) and, for the classes, of
        Choi et al. (section 5.2). They take a Wasserstein loss with a gradient penalty; the losses
        here are the CycleGAN's.

        Args:
            generator_optimizer: None is Adam with a rate of 2e-4 and beta_1 = 0.5.
            discriminator_optimizer: Likewise.
            cycle_weight: Weight of the mean absolute difference of an image and its translation
                there and back.
            identity_weight: Weight of the mean absolute change of an image that is translated to
                its own class.
            class_weight: Weight of both losses of the classes.
            adversarial_loss: `"log"` or `"least_squares"`.
            update_order: `"together"`: all gradients are taken at the same weights.
            **kwargs: Passed to `keras.Model.compile`.

        Raises:
            ValueError: If a weight is negative, `adversarial_loss` is unknown or `update_order` is
                another.
        """
        if class_weight < 0:
            raise ValueError(f"`class_weight` must be 0 or more. Received: {class_weight}")
        if update_order != "together":
            raise ValueError(
                f'`update_order` of a StarGAN must be "together". Received: {update_order!r}'
            )
        optimizers = (generator_optimizer, discriminator_optimizer)
        self._configure(optimizers, (cycle_weight, identity_weight), adversarial_loss, kwargs)
        self.class_weight = class_weight

    def call(self, inputs, training=False):
        """Translates `[images, targets]`, the targets one-hot."""
        return self.generator(inputs, training=training)

    def translate(self, images: Any, targets: str | Sequence[str]) -> Any:
        """Translates images to other classes.

        Args:
            images: An array of images in [-1, 1], `(images, height, width, channels)`, or a
                `tf.data.Dataset` of batches of them.
            targets: Name of a class, or one name per image.

        Returns:
            A float32 array in [-1, 1] of the same shape, or a dataset of batches of them, which are
            translated as they are read.

        Raises:
            ValueError: If a class is unknown, or there are not as many names as images.

        Example:
            >>> import numpy as np
            >>> from melanet import build_stargan
            >>> model = build_stargan((16, 16, 1), ("cat", "dog", "owl"), generator_filters=2)
            >>> model.translate(np.zeros((3, 16, 16, 1)), "owl").shape
            (3, 16, 16, 1)
        """
        if isinstance(images, tf.data.Dataset):
            return self._translate_batches(images, targets)
        names = [targets] * len(images) if isinstance(targets, str) else list(targets)
        if len(names) != len(images):
            raise ValueError(
                "`targets` must be a class, or one per image. "
                f"Received: {len(names)} for {len(images)} images"
            )
        return self.generator.predict([images, self._one_hot(names)], verbose=0)

    def generator_to(self, target: str) -> keras.Model:
        """The generator with its target fixed, a model from images to images like the CycleGAN's.

        Args:
            target: Name of a class.

        Returns:
            A `keras.Model` that shares the generator's weights.

        Raises:
            ValueError: If the class is unknown.

        Example:
            >>> import numpy as np
            >>> from melanet import build_stargan
            >>> model = build_stargan((16, 16, 1), ("cat", "dog", "owl"), generator_filters=2)
            >>> model.generator_to("owl")(np.zeros((3, 16, 16, 1))).shape
            TensorShape([3, 16, 16, 1])
        """
        (fixed,) = self._one_hot([target])
        images = keras.Input(self.generator.input_shape[0][1:])
        targets = keras.ops.zeros_like(images[:, 0, 0, :1]) + fixed
        return keras.Model(images, self.generator([images, targets]), name=f"to_{target}")

    def _translate_batches(self, batches, targets):
        one = isinstance(targets, str)
        classes = tf.constant(self._one_hot([targets] if one else targets))

        def translated(start, images):
            end = start + tf.shape(images)[0]
            of_batch = tf.repeat(classes, end - start, axis=0) if one else classes[start:end]
            return end, self.generator([images, of_batch], training=False)

        return batches.scan(tf.constant(0), translated)

    def _one_hot(self, names: Sequence[str]) -> np.ndarray:
        if unknown := sorted(set(names) - set(self.domains)):
            raise ValueError(
                f"`targets` must be among {', '.join(self.domains)}. Received: {unknown[0]!r}"
            )
        return np.eye(len(self.domains), dtype="float32")[[*map(self.domains.index, names)]]

    def compute_losses(
        self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Computes every term of the loss for one batch (Choi et al., eq. 1 to 6).

        Args:
            images: Images in [-1, 1], `(batch, height, width, channels)`.
            labels: Their classes, one-hot, `(batch, classes)`.
            targets: What they are translated to, likewise; in turn, as `fit` does, if None.

        Returns:
            Float32 scalars by the names in `terms`.
        """
        labels = tf.cast(labels, "float32")
        targets = self._next_classes(labels) if targets is None else tf.cast(targets, "float32")
        fake, same = translate_with_identity(
            self.generator, self.identity_weight, images, images, targets, labels
        )
        cycled = self.generator([fake, labels], training=True)
        # The norms treat each image by itself, so real and translated images share a call.
        both = tf.concat([tf.cast(images, fake.dtype), fake], axis=0)
        outputs = self.discriminator(both, training=True)
        (on_real, on_fake), classes = (tf.split(output, 2) for output in outputs)
        terms = {
            "adversarial": losses.generator_loss(on_fake, self.adversarial_loss),
            "class_of_translated": losses.class_loss(targets, classes[1]),
            "cycle": losses.cycle_loss(images, cycled),
            "identity": losses.cycle_loss(images, same),
            "discriminator": losses.discriminator_loss(on_real, on_fake, self.adversarial_loss),
            "class_of_real": losses.class_loss(labels, classes[0]),
        }
        generator = (
            terms["adversarial"]
            + self.class_weight * terms["class_of_translated"]
            + self.cycle_weight * terms["cycle"]
            + self.identity_weight * terms["identity"]
        )
        discriminator = terms["discriminator"] + self.class_weight * terms["class_of_real"]
        return {**terms, "generator_loss": generator, "discriminator_loss": discriminator}

    def _next_classes(self, labels: tf.Tensor) -> tf.Tensor:
        """The class that lies `shift` on from an image's own, another shift at every step.

        It follows from the number of the step, which all replicas know and a resumed training too.
        """
        step = tf.cast(self.generator_optimizer.iterations, "int32")
        return tf.roll(labels, 1 + step % (len(self.domains) - 1), axis=1)


def build_stargan(
    input_shape: tuple[int, ...],
    domains: Sequence[str],
    *,
    generator_filters: int = 32,
    discriminator_filters: int = 64,
    norm: str = "instance",
    name: str = "stargan",
) -> StarGAN:
    """Builds a StarGAN of the thesis's networks (sections 2.2.1 and 4.3.1).

    Args:
        input_shape: `(height, width, channels)`; sides are multiples of 16.
        domains: Names of the classes.
        generator_filters: Filters of the first block of the generator, see `unet_generator`.
        discriminator_filters: Filters of the first block of the discriminator.
        norm: `"instance"` or `"layer"`, as in `unet_generator`.
        name: Name of the model.

    Returns:
        A `StarGAN`, not compiled.

    Raises:
        ValueError: If a side is not a multiple of 16, a number of filters is not positive, there
            are fewer than two domains or `norm` is unknown.

    Example:
        >>> from melanet import build_stargan
        >>> model = build_stargan((16, 16, 1), ("cat", "dog", "owl"), generator_filters=2)
        >>> model.compile(adversarial_loss="least_squares", identity_weight=1.0)
    """
    classes = len(domains)
    return StarGAN(
        networks.unet_generator(input_shape, generator_filters, norm=norm, classes=classes),
        networks.patchgan_discriminator(
            input_shape, discriminator_filters, norm=norm, classes=classes
        ),
        domains,
        name=name,
    )
