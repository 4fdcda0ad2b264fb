"""Explanations of classifiers: Grad-CAM [86], features, and their UMAP embedding [87]."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike


def grad_cam(
    model: keras.Model,
    images: ArrayLike,
    layer: str | None = None,
    class_index: ArrayLike | None = None,
    *,
    batch_size: int = 16,
) -> np.ndarray:
    """Computes heat maps of the evidence for a class (gradient-weighted class activation maps).

    The feature maps of a layer are weighted by the mean gradient of the class score and summed;
    negative evidence is cut off; the result is resized to the image and scaled to [0, 1].

    Args:
        model: A Keras classifier, `(batch, height, width, channels)` to `(batch, classes)`. Its
            layers may be nested in other models.
        images: `(images, height, width, channels)`, as the model takes them.
        layer: Name of the layer; the last one with feature maps, except poolings, if None.
        class_index: The class, one for all images or one per image; the predicted class if None.
        batch_size: Images per batch.

    Returns:
        float32 `(images, height, width)` in [0, 1]; 0 everywhere if there is no evidence.

    Raises:
        ValueError: If there are no images, no such layer, or a class index is out of range.

    Example:
        >>> import numpy as np
        >>> from melanet import grad_cam, vgg_gap
        >>> model = vgg_gap((32, 32, 3), weights=None)
        >>> grad_cam(model, np.ones((2, 32, 32, 3)), class_index=1).shape
        (2, 32, 32)
    """
    pixels = np.asarray(images, "float32")
    if pixels.ndim != 4 or not len(pixels):
        raise ValueError(
            "`images` must be (images, height, width, channels), with one image or more. "
            f"Received shape {pixels.shape}"
        )
    target = _find_layer(model, layer)
    classes = _class_indices(model, class_index, len(pixels))
    maps = [
        _heat_maps(model, target, pixels[at : at + batch_size], classes[at : at + batch_size])
        for at in range(0, len(pixels), batch_size)
    ]
    return np.concatenate(maps)


def features(
    model: keras.Model, images: ArrayLike | tf.data.Dataset, *, batch_size: int = 16
) -> np.ndarray:
    """Computes the penultimate-layer features of images.

    For the classifiers of chapter 2 they are the global average pooling (section 2.3.6).

    Args:
        model: A Keras model. The input of its last `Dense` layer is returned, or, if it has none,
            its output. Its layers may be nested in other models.
        images: `(images, height, width, channels)`, as the model takes them, or a tf.data.Dataset
            of batches of images or of `(images, labels)`, which is read once, in its order.
        batch_size: Images of an array per batch.

    Returns:
        float32 `(images, channels)`.

    Raises:
        ValueError: If there are no images, or the features are not `(images, channels)`.

    Example:
        >>> import numpy as np
        >>> from melanet import features, vgg_gap
        >>> features(vgg_gap((32, 32, 3), weights=None), np.ones((2, 32, 32, 3))).shape
        (2, 512)
    """
    encode = _encoder(model)
    found = [encode(batch).numpy() for batch in _image_batches(images, batch_size)]
    if not found:
        raise ValueError("`images`: there is no image")
    if found[0].ndim != 2:
        raise ValueError(
            f"`model`: {model.name} must end in a Dense layer that takes (images, channels), or "
            f"return them itself. Received features of shape {found[0].shape}"
        )
    return np.concatenate(found)


def umap_embedding(
    features: ArrayLike, *, seed: int = 0, neighbours: int = 15, min_distance: float = 0.1
) -> np.ndarray:
    """Embeds features in two dimensions so that neighbours stay together (figures 2.10 and 2.15).

    Neither the distances between clusters nor their sizes mean anything. UMAP needs the package
    umap-learn, which is imported here because that takes seconds.

    Args:
        features: `(samples, channels)`, 4 samples or more.
        seed: Seed; the same seed gives the same embedding.
        neighbours: Number of neighbours that count for a sample; all others if there are fewer.
        min_distance: Smallest distance between neighbours, in units of the embedding.

    Returns:
        float32 `(samples, 2)`.

    Raises:
        ValueError: If the features have another shape or are not finite.
        ImportError: If umap-learn is not installed.

    Example:
        >>> import numpy as np
        >>> from melanet import umap_embedding
        >>> umap_embedding(np.eye(5)).shape
        (5, 2)
    """
    samples = np.asarray(features, "float32")
    if samples.ndim != 2 or len(samples) < 4 or not np.isfinite(samples).all():
        raise ValueError(
            "`features` must be finite, (samples, channels), 4 samples or more. "
            f"Received shape {samples.shape}"
        )
    try:
        import umap
    except ImportError:
        raise ImportError(
            "`umap_embedding` needs umap-learn: pip install umap-learn, or install this package "
            "with its extra `experiments`"
        ) from None
    reducer = umap.UMAP(
        n_neighbors=min(neighbours, len(samples) - 1),
        min_dist=min_distance,
        random_state=seed,
        n_jobs=1,  # required with a seed; UMAP warns otherwise
    )
    return np.asarray(reducer.fit_transform(samples), "float32")


def _heat_maps(
    model: keras.Model, layer: keras.Layer, images: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    with tf.GradientTape() as tape, _recorded_calls(layer) as calls:
        scores = model(tf.constant(images), training=False)
        if not calls:
            raise ValueError(f"`layer`: {layer.name} does not contribute to the prediction")
        chosen = np.where(classes < 0, np.argmax(scores, axis=-1), classes)
        # The logarithm, so that a class that is all but certain still has a gradient.
        evidence = tf.math.log(tf.gather(scores, chosen, axis=1, batch_dims=1) + 1e-12)
    _, maps = calls[-1]
    gradients = tf.cast(tape.gradient(evidence, maps), tf.float32)
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, tf.float32), axis=-1))
    resized = tf.image.resize(maps[..., None], images.shape[1:3])[..., 0].numpy()
    peak = resized.max(axis=(1, 2), keepdims=True)
    return np.divide(resized, peak, out=np.zeros_like(resized), where=peak > 0)


@contextlib.contextmanager
def _recorded_calls(layer: keras.Layer) -> Iterator[list]:
    """Collects inputs and outputs of a layer while its model is called, however deeply nested."""
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


def _encoder(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compiles the function from a batch of images to the input of the last Dense layer."""
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


def _image_batches(images: ArrayLike | tf.data.Dataset, batch_size: int) -> Iterator[tf.Tensor]:
    if isinstance(images, tf.data.Dataset):
        for batch in images:
            yield tf.cast(batch[0] if isinstance(batch, tuple) else batch, tf.float32)
    else:
        pixels = np.asarray(images)
        for at in range(0, len(pixels), batch_size):
            yield tf.constant(pixels[at : at + batch_size].astype("float32"))


def _find_layer(model: keras.Model, name: str | None) -> keras.Layer:
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


def _all_layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer


def _has_feature_maps(layer: keras.Layer) -> bool:
    shape = getattr(layer.output, "shape", ()) if layer._inbound_nodes else ()
    return len(shape) == 4 and "Pooling" not in type(layer).__name__


def _class_indices(model: keras.Model, class_index: ArrayLike | None, count: int) -> np.ndarray:
    """One index per image; -1 stands for the predicted class."""
    if class_index is None:
        return np.full(count, -1)
    indices = np.broadcast_to(np.asarray(class_index, int), (count,))
    classes = model.output_shape[-1]
    if ((indices < 0) | (indices >= classes)).any():
        raise ValueError(f"`class_index` must lie in 0 to {classes - 1}. Received: {class_index}")
    return indices
