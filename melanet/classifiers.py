"""Classifiers of chapter 2: an ImageNet network, global average pooling, softmax."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
from keras import layers


def vgg_gap(
    input_shape: tuple[int, ...] = (256, 256, 3),
    classes: int = 2,
    *,
    weights: str | Path | None = "imagenet",
    preprocessing: str = "none",
    name: str = "vgg_gap",
) -> keras.Model:
    """VGG-16 without its top, global average pooling, one softmax layer (figure 2.2).

    All layers are trainable. 14,715,714 parameters for two classes.

    Args:
        input_shape: `(height, width, channels)`, sides of 32 pixels or more, 1 or 3 channels. A
            single channel is repeated to the 3 that the networks take.
        classes: Number of classes, the positive one last.
        weights: `"imagenet"` (downloaded once by Keras), None for random weights, or a weights
            file: of this whole model, written by its `save_weights`, or of the network without its
            top, such as Keras's own `vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5`.
        preprocessing: What happens to the images inside the model, whatever `weights` is. `"none"`
            feeds [0, 1] to the network, as the thesis and the released code do; `"imagenet"` adds
            the scaling that the ImageNet weights were trained with. A saved model keeps it, as the
            layer `imagenet_preprocessing` in its configuration.
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
        keras.applications.VGG16, input_shape, classes, weights, preprocessing, name
    )


def resnet50_gap(
    input_shape: tuple[int, ...] = (256, 256, 3),
    classes: int = 2,
    *,
    weights: str | Path | None = "imagenet",
    preprocessing: str = "none",
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
        keras.applications.ResNet50, input_shape, classes, weights, preprocessing, name
    )


def densenet121_gap(
    input_shape: tuple[int, ...] = (256, 256, 3),
    classes: int = 2,
    *,
    weights: str | Path | None = "imagenet",
    preprocessing: str = "none",
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
        keras.applications.DenseNet121, input_shape, classes, weights, preprocessing, name
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
    preprocessing: str = "none",
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
    _check_arguments(input_shape, weights, preprocessing)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        backbone = _backbone(keras.applications.DenseNet121, input_shape, weights, preprocessing)
        model = keras.Model(backbone.input, backbone.output, name=name)
    finally:
        keras.config.set_dtype_policy(policy)
    model.trainable = False
    _load_weights(model, backbone, weights)
    return model


def _gap_classifier(build, input_shape, classes, weights, preprocessing, name) -> keras.Model:
    _check_arguments(input_shape, weights, preprocessing)
    if classes < 2:
        raise ValueError(f"`classes` must be 2 or more. Received: {classes}")
    backbone = _backbone(build, input_shape, weights, preprocessing)
    head = layers.Dense(classes, activation="softmax", dtype="float32", name="class")
    model = keras.Model(backbone.input, head(backbone.output), name=name)
    _load_weights(model, backbone, weights)
    return model


def _backbone(build, input_shape, weights, preprocessing) -> keras.Model:
    """From images in [0, 1] to the features of the global average pooling."""
    inputs = x = keras.Input(input_shape)
    if input_shape[-1] == 1:
        x = layers.Concatenate(dtype="float32")([inputs] * 3)
    if preprocessing == "imagenet":
        x = _imagenet_torch(x) if build is keras.applications.DenseNet121 else _imagenet_caffe(x)
    # Built on the input, not nested, so that Grad-CAM can reach every layer by its name.
    network = build(
        include_top=False,
        weights="imagenet" if weights == "imagenet" else None,
        input_tensor=x,
        pooling="avg",
    )
    return keras.Model(inputs, network.output)


def _check_arguments(input_shape, weights, preprocessing) -> None:
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3) or min(input_shape[:2]) < 32:
        raise ValueError(
            "`input_shape` must be (height, width, 1 or 3) with sides of 32 pixels or more. "
            f"Received: {input_shape}"
        )
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise ValueError(f"`weights`: no such file: {weights}")
    if preprocessing not in ("none", "imagenet"):
        raise ValueError(
            f'`preprocessing` must be "none" or "imagenet". Received: {preprocessing!r}'
        )


def _load_weights(model, backbone, weights) -> None:
    """Loads a weights file of the backbone, if it holds just those, or else of the model."""
    if weights in (None, "imagenet"):
        return
    shapes = sorted(tuple(weight.shape) for weight in backbone.weights)
    try:
        (backbone if _stored_shapes(weights) == shapes else model).load_weights(weights)
    except Exception as error:  # whatever the readers raise on a damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"`weights`: {weights} does not fit {model.name} with input {model.input_shape[1:]} "
            f"and {model.output_shape[-1]} outputs: {reason}"
        ) from None


def _stored_shapes(path) -> list[tuple[int, ...]]:
    """Shapes of the arrays in an HDF5 file, sorted; none for another format."""
    shapes = []

    def add(name, entry):
        if isinstance(entry, h5py.Dataset) and not name.startswith("optimizer"):
            shapes.append(entry.shape)

    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            file.visititems(add)
    return sorted(shapes)


_PREPROCESSING_LAYER = {"dtype": "float32", "name": "imagenet_preprocessing"}


def _imagenet_caffe(images):
    """From RGB in [0, 1] to the centred BGR in [0, 255] of VGG-16's and ResNet-50's weights."""
    means = [103.939, 116.779, 123.68]
    bgr = ReverseChannels(dtype="float32", name="to_bgr")(images)
    return layers.Rescaling(255.0, offset=[-mean for mean in means], **_PREPROCESSING_LAYER)(bgr)


def _imagenet_torch(images):
    """From RGB in [0, 1] to the standardised RGB of DenseNet-121's weights."""
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return layers.Rescaling(
        [1 / deviation for deviation in deviations],
        offset=[-mean / deviation for mean, deviation in zip(means, deviations, strict=True)],
        **_PREPROCESSING_LAYER,
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
