"""Where a classifier looks and what it sees: Grad-CAM [86], features, their UMAP embedding [87]."""

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


def features(model, images, *, batch_size=16) -> np.ndarray:
    """What a classifier knows of an image before it decides: its penultimate layer.

    For the classifiers of chapter 2 that is the global average pooling (section 2.3.6).

    Args:
        model: A Keras model; what its last `Dense` layer takes is given, or, if it has none, its
            output. Its layers may be nested in other models.
        images: `(images, height, width, channels)`, as the model takes them, or a tf.data.Dataset
            of batches of images or of `(images, labels)`, which is passed once, in its order.
        batch_size: Images of an array looked at once.

    Returns:
        float32, `(images, channels)`.

    Raises:
        ValueError: If there is no image, or what would be given is not `(images, channels)`.
    """
    encode = _encoder(model)
    found = [encode(batch).numpy() for batch in _image_batches(images, batch_size)]
    if not found:
        raise ValueError("`images`: there is no image")
    if found[0].ndim != 2:
        raise ValueError(
            f"`model`: {model.name} must end in a Dense layer that takes (images, channels), or "
            f"give them itself. Received features of shape {found[0].shape}"
        )
    return np.concatenate(found)


def umap_embedding(features, *, seed=0, neighbours=15, min_distance=0.1) -> np.ndarray:
    """Features in two dimensions, neighbours kept together (UMAP; figures 2.10 and 2.15).

    Neither distances between clusters nor their sizes mean anything. It needs the package
    umap-learn, which is imported here because that takes seconds.

    Args:
        features: `(samples, channels)`, 4 samples or more.
        seed: Seed; the same one gives the same embedding.
        neighbours: Neighbours of a sample that count; all others if there are fewer.
        min_distance: How close neighbours may lie, in the units of the embedding.

    Returns:
        float32, `(samples, 2)`.

    Raises:
        ValueError: If the features are not of that shape, or not finite.
        ImportError: If umap-learn is not installed.
    """
    features = np.asarray(features, "float32")
    if features.ndim != 2 or len(features) < 4 or not np.isfinite(features).all():
        raise ValueError(
            "`features` must be finite, (samples, channels), 4 samples or more. "
            f"Received shape {features.shape}"
        )
    try:
        import umap
    except ImportError:
        raise ImportError(
            "`umap_embedding` needs umap-learn: pip install umap-learn, or install this package "
            "with its extra `experiments`"
        ) from None
    reducer = umap.UMAP(
        n_neighbors=min(neighbours, len(features) - 1),
        min_dist=min_distance,
        random_state=seed,
        n_jobs=1,  # what a seed allows; UMAP warns of any other number
    )
    return np.asarray(reducer.fit_transform(features), "float32")


def _heat_maps(model, layer, images, class_index):
    with tf.GradientTape() as tape, _recorded_calls(layer) as calls:
        scores = model(tf.constant(images), training=False)
        if not calls:
            raise ValueError(f"`layer`: {layer.name} takes no part in the prediction")
        predicted = np.argmax(scores, axis=-1)
        chosen = np.where(class_index < 0, predicted, class_index)
        # The logarithm, so that a class that is as good as certain still has a gradient.
        evidence = tf.math.log(tf.gather(scores, chosen, axis=1, batch_dims=1) + 1e-12)
    _, maps = calls[-1]
    gradients = tf.cast(tape.gradient(evidence, maps), tf.float32)
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, tf.float32), axis=-1))
    resized = tf.image.resize(maps[..., None], images.shape[1:3])[..., 0].numpy()
    peak = resized.max(axis=(1, 2), keepdims=True)
    return np.divide(resized, peak, out=np.zeros_like(resized), where=peak > 0)


@contextlib.contextmanager
def _recorded_calls(layer) -> Iterator[list]:
    """Collects what `layer` takes and returns while the model is called, however deeply nested."""
    calls: list = []
    call = layer.call

    def recording_call(inputs, *args, **kwargs):
        calls.append((inputs, call(inputs, *args, **kwargs)))
        return calls[-1][1]

    layer.call = recording_call
    try:
        yield calls
    finally:
        del layer.call


def _encoder(model):
    """The compiled function from a batch of images to what the last Dense layer takes."""
    dense = [layer for layer in _all_layers(model) if isinstance(layer, keras.layers.Dense)]

    @tf.function(reduce_retracing=True, autograph=False)
    def encode(images):
        if not dense:
            return tf.cast(model(images, training=False), tf.float32)
        with _recorded_calls(dense[-1]) as calls:
            model(images, training=False)
        inputs, _ = calls[-1]
        return tf.cast(inputs, tf.float32)

    return encode


def _image_batches(images, batch_size):
    if isinstance(images, tf.data.Dataset):
        for batch in images:
            yield tf.cast(batch[0] if isinstance(batch, tuple) else batch, tf.float32)
    else:
        for at in range(0, len(images), batch_size):
            yield tf.constant(np.asarray(images[at : at + batch_size], "float32"))


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
