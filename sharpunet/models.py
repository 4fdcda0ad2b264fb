"""U-Net and Sharp U-Net, wide ones, ones for volumes, and ones with an ImageNet encoder.

Sections 3.2.2 to 3.3.4, and 4.3.3 for volumes. Every model is an encoder, a decoder and a head:
`_encode` or a network of `keras.applications`, `_decode`, and `_mask_head`. The same code builds
those of images and of volumes: the input's shape has the dimensions.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import keras
from keras import layers

from sharpunet.layers import Kernel, SharpBlock

#: `(height, width, channels)`, or of volumes `(depth, height, width, channels)`; a side may be None
#: for any size.
Shape = tuple[int | None, ...]

FILTERS = (32, 64, 128, 256, 512)
FILTERS_3D = (16, 32, 64, 128)
WIDE_FILTERS = (35, 70, 140, 280, 560)
WIDE_UP_FILTERS = (256, 128, 64, 32)  # the published code leaves these as in `unet`
DECODER_FILTERS = (256, 128, 64, 32, 16)


def unet(
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    filters: Sequence[int] = FILTERS,
    up_filters: Sequence[int] | None = None,
    name: str = "unet",
) -> keras.Model:
    """U-Net with plain skip connections, the baseline of section 3.3.2.

    Each block has two 3x3 convolutions with ReLU. Between blocks are 2x2 max pooling in the encoder
    and 2x2 transposed convolutions in the decoder; a 1x1 convolution ends it. 7,759,521 parameters
    for 1 input channel, 7,760,097 for 3. Of volumes everything has a third dimension.

    Args:
        input_shape: `(height, width, channels)`, or `(depth, height, width, channels)`. The sides
            must be multiples of `2 ** (len(filters) - 1)`, or None for any such size.
        classes: Number of classes. 1 gives a sigmoid map of the foreground; more give a softmax
            over all classes, background included.
        filters: Filters of each encoder block, from the finest to the bridge.
        up_filters: Filters of each transposed convolution, from the coarsest to the finest; those
            of its decoder block if None.
        name: Name of the model.

    Returns:
        A `keras.Model` from images in [0, 1], `(batch, *input_shape)`, to probabilities of the same
        size, `(batch, height, width, classes)`, float32 under any dtype policy.

    Raises:
        ValueError: If the poolings do not divide a side, a number is not positive, or
            `up_filters` is not one shorter than `filters`.

    Example:
        >>> from sharpunet import unet
        >>> unet((64, 96, 3)).count_params()
        7760097
    """
    return _unet(input_shape, classes, filters, up_filters, _keep, name)


def sharp_unet(
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    filters: Sequence[int] = FILTERS,
    up_filters: Sequence[int] | None = None,
    kernel: Kernel = "laplacian",
    learned: bool = False,
    name: str = "sharp_unet",
) -> keras.Model:
    """Sharp U-Net: `unet` with a `SharpBlock` on every skip connection (figure 3.1).

    It has the trainable parameters of `unet`, and 3 * 3 * M frozen weights for a skip connection
    of M channels (4,320 in all); of volumes 3 * 3 * 3 * M.

    See `unet` for the other arguments, returns and errors.

    Args:
        kernel: See `SharpBlock`.
        learned: See `SharpBlock`.

    Example:
        >>> from sharpunet import sharp_unet, unet
        >>> sharp_unet((64, 96, 3)).count_params() - unet((64, 96, 3)).count_params()
        4320
    """
    return _unet(input_shape, classes, filters, up_filters, _sharpen(kernel, learned), name)


def wide_unet(
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    filters: Sequence[int] = WIDE_FILTERS,
    up_filters: Sequence[int] | None = WIDE_UP_FILTERS,
    name: str = "wide_unet",
) -> keras.Model:
    """Wide U-Net: `unet` with 35 to 560 filters; 9,131,106 parameters for 3 input channels.

    The transposed convolutions have the filters of `unet`, as in the author's code: this gives the
    "roughly 9.1 million" of section 3.3.2. With `up_filters=None` it would be 9,282,876.

    See `unet` for arguments, returns and errors.

    Example:
        >>> from sharpunet import wide_unet
        >>> wide_unet((64, 96, 3)).count_params()
        9131106
    """
    return unet(input_shape, classes, filters=filters, up_filters=up_filters, name=name)


def wide_sharp_unet(
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    filters: Sequence[int] = WIDE_FILTERS,
    up_filters: Sequence[int] | None = WIDE_UP_FILTERS,
    kernel: Kernel = "laplacian",
    name: str = "wide_sharp_unet",
) -> keras.Model:
    """Wide Sharp U-Net: `wide_unet` with a `SharpBlock` on every skip connection (section 3.2.5).

    See `sharp_unet` for arguments, returns and errors.

    Example:
        >>> from sharpunet import wide_sharp_unet
        >>> wide_sharp_unet((64, 96, 3), classes=4).output_shape
        (None, 64, 96, 4)
    """
    return sharp_unet(
        input_shape, classes, filters=filters, up_filters=up_filters, kernel=kernel, name=name
    )


def unet3d(
    input_shape: Shape = (64, 64, 64, 1),
    classes: int = 1,
    *,
    filters: Sequence[int] = FILTERS_3D,
    up_filters: Sequence[int] | None = None,
    name: str = "unet3d",
) -> keras.Model:
    """`unet` for volumes, with 16 to 128 filters; 1,400,561 parameters for 1 input channel.

    See `unet` for arguments, returns and errors.

    Example:
        >>> from sharpunet import unet3d
        >>> unet3d((16, 32, 32, 1)).count_params()
        1400561
    """
    return unet(input_shape, classes, filters=filters, up_filters=up_filters, name=name)


def sharp_unet3d(
    input_shape: Shape = (64, 64, 64, 1),
    classes: int = 1,
    *,
    filters: Sequence[int] = FILTERS_3D,
    up_filters: Sequence[int] | None = None,
    kernel: Kernel = "laplacian",
    name: str = "sharp_unet3d",
) -> keras.Model:
    """Sharp U-Net for volumes (section 4.3.3): `unet3d` with a `SharpBlock` on every skip.

    The blocks add 3 * 3 * 3 * (16 + 32 + 64) = 3,024 frozen weights.

    See `sharp_unet` for arguments, returns and errors.

    Example:
        >>> from sharpunet import sharp_unet3d, unet3d
        >>> shape = (16, 32, 32, 1)
        >>> sharp_unet3d(shape).count_params() - unet3d(shape).count_params()
        3024
    """
    return sharp_unet(
        input_shape, classes, filters=filters, up_filters=up_filters, kernel=kernel, name=name
    )


def encoder_unet(
    encoder: str | Callable[..., keras.Model],
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    skip: str = "plain",
    kernel: Kernel = "laplacian",
    weights: str | Path | None = None,
    decoder_filters: Sequence[int] = DECODER_FILTERS,
    skip_count: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """U-Net whose encoder is a network of `keras.applications` (section 3.3.4).

    Skip connections start at the last feature map of each resolution. A decoder block upsamples,
    concatenates the skip connection, and has two 3x3 convolutions with batch norm and ReLU. An
    encoder that ends in a pooling, as VGG does, is followed by two such convolutions of 512
    filters.

    The encoder's own preprocessing is part of the model: images are in [0, 1] for any encoder and
    any weights.

    Args:
        encoder: A name in `keras.applications`, such as `"VGG16"`, or one of its functions.
        input_shape: `(height, width, channels)`, the sides multiples of 32 or None. A single
            channel is repeated to the 3 that encoders take.
        classes: See `unet`.
        skip: `"plain"`, or `"sharp"` for a `SharpBlock` on every skip connection.
        kernel: Kernel of the sharp blocks, see `SharpBlock`.
        weights: None for random weights, `"imagenet"` for the encoder's (Keras downloads them
            once), or a file: the weights of this model, as `Model.save_weights` writes them, or of
            the encoder alone, as Keras distributes them without a top ("notop").
        decoder_filters: Filters of each decoder block, from the coarsest to the finest.
        skip_count: Number of skip connections, from the coarsest; all that the encoder offers if
            None.
        name: Name of the model.

    Returns:
        A `keras.Model` from images in [0, 1] to probabilities, as `unet`.

    Raises:
        ValueError: If an argument is out of range, the encoder does not halve its feature maps
            as often as there are decoder blocks, or `weights` is a file that does not exist or
            does not fit.

    Example:
        >>> from sharpunet import encoder_unet
        >>> encoder_unet("MobileNetV2", (64, 96, 1), skip="sharp").output_shape
        (None, 64, 96, 1)
    """
    if skip not in ("plain", "sharp"):
        raise ValueError(f'`skip` must be "plain" or "sharp". Received: {skip!r}')
    _check_arguments(input_shape, classes, (*decoder_filters, 1))
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise ValueError(
            "`input_shape` must be (height, width, channels), with 1 or 3 channels. "
            f"Received: {input_shape}"
        )
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
    if skip_count is not None:
        skips = _coarsest_skips(skips, skip_count, network.name)
    if isinstance(network.layers[-1], layers.MaxPooling2D):
        x = _normed_convolutions(x, 512)
    connect = _sharpen(kernel) if skip == "sharp" else _keep
    filters = decoder_filters
    x = _decode(x, skips, filters, filters, _upsample, connect, _normed_convolutions)
    name = name or f"{skip}_unet_{build.__name__.lower()}"
    model = keras.Model(inputs, _mask_head(x, classes, size=3), name=name)
    if weights not in (None, "imagenet"):
        _load_weights(model, weights, encoder=network)
    return model


def ternausnet16(
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    weights: str | Path | None = None,
    name: str = "ternausnet16",
) -> keras.Model:
    """TernausNet-16: a U-Net with a VGG-16 encoder; 23,752,273 parameters.

    It has four skip connections, none at full resolution, as in the author's code.

    See `encoder_unet` for arguments, returns and errors.

    Example:
        >>> from sharpunet import ternausnet16
        >>> ternausnet16((64, 96, 3)).count_params()
        23752273
    """
    return encoder_unet("VGG16", input_shape, classes, weights=weights, skip_count=4, name=name)


def sharp_ternausnet16(
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    kernel: Kernel = "laplacian",
    weights: str | Path | None = None,
    name: str = "sharp_ternausnet16",
) -> keras.Model:
    """Sharp TernausNet-16: `ternausnet16` with a `SharpBlock` on every skip connection.

    The blocks add 12,672 frozen weights.

    See `encoder_unet` for arguments, returns and errors.

    Example:
        >>> from sharpunet import sharp_ternausnet16
        >>> sharp_ternausnet16((64, 96, 3)).output_shape
        (None, 64, 96, 1)
    """
    return encoder_unet(
        "VGG16",
        input_shape,
        classes,
        skip="sharp",
        kernel=kernel,
        weights=weights,
        skip_count=4,
        name=name,
    )


def unet_resnet50(
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    weights: str | Path | None = None,
    name: str = "unet_resnet50",
) -> keras.Model:
    """U-Net with a ResNet-50 encoder; 32,602,769 parameters, 32,547,665 of them trainable.

    See `encoder_unet` for arguments, returns and errors.

    Example:
        >>> from sharpunet import unet_resnet50
        >>> unet_resnet50((64, 96, 3)).count_params()
        32602769
    """
    return encoder_unet("ResNet50", input_shape, classes, weights=weights, name=name)


def sharp_unet_resnet50(
    input_shape: Shape = (192, 256, 3),
    classes: int = 1,
    *,
    kernel: Kernel = "laplacian",
    weights: str | Path | None = None,
    name: str = "sharp_unet_resnet50",
) -> keras.Model:
    """Sharp U-Net with a ResNet-50 encoder: `unet_resnet50` with sharp skip connections.

    See `encoder_unet` for arguments, returns and errors.

    Example:
        >>> from sharpunet import sharp_unet_resnet50
        >>> sharp_unet_resnet50((64, 96, 3)).output_shape
        (None, 64, 96, 1)
    """
    return encoder_unet(
        "ResNet50", input_shape, classes, skip="sharp", kernel=kernel, weights=weights, name=name
    )


#: Model builders by name, as experiments and records have them.
MODELS: dict[str, Callable[..., keras.Model]] = {
    build.__name__: build
    for build in (
        unet,
        sharp_unet,
        wide_unet,
        wide_sharp_unet,
        ternausnet16,
        sharp_ternausnet16,
        unet_resnet50,
        sharp_unet_resnet50,
    )
}
#: Those for volumes.
VOLUME_MODELS: dict[str, Callable[..., keras.Model]] = {
    build.__name__: build for build in (unet3d, sharp_unet3d)
}


def _unet(input_shape, classes, filters, up_filters, connect, name) -> keras.Model:
    _check_arguments(input_shape, classes, filters)
    if up_filters is not None and (len(up_filters) != len(filters) - 1 or min(up_filters) < 1):
        raise ValueError(
            f"`up_filters` must be {len(filters) - 1} positive numbers. Received: {up_filters}"
        )
    inputs = keras.Input(input_shape)
    *skips, x = _encode(inputs, filters)
    filters = filters[-2::-1]
    x = _decode(x, skips, filters, up_filters or filters, _transpose, connect, _convolutions)
    return keras.Model(inputs, _mask_head(x, classes), name=name)


def _encode(x, filters):
    """The feature map of every block, finest first."""
    maps = [_convolutions(x, filters[0])]
    for count in filters[1:]:
        maps.append(_convolutions(_layer("MaxPooling{}D", maps[-1])(2)(maps[-1]), count))
    return maps


def _decode(x, skips, filters, up_filters, upsample, connect, convolve):
    """Upsamples `x` and fuses it with `connect(skip)`, coarsest skip first, where there is one."""
    for count, up_count, skip in zip(filters, up_filters, reversed(skips), strict=True):
        x = upsample(x, up_count)
        if skip is not None:
            x = layers.Concatenate()([x, connect(skip)])
        x = convolve(x, count)
    return x


def _mask_head(x, classes, size=1):
    # float32 in mixed precision too: half-precision probabilities have no tails for the loss.
    activation = "sigmoid" if classes == 1 else "softmax"
    return _layer("Conv{}D", x)(
        classes, size, padding="same", activation=activation, dtype="float32", name="mask"
    )(x)


def _layer(kind, x):
    """The layer of a kind for the dimensions of a feature map, such as `Conv2D` or `Conv3D`."""
    return getattr(layers, kind.format(len(x.shape) - 2))


def _keep(skip):
    return skip


def _sharpen(kernel, learned=False):
    return lambda skip: SharpBlock(kernel, learned)(skip)


def _transpose(x, filters):
    return _layer("Conv{}DTranspose", x)(filters, 2, strides=2)(x)


def _upsample(x, filters):
    return layers.UpSampling2D(2)(x)


def _convolutions(x, filters):
    for _ in range(2):
        x = _layer("Conv{}D", x)(filters, 3, padding="same", activation="relu")(x)
    return x


def _normed_convolutions(x, filters):
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    return x


def _find_encoder(encoder):
    build = getattr(keras.applications, encoder, None) if isinstance(encoder, str) else encoder
    if not callable(build) or not hasattr(sys.modules.get(build.__module__), "preprocess_input"):
        raise ValueError(
            '`encoder` must be a network of keras.applications, such as "VGG16" or "ResNet50". '
            f"Received: {encoder!r}"
        )
    return build


def _preprocess(build, inputs):
    """Turns [0, 1] into what the encoder was trained on, by Keras's function for it."""
    x = inputs if inputs.shape[-1] == 3 else layers.Concatenate(dtype="float32")([inputs] * 3)
    x = layers.Rescaling(255.0, dtype="float32")(x)
    return sys.modules[build.__module__].preprocess_input(x)


