"""Pieces of work of this library, and of the released code in Keras."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from melanet.cyclegan import build_cyclegan
from melanet.networks import patchgan_discriminator, unet_generator
from melanet.optimizers import Adadelta, Adam
from melanet.precision import precision_policy
from sharpunet import LOSSES, MODELS, VOLUME_MODELS

Work = Callable[[], Any]


def segmentation_training(
    model: str, side: int, batch: int, precision: str, channels: int = 3
) -> Work:
    """A training step of a model of chapter 3, with the cross-entropy and Adam."""
    with precision_policy(precision):
        network = MODELS[model]((side, side, channels))
        network.compile(Adam(1e-3), LOSSES["cross_entropy"](1))
    images, masks = random_images(batch, side, channels), random_masks(batch, side)
    return _training(network, (images, masks))


def volume_training(model: str, shape: tuple[int, ...], batch: int, precision: str) -> Work:
    """A training step of a model of volumes, `(depth, height, width)`, likewise."""
    with precision_policy(precision):
        network = VOLUME_MODELS[model]((*shape, 1))
        network.compile(Adam(1e-3), LOSSES["cross_entropy"](1))
    volumes = np.random.default_rng(0).random((batch, *shape, 1), dtype="float32")
    return _training(network, (volumes, (volumes > 0.5).astype("float32")))


def segmentation_prediction(
    model: str, side: int, batch: int, precision: str, channels: int = 3
) -> Work:
    """A prediction of a model of chapter 3, as `Model.predict` computes a batch."""
    with precision_policy(precision):
        network = MODELS[model]((side, side, channels))
    images = tf.constant(random_images(batch, side, channels))
    predict = tf.function(lambda batch: network(batch, training=False), reduce_retracing=True)
    return lambda: predict(images).numpy()


def classifier_training(side: int, batch: int, precision: str) -> Work:
    """A training step of VGG-GAP, with the focal loss and Adadelta as in the thesis."""
    from melanet import focal_loss, vgg_gap

    with precision_policy(precision):
        network = vgg_gap((side, side, 3), 2, weights=None)
        network.compile(Adadelta(1.0), focal_loss())
    labels = np.eye(2, dtype="float32")[np.arange(batch) % 2]
    return _training(network, (random_images(batch, side, 3), labels))


def cyclegan_training(side: int, precision: str, identity_weight: float = 0.0) -> Work:
    """A training step of the CycleGAN on a pair of images."""
    with precision_policy(precision):
        model = build_cyclegan((side, side, 3))
        model.compile(adversarial_loss="least_squares", identity_weight=identity_weight)
    return _training(model, random_pair(side), "generator_loss")


def released_cyclegan_training(side: int) -> Work:
    """The released loop on a pair of images.

    The author's code calls `predict` twice, `train_on_batch` of a discriminator four times, and
    `train_on_batch` of both generators with frozen discriminators once. It has an identity loss,
    which the thesis has not.
    """
    shape = (side, side, 3)
    adam = {"learning_rate": 2e-4, "beta_1": 0.5}
    to_malignant, to_benign = (unet_generator(shape, name=name) for name in ("there", "back"))
    discriminators = [patchgan_discriminator(shape, name=name) for name in ("first", "second")]
    for discriminator in discriminators:
        discriminator.compile(keras.optimizers.Adam(**adam), "mse")
    inputs = [keras.Input(shape), keras.Input(shape)]
    fake_malignant, fake_benign = to_malignant(inputs[0]), to_benign(inputs[1])
    frozen = [keras.models.clone_model(discriminator) for discriminator in discriminators]
    for discriminator in frozen:
        discriminator.trainable = False
    outputs = [
        *(frozen[0](fake_benign), frozen[1](fake_malignant)),
        *(to_benign(fake_malignant), to_malignant(fake_benign)),
        *(to_benign(inputs[0]), to_malignant(inputs[1])),
    ]
    combined = keras.Model(inputs, outputs)
    losses = ["mse", "mse", "mae", "mae", "mae", "mae"]
    combined.compile(keras.optimizers.Adam(**adam), losses, loss_weights=[1, 1, 10, 10, 1, 1])
    patches = (1, side // 16, side // 16, 1)
    real, fake = np.ones(patches, "float32"), np.zeros(patches, "float32")
    benign, malignant = random_pair(side)

    def step():
        fakes = to_benign.predict(malignant, verbose=0), to_malignant.predict(benign, verbose=0)
        for discriminator, images, translated in zip(
            discriminators, (benign, malignant), fakes, strict=True
        ):
            discriminator.train_on_batch(images, real)
            discriminator.train_on_batch(translated, fake)
        targets = [real, real, benign, malignant, benign, malignant]
        return combined.train_on_batch([benign, malignant], targets)

    return step


def matrix_product(precision: str, side: int = 2048) -> Work:
    """A product of two square matrices: the machine's own ceiling."""
    dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
    matrix = tf.cast(tf.random.normal((side, side)), dtype)
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    return lambda: float(product())


def multiplications(model: str, side: int, batch: int, channels: int = 3) -> int:
    """Multiplications of a training step in the convolutions of a model of chapter 3.

    The forward pass and the gradients by inputs and by weights need as many each.
    """
    total = 0
    for layer in MODELS[model]((side, side, channels)).layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            total += np.prod(layer.input.shape[1:3]) * np.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Conv2D):
            total += np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape)
    return int(3 * batch * total)


def random_images(batch: int, side: int, channels: int) -> np.ndarray:
    """Images in [0, 1]."""
    shape = (batch, side, side, channels)
    return np.random.default_rng(0).random(shape, dtype="float32")


def random_masks(batch: int, side: int) -> np.ndarray:
    """Masks of 0 and 1."""
    return (random_images(batch, side, 1) > 0.5).astype("float32")


def random_pair(side: int) -> tuple[np.ndarray, ...]:
    """An image of either class, in [-1, 1]."""
    return tuple(2 * random_images(2, side, 3).reshape(2, 1, side, side, 3) - 1)


def _training(model: keras.Model, batch: tuple[np.ndarray, ...], shown: str = "loss") -> Work:
    """A step of `Model.fit`, which waits for its loss."""
    batches = iter(tf.data.Dataset.from_tensors(batch).cache().repeat().prefetch(2))
    step = model.make_train_function() or model.train_function
    return lambda: float(step(batches)[shown])
