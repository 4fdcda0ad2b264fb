"""What every training shares: seed, precision, and the record that says how a result was made."""

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops as tf_ops
from tqdm import tqdm

from melanet.data import InputError
from melanet.data.writing import atomic_write

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


class EpochBar(keras.callbacks.Callback):
    """A progress bar of epochs, with the time left and one logged value."""

    def __init__(self, epochs: int, name: str, shown: str):
        super().__init__()
        self.epochs, self.name, self.shown = epochs, name, shown

    def on_train_begin(self, logs=None):
        self.bar: Any = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.bar is None:  # `epoch` is not 0 where a killed training goes on
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
    """Seeds Python, NumPy and TensorFlow as a fresh process would be; what went before is gone.

    Args:
        seed: The seed of the trial.
        deterministic: Whether TensorFlow uses deterministic kernels only. It holds until the
            process ends.
    """
    keras.utils.clear_session()
    _forget_custom_gradients()
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def _forget_custom_gradients() -> None:
    """Lets the memory of earlier trainings go.

    An optimizer's step in a graph defines custom gradients, and TensorFlow's registry keeps them
    for good: with each the graph, and with that the weights and their moments (140 MB a U-Net).
    """
    registry = tf_ops._gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]


def resolve_precision(precision: str) -> str:
    """The policy that "auto" stands for here: the fastest that the hardware computes natively.

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
def precision_policy(policy: str):
    """Builds models under the Keras dtype policy of that name, and restores the one before."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def provenance() -> dict[str, Any]:
    """Versions, git commit and hardware of this process, for a record."""
    return {
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "git": _git_state(Path(__file__).parent),
        "hardware": _hardware(),
    }


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes a record whole or not at all: a record that is there is complete."""
    atomic_write(path, json.dumps(record, indent=1) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Reads a record.

    Raises:
        InputError: If the file is not a record.
    """
    try:
        record = json.loads(path.read_text())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path}: not a result record ({error}); move it away") from None
    if not isinstance(record, dict) or record.get("key") != path.stem:
        raise InputError(f"{path}: not the result record that its name says; move it away")
    return record


def checkpoint_path(out: Path, key: str) -> Path:
    """Where a training that is not finished is kept."""
    return out / "checkpoints" / f"{key}.npz"


def config_hash(shaping: Any) -> str:
    """Eight characters that differ if anything in `shaping`, which JSON can hold, does."""
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:8]


def hashed_settings(settings: Any) -> dict[str, Any]:
    """What the fields of a dataclass say, but `distribute`.

    How many devices share the work does not shape its result, up to rounding: what was begun on
    four can be ended on one.
    """
    return {k: v for k, v in dataclasses.asdict(settings).items() if k != "distribute"}


def check_finite(scores: np.ndarray, key: str) -> None:
    """An InputError if what a trained model predicts is not numbers."""
    if not np.isfinite(scores).all():
        raise InputError(f"{key}: the training diverged; try --precision float32 or another --seed")


def _git_state(folder: Path) -> dict[str, Any]:
    def git(*words):
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        changed = git("status", "--porcelain", "--", "melanet", "sharpunet", "experiments")
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(changed)}
    except OSError:  # no git on this machine
        return {"commit": None, "changed": None}


def _hardware() -> dict[str, Any]:
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
