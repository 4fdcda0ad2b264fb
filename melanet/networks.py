"""Generator and discriminator of the CycleGAN (section 2.2.1)."""

import keras
from keras import layers

from melanet import layers as melanet_layers


def unet_generator(
    input_shape: tuple[int, ...] = (256, 256, 3),
    filters: int = 32,
    name: str = "unet_generator",
    *,
    norm: str = "instance",
) -> keras.Model:
    """U-Net that translates images of one class into the other.

    Four 4x4 convolutions of stride 2 (`filters` to `8 * filters`) on the way down, three blocks of
    upsampling, convolution and concatenated skip on the way up, a norm after each. 1,546,819
    parameters by default, 1,545,425 with layer norm.

    Args:
        input_shape: `(height, width, channels)`; sides are multiples of 16.
        filters: Filters of the first block.
        name: Name of the model.
        norm: `"instance"` normalises each channel of an image by itself, as the thesis says;
            `"layer"` all of an image together, as the released code does.

    Returns:
        A `keras.Model` from images in [-1, 1], `(batch, height, width, channels)`, to images in
        [-1, 1] of the same shape; float32 under any precision.

    Raises:
        ValueError: If a side is not a multiple of 16, `filters` is not positive or `norm` is
            unknown.

    Example:
        >>> import numpy as np
        >>> from melanet import unet_generator
        >>> tuple(unet_generator((32, 32, 3), filters=4)(np.zeros((2, 32, 32, 3))).shape)
        (2, 32, 32, 3)
    """
    _check_arguments(input_shape, filters, norm)
    inputs = x = keras.Input(input_shape)
    skips = []
    for scale in (1, 2, 4, 8):
        x = layers.Conv2D(scale * filters, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
        x = _norm(norm)(x)
        skips.append(x)
    for scale, skip in zip((4, 2, 1), skips[-2::-1], strict=True):
        x = melanet_layers.UpsampledConv2D(scale * filters, 4, activation="relu")(x)
        x = _norm(norm)(x)
        x = layers.Concatenate()([x, skip])
    # float32 under mixed precision too: the cycle loss compares these values with the images.
    outputs = melanet_layers.UpsampledConv2D(
        input_shape[-1], 4, activation="tanh", dtype="float32", name="image"
    )(x)
    return keras.Model(inputs, outputs, name=name)


def patchgan_discriminator(
    input_shape: tuple[int, ...] = (256, 256, 3),
    filters: int = 64,
    name: str = "patchgan_discriminator",
    *,
    norm: str = "instance",
) -> keras.Model:
    """PatchGAN, which scores each patch of an image as real or translated.

    Four 4x4 convolutions of stride 2 (`filters` to `8 * filters`), a norm on all but the first.
    16 x 16 patches and 2,766,529 parameters by default, 2,764,743 with layer norm.

    Args:
        input_shape: `(height, width, channels)`; sides are multiples of 16.
        filters: Filters of the first block.
        name: Name of the model.
        norm: `"instance"` normalises each channel of an image by itself, as the thesis says;
            `"layer"` all of an image together, as the released code does.

    Returns:
        A `keras.Model` from images in [-1, 1], `(batch, height, width, channels)`, to logits,
        `(batch, height / 16, width / 16, 1)`, float32 under any precision. `sigmoid(logit)` is D of
        eq. 2.2.

    Raises:
        ValueError: If a side is not a multiple of 16, `filters` is not positive or `norm` is
            unknown.

    Example:
        >>> import numpy as np
        >>> from melanet import patchgan_discriminator
        >>> tuple(patchgan_discriminator((32, 48, 3), filters=4)(np.zeros((2, 32, 48, 3))).shape)
        (2, 2, 3, 1)
    """
    _check_arguments(input_shape, filters, norm)
    inputs = x = keras.Input(input_shape)
    for scale in (1, 2, 4, 8):
        x = layers.Conv2D(scale * filters, 4, strides=2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
        if scale > 1:
            x = _norm(norm)(x)
    outputs = layers.Conv2D(1, 4, padding="same", dtype="float32", name="patches")(x)
    return keras.Model(inputs, outputs, name=name)


def _norm(norm: str) -> keras.Layer:
    if norm == "instance":
        return layers.GroupNormalization(groups=-1)
    return melanet_layers.ScalarLayerNormalization()


def _check_arguments(input_shape: tuple[int, ...], filters: int, norm: str) -> None:
    if norm not in ("instance", "layer"):
        raise ValueError(f'`norm` must be "instance" or "layer". Received: {norm!r}')
    if filters < 1:
        raise ValueError(f"`filters` must be 1 or more. Received: {filters}")
    if len(input_shape) != 3 or any(side is not None and side % 16 for side in input_shape[:2]):
        raise ValueError(
            "`input_shape` must be (height, width, channels) with sides that are multiples of 16. "
            f"Received: {input_shape}"
        )
