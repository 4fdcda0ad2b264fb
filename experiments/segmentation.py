"""One segmentation training of chapter 3, from a prepared set to a result record."""

import dataclasses
import inspect
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from experiments.trial import (
    EpochBar,
    check_finite,
    checkpoint_path,
    config_hash,
    hashed_settings,
    precision_policy,
    provenance,
    seed_everything,
    write_record,
)
from melanet.checkpoint import EpochCheckpoint
from melanet.data.loading import make_epoch_counter
from melanet.data.writing import atomic_write
from melanet.distribution import (
    count_replicas,
    fit,
    is_chief,
    make_strategy,
    on_one_device,
    scope,
)
from sharpunet import LOSSES, MODELS, Dice, Jaccard, dice, jaccard
from sharpunet.data import ImageDataset, load_dataset
from sharpunet.splits import Split


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a training is told, but its images. Defaults are the thesis's where it names them.

    Attributes:
        epochs: Epochs at most; the thesis gives no number.
        batch_size: Not given in the thesis; 16 in the released code.
        patience: Epochs without a better validation score before training stops; not given in
            the thesis, 20 in the released code.
        learning_rate: Of Adam (section 3.3.3).
        loss: A name in `sharpunet.LOSSES`.
        weights: Of an ImageNet encoder at the start: `"imagenet"`, or None for random ones.
    """

    protocol: str
    epochs: int
    batch_size: int
    image_size: tuple[int, int]
    precision: str
    learning_rate: float = 1e-3
    patience: int = 20
    loss: str = "cross_entropy"
    weights: str | None = None
    deterministic: bool = True
    distribute: str = "none"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training: a model, `build` by the name of `model`, on one split of one prepared set."""

    dataset: ImageDataset
    model: str
    split: Split
    settings: Settings
    base_seed: int = 0
    build: Callable[..., keras.Model] | None = None

    @property
    def seed(self) -> int:
        """Seed of weights and shuffling: the same for every model, so that they are paired."""
        return self.base_seed + 100 * self.split.repeat + self.split.fold

    @property
    def key(self) -> str:
        """Name of its record: readable, and different if anything that shapes the result is."""
        shaping = [
            self.dataset.fingerprint,
            dataclasses.asdict(self.dataset.info),
            dataclasses.asdict(self.split),
            hashed_settings(self.settings),
            self.seed,
        ]
        name = f"{self.dataset.info.name}-{self.model}"
        return f"{name}-r{self.split.repeat}-f{self.split.fold}-{config_hash(shaping)}"

    @property
    def shared_artifacts(self) -> tuple[str, ...]:
        """Nothing that other trials use."""
        return ()

    def record_path(self, out: Path) -> Path:
        """Where its record is or will be."""
        return out / "records" / f"{self.key}.json"

    def run(self, out: Path) -> dict[str, Any] | None:
        """Trains and writes the record; see `run_trial`."""
        return run_trial(self, out)


@dataclasses.dataclass(frozen=True)
class Training:
    """What a training leaves.

    Attributes:
        model: With the weights of its best epoch.
        history: A value an epoch, by the name of the loss or metric.
        best_epoch: Counted from 1.
        seconds: That the epochs took.
        replicas: Devices that shared each batch.
    """

    model: keras.Model
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    replicas: int


def run_trial(trial: Trial, out: Path) -> dict[str, Any] | None:
    """Trains, predicts the test images, and writes predictions and then the record.

    Args:
        trial: The training.
        out: Results folder. `predictions/KEY/ID.png` holds a grey value a pixel (probability
            times 255, or the class index), `records/KEY.json` the record.

    Returns:
        The record; None on hosts that only help to train.
    """
    settings, split = trial.settings, trial.split
    checkpoint = checkpoint_path(out, trial.key)
    training = train(trial, checkpoint)
    if not is_chief():
        return None
    test = _load(trial, split.test)
    truth = np.concatenate([masks for _, masks in test])
    probabilities = training.model.predict(test, verbose=0)
    check_finite(probabilities, trial.key)
    _write_predictions(out / "predictions" / trial.key, split.test, probabilities)
    record = {
        "key": trial.key,
        "dataset": {
            **dataclasses.asdict(trial.dataset.info),
            "metadata_sha256": trial.dataset.fingerprint,
            "images": len(trial.dataset.metadata),
        },
        "model": trial.model,
        "parameters": {
            "trainable": _count(training.model.trainable_weights),
            "frozen": _count(training.model.non_trainable_weights),
        },
        "repeat": split.repeat,
        "fold": split.fold,
        "images": {
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
        },
        "seed": trial.seed,
        **dataclasses.asdict(settings),
        "replicas": training.replicas,
        "epochs_run": len(training.history["loss"]),
        "best_epoch": training.best_epoch,
        "seconds": round(training.seconds, 1),
        "history": {
            name: [round(float(v), 6) for v in curve] for name, curve in training.history.items()
        },
        "scores": _scores(split.test, truth, probabilities),
        **provenance(),
    }
    write_record(trial.record_path(out), record)
    EpochCheckpoint(checkpoint).remove()
    return record


