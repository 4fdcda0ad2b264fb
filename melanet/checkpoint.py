"""Trainings that are killed and go on, bit for bit."""

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

#: What a callback carries from epoch to epoch.
STATE: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: ("best",),
}
#: Part of the time that may go into saving.
SHARE = 0.02


class EpochCheckpoint(keras.callbacks.Callback):
    """Keeps all that a training is made of at the end of an epoch, and goes on from there.

        passes = pass_counter()
        images = load_dataset(prepared, shuffle=True, passes=passes)
        checkpoint = EpochCheckpoint("training.npz", callbacks, passes)
        first = checkpoint.restore(model)
        model.fit(images, initial_epoch=first, callbacks=[*callbacks, checkpoint], shuffle=False)

    Weights, optimizers, learning rate, states of dropout, the callbacks' best weights and patience,
    the history, and the order of the images: with deterministic kernels and the same seeds a
    training that was killed any number of times ends with the weights of one that was not.

    It saves at the end of every epoch, unless that would take more than a fiftieth of the time. Of
    several hosts the chief saves, and all restore what it saved: the file is on shared storage.

    Args:
        path: The file, an `.npz` without pickles; it stays until `remove` is called. Nothing is
            saved if None.
        callbacks: The other callbacks of the training. Of those that carry something from epoch to
            epoch, `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint` are known; any other
            begins anew.
        passes: The variable that the loader of the training images counts its passes with: the
            number of a pass gives the order of its images. Each epoch is one pass.

    Attributes:
        history: As that of `fit`, from the very first epoch on.
        seconds: That the epochs took, those before it was killed included.
    """

    def __init__(
        self,
        path: str | Path | None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        epoch_counter: Any = None,
    ):
        super().__init__()
        self.path, self.epoch_counter = Path(path) if path else None, epoch_counter
        self.others = [callback for callback in callbacks if _state_of(callback)]
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._left: list[dict[str, Any]] = []
        self._first_epoch = 0
        self._next_save = 0.0

    def restore(self, model: keras.Model) -> int:
        """Puts a compiled, untrained model where the saved training stood.

        Args:
            model: Built and compiled as it was for the training that was killed.

        Returns:
            The epoch to go on with, counted from 0; 0 if nothing was saved.

        Raises:
            InputError: If the file is damaged, or of another model.
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
                f"{self.path}: no saved training ({error}); remove it, and the training begins anew"
            ) from None
        variables = _variables(model)
        if [v.shape for v in variables] != [a.shape for a in arrays]:
            raise InputError(f"{self.path}: is of another model than {model.name}; remove it")
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        self.history, self.seconds = config["history"], config["seconds"]
        self._left = [
            {**state, **({"best_weights": weights} if weights else {})}
            for state, weights in zip(config["callbacks"], best, strict=True)
        ]
        self._first_epoch = config["epoch"]
        return self._first_epoch

    def remove(self) -> None:
        """Removes the file, and what was killed while writing it: the training's result is safe."""
        if self.path is not None and is_chief():
            remove_file(self.path)

    def on_train_begin(self, logs=None):
        for callback, state in zip(self.others, self._left, strict=False):
            vars(callback).update(state)
        # Here, not in `restore`: a pass may begin to build the model, or ahead of its epoch.
        if self.epoch_counter is not None:
            self.epoch_counter.assign(self._first_epoch)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.monotonic() - self._epoch_began
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        # The last epoch is not saved: what follows it, such as the return to the best weights,
        # happens in `fit`, which must have an epoch to run.
        last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if last or time.monotonic() < self._next_save:
            return
        began = time.monotonic()
        if self.path is not None and is_chief():
            self._save(epoch + 1, self.path)
        ended = time.monotonic()
        self._next_save = ended + (ended - began) / SHARE

    def _save(self, epoch: int, path: Path) -> None:
        variables = _variables(self.model)
        arrays = {f"variable_{n}": np.asarray(v) for n, v in enumerate(variables)}
        states = []
        for n, callback in enumerate(self.others):
            best = getattr(callback, "best_weights", None) or []
            arrays |= {f"best_{n}_{place}": array for place, array in enumerate(best)}
            state = {name: _plain(getattr(callback, name)) for name in _state_of(callback)}
            states.append({**state, "best_weights": len(best)})
        config = {
            "epoch": epoch,
            "variables": len(variables),
            "callbacks": states,
            "history": self.history,
            "seconds": self.seconds,
        }
        described = np.array(json.dumps(config))
        atomic_write(
            path, lambda file: np.savez(file, allow_pickle=False, config=described, **arrays)
        )


def _variables(model: keras.Model) -> list[keras.Variable]:
    """All that training changes: weights, random states, and those of every optimizer."""
    optimizers = [v for v in vars(model).values() if isinstance(v, keras.optimizers.Optimizer)]
    if len(optimizers) == 1 and not optimizers[0].built:  # with several, the model has built its
        optimizers[0].build(model.trainable_variables)
    return [*model.variables, *(v for each in optimizers for v in each.variables)]


def _state_of(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    return next((names for kind, names in STATE.items() if isinstance(callback, kind)), ())


def _plain(value):
    """A number as JSON has it; None stays."""
    if value is None or isinstance(value, int):
        return value
    return float(value)
