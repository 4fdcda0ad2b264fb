"""One training for all: seed, precision, devices, resumption, and a progress bar."""

import contextlib
import dataclasses
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops as tf_ops
from tqdm import tqdm

from melanet import training
from melanet.checkpoint import EpochCheckpoint
from melanet.data import InputError
from melanet.distribution import count_replicas, make_strategy

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model and how it came about.

    Attributes:
        model: On one device, with the weights that early stopping chose.
        history: One value per epoch, by the name of the loss or metric.
        best_epoch: Epoch of the model's weights, counted from 1.
        seconds: Time spent in epochs.
        replicas: Devices that shared each batch.
    """

    model: keras.Model
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    replicas: int

    def summary(self) -> dict[str, Any]:
        """Its entries in a record."""
        curves = {name: [round(float(v), 6) for v in c] for name, c in self.history.items()}
        return {
            "replicas": self.replicas,
            "epochs_run": len(self.history["loss"]),
            "best_epoch": self.best_epoch,
            "seconds": round(self.seconds, 1),
            "history": curves,
        }


def train(
    build: Callable[[], keras.Model],
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
        )
    replicas = count_replicas(make_strategy(distribute))
    return TrainedModel(model, saving.history, stopping.best_epoch + 1, saving.seconds, replicas)


class EpochBar(keras.callbacks.Callback):
    """A progress bar of epochs with the time left and one logged value."""

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


def resolve_precision(precision: str) -> str:
    """The Keras dtype policy that `"auto"` stands for on this machine; others as they are.

    bfloat16 on NVIDIA GPUs of compute capability 8.0 or more and on CPUs with bf16 matrix units,
    float16 on GPUs of 7.0 or more, else float32.
    """
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        capability = min(detail.get("compute_capability", (0, 0)) for detail in details)
        if capability >= (8, 0):
            return "mixed_bfloat16"
        return "mixed_float16" if capability >= (7, 0) else "float32"
    return "mixed_bfloat16" if "amx_bf16" in _cpu_information().get("flags", "") else "float32"


@contextlib.contextmanager
def precision_policy(policy: str) -> Iterator[None]:
    """Builds models under the Keras dtype policy of that name; restores the previous one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


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
    cpu = _cpu_information().get("model name", platform.machine())
    return {"cpu": cpu, "cores": os.cpu_count(), "gpus": names}


def _cpu_information() -> dict[str, str]:
    """The fields of the first processor, where the system lists them."""
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
        return {key.strip(): value.strip() for key, value in pairs}
    return {}
