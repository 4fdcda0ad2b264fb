"""Where a classifier looks: Grad-CAM (reference [86] of the thesis) for any Keras model."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf


def grad_cam(model, images, layer=None, class_index=None, *, batch_size=16) -> np.ndarray:
    """Heat maps of what speaks for a class (gradient-weighted class activation maps).

    The feature maps of a layer are weighted by the mean gradient of the class's score and summed;
    what speaks against is cut off; the result is resized to the image and scaled to [0, 1].

    Args:
        model: A Keras classifier, `(batch, height, width, channels)` to `(batch, classes)`. Its
            layers may be nested in other models.
        images: `(images, height, width, channels)`, as the model takes them.
        layer: Name of the layer; the last one with feature maps, poolings left out, if None.
        class_index: Class whose evidence is shown, one for all or one an image; the predicted
            class if None.
        batch_size: Images looked at once.

    Returns:
        float32, `(images, height, width)`, in [0, 1]; 0 everywhere where nothing speaks for it.

    Raises:
        ValueError: If there is no image or no such layer, or a class index is out of range.
    """
    images = np.asarray(images, "float32")
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "`images` must be (images, height, width, channels), with an image or more. "
            f"Received shape {images.shape}"
        )
    target = _find_layer(model, layer)
    wanted = _class_indices(model, class_index, len(images))
    batches = range(0, len(images), batch_size)
    maps = [
        _heat_maps(model, target, images[at : at + batch_size], wanted[at : at + batch_size])
        for at in batches
    ]
    return np.concatenate(maps)


def _heat_maps(model, layer, images, class_index):
    with tf.GradientTape() as tape, _recorded_output(layer) as outputs:
        scores = model(tf.constant(images), training=False)
        if not outputs:
            raise ValueError(f"`layer`: {layer.name} takes no part in the prediction")
        predicted = np.argmax(scores, axis=-1)
        chosen = np.where(class_index < 0, predicted, class_index)
        # The logarithm, so that a class that is as good as certain still has a gradient.
        evidence = tf.math.log(tf.gather(scores, chosen, axis=1, batch_dims=1) + 1e-12)
    features = outputs[-1]
    gradients = tf.cast(tape.gradient(evidence, features), tf.float32)
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * tf.cast(features, tf.float32), axis=-1))
    resized = tf.image.resize(maps[..., None], images.shape[1:3])[..., 0].numpy()
    peak = resized.max(axis=(1, 2), keepdims=True)
    return np.divide(resized, peak, out=np.zeros_like(resized), where=peak > 0)


@contextlib.contextmanager
def _recorded_output(layer) -> Iterator[list]:
    """Collects what `layer` returns while the model is called, however deep it is nested."""
    outputs: list = []
    call = layer.call

    def recording_call(*args, **kwargs):
        outputs.append(call(*args, **kwargs))
        return outputs[-1]

    layer.call = recording_call
    try:
        yield outputs
    finally:
        del layer.call


def _find_layer(model, name):
    found = list(_all_layers(model))
    if name is not None:
        named = [layer for layer in found if layer.name == name]
        if not named:
            raise ValueError(f"`layer`: {model.name} has no layer {name!r}")
        return named[-1]
    mapping = [layer for layer in found if _has_feature_maps(layer)]
    if not mapping:
        raise ValueError(f"`layer`: {model.name} has no layer with feature maps")
    return mapping[-1]


def _all_layers(model):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer


def _has_feature_maps(layer):
    shape = getattr(layer.output, "shape", ()) if layer._inbound_nodes else ()
    return len(shape) == 4 and "Pooling" not in type(layer).__name__


def _class_indices(model, class_index, count) -> np.ndarray:
    """One index an image; -1 stands for the predicted class."""
    if class_index is None:
        return np.full(count, -1)
    indices = np.broadcast_to(np.asarray(class_index, int), (count,))
    classes = model.output_shape[-1]
    if ((indices < 0) | (indices >= classes)).any():
        raise ValueError(f"`class_index` must lie in 0 to {classes - 1}. Received: {class_index}")
    return indices
