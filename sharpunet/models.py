"""U-Net and Sharp U-Net, and their wide variants (sections 3.2.2 and 3.2.5)."""

from collections.abc import Callable

import keras
from keras import layers

from sharpunet.layers import SharpBlock

FILTERS = (32, 64, 128, 256, 512)
WIDE_FILTERS = (35, 70, 140, 280, 560)


def unet(input_shape=(192, 256, 3), classes=1, *, filters=FILTERS, name="unet") -> keras.Model:
    """U-Net with plain skip connections, the baseline of section 3.3.2.

    Two 3x3 ReLU convolutions a block, 2x2 max pooling, 2x2 transposed convolutions, a final 1x1
    convolution. 7,759,521 parameters for 1 input channel, 7,760,097 for 3.

    Args:
        input_shape: `(height, width, channels)`; a side is a multiple of
            `2 ** (len(filters) - 1)`, or None for any such size.
        classes: Number of classes. 1 gives a sigmoid map of the foreground, more give a softmax
            over all classes, background included.
        filters: Convolution filters of each encoder block, from the finest to the bridge.
        name: Name of the model.

    Returns:
        A `keras.Model` from images in [0, 1], `(batch, height, width, channels)`, to
        probabilities, `(batch, height, width, classes)`, float32 under any precision.

    Raises:
        ValueError: If a side does not survive the poolings, or `classes` or `filters` is not
            positive.
    """
    return _unet(input_shape, classes, filters, lambda skip: skip, name)


def sharp_unet(
    input_shape=(192, 256, 3), classes=1, *, filters=FILTERS, kernel="laplacian", name="sharp_unet"
) -> keras.Model:
    """Sharp U-Net: `unet` with a `SharpBlock` on every skip connection (figure 3.1).

    It has the trainable parameters of `unet`, and 3 * 3 * M frozen weights for a skip connection
    of M channels (4,320 in all).

    `kernel` is that of the sharp blocks, as in `SharpBlock`. The other arguments, the result and
    what is raised are those of `unet`.
    """
    return _unet(input_shape, classes, filters, lambda skip: SharpBlock(kernel)(skip), name)


def wide_unet(
    input_shape=(192, 256, 3), classes=1, *, filters=WIDE_FILTERS, name="wide_unet"
) -> keras.Model:
    """Wide U-Net: `unet` with 35 to 560 filters; 9,282,876 parameters for 3 input channels.

    Arguments, result and what is raised are those of `unet`.
    """
    return unet(input_shape, classes, filters=filters, name=name)


def wide_sharp_unet(
    input_shape=(192, 256, 3),
    classes=1,
    *,
    filters=WIDE_FILTERS,
    kernel="laplacian",
    name="wide_sharp_unet",
) -> keras.Model:
    """Wide Sharp U-Net: `sharp_unet` with 35 to 560 filters (section 3.2.5).

    Arguments, result and what is raised are those of `sharp_unet`.
    """
    return sharp_unet(input_shape, classes, filters=filters, kernel=kernel, name=name)


#: Model builders by the name that experiments and records use.
MODELS: dict[str, Callable[..., keras.Model]] = {
    "unet": unet,
    "sharp_unet": sharp_unet,
    "wide_unet": wide_unet,
    "wide_sharp_unet": wide_sharp_unet,
}


def _unet(input_shape, classes, filters, connect, name) -> keras.Model:
    """The encoder-decoder; `connect` is applied to each skip connection before it is fused."""
    _check_arguments(input_shape, classes, filters)
    *encoder_filters, bridge_filters = filters

    inputs = x = keras.Input(input_shape)
    skips = []
    for count in encoder_filters:
        x = _two_convolutions(x, count)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = _two_convolutions(x, bridge_filters)
    for count, skip in zip(reversed(encoder_filters), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(count, 2, strides=2)(x)
        x = layers.Concatenate()([x, connect(skip)])
        x = _two_convolutions(x, count)
    return keras.Model(inputs, _segmentation_head(x, classes), name=name)


def _two_convolutions(x, filters):
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    return x


def _segmentation_head(x, classes):
    # float32 under mixed precision too: a loss on half-precision probabilities loses its tails.
    activation = "sigmoid" if classes == 1 else "softmax"
    return layers.Conv2D(classes, 1, activation=activation, dtype="float32", name="mask")(x)


def _check_arguments(input_shape, classes, filters):
    if classes < 1:
        raise ValueError(f"`classes` must be 1 or more. Received: {classes}")
    if len(filters) < 2 or min(filters) < 1:
        raise ValueError(f"`filters` must be two or more positive numbers. Received: {filters}")
    if len(input_shape) != 3:
        raise ValueError(
            f"`input_shape` must be (height, width, channels). Received: {input_shape}"
        )
    check_sides(input_shape[:2], poolings=len(filters) - 1)


def check_sides(size, poolings=4):
    """Raises a ValueError that names the sizes that work if `poolings` halvings do not divide."""
    factor = 2**poolings
    for side in size:
        if side is not None and (side < factor or side % factor):
            below = max(side // factor, 1) * factor
            raise ValueError(
                f"height and width must be multiples of {factor}, because {poolings} poolings "
                f"halve them: {below} or {below + factor} would do for {side}. "
                f"Received: {tuple(size)}"
            )
