"""One training for all trials: precision, devices, resumption, and what a record says of it."""

import dataclasses
import os
import platform
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from melanet import training
from melanet.checkpoint import EpochCheckpoint
from melanet.data import InputError
from melanet.distribution import count_replicas, make_strategy
from melanet.precision import cpu_information, precision_policy

#: Models of this process whose graphs later trials of equal shape take over.
KEPT_MODELS = training.KeptModels()


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model and how it came about.

    Attributes:
        model: On one device, with the weights that early stopping chose, until another training
            takes it over.
        history: One value per epoch, by the name of the loss or metric.
        best_epoch: Epoch of the model's weights, counted from 1.
        seconds: Time spent in epochs.
        replicas: Devices that shared each batch.
        steps_per_epoch: Steps of the optimizer in an epoch.
    """

    model: keras.Model
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    replicas: int
    steps_per_epoch: int

    def summary(self) -> dict[str, Any]:
        """Its entries in a record."""
        curves = {name: [round(float(v), 6) for v in c] for name, c in self.history.items()}
        return {
            "replicas": self.replicas,
            "epochs_run": len(self.history["loss"]),
            "steps": len(self.history["loss"]) * self.steps_per_epoch,
            "best_epoch": self.best_epoch,
            "seconds": round(self.seconds, 1),
            "history": curves,
        }


def train(
    build: Callable[[], keras.Model],
    key: Hashable,
    batches: tf.data.Dataset,
    *,
    epochs: int,
    stopping: keras.callbacks.EarlyStopping,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    validation: tf.data.Dataset | None = None,
    epoch_counter: tf.Variable,
    checkpoint: Path,
    precision: str,
    distribute: str,
) -> TrainedModel:
    """Trains a model; interrupted runs resume, bit for bit.

    Call `seed_everything` first, before the datasets are made.

    Args:
        build: Makes the compiled model.
        key: Everything that determines the compiled model, see `melanet.training.KeptModels`.
        batches: Training batches; they shuffle themselves, by the trial's seed.
        epochs: Epochs at most.
        stopping: Decides when to stop, and which weights are kept.
        callbacks: Other callbacks.
        validation: Batches that the callbacks watch, if any.
        epoch_counter: The counter that `batches` was loaded with.
        checkpoint: File to resume from. Remove it when the result is safe.
        precision: A Keras dtype policy.
        distribute: A name in `melanet.distribution.STRATEGIES`.
    """
    saving = EpochCheckpoint(checkpoint, [stopping, *callbacks], epoch_counter)
    with precision_policy(precision):
        model = training.train(
            build,
            batches,
            validation_data=validation,
            epochs=epochs,
            callbacks=[stopping, *callbacks],
            checkpoint=saving,
            distribute=distribute,
            kept=(KEPT_MODELS, key),
        )
    replicas = count_replicas(make_strategy(distribute))
    steps = int(batches.cardinality())
    return TrainedModel(
        model, saving.history, stopping.best_epoch + 1, saving.seconds, replicas, steps
    )


def check_finite(scores: np.ndarray, key: str) -> None:
    """Checks that a trained model predicts numbers.

    Raises:
        InputError: If it does not.
    """
    if not np.isfinite(scores).all():
        raise InputError(f"{key}: the training diverged; try --precision float32 or another --seed")


def hardware() -> dict[str, Any]:
    """Processor, cores and GPUs of this machine."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    cpu = cpu_information().get("model name", platform.machine())
    return {"cpu": cpu, "cores": os.cpu_count(), "gpus": names}
