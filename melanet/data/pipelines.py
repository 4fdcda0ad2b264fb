"""What all `tf.data` pipelines share: files, orders that resume, caching, batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from melanet.data.caching import Cache, cached_elements, resized_copies
from melanet.data.dataset import ImageDataset
from melanet.data.pixels import decode_resized


def image_files(
    dataset: ImageDataset,
    ids: Sequence[str],
    size: tuple[int, int],
    keep_aspect_ratio: bool | None,
    column: str = "file_name",
    method: str = "area",
    *,
    cache: Cache,
) -> tuple[np.ndarray, np.ndarray]:
    """The files of images, and of each whether its aspect ratio is kept.

    With `cache="disk"` they are copies of the wanted size, made now.

    Args:
        dataset, ids: The images.
        size: `(height, width)` in pixels.
        keep_aspect_ratio: As the dataset says if None.
        column: `"file_name"`, or `"mask_file_name"`.
        method: As in `resize`.
        cache: See `load_dataset`.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.pipelines import image_files
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> paths, keep = image_files(lesions, lesions.ids()[:2], (32, 32), None, cache="none")
        >>> len(paths), keep.tolist()
        (2, [False, False])
    """
    keep = dataset.info.keep_aspect_ratio if keep_aspect_ratio is None else keep_aspect_ratio
    paths = dataset.paths(ids, column)
    if cache == "disk":

        def resized(path: str) -> np.ndarray:
            channels = dataset.info.channels if column == "file_name" else 1
            return decode_resized((path, keep), channels, size, method).numpy()

        name = f"{size[0]}x{size[1]}-{'padded' if keep else 'stretched'}"
        paths = resized_copies(dataset, paths, name, resized)
    return np.array(paths), np.full(len(paths), keep)


def merged(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Joins what is known of the images of several datasets.

    Example:
        >>> import numpy as np
        >>> from melanet.data.pipelines import merged
        >>> merged([(np.array(["a.png"]),), (np.array(["b.png"]),)])[0].tolist()
        ['a.png', 'b.png']
    """
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def make_epoch_counter() -> tf.Variable:
    """Makes a counter of epochs, 0 at first, for the `epoch_counter` of a loader.

    Example:
        >>> from melanet.data.pipelines import make_epoch_counter
        >>> int(make_epoch_counter())
        0
    """
    return tf.Variable(0, dtype=tf.int64, trainable=False)


def per_epoch(
    make: Callable[[tf.Tensor], tf.data.Dataset],
    count: int,
    epoch_counter: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Makes a dataset that differs every time it is read: `make(number of the epoch)`.

    The number alone tells epochs apart, so that training can resume with any of them.

    Args:
        make: From an int64 scalar, 1 for the first epoch, to a dataset of `count` elements.
        count: Their number.
        epoch_counter: Counts the epochs that were begun; a counter of its own if None.

    Example:
        >>> import tensorflow as tf
        >>> from melanet.data.pipelines import per_epoch
        >>> numbers = per_epoch(lambda epoch: tf.data.Dataset.from_tensors(10 * epoch), 1)
        >>> [int(n) for _ in range(2) for n in numbers]
        [10, 20]
    """
    begun = make_epoch_counter() if epoch_counter is None else epoch_counter
    whole = tf.data.Dataset.from_tensors(0).flat_map(lambda _: make(begun.assign_add(1)))
    return whole.apply(tf.data.experimental.assert_cardinality(count))


def ordered_batches(
    elements: tf.data.Dataset,
    decode: Callable[..., Any],
    finish: Callable[..., Any],
    *,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    cache: Cache = "memory",
    element_bytes: int = 0,
    epoch_counter: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Decodes, orders and batches; see `load_dataset` for the other arguments.

    Args:
        elements: What is known of each image, such as its file and its label.
        decode: From an element to one that is decoded, as 8 bits.
        finish: From a batch of decoded elements to what is loaded.
        element_bytes: Bytes of a decoded element, about.

    Example:
        >>> import tensorflow as tf
        >>> from melanet.data.pipelines import ordered_batches
        >>> numbers = tf.data.Dataset.range(5)
        >>> batches = ordered_batches(numbers, lambda n: 2 * n, lambda n: n + 1, batch_size=3)
        >>> [batch.numpy().tolist() for batch in batches]
        [[1, 3, 5], [7, 9]]
    """
    count = int(elements.cardinality())
    if shuffle:  # the first epoch has this order, so that it need not wait for all images
        elements = shuffled(elements, count, seed, tf.constant(1, tf.int64))
    in_order = cached_elements(elements, decode, cache, element_bytes * count)
    if shuffle:

        def one_epoch(number):
            return in_order(lambda images: shuffled(images, count, seed, number, first=1))

        decoded = per_epoch(one_epoch, count, epoch_counter)
    else:
        decoded = in_order(lambda images: images)
    return prefetched(decoded.batch(batch_size).map(finish))


def shuffled(
    dataset: tf.data.Dataset, count: int, seed: int, number: tf.Tensor, *, first: int = 0
) -> tf.data.Dataset:
    """The order of one epoch, given by `seed` and its number; as it is in the epoch `first`.

    Args:
        dataset: What is ordered.
        count: Its number of elements.
        seed: Seed of all orders.
        number: The number of the epoch.
        first: The epoch that keeps the order of `dataset`.

    Example:
        >>> import tensorflow as tf
        >>> from melanet.data.pipelines import shuffled
        >>> order = list(shuffled(tf.data.Dataset.range(9), 9, 0, tf.constant(1, tf.int64)))
        >>> sorted(int(n) for n in order)
        [0, 1, 2, 3, 4, 5, 6, 7, 8]
    """
    mixed = tf.random.stateless_uniform([], [seed, number], None, None, tf.int64)
    # Of this function's graph alone: the order must not depend on the global seed.
    tf.random.set_seed(1)
    buffer = tf.where(number == first, tf.constant(1, tf.int64), count)
    return dataset.shuffle(buffer, seed=mixed, reshuffle_each_iteration=False)


def prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prepares elements ahead of their use.

    Without tf.data's autotuning: its thread sleeps ever longer, and the end of every epoch waits
    for it to wake, which about doubles an epoch of a small dataset.

    Example:
        >>> import tensorflow as tf
        >>> from melanet.data.pipelines import prefetched
        >>> [int(n) for n in prefetched(tf.data.Dataset.range(3))]
        [0, 1, 2]
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