def _feature_maps(network, input_shape, halvings):
    """The last feature map of each resolution, finest first; None where there is none."""
    learning = [layer for layer in network.layers if layer.trainable_weights]
    first = network.layers.index(learning[0])  # only preprocessing comes before it
    maps = [layer.output for layer in network.layers[first:] if _is_feature_map(layer.output)]
    sides, sizes = tuple(input_shape[:2]), [tuple(x.shape[1:3]) for x in maps]
    if None in sides:  # take the sizes that an example gives
        sides = (2 ** (halvings + 2),) * 2
        example = keras.KerasTensor((1, *sides, input_shape[-1]))
        outputs = keras.Model(network.input, maps).compute_output_spec(example)
        sizes = [tuple(x.shape[1:3]) for x in outputs]
    last = dict(zip(sizes, maps, strict=True))
    found = [last.get(tuple(side >> halving for side in sides)) for halving in range(halvings + 1)]
    # The finest ones may be missing: some networks begin with a stride of 2 or 4.
    if found[-1] is not network.output or None in found[2:]:
        raise ValueError(
            f"`encoder`: {network.name} does not halve its feature maps exactly {halvings} times; "
            "choose another encoder or another number of `decoder_filters`"
        )
    return found


def _coarsest_skips(skips, count, encoder_name):
    """The last `count` of `skips`, which are ordered finest first; None in place of the others."""
    offered = sum(feature is not None for feature in skips)
    if not 0 <= count <= offered:
        raise ValueError(
            f"`skip_count` must be from 0 to {offered}, the skip connections that "
            f"{encoder_name} offers. Received: {count}"
        )
    unused = len(skips) - count
    return [None] * unused + skips[unused:]


