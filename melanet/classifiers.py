"""Classifiers of chapter 2: an ImageNet network, global average pooling, softmax."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import layers


def vgg_gap(
    input_shape: tuple[int, ...] = (256, 256, 3),
    classes: int = 2,
    *,
    weights: str | Path | None = "imagenet",
    name: str = "vgg_gap",
) -> keras.Model:
    """VGG-16 without its top, global average pooling, one softmax layer (figure 2.2).

    All layers are trainable. 14,715,714 parameters for two classes. The preprocessing that belongs
    to the ImageNet weights is part of the model: it takes images in [0, 1] whatever `weights` is.

    Args:
        input_shape: `(height, width, channels)`, sides of 32 pixels or more, 1 or 3 channels. A
            single channel is repeated to the 3 that the networks take.
        classes: Number of classes, the positive one last.
        weights: `"imagenet"` (downloaded once by Keras), None for random weights, or a weights
            file written by `Model.save_weights` of this model.
        name: Name of the model.

    Returns:
        A `keras.Model` from images in [0, 1], `(batch, height, width, channels)`, to probabilities,
        `(batch, classes)`, float32 under any precision.

    Raises:
        ValueError: If an argument is out of range, or `weights` is a file that is missing or does
            not fit.

    Example:
        >>> from melanet import vgg_gap
        >>> vgg_gap((32, 32, 3), classes=2, weights=None).count_params()
        14715714
    """
    return _gap_classifier(
        keras.applications.VGG16, _imagenet_caffe, input_shape, classes, weights, name
    )


def resnet50_gap(
    input_shape: tuple[int, ...] = (256, 256, 3),
    classes: int = 2,
    *,
    weights: str | Path | None = "imagenet",
    name: str = "resnet50_gap",
) -> keras.Model:
    """ResNet-50 without its top, global average pooling, one softmax layer (section 2.3.2).

    See `vgg_gap` for arguments, returns and errors.

    Example:
        >>> from melanet import resnet50_gap
        >>> resnet50_gap((32, 32, 1), classes=3, weights=None).output_shape
        (None, 3)
    """
    return _gap_classifier(
        keras.applications.ResNet50, _imagenet_caffe, input_shape, classes, weights, name
    )


def densenet121_gap(
    input_shape: tuple[int, ...] = (256, 256, 3),
    classes: int = 2,
    *,
    weights: str | Path | None = "imagenet",
    name: str = "densenet121_gap",
) -> keras.Model:
    """DenseNet-121 without its top, global average pooling, one softmax layer (section 2.3.2).

    The thesis calls it "DenseNet-102", which does not exist. See `vgg_gap` for arguments, returns
    and errors.

    Example:
        >>> from melanet import densenet121_gap
        >>> densenet121_gap((32, 32, 1), classes=3, weights=None).output_shape
        (None, 3)
    """
    return _gap_classifier(
        keras.applications.DenseNet121, _imagenet_torch, input_shape, classes, weights, name
    )


#: Classifier builders by the names that experiments and records use.
CLASSIFIERS: dict[str, Callable[..., keras.Model]] = {
    "vgg_gap": vgg_gap,
    "resnet50_gap": resnet50_gap,
    "densenet121_gap": densenet121_gap,
}


def densenet121_features(
    input_shape: tuple[int, ...] = (256, 256, 3),
    *,
    weights: str | Path | None = "imagenet",
    name: str = "densenet121_features",
) -> keras.Model:
    """DenseNet-121 up to its global average pooling, frozen.

    It computes in float32 under any precision. 7,037,504 parameters, none of them trainable. See
    `vgg_gap` for arguments and errors.

    Returns:
        A `keras.Model` from images in [0, 1], `(batch, height, width, channels)`, to features,
        `(batch, 1024)`, float32.

    Example:
        >>> from melanet import densenet121_features
        >>> densenet121_features((32, 32, 1), weights=None).output_shape
        (None, 1024)
    """
    _check_arguments(input_shape, weights)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        inputs, x = _gap(keras.applications.DenseNet121, _imagenet_torch, input_shape, weights)
        model = keras.Model(inputs, x, name=name)
    finally:
        keras.config.set_dtype_policy(policy)
    model.trainable = False
    _load_weights(model, weights)
    return model


def _gap_classifier(backbone, preprocess, input_shape, classes, weights, name) -> keras.Model:
    _check_arguments(input_shape, weights)
    if classes < 2:
        raise ValueError(f"`classes` must be 2 or more. Received: {classes}")
    inputs, x = _gap(backbone, preprocess, input_shape, weights)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="class")(x)
    model = keras.Model(inputs, outputs, name=name)
    _load_weights(model, weights)
    return model


def _gap(backbone, preprocess, input_shape, weights):
    """The input, and the output of the network's global average pooling."""
    inputs = x = keras.Input(input_shape)
    if input_shape[-1] == 1:
        x = layers.Concatenate(dtype="float32")([inputs] * 3)
    # Built on the input, not nested, so that Grad-CAM can reach every layer by its name.
    network = backbone(
        include_top=False,
        weights="imagenet" if weights == "imagenet" else None,
        input_tensor=preprocess(x),
        pooling="avg",
    )
    return inputs, network.output


def _check_arguments(input_shape, weights) -> None:
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3) or min(input_shape[:2]) < 32:
        raise ValueError(
            "`input_shape` must be (height, width, 1 or 3) with sides of 32 pixels or more. "
            f"Received: {input_shape}"
        )
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise ValueError(f"`weights`: no such file: {weights}")


def _load_weights(model, weights) -> None:
    if weights in (None, "imagenet"):
        return
    try:
        model.load_weights(weights)
    except Exception as error:  # whatever the readers raise on a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"`weights`: {weights} does not fit {model.name} with input {model.input_shape[1:]} "
            f"and {model.output_shape[-1]} outputs: {reason}"
        ) from None


def _imagenet_caffe(images):
    """From RGB in [0, 1] to the centred BGR in [0, 255] of VGG-16's and ResNet-50's weights."""
    means = [103.939, 116.779, 123.68]
    bgr = ReverseChannels(dtype="float32", name="to_bgr")(images)
    return layers.Rescaling(255.0, offset=[-mean for mean in means], dtype="float32")(bgr)


def _imagenet_torch(images):
    """From RGB in [0, 1] to the standardised RGB of DenseNet-121's weights."""
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return layers.Rescaling(
        [1 / deviation for deviation in deviations],
        offset=[-mean / deviation for mean, deviation in zip(means, deviations, strict=True)],
        dtype="float32",
    )(images)


@keras.saving.register_keras_serializable("melanet")
class ReverseChannels(layers.Layer):
    """Converts RGB to BGR, or back.

    Example:
        >>> import numpy as np
        >>> from melanet.classifiers import ReverseChannels
        >>> ReverseChannels()(np.array([[1.0, 2.0, 3.0]])).numpy().tolist()
        [[3.0, 2.0, 1.0]]
    """

    def call(self, images: Any) -> Any:
        return keras.ops.flip(images, axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape
