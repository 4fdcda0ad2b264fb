"""The record of a trial: one JSON file with its result and everything that made it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import platform
import subprocess
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from melanet import lazy
from melanet.data import ImageDataset, InputError
from melanet.data.writing import atomic_write

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from experiments.common import training
    from melanet import saving
    from melanet.data.pixels import Scaling
else:
    keras = lazy.module("keras")
    tf = lazy.module("tensorflow")
    training = lazy.module("experiments.common.training")
    saving = lazy.module("melanet.saving")

ROOT = Path(__file__).parent.parent.parent
#: Part of every trial's name. Raise a number when a change of the code that no configuration shows
#: (loading, a train step, a loss, a metric) changes results: earlier records are then not reused.
CODE_VERSIONS = {"segmentation": 3, "classification": 3, "synthesis": 3}
#: Settings that change no result.
NOT_HASHED = ("distribute", "cache")
#: Metadata of a settings field that is hashed only where it is not its default: it was added later,
#: and trials without it keep their names.
ADDED: dict[str, bool] = {"added": True}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes a record whole or not at all: a record that is there is complete."""
    atomic_write(path, json.dumps(record, indent=1) + "\n")


def read_record(path: Path, fields: Collection[str] = ()) -> dict[str, Any]:
    """Reads a record.

    Args:
        path: The file.
        fields: Fields that the record must have.

    Raises:
        InputError: If the file is not a record, or lacks a field.
    """
    try:
        record = json.loads(path.read_text())
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path}: is not a result record ({error}); move it away") from None
    if not isinstance(record, dict) or record.get("key") != path.stem:
        raise InputError(f"{path}: is not the result record its name says; move it away")
    for field in fields:
        if field not in record:
            raise InputError(f"{path}: lacks the field {field!r}; move it away to run it again")
    return record


def events_path(out: Path, key: str) -> Path:
    """Where TensorBoard finds the epochs of a training."""
    return out / "tensorboard" / key


def checkpoint_path(out: Path, key: str) -> Path:
    """Where an unfinished training is kept."""
    return out / "checkpoints" / f"{key}.npz"


def config_hash(config: Any) -> str:
    """First 8 hex digits of the SHA-256 of a configuration, which JSON can hold."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]


@functools.cache
def model_hash(build: Callable[..., Any], *arguments: Any) -> str:
    """Hash of the configuration of a model, built with random weights in float32.

    An edited builder makes other trials, even under the same name and settings.
    """
    keras.utils.clear_session()  # for the same layer names, whatever was built before
    return config_hash(build(*arguments).get_config())


def hashed_settings(settings: Any) -> dict[str, Any]:
    """The fields of a settings dataclass, except `NOT_HASHED` and those `ADDED` at their default.

    How many devices share the work does not change its result, up to rounding: a training begun on
    four devices can be finished on one. A weights file counts by its content, not by its path.
    """
    left_out = {
        field.name
        for field in dataclasses.fields(settings)
        if field.metadata.get("added") and getattr(settings, field.name) == field.default
    }
    if getattr(settings, "weights_sha256", None):
        left_out.add("weights")
    values = dataclasses.asdict(settings).items()
    return {k: v for k, v in values if k not in {*NOT_HASHED, *left_out}}


def recorded_settings(settings: Any) -> dict[str, Any]:
    """The fields of a settings dataclass as a record has them: of a weights file only its name.

    Where it lies is this machine's own business, and a record may be published.
    """
    values = dataclasses.asdict(settings)
    if values.get("weights_sha256"):
        values["weights"] = Path(values["weights"]).name
    return values


def describe_dataset(dataset: ImageDataset) -> dict[str, Any]:
    """The entry of a dataset in a record."""
    return {
        **dataset.info.to_dict(),
        "metadata_sha256": dataset.fingerprint,
        "images": len(dataset.metadata),
    }


def describe_model(
    task: Literal["segmentation", "classification"],
    dataset: ImageDataset,
    class_names: Sequence[str],
    settings: Any,
    seed: int,
    scaling: Scaling = "min_max",
) -> saving.ModelInfo:
    """What the saved model of a trial says of itself.

    Args:
        task: What it does.
        dataset: The dataset that it was trained on.
        class_names: See `ModelInfo`.
        settings: The trial's training configuration, a dataclass.
        seed: The trial's seed.
        scaling: How pixels are scaled.
    """
    keep = settings.keep_aspect_ratio
    return saving.ModelInfo(
        task=task,
        image_size=settings.image_size,
        channels=dataset.info.channels,
        class_names=tuple(class_names),
        scaling=scaling,
        keep_aspect_ratio=dataset.info.keep_aspect_ratio if keep is None else keep,
        dataset=dataset.info.name,
        dataset_fingerprint=dataset.fingerprint,
        training={**recorded_settings(settings), "seed": seed},
        spacing=dataset.info.spacing if len(settings.image_size) == 3 else (),
    )


def provenance() -> dict[str, Any]:
    """Versions, git commit and hardware of this process."""
    return {
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "git": git_state(ROOT),
        "hardware": training.hardware(),
    }


def git_state(root: Path) -> dict[str, Any]:
    """The commit of the checkout `root`, and whether its code has uncommitted changes."""

    def git(*words):
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        changed = git("status", "--porcelain", "--", "melanet", "sharpunet", "experiments")
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(changed)}
    except OSError:  # no git on this machine
        return {"commit": None, "changed": None}
