"""Generator and discriminator of the translations (sections 2.2.1 and 4.3.1)."""

import keras
from keras import layers

from melanet import layers as melanet_layers


def unet_generator(
    input_shape: tuple[int, ...] = (256, 256, 3),
    filters: int = 32,
    name: str = "unet_generator",
    *,
    norm: str = "instance",
    classes: int | None = None,
) -> keras.Model:
    """U-Net that translates images of one class into the other, or into any of several.

    Four 4x4 convolutions of stride 2 (`filters` to `8 * filters`) on the way down, three blocks of
    upsampling, convolution and concatenated skip on the way up, a norm after each. 1,546,819
    parameters by default, 1,545,425 with layer norm.

    Args:
        input_shape: `(height, width, channels)`; sides are multiples of 16.
        filters: Filters of the first block.
        name: Name of the model.
        norm: `"instance"` normalises each channel of an image by itself, as the thesis says;
            `"layer"` all of an image together, as the released code does.
        classes: Number of classes that the model can translate to (section 4.3.1); `16 * classes *
            filters` parameters more. None is one class, which the training decides on.

    Returns:
        A `keras.Model` from images in [-1, 1], `(batch, height, width, channels)`, to images in
        [-1, 1] of the same shape; float32 under any precision. With `classes`, it takes
        `[images, targets]`: the target of each image one-hot, `(batch, classes)`.

    Raises:
        ValueError: If a side is not a multiple of 16, `filters` is not positive, `classes` is below
            2 or `norm` is unknown.

    Example:
        >>> import numpy as np
        >>> from melanet import unet_generator
        >>> tuple(unet_generator((32, 32, 3), filters=4)(np.zeros((2, 32, 32, 3))).shape)
        (2, 32, 32, 3)
    """
    _check_arguments(input_shape, filters, norm, classes)
    inputs = x = keras.Input(input_shape)
    if classes is not None:
        target = keras.Input((classes,), name="target")
        inputs, x = [inputs, target], melanet_layers.AppendClass()([inputs, target])
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
    classes: int | None = None,
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
        classes: Number of classes that a second output tells apart (section 4.3.1); `8 * filters *
            classes + classes` parameters more. None is no such output.

    Returns:
        A `keras.Model` from images in [-1, 1], `(batch, height, width, channels)`, to logits,
        `(batch, height / 16, width / 16, 1)`, float32 under any precision. `sigmoid(logit)` is D of
        eq. 2.2. With `classes`, to these and to the logits of the classes, `(batch, classes)`.

    Raises:
        ValueError: If a side is not a multiple of 16, `filters` is not positive, `classes` is below
            2 or `norm` is unknown.

    Example:
        >>> import numpy as np
        >>> from melanet import patchgan_discriminator
        >>> tuple(patchgan_discriminator((32, 48, 3), filters=4)(np.zeros((2, 32, 48, 3))).shape)
        (2, 2, 3, 1)
    """
    _check_arguments(input_shape, filters, norm, classes)
    inputs = x = keras.Input(input_shape)
    for scale in (1, 2, 4, 8):
        x = layers.Conv2D(scale * filters, 4, strides=2, padding="same")(x)
        x = features = layers.LeakyReLU(0.2)(x)
        if scale > 1:
            x = _norm(norm)(x)
    outputs = layers.Conv2D(1, 4, padding="same", dtype="float32", name="patches")(x)
    if classes is not None:
        # Before the norm, which leaves the mean of every channel the same for all images.
        pooled = layers.GlobalAveragePooling2D()(features)
        outputs = [outputs, layers.Dense(classes, dtype="float32", name="class")(pooled)]
    return keras.Model(inputs, outputs, name=name)


def _norm(norm: str) -> keras.Layer:
    if norm == "instance":
        return layers.GroupNormalization(groups=-1)
    return melanet_layers.ScalarLayerNormalization()


def _check_arguments(
    input_shape: tuple[int, ...], filters: int, norm: str, classes: int | None
) -> None:
    if norm not in ("instance", "layer"):
        raise ValueError(f'`norm` must be "instance" or "layer". Received: {norm!r}')
    if classes is not None and classes < 2:
        raise ValueError(f"`classes` must be 2 or more, or None. Received: {classes}")
    if filters < 1:
        raise ValueError(f"`filters` must be 1 or more. Received: {filters}")
    if len(input_shape) != 3 or any(side is not None and side % 16 for side in input_shape[:2]):
        raise ValueError(
            "`input_shape` must be (height, width, channels) with sides that are multiples of 16. "
            f"Received: {input_shape}"
        )
