"""One training for all models: its seed, its progress, its devices, and its resumption."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import keras
import tensorflow as tf
from tensorflow.python.framework import ops as tf_ops

from melanet.checkpoint import EpochCheckpoint, training_variables
from melanet.console import progress_bar
from melanet.data.errors import os_errors_as_input_errors
from melanet.distribution import fit, is_chief, make_strategy, on_one_device, scope

Model = TypeVar("Model", bound=keras.Model)


class KeptModels:
    """Compiled models of earlier trainings, kept for their traced graphs.

    To trace and optimise the graphs of a training step takes seconds, as long as many a small
    training. An equal model that is trained later in the same process takes them over: every
    variable gets the value that it has in a new model, so that the results are the same to the bit.

    Args:
        size: Number of models that are kept, those used last, with their weights and moments.

    Example:
        >>> import keras
        >>> from melanet.training import KeptModels
        >>> def build():
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     model.compile("adam", "mse")
        ...     return model
        >>> kept = KeptModels()
        >>> kept.renewed("small", build) is kept.renewed("small", build)
        True
    """

    def __init__(self, size: int = 2):
        self.size = size
        self._models: dict[Hashable, keras.Model] = {}

    def renewed(self, key: Hashable, build: Callable[[], Model]) -> Model:
        """A model as `build` makes it: the kept one of that key, or a new one.

        Args:
            key: Everything that determines the model and how it is compiled, but not its random
                weights.
            build: Makes the compiled model.

        Returns:
            The model. An earlier training that returned it has lost its weights.
        """
        kept = self._models.pop(key, None)
        while len(self._models) >= self.size:
            del self._models[next(iter(self._models))]
        model = build()
        if kept is not None:
            old, new = training_variables(kept), training_variables(model)
            for variable, other in zip(old, new, strict=True):
                variable.assign(other)
            model = kept
        self._models[key] = model
        return model


def train(
    build: Callable[[], Model],
    batches: object,
    *,
    epochs: int,
    checkpoint: EpochCheckpoint,
    validation_data: object = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    distribute: str = "none",
    kept: tuple[KeptModels, Hashable] | None = None,
) -> Model:
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
        kept: Models whose graphs may be taken over on one device, and the key of this one, see
            `KeptModels`.

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
        model = kept[0].renewed(kept[1], build) if kept and strategy is None else build()
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
            self.bar = progress_bar(
                total=self.epochs, initial=epoch, desc=self.name, unit="epoch", leave=False
            )

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix({self.shown: f"{(logs or {})[self.shown]:.3f}"}, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        if self.bar is not None:
            self.bar.close()


class EventLog(keras.callbacks.Callback):
    """Writes what is logged of each epoch where TensorBoard shows it.

    Names are those of `keras.callbacks.TensorBoard`, which needs the package `tensorboard` to
    write, and records graphs and weights too. A resumed training goes on in the same folder.

    Args:
        folder: Gets the folders `train` and `validation`; nothing is written if None.

    Example:
        >>> from pathlib import Path
        >>> import keras, numpy as np
        >>> from melanet.training import EventLog
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(
        ...     np.eye(2), np.ones(2), verbose=0, callbacks=[EventLog(Path("tensorboard"))]
        ... )
        >>> len(list(Path("tensorboard/train").iterdir()))
        1
    """

    def __init__(self, folder: Path | None):
        super().__init__()
        self.folder = folder
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_epoch_end(self, epoch, logs=None):
        if self.folder is None or not is_chief():
            return
        self._open(self.folder)
        for name, value in (logs or {}).items():
            part = "validation" if name.startswith("val_") else "train"
            with self._writers[part].as_default():
                tag = f"epoch_{name.removeprefix('val_')}"
                tf.summary.write(tag, tf.cast(value, "float32"), epoch, _scalar())
        for writer in self._writers.values():
            writer.flush()

    def _open(self, folder: Path) -> None:
        if not self._writers:
            with os_errors_as_input_errors("write", folder):
                folder.mkdir(parents=True, exist_ok=True)
            self._writers = {
                part: tf.summary.create_file_writer(str(folder / part))
                for part in ("train", "validation")
            }

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _scalar() -> tf.compat.v1.SummaryMetadata:
    """Says that a value is drawn as a curve."""
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    return tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")


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