def train(trial: Trial, checkpoint: Path) -> Training:
    """Trains the model of `trial` from its seed, and chooses the weights by the validation.

    Args:
        trial: The training.
        checkpoint: File that a killed training goes on from. It stays: remove it when the result
            is safe.
    """
    settings = trial.settings
    seed_everything(trial.seed, settings.deterministic)
    epoch_counter = make_epoch_counter()
    shuffled = _load(
        trial, trial.split.train, shuffle=True, seed=trial.seed, epoch_counter=epoch_counter
    )
    validation = _load(trial, trial.split.validation)
    strategy = make_strategy(settings.distribute)
    callbacks = _callbacks(trial)
    saving = EpochCheckpoint(checkpoint, callbacks, epoch_counter)
    with precision_policy(settings.precision), scope(strategy):
        model = _compiled_model(trial)
        first_epoch = saving.restore(model)
    fit(
        model,
        shuffled,
        validation_data=validation,
        epochs=settings.epochs,
        initial_epoch=first_epoch,
        shuffle=False,  # the dataset shuffles itself, by the trial's seed
        verbose=0,
        callbacks=[*callbacks, saving],
    )
    if strategy is not None:
        with precision_policy(settings.precision):
            model = on_one_device(model, build_model(trial))
    best_epoch = callbacks[0].best_epoch + 1
    return Training(model, saving.history, best_epoch, saving.seconds, count_replicas(strategy))


def build_model(trial: Trial) -> keras.Model:
    """The model of `trial` with new weights, under the Keras dtype policy that holds."""
    info = trial.dataset.info
    input_shape = (*trial.settings.image_size, info.channels)
    build = trial.build or MODELS[trial.model]
    encoder = {"weights": trial.settings.weights} if has_encoder(build) else {}
    return build(input_shape, info.classes, **encoder)


def has_encoder(build: Callable[..., keras.Model]) -> bool:
    """Whether a model builder takes weights for an encoder."""
    return "weights" in inspect.signature(build).parameters


def _load(trial, ids, **options):
    size, batch_size = trial.settings.image_size, trial.settings.batch_size
    return load_dataset(trial.dataset, ids, image_size=size, batch_size=batch_size, **options)


def _compiled_model(trial) -> keras.Model:
    model = build_model(trial)
    optimizer = keras.optimizers.Adam(trial.settings.learning_rate)
    loss = LOSSES[trial.settings.loss](trial.dataset.info.classes)
    model.compile(optimizer, loss, metrics=[Jaccard(), Dice()])
    return model


def _callbacks(trial) -> list[keras.callbacks.Callback]:
    """Early stopping first. The released code watches Jaccard and lowers the rate on a plateau."""
    released = trial.settings.protocol == "released"
    watch = {"monitor": "val_jaccard", "mode": "max"} if released else {"monitor": "val_loss"}
    callbacks = [
        keras.callbacks.EarlyStopping(
            patience=trial.settings.patience, restore_best_weights=True, **watch
        ),
        EpochBar(trial.settings.epochs, trial.key, "val_jaccard"),
    ]
    if released:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=10, **watch))
    return callbacks


def _write_predictions(folder: Path, ids, probabilities) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for id, probability in zip(ids, probabilities, strict=True):
        if probability.shape[-1] == 1:
            grey = np.round(255 * probability[:, :, 0])
        else:
            grey = probability.argmax(axis=-1)
        png = io.BytesIO()
        Image.fromarray(grey.astype("uint8")).save(png, format="png")
        atomic_write(folder / f"{id}.png", png.getvalue())


def _scores(ids, truth, probabilities) -> list[dict[str, Any]]:
    """Per test image its Jaccard and Dice, averaged over classes, and each class's where many."""
    scores = []
    indices = {"jaccard": jaccard, "dice": dice}
    values = {name: of(truth, probabilities, average=None) for name, of in indices.items()}
    for row, id in enumerate(ids):
        score: dict[str, Any] = {"id": id}
        for name, value in values.items():
            score[name] = round(float(value[row].mean()), 6)
            if value.shape[1] > 1:
                score[f"{name}_per_class"] = [round(float(v), 6) for v in value[row]]
        scores.append(score)
    return scores


def _count(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)
