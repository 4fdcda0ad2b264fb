"""Explanations of classifiers: Grad-CAM [86], features, and their UMAP embedding [87]."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import tensorflow as tf


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
        model: A Keras classifier, `(batch, height, width, channels)` to `(batch, classes)`, which
            ends in probabilities or in logits. Its layers may be nested in other models.
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
    model: keras.Model, images: "ArrayLike | tf.data.Dataset", *, batch_size: int = 16
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
    return encoder(model)(images, batch_size=batch_size)


def encoder(model: keras.Model) -> Callable[..., np.ndarray]:
    """`features` of a model, compiled once for several sets of images.

    Args:
        model: As in `features`.

    Returns:
        From `images` and `batch_size`, as in `features`, to what that returns.

    Example:
        >>> import numpy as np
        >>> from melanet import vgg_gap
        >>> from melanet.explain import encoder
        >>> encode = encoder(vgg_gap((32, 32, 3), weights=None))
        >>> [encode(np.ones((count, 32, 32, 3))).shape for count in (1, 2)]
        [(1, 512), (2, 512)]
    """
    return functools.partial(_features, model.name, _compiled_encoder(model))


def _features(
    name: str, encode: Callable[[Any], Any], images: Any, *, batch_size: int = 16
) -> np.ndarray:
    found = [ops.convert_to_numpy(encode(batch)) for batch in _image_batches(images, batch_size)]
    if not found:
        raise ValueError("`images`: there is no image")
    if found[0].ndim != 2:
        raise ValueError(
            f"`model`: {name} must end in a Dense layer that takes (images, channels), or "
            f"return them itself. Received features of shape {found[0].shape}"
        )
    return np.concatenate(found)


def last_dense(model: keras.Model) -> keras.layers.Dense | None:
    """The last `Dense` layer of a model, the head of a classifier; None if it has none.

    Args:
        model: A Keras model; its layers may be nested in other models.

    Example:
        >>> from melanet import vgg_gap
        >>> from melanet.explain import last_dense
        >>> last_dense(vgg_gap((32, 32, 3), weights=None)).name
        'class'
    """
    dense = [layer for layer in _all_layers(model) if isinstance(layer, keras.layers.Dense)]
    return dense[-1] if dense else None


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
    with _recorded_calls(layer) as calls:
        scores = _to_float32(model(images, training=False))
    if not calls:
        raise ValueError(f"`layer`: {layer.name} does not contribute to the prediction")
    (_, maps), last = calls[-1], len(calls)
    chosen = np.where(classes < 0, scores.argmax(axis=-1), classes)
    one_hot = np.eye(scores.shape[-1], dtype="float32")[chosen]
    # The gradient of the logarithm where a score is positive: a probability may be too small for
    # its own. A positive logit gives the same map either way; a negative one has no logarithm.
    chosen_scores = (scores * one_hot).sum(axis=-1)
    tiny = np.finfo("float32").tiny
    factors = 1 / np.where(chosen_scores > 0, np.maximum(chosen_scores, tiny), 1)

    def evidence(maps):
        with _replaced_output(layer, maps, last):
            outputs = model(images, training=False)
        return ops.sum(ops.cast(outputs, "float32") * (factors[:, None] * one_hot))

    gradients = _to_float32(_gradient(evidence, maps))
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    cams = np.maximum((weights * _to_float32(maps)).sum(axis=-1, keepdims=True), 0)
    size = images.shape[1:3]
    resized = _to_float32(ops.image.resize(cams, size, data_format="channels_last"))[..., 0]
    peak = resized.max(axis=(1, 2), keepdims=True)
    return np.divide(resized, peak, out=np.zeros_like(resized), where=peak > 0)


def _to_float32(tensor: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _gradient(function: Callable[[Any], Any], tensor: Any) -> Any:
    """Gradient of a scalar function, with the means of Keras's backend in use."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(tensor)
    if backend == "torch":
        import torch

        tensor = tensor.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(
            function(tensor), tensor, allow_unused=True, materialize_grads=True
        )
        return gradient
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = function(tensor)
    return tape.gradient(value, tensor, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _compiled(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Compiles a function of a tensor without gradients, where Keras's backend in use can."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "torch":
        import torch

        return torch.no_grad()(function)
    import tensorflow as tf

    return tf.function(function, reduce_retracing=True, autograph=False)


@contextlib.contextmanager
def _recorded_calls(layer: keras.Layer) -> Iterator[list]:
    """Collects inputs and outputs of a layer while its model is called, however deeply nested."""
    calls: list = []
    call = layer.call

    def recording_call(inputs, *args, **kwargs):
        calls.append((inputs, call(inputs, *args, **kwargs)))
        return calls[-1][1]

    with _replaced_call(layer, recording_call):
        yield calls


@contextlib.contextmanager
def _replaced_output(layer: keras.Layer, output: Any, number: int) -> Iterator[None]:
    """Lets call number `number` of a layer, counted from 1, return `output`."""
    call, counted = layer.call, iter(range(1, number + 1))

    def replaced_call(*args, **kwargs):
        return output if next(counted) == number else call(*args, **kwargs)

    with _replaced_call(layer, replaced_call):
        yield


@contextlib.contextmanager
def _replaced_call(layer: keras.Layer, call: Callable) -> Iterator[None]:
    layer.call = call
    try:
        yield
    finally:
        del layer.call


def _compiled_encoder(model: keras.Model) -> Callable[[Any], Any]:
    """Compiles the function from a batch of images to the input of the last Dense layer."""
    dense = last_dense(model)

    def encode(images):
        if dense is None:
            return ops.cast(model(images, training=False), "float32")
        with _recorded_calls(dense) as calls:
            model(images, training=False)
        inputs, _ = calls[-1]
        return ops.cast(inputs, "float32")

    return _compiled(encode)


def _image_batches(images: Any, batch_size: int) -> Iterator[Any]:
    if hasattr(images, "as_numpy_iterator"):  # a tf.data.Dataset
        for batch in images:
            yield ops.cast(batch[0] if isinstance(batch, tuple) else batch, "float32")
    else:
        pixels = np.asarray(images)
        for at in range(0, len(pixels), batch_size):
            yield ops.convert_to_tensor(pixels[at : at + batch_size].astype("float32"))


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
