"""One training for all models: its seed, its progress, its devices, and its resumption."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops as tf_ops
from tqdm import tqdm

from melanet.checkpoint import EpochCheckpoint
from melanet.distribution import fit, make_strategy, on_one_device, scope


def train(
    build: Callable[[], keras.Model],
    batches: object,
    *,
    epochs: int,
    checkpoint: EpochCheckpoint,
    validation_data: object = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    distribute: str = "none",
) -> keras.Model:
    """Builds a model and trains it; an interrupted training resumes, bit for bit.

    Args:
        build: Makes the compiled model. Called in the strategy's scope, and once more afterwards
            if devices shared the work.
        batches: A `tf.data.Dataset` of training batches that shuffles itself.
        epochs: Epochs at most.
        checkpoint: Saves the training, which resumes from it; the file stays until `remove`.
        validation_data: A `tf.data.Dataset` that the callbacks watch, if any.
        callbacks: Keras callbacks, those of `checkpoint` among them.
        distribute: Name of a strategy, see `melanet.distribution.make_strategy`.

    Returns:
        The trained model, on one device.

    Raises:
        InputError: If the checkpoint is damaged or of another model, or hosts disagree.

    Example:
        >>> import keras, tensorflow as tf
        >>> from melanet import EpochCheckpoint
        >>> from melanet.training import train
        >>> def build():
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     model.compile("sgd", "mse")
        ...     return model
        >>> batches = tf.data.Dataset.from_tensors((tf.ones((4, 2)), tf.ones((4, 1))))
        >>> train(build, batches, epochs=1, checkpoint=EpochCheckpoint(None)).count_params()
        3
    """
    strategy = make_strategy(distribute)
    with scope(strategy):
        model = build()
        first_epoch = checkpoint.restore(model)
    fit(
        model,
        batches,
        validation_data=validation_data,
        epochs=epochs,
        initial_epoch=first_epoch,
        callbacks=[*callbacks, checkpoint],
        shuffle=False,
        verbose=0,
    )
    return model if strategy is None else on_one_device(model, build())


class EpochBar(keras.callbacks.Callback):
    """A progress bar of epochs with the time left and one logged value.

    Args:
        epochs: Epochs at most.
        name: What stands before the bar.
        shown: Name of the logged value.

    Example:
        >>> from melanet.training import EpochBar
        >>> EpochBar(10, "unet", "val_loss").epochs
        10
    """

    def __init__(self, epochs: int, name: str, shown: str):
        super().__init__()
        self.epochs, self.name, self.shown = epochs, name, shown

    def on_train_begin(self, logs=None):
        self.bar: Any = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.bar is None:  # `epoch` is not 0 where an interrupted training resumes
            self.bar = tqdm(
                total=self.epochs, initial=epoch, desc=self.name, unit="epoch", leave=False
            )

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix({self.shown: f"{(logs or {})[self.shown]:.3f}"}, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        if self.bar is not None:
            self.bar.close()


def seed_everything(seed: int, deterministic: bool = True) -> None:
    """Seeds Python, NumPy and Keras as in a fresh process, and frees earlier trainings.

    Args:
        seed: The seed of the trial.
        deterministic: Whether TensorFlow uses deterministic kernels only, until the process ends.

    Example:
        >>> import keras
        >>> from melanet.training import seed_everything
        >>> seed_everything(0, deterministic=False)
        >>> first = keras.random.uniform(())
        >>> seed_everything(0, deterministic=False)
        >>> bool(first == keras.random.uniform(()))
        True
    """
    keras.utils.clear_session()
    _forget_custom_gradients()
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def _forget_custom_gradients() -> None:
    """Frees the graphs that earlier trainings left in TensorFlow's registry.

    An optimizer's step in a graph defines custom gradients, which the registry keeps for good, and
    with each its graph, weights and moments (140 MB per U-Net).
    """
    registry = tf_ops._gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
