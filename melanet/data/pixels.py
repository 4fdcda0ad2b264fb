"""From a file to pixels as a model takes them: decoded, resized, scaled; in a graph."""

from collections.abc import Callable
from typing import Literal

import tensorflow as tf

Scaling = Literal["min_max", "unit", "none"]


def decode(path: tf.Tensor, channels: int) -> tf.Tensor:
    """Reads a PNG as uint8 `(height, width, channels)`, in a graph.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.pixels import decode
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> tuple(decode(lesions.paths(["phantom-0000"])[0], 3).shape)
        (64, 64, 3)
    """
    return tf.io.decode_png(tf.io.read_file(path), channels=channels)


def resize(
    image: tf.Tensor, size: tuple[int, int], method: str, keep_aspect_ratio: bool
) -> tf.Tensor:
    """Resizes an image; where the aspect ratio is kept, it is centred on black.

    Args:
        image: `(height, width, channels)`.
        size: `(height, width)` in pixels.
        method: As in `tf.image.resize`: `"area"` for images, `"nearest"` for masks.
        keep_aspect_ratio: Whether to pad instead of stretching.

    Example:
        >>> import numpy as np
        >>> from melanet.data.pixels import resize
        >>> wide = np.ones((4, 8, 1), "float32")
        >>> resize(wide, (4, 4), "area", True).numpy()[:, 0, 0].tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    if keep_aspect_ratio:
        return tf.image.resize_with_pad(image, *size, method=method)
    return tf.image.resize(image, size, method=method)


def decode_resized(
    file: tuple[tf.Tensor | str, tf.Tensor | bool],
    channels: int,
    size: tuple[int, int],
    method: str = "area",
) -> tf.Tensor:
    """Reads a PNG and resizes it: uint8 `(*size, channels)`, in a graph.

    Args:
        file: One of `image_files`: its path, and whether its aspect ratio is kept.
        channels: 1 or 3.
        size: `(height, width)` in pixels.
        method: As in `resize`.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.pixels import decode_resized
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> (path,) = lesions.paths(["phantom-0000"])
        >>> decode_resized((path, True), 3, (16, 24)).shape.as_list()
        [16, 24, 3]
    """
    path, keep_aspect_ratio = file
    image = decode(path, channels)
    resized = tf.cond(
        keep_aspect_ratio,
        lambda: tf.cast(resize(image, size, method, True), tf.float32),
        lambda: tf.cast(resize(image, size, method, False), tf.float32),
    )
    return tf.ensure_shape(to_8_bits(resized), (*size, channels))


def to_8_bits(image: tf.Tensor) -> tf.Tensor:
    """Rounds pixel values in [0, 255] to uint8.

    Example:
        >>> from melanet.data.pixels import to_8_bits
        >>> to_8_bits([0.4, 254.6]).numpy().tolist()
        [0, 255]
    """
    return tf.cast(tf.round(image), tf.uint8)


def scale_min_max(images: tf.Tensor) -> tf.Tensor:
    """Scales images to [0, 1], each by its own minimum and maximum (eq. 2.7); a constant one to 0.

    Args:
        images: An image, `(height, width, channels)`, or a batch.

    Example:
        >>> from melanet.data.pixels import scale_min_max
        >>> scale_min_max([[[50], [100], [150]]]).numpy().ravel().tolist()
        [0.0, 0.5, 1.0]
    """
    images = tf.cast(images, tf.float32)
    low = tf.reduce_min(images, axis=(-3, -2, -1), keepdims=True)
    high = tf.reduce_max(images, axis=(-3, -2, -1), keepdims=True)
    return tf.math.divide_no_nan(images - low, high - low)


def scaler(scaling: Scaling) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function that scales an image or a batch as `scaling` says, see `load_dataset`.

    Raises:
        ValueError: If `scaling` is unknown.

    Example:
        >>> from melanet.data.pixels import scaler
        >>> scaler("unit")([0, 255]).numpy().tolist()
        [0.0, 1.0]
    """
    scalers = {
        "min_max": scale_min_max,
        "unit": lambda image: tf.cast(image, tf.float32) / 255,
        "none": lambda image: tf.cast(image, tf.float32),
    }
    if scaling not in scalers:
        raise ValueError(f"`scaling` must be one of {', '.join(scalers)}. Received: {scaling!r}")
    return scalers[scaling]


def to_tanh_range(image: tf.Tensor) -> tf.Tensor:
    """Scales pixel values from [0, 255] to [-1, 1], as the generators expect them.

    Example:
        >>> from melanet.data.pixels import to_tanh_range
        >>> to_tanh_range([0, 255]).numpy().tolist()
        [-1.0, 1.0]
    """
    return tf.cast(image, tf.float32) / 127.5 - 1
