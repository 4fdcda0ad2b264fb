"""Training on all GPUs of a host with `tf.distribute`.

A model that is built and compiled in `scope(strategy)` trains on every replica: each batch is split
evenly, each replica's mean counts for its part, and learning rate and result stay what they are on
one device. What they cannot stay is the statistics of batch normalisation, which are of each
replica's part of the batch (ResNet-50, DenseNet-121 and TernausNet-16 have it).
"""

import contextlib

import keras
import tensorflow as tf

from melanet.data.prepared import InputError

#: What `resolve` knows; "auto" is one of the others.
NAMES = ("auto", "none", "mirrored")


def resolve(name: str) -> str:
    """What "auto" stands for here: "mirrored" on a host with more than one GPU, else "none"."""
    if name != "auto":
        return name
    return "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "none"


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """The strategy of that name: None, or one with a replica on each GPU, else on each CPU device.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {', '.join(NAMES)}. Received: {name!r}")
    if resolve(name) == "none":
        return None
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def scope(strategy: tf.distribute.Strategy | None) -> contextlib.AbstractContextManager:
    """Where a model is built and compiled; nothing special for None."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def on_one_device(trained: keras.Model, model: keras.Model) -> keras.Model:
    """`model`, built without a strategy, with the weights of `trained`."""
    model.set_weights(trained.get_weights())
    return model


def check_batches(strategy: tf.distribute.Strategy | None, count: int, batch_size: int) -> None:
    """Checks that every batch has an image for every replica.

    Args:
        strategy: Of the training.
        count: Number of images; the last batch takes what is left.
        batch_size: Images a batch, on all replicas together.

    Raises:
        InputError: If a batch is too small to be split.
    """
    replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    last = count % batch_size or batch_size
    if min(batch_size, last) < replicas:
        raise InputError(
            f"{count} images in batches of {batch_size} leave a batch of {min(batch_size, last)}, "
            f"which {replicas} devices cannot share; choose another batch size, or train without "
            "distribution"
        )
