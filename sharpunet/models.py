"""U-Net and Sharp U-Net, wide ones, and ones with an ImageNet encoder (sections 3.2.2 to 3.3.4)."""

import sys
from collections.abc import Callable
from pathlib import Path

import keras
from keras import layers

from sharpunet.layers import SharpBlock

FILTERS = (32, 64, 128, 256, 512)
WIDE_FILTERS = (35, 70, 140, 280, 560)
DECODER_FILTERS = (256, 128, 64, 32, 16)


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
    input_shape=(192, 256, 3),
    classes=1,
    *,
    filters=FILTERS,
    kernel="laplacian",
    learned=False,
    name="sharp_unet",
) -> keras.Model:
    """Sharp U-Net: `unet` with a `SharpBlock` on every skip connection (figure 3.1).

    It has the trainable parameters of `unet`, and 3 * 3 * M frozen weights for a skip connection
    of M channels (4,320 in all).

    `kernel` and `learned` are those of the sharp blocks, as in `SharpBlock`. The other arguments,
    the result and what is raised are those of `unet`.
    """

    def connect(skip):
        return SharpBlock(kernel, learned)(skip)

    return _unet(input_shape, classes, filters, connect, name)


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


def encoder_unet(
    encoder,
    input_shape=(192, 256, 3),
    classes=1,
    *,
    skip="plain",
    kernel="laplacian",
    weights=None,
    decoder_filters=DECODER_FILTERS,
    name=None,
) -> keras.Model:
    """U-Net whose encoder is a network of `keras.applications` (section 3.3.4).

    Skip connections leave the last feature map of each resolution. A decoder block upsamples,
    concatenates the skip, and has two 3x3 convolutions with batch norm and ReLU. An encoder that
    ends in a pooling, as VGG does, gets two such convolutions of 512 filters beneath it.

    The preprocessing that belongs to the encoder is part of the model: the input is [0, 1] whatever
    the encoder and its weights are.

    Args:
        encoder: A name in `keras.applications`, such as `"VGG16"`, or a function of it.
        input_shape: `(height, width, channels)`, sides multiples of 32; 1 channel is repeated to
            the 3 that encoders take.
        classes: As in `unet`.
        skip: `"plain"`, or `"sharp"` for a `SharpBlock` on every skip connection.
        kernel: Kernel of the sharp blocks.
        weights: `"imagenet"` (of the encoder; downloaded once by Keras), None for random weights,
            or a weights file that `Model.save_weights` of this model wrote.
        decoder_filters: Filters of each decoder block, from the coarsest to the finest.
        name: Name of the model.

    Returns:
        A `keras.Model` from images in [0, 1] to probabilities, as `unet`.

    Raises:
        ValueError: If an argument is out of its range, the encoder does not halve its feature maps
            five times, or `weights` is a file that is not there or does not fit.
    """
    if skip not in ("plain", "sharp"):
        raise ValueError(f'`skip` must be "plain" or "sharp". Received: {skip!r}')
    _check_arguments(input_shape, classes, (*decoder_filters, 1))
    if input_shape[-1] not in (1, 3):
        raise ValueError(f"`input_shape` must have 1 or 3 channels. Received: {input_shape}")
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise ValueError(f"`weights`: no such file: {weights}")
    build = _find_encoder(encoder)
    inputs = keras.Input(input_shape)
    # Built on the input, not nested: every layer can be reached by its name.
    network = build(
        include_top=False,
        weights="imagenet" if weights == "imagenet" else None,
        input_tensor=_preprocess(build, inputs),
    )
    *skips, x = _feature_maps(network, input_shape, len(decoder_filters))
    if isinstance(network.layers[-1], layers.MaxPooling2D):
        x = _normed_convolutions(x, 512)
    for count, feature in zip(decoder_filters, reversed(skips), strict=True):
        x = layers.UpSampling2D(2)(x)
        if feature is not None:
            feature = SharpBlock(kernel)(feature) if skip == "sharp" else feature
            x = layers.Concatenate()([x, feature])
        x = _normed_convolutions(x, count)
    name = name or f"{skip}_unet_{build.__name__.lower()}"
    outputs = _segmentation_head(x, classes, size=3)
    model = keras.Model(inputs, outputs, name=name)
    if weights not in (None, "imagenet"):
        _load_weights(model, weights)
    return model


def ternausnet16(
    input_shape=(192, 256, 3), classes=1, *, weights=None, name="ternausnet16"
) -> keras.Model:
    """TernausNet-16: a U-Net with a VGG-16 encoder; 23,761,489 parameters.

    Arguments, result and what is raised are those of `encoder_unet`.
    """
    return encoder_unet("VGG16", input_shape, classes, weights=weights, name=name)


