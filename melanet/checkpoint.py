"""Bit-exact resumption of interrupted training."""

import json
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from melanet.data import InputError
from melanet.data.writing import atomic_write, remove_file
from melanet.distribution import is_chief

#: Attributes that carry a callback's state from epoch to epoch.
CALLBACK_STATE: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: ("best",),
}
#: Largest share of the training time that may be spent on saving.
MAX_SAVING_SHARE = 0.02
#: Seconds that the first saving is thought to take.
EXPECTED_SAVING_SECONDS = 0.5


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves the whole state of a training at the end of an epoch, and restores it.

    The state is the model's weights and random states, the optimizers with their learning rates,
    the best weights and patience of other callbacks, the history and the order of the images. With
    deterministic kernels and the same seeds, a training that was interrupted any number of times
    ends with the same weights, to the bit, as one that was not.

    Epochs are saved unless that would take more than a fiftieth of the time: the first one after
    25 seconds. On several hosts the chief saves and all restore its file, which must lie on storage
    that they share.

    Args:
        path: The file, an `.npz` without pickles. It stays until `remove` is called. Nothing is
            saved if None.
        callbacks: The other callbacks of the training. The state of `EarlyStopping`,
            `ReduceLROnPlateau` and `ModelCheckpoint` is saved; any other callback starts anew.
        epoch_counter: The counter given to the loader of the training images, see
            `melanet.data.pipelines.make_epoch_counter`.

    Attributes:
        history: Like that of `fit`, from the very first epoch on.
        seconds: Duration of all epochs, including those before an interruption.

    Example:
        >>> import keras, numpy as np
        >>> from melanet import EpochCheckpoint
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> checkpoint = EpochCheckpoint("training.npz")
        >>> first = checkpoint.restore(model)
        >>> history = model.fit(np.eye(2), np.ones(2), epochs=3, initial_epoch=first, verbose=0,
        ...                     callbacks=[checkpoint])
        >>> len(checkpoint.history["loss"])
        3
    """

    def __init__(
        self,
        path: str | Path | None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        epoch_counter: Any = None,
    ):
        super().__init__()
        self.path, self.epoch_counter = Path(path) if path else None, epoch_counter
        self.callbacks = [callback for callback in callbacks if _state_names(callback)]
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._callback_states: list[dict[str, Any]] = []
        self._first_epoch = 0
        self._next_save = 0.0

    def restore(self, model: keras.Model) -> int:
        """Restores the saved state, if there is one, to a model that is not trained yet.

        Args:
            model: Built and compiled like the one whose training was interrupted.

        Returns:
            The epoch to continue with, counted from 0, for `fit(initial_epoch=...)`.

        Raises:
            InputError: If the file is damaged or belongs to another model.
        """
        if self.path is None or not self.path.is_file():
            return 0
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                config = json.loads(str(saved["config"]))
                arrays = [saved[f"variable_{n}"] for n in range(config["variables"])]
                best = [
                    [saved[f"best_{n}_{place}"] for place in range(state.pop("best_weights"))]
                    for n, state in enumerate(config["callbacks"])
                ]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self.path}: is not a saved training ({error}); remove it to start anew"
            ) from None
        variables = training_variables(model)
        if [v.shape for v in variables] != [a.shape for a in arrays]:
            raise InputError(
                f"{self.path}: belongs to another model than {model.name}; remove it to start anew"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        self.history, self.seconds = config["history"], config["seconds"]
        self._callback_states = [
            {**state, **({"best_weights": weights} if weights else {})}
            for state, weights in zip(config["callbacks"], best, strict=True)
        ]
        self._first_epoch = config["epoch"]
        return self._first_epoch

    def remove(self) -> None:
        """Removes the file, once the result of the training is safe."""
        if self.path is not None and is_chief():
            remove_file(self.path)

    def on_train_begin(self, logs=None):
        for callback, state in zip(self.callbacks, self._callback_states, strict=False):
            vars(callback).update(state)
        # Not in `restore`: building the model may read the images, which counts as an epoch.
        if self.epoch_counter is not None:
            self.epoch_counter.assign(self._first_epoch)
        self._next_save = time.monotonic() + EXPECTED_SAVING_SECONDS / MAX_SAVING_SHARE

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.monotonic() - self._epoch_began
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        # The last epoch is not saved: what follows it in `fit`, such as the return to the best
        # weights, must happen after resuming too, which takes an epoch to run.
        last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if last or time.monotonic() < self._next_save:
            return
        began = time.monotonic()
        if self.path is not None and is_chief():
            self._save(epoch + 1, self.path)
        ended = time.monotonic()
        self._next_save = ended + (ended - began) / MAX_SAVING_SHARE

    def _save(self, epoch: int, path: Path) -> None:
        variables = training_variables(self.model)
        arrays = {f"variable_{n}": np.asarray(v) for n, v in enumerate(variables)}
        states = []
        for n, callback in enumerate(self.callbacks):
            best = getattr(callback, "best_weights", None) or []
            arrays |= {f"best_{n}_{place}": array for place, array in enumerate(best)}
            state = {name: _to_json(getattr(callback, name)) for name in _state_names(callback)}
            states.append({**state, "best_weights": len(best)})
        config = {
            "epoch": epoch,
            "variables": len(variables),
            "callbacks": states,
            "history": self.history,
            "seconds": self.seconds,
        }
        arrays["config"] = np.array(json.dumps(config))
        atomic_write(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def training_variables(model: keras.Model) -> list[keras.Variable]:
    """Everything that training changes: weights, random states and the optimizers' variables.

    Args:
        model: A compiled model.

    Example:
        >>> import keras
        >>> from melanet.checkpoint import training_variables
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> [variable.name for variable in training_variables(model)]
        ['kernel', 'bias', 'iteration', 'learning_rate']
    """
    optimizers = [v for v in vars(model).values() if isinstance(v, keras.optimizers.Optimizer)]
    # Keras builds its one optimizer late; a model with several of its own has built them.
    if len(optimizers) == 1 and not optimizers[0].built:
        optimizers[0].build(model.trainable_variables)
    return [*model.variables, *(v for each in optimizers for v in each.variables)]


def _state_names(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    return next((names for kind, names in CALLBACK_STATE.items() if isinstance(callback, kind)), ())


def _to_json(value: Any) -> float | int | None:
    """NumPy's numbers as Python's."""
    return value if value is None or isinstance(value, int) else float(value)
