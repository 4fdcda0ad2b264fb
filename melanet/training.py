"""One training for all models: on any number of devices, and resumed if interrupted."""

from collections.abc import Callable, Sequence

import keras

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