def sharp_ternausnet16(
    input_shape=(192, 256, 3),
    classes=1,
    *,
    kernel="laplacian",
    weights=None,
    name="sharp_ternausnet16",
) -> keras.Model:
    """`ternausnet16` with a `SharpBlock` on every skip connection; arguments as there."""
    return encoder_unet(
        "VGG16", input_shape, classes, skip="sharp", kernel=kernel, weights=weights, name=name
    )


def unet_resnet50(
    input_shape=(192, 256, 3), classes=1, *, weights=None, name="unet_resnet50"
) -> keras.Model:
    """U-Net with a ResNet-50 encoder; 32,602,769 parameters, 32,547,665 of them trainable.

    Arguments, result and what is raised are those of `encoder_unet`.
    """
    return encoder_unet("ResNet50", input_shape, classes, weights=weights, name=name)


def sharp_unet_resnet50(
    input_shape=(192, 256, 3),
    classes=1,
    *,
    kernel="laplacian",
    weights=None,
    name="sharp_unet_resnet50",
) -> keras.Model:
    """`unet_resnet50` with a `SharpBlock` on every skip connection; arguments as there."""
    return encoder_unet(
        "ResNet50", input_shape, classes, skip="sharp", kernel=kernel, weights=weights, name=name
    )


#: Model builders by the name that experiments and records use.
MODELS: dict[str, Callable[..., keras.Model]] = {
    "unet": unet,
    "sharp_unet": sharp_unet,
    "wide_unet": wide_unet,
    "wide_sharp_unet": wide_sharp_unet,
    "ternausnet16": ternausnet16,
    "sharp_ternausnet16": sharp_ternausnet16,
    "unet_resnet50": unet_resnet50,
    "sharp_unet_resnet50": sharp_unet_resnet50,
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


def _normed_convolutions(x, filters):
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    return x


def _segmentation_head(x, classes, size=1):
    # float32 under mixed precision too: a loss on half-precision probabilities loses its tails.
    activation = "sigmoid" if classes == 1 else "softmax"
    return layers.Conv2D(
        classes, size, padding="same", activation=activation, dtype="float32", name="mask"
    )(x)


def _find_encoder(encoder):
    build = getattr(keras.applications, encoder, None) if isinstance(encoder, str) else encoder
    if not callable(build) or not hasattr(sys.modules.get(build.__module__), "preprocess_input"):
        raise ValueError(
            '`encoder` must be a network of keras.applications, such as "VGG16" or "ResNet50". '
            f"Received: {encoder!r}"
        )
    return build


def _preprocess(build, inputs):
    """From [0, 1] to what the encoder was trained on: Keras has a function for each."""
    x = inputs if inputs.shape[-1] == 3 else layers.Concatenate(dtype="float32")([inputs] * 3)
    x = layers.Rescaling(255.0, dtype="float32")(x)
    return sys.modules[build.__module__].preprocess_input(x)


def _feature_maps(network, input_shape, halvings):
    """The last feature map of each resolution, finest first, None where there is none."""
    learning = [layer for layer in network.layers if layer.trainable_weights]
    first = network.layers.index(learning[0])  # before it there is only preprocessing
    maps = [layer.output for layer in network.layers[first:] if _is_feature_map(layer.output)]
    sides, sizes = tuple(input_shape[:2]), [tuple(x.shape[1:3]) for x in maps]
    if None in sides:  # then the sizes are those that an example gives
        sides = (2 ** (halvings + 2),) * 2
        example = keras.KerasTensor((1, *sides, input_shape[-1]))
        outputs = keras.Model(network.input, maps).compute_output_spec(example)
        sizes = [tuple(x.shape[1:3]) for x in outputs]
    found = []
    for halving in range(halvings + 1):
        size = tuple(side >> halving for side in sides)
        fitting = [x for x, its_size in zip(maps, sizes, strict=True) if its_size == size]
        found.append(fitting[-1] if fitting else None)
    # The finest ones may be missing: some networks begin with strides of 2 or 4.
    if found[-1] is not network.output or None in found[2:]:
        raise ValueError(
            f"`encoder`: {network.name} does not halve its feature maps {halvings} times, or not "
            f"exactly; another encoder, or another number of `decoder_filters`, may do"
        )
    return found


def _is_feature_map(x):
    return isinstance(x, keras.KerasTensor) and len(x.shape) == 4


def _load_weights(model, weights):
    try:
        model.load_weights(weights)
    except Exception as error:  # whatever a damaged file makes its readers raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"`weights`: {weights} does not fit {model.name}: {reason}") from None


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
