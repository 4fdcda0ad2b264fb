"""What every `tf.data` pipeline here shares.

This file stands in both packages, the same to the letter, because neither imports the other.
"""

from collections.abc import Callable

import tensorflow as tf


def scale_min_max(image: tf.Tensor) -> tf.Tensor:
    """Scales an image to [0, 1] by its own minimum and maximum (eq. 2.7); a constant one to 0."""
    image = tf.cast(image, tf.float32)
    low, high = tf.reduce_min(image), tf.reduce_max(image)
    return tf.math.divide_no_nan(image - low, high - low)


def pass_counter() -> tf.Variable:
    """A count of passes, 0 at first, for the `passes` of a loader."""
    return tf.Variable(0, dtype=tf.int64, trainable=False)


def each_pass(
    make: Callable[[tf.Tensor], tf.data.Dataset], count: int, passes: tf.Variable | None = None
) -> tf.data.Dataset:
    """A dataset that is another one each time it is read: `make(number of the pass)`.

    The number alone tells the passes apart, so that a training can go on with any of them.

    Args:
        make: From an int64 scalar, 1 for the first pass, to a dataset of `count` elements.
        count: Their number.
        passes: Counts the passes that were begun, a `pass_counter`; one of its own if None.
    """
    begun = pass_counter() if passes is None else passes
    whole = tf.data.Dataset.from_tensors(0).flat_map(lambda _: make(begun.assign_add(1)))
    return whole.apply(tf.data.experimental.assert_cardinality(count))


def shuffled(dataset: tf.data.Dataset, count: int, seed: int, number: tf.Tensor) -> tf.data.Dataset:
    """The order of one pass, which `seed` and the pass's number give."""
    mixed = tf.random.stateless_uniform([], [seed, number], None, None, tf.int64)
    # Of this function's graph alone: the order must not depend on the global seed.
    tf.random.set_seed(1)
    return dataset.shuffle(count, seed=mixed, reshuffle_each_iteration=False)


def prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, made ready ahead of its use.

    Without tf.data's own tuning: its thread sleeps ever longer, and the end of every pass waits for
    it to wake, which about doubles a pass over a small set.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