def _is_feature_map(x):
    return isinstance(x, keras.KerasTensor) and len(x.shape) == 4


def _load_weights(model, weights, encoder=None):
    try:
        # Counted, because Keras loads a file that holds more than the encoder without a word.
        alone = encoder is not None and _count_arrays(weights) == len(encoder.weights)
        (encoder if alone else model).load_weights(weights)
    except Exception as error:  # readers let anything through that a damaged file causes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"`weights`: {weights} does not fit {model.name}: {reason}") from None


def _count_arrays(weights) -> int:
    """Number of arrays in a weights file, without those of an optimizer."""
    arrays = []
    with h5py.File(weights) as file:
        file.visititems(
            lambda name, entry: arrays.append(name) if hasattr(entry, "shape") else None
        )
    return sum(not name.startswith("optimizer") for name in arrays)


def _check_arguments(input_shape, classes, filters):
    if classes < 1:
        raise ValueError(f"`classes` must be 1 or more. Received: {classes}")
    if len(filters) < 2 or min(filters) < 1:
        raise ValueError(f"`filters` must be two or more positive numbers. Received: {filters}")
    if len(input_shape) not in (3, 4):
        raise ValueError(
            "`input_shape` must be (height, width, channels), or (depth, height, width, channels). "
            f"Received: {input_shape}"
        )
    check_sides(input_shape[:-1], poolings=len(filters) - 1)


def check_sides(size: Sequence[int | None], poolings: int = 4) -> None:
    """Checks that `poolings` halvings divide the sides of an image or a volume.

    Args:
        size: `(height, width)` or `(depth, height, width)`, None for a side that is not known.
        poolings: Number of halvings.

    Raises:
        ValueError: If they do not. It names sides that work.

    Example:
        >>> from sharpunet.models import check_sides
        >>> check_sides((192, 256))
    """
    factor = 2**poolings
    for side in size:
        if side is not None and (side < factor or side % factor):
            below = max(side // factor, 1) * factor
            raise ValueError(
                f"{'depth, ' * (len(size) == 3)}height and width must be multiples of {factor}, "
                f"because {poolings} poolings halve them: {below} or {below + factor} would do for "
                f"{side}. "
                f"Received: {tuple(size)}"
            )
