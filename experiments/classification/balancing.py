"""What one tries against a rare class before translating into it: weights, repetition, SMOTE."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.common.training import TrainedModel
from melanet import optimizers
from melanet.data import ImageDataset, InputError
from melanet.explain import last_dense

#: Features, `(images, channels)`, and the class of each.
Labelled = tuple[np.ndarray, Sequence[str]]
#: Neighbours that SMOTE interpolates to: imbalanced-learn's default, and Chawla's et al. (2002).
NEIGHBOURS = 5
#: A new head starts from random weights, whatever those of the network: Adadelta at the thesis's
#: rate would hardly move it.
HEAD_OPTIMIZER = ("Adam", 1e-3)


def class_weights(counts: dict[str, int], labels: Sequence[str]) -> list[float]:
    """A weight per class, inverse to its images; the mean over all images is 1.

    Args:
        counts: Training images by class.
        labels: The classes in their order.
    """
    return [sum(counts.values()) / len(labels) / counts[label] for label in labels]


def with_class_weights(batches: tf.data.Dataset, weights: Sequence[float]) -> tf.data.Dataset:
    """Adds to each image of `(images, labels)` the weight of its class, which scales its loss."""
    table = tf.constant(weights, tf.float32)
    return batches.map(lambda images, labels: (images, labels, tf.linalg.matvec(labels, table)))


def repeated_ids(dataset: ImageDataset, ids: Sequence[str], seed: int) -> list[str]:
    """Ids of the rarer classes, so often again that all classes are equal.

    Every image of a class is repeated equally often, up to one; `seed` says which are repeated
    once more.

    Args:
        dataset: The dataset.
        ids: The training images.
        seed: Seed of the choice.
    """
    labels = dataset.values("label", ids)
    (_, most), *others = Counter(labels).most_common()
    repeated = []
    for rare, count in others:
        images = [id for id, label in zip(ids, labels, strict=True) if label == rare]
        order = random.Random(seed).sample(images, count)
        repeated += [order[place % count] for place in range(most - count)]
    return repeated


def load_smote() -> Any:
    """The class `SMOTE` of imbalanced-learn.

    Raises:
        InputError: If it is not installed.
    """
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError:
        raise InputError(
            "--conditions smote: needs imbalanced-learn; pip install imbalanced-learn, or leave "
            "smote out"
        ) from None
    return SMOTE


def smote(
    features: np.ndarray, labels: Sequence[str], seed: int
) -> tuple[np.ndarray, list[str], int]:
    """Over-samples features of the rarest class by SMOTE until the classes are equal.

    Args:
        features: `(images, channels)`.
        labels: The class of each.
        seed: Seed of the drawing.

    Returns:
        All features, the new ones last, their classes, and the neighbours that were interpolated
        to: `NEIGHBOURS`, or all others of a smaller class.

    Raises:
        InputError: If a class has fewer than two images, or imbalanced-learn is not installed.
    """
    fewest = min(Counter(labels).values())
    if fewest < 2:
        raise InputError("--conditions smote: needs two training images of each class or more")
    neighbours = min(NEIGHBOURS, fewest - 1)
    sampler = load_smote()(k_neighbors=neighbours, random_state=seed)
    found, classes = sampler.fit_resample(features, np.array(labels))
    return np.asarray(found, "float32"), classes.tolist(), neighbours


def train_head(
    network: keras.Model,
    training: Labelled,
    names: Sequence[str],
    *,
    validation: Labelled | None,
    loss: keras.losses.Loss,
    epochs: int,
    stopping: keras.callbacks.EarlyStopping,
    plateau: keras.callbacks.Callback,
    one_epoch: Callable[[tf.data.Dataset], tf.data.Dataset],
    seed: int,
) -> TrainedModel:
    """Trains a new last layer of a classifier on features; the layers before it stay as they are.

    Args:
        network: The classifier, which gets the new layer; it ends in a Dense layer.
        training: Features and the class of each.
        names: The classes in their order.
        validation: What the callbacks watch, if not the training.
        loss: Loss of one-hot labels and softmax probabilities.
        epochs: Epochs at most.
        stopping: Decides when to stop, and which weights are kept.
        plateau: Lowers the learning rate.
        one_epoch: From shuffled rows to the batches of one epoch.
        seed: Seed of the order. Call `seed_everything` for that of the weights.

    Raises:
        InputError: If the network does not end in a Dense layer.
    """
    last = last_dense(network)
    if last is None:
        raise InputError(f"--conditions smote: {network.name} does not end in a Dense layer")
    layer = keras.layers.Dense(
        len(names), use_bias=last.use_bias, activation="softmax", dtype="float32"
    )
    head = keras.Sequential([keras.Input((last.kernel.shape[0],)), layer])
    name, rate = HEAD_OPTIMIZER
    head.compile(getattr(optimizers, name)(rate), loss)
    rows = tf.data.Dataset.from_tensor_slices(_with_one_hot(training, names))
    batches = one_epoch(rows.shuffle(len(training[1]), seed=seed))
    started = time.monotonic()
    history = head.fit(
        batches,
        validation_data=validation and _with_one_hot(validation, names),
        epochs=epochs,
        callbacks=[stopping, plateau],
        shuffle=False,  # the rows shuffle themselves
        verbose=0,
    ).history
    last.set_weights(head.get_weights())
    seconds, steps = time.monotonic() - started, int(batches.cardinality())
    return TrainedModel(network, history, stopping.best_epoch + 1, seconds, 1, steps)


def _with_one_hot(labelled: Labelled, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    features, labels = labelled
    return features, np.eye(len(names), dtype="float32")[[names.index(label) for label in labels]]
