"""One segmentation network of chapter 3 on one split, to a record."""

import dataclasses
import inspect
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from experiments.common.records import (
    ADDED,
    CODE_VERSIONS,
    describe_model,
    events_path,
    hashed_settings,
    model_hash,
    recorded_settings,
)
from experiments.common.table import Trial
from experiments.common.training import (
    TrainedModel,
    check_finite,
    train,
)
from experiments.segmentation.protocols import trial_title
from melanet.data import ImageDataset
from melanet.data.caching import Cache
from melanet.data.pipelines import make_epoch_counter
from melanet.data.writing import atomic_write
from melanet.distribution import is_chief
from melanet.optimizers import Adam
from melanet.precision import describe_precision
from melanet.saving import ModelInfo, save_model
from melanet.training import EpochBar, EventLog, seed_everything
from sharpunet import LOSSES, Dice, Jaccard
from sharpunet.data import load_dataset
from sharpunet.evaluation import mask_scores
from sharpunet.fitting import class_titles
from sharpunet.metrics import best_constant_scores
from sharpunet.splits import Split

ModelBuilder = Callable[..., keras.Model]


@dataclasses.dataclass(frozen=True)
class SegmentationSettings:
    """Training configuration. Defaults are the thesis's where it names them (section 3.3.3).

    Attributes:
        batch_size: Images per batch; not in the thesis, 16 in the released code.
        learning_rate: Of Adam.
        epochs, patience, watch, plateau, keep_aspect_ratio: As in `SegmentationProtocol`.
        loss: A name in `sharpunet.LOSSES`.
        weights: Initial weights of an encoder: `"imagenet"`, None for random ones, or a file.
        weights_sha256: Hash of that file.
    """

    protocol: str
    epochs: int
    batch_size: int
    image_size: tuple[int, ...]
    precision: str
    learning_rate: float = 1e-3
    patience: int = 20
    watch: str = "val_loss"
    plateau: int | None = None
    keep_aspect_ratio: bool | None = None
    loss: str = "cross_entropy"
    weights: str | None = None
    deterministic: bool = True
    distribute: str = "none"
    cache: Cache = "memory"
    weights_sha256: str | None = dataclasses.field(default=None, metadata=ADDED)


@dataclasses.dataclass(frozen=True)
class SegmentationTrial(Trial):
    """One training: a model on one split of a dataset.

    Attributes:
        model: Name of the model.
        build: Builds it, as `sharpunet.unet`.
        base_seed: Added to the seed.
        save_model: Whether the trained model is saved beside its record.
        log_events: Whether its epochs are logged for TensorBoard.
    """

    dataset: ImageDataset
    model: str
    split: Split
    settings: SegmentationSettings
    build: ModelBuilder
    base_seed: int = 0
    save_model: bool = False
    log_events: bool = False

    @property
    def seed(self) -> int:  # type: ignore[override]
        """Seed of weights and shuffling: the same for every model, so that they are paired."""
        return self.base_seed + 100 * self.split.repeat + self.split.fold

    record_fields = (
        *Trial.record_fields,
        "model",
        "parameters",
        "repeat",
        "fold",
        "images",
        "history",
        "best_epoch",
        "epochs_run",
        "seconds",
        "best_constant",
        "scores",
    )

    @property
    def title(self) -> str:
        return trial_title(self.dataset.info.name, self.model, self.split.repeat, self.split.fold)

    @property
    def config(self) -> list[Any]:
        return [
            self.dataset.fingerprint,
            self.dataset.info.to_dict(),
            dataclasses.asdict(self.split),
            hashed_settings(self.settings),
            self.seed,
            model_hash(self.build, self.input_shape, self.dataset.info.classes),
            CODE_VERSIONS["segmentation"],
        ]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Height, width and channels of its images."""
        return (*self.settings.image_size, self.dataset.info.channels)

    def train_and_test(self, out: Path) -> dict[str, Any] | None:
        """Writes `predictions/KEY/ID.png` too: probability times 255, or the class index."""
        split = self.split
        trained = self.train(out)
        if not is_chief():
            return None
        tested = self.test(trained.model, out)
        if path := self.model_path(out):
            save_model(trained.model, path, self.model_info, include_optimizer=False)
        parts = {"train": split.train, "validation": split.validation, "test": split.test}
        return {
            "model": self.model,
            "parameters": {
                "trainable": _count(trained.model.trainable_weights),
                "frozen": _count(trained.model.non_trainable_weights),
            },
            "repeat": split.repeat,
            "fold": split.fold,
            "images": {name: len(ids) for name, ids in parts.items()},
            **recorded_settings(self.settings),
            "precision_reason": describe_precision(self.settings.precision),
            **trained.summary(),
            **tested,
        }

    def test(self, model: keras.Model, out: Path) -> dict[str, Any]:
        """Scores of every test image and of the best constant; writes the predictions."""
        ids = self.split.test
        test = self._load(ids)
        truth = np.concatenate([masks for _, masks in test])
        probabilities = model.predict(test, verbose=0)
        check_finite(probabilities, self.key)
        write_predictions(out / "predictions" / self.key, ids, probabilities)
        return {
            "best_constant": best_constant(truth),
            "scores": _scores(self.dataset, ids, truth, probabilities),
        }

    def model_path(self, out: Path) -> Path | None:
        return out / "models" / f"{self.key}.keras" if self.save_model else None

    @property
    def model_info(self) -> ModelInfo:
        """What the saved model says of itself."""
        names = class_titles(self.dataset.info)
        return describe_model("segmentation", self.dataset, names, self.settings, self.seed)

    def train(self, out: Path) -> TrainedModel:
        """Trains the model from its seed; validation chooses the weights."""
        settings = self.settings
        seed_everything(self.seed, settings.deterministic)
        epoch_counter = make_epoch_counter()
        batches = self._load(
            self.split.train, shuffle=True, seed=self.seed, epoch_counter=epoch_counter
        )
        watch = {"monitor": settings.watch}
        watch["mode"] = "min" if settings.watch == "val_loss" else "max"
        callbacks: list[keras.callbacks.Callback] = [
            EpochBar(settings.epochs, self.key, "val_jaccard"),
            EventLog(events_path(out, self.key) if self.log_events else None),
        ]
        if settings.plateau is not None:
            callbacks.append(
                keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=settings.plateau, **watch)
            )
        return train(
            self._compiled_model,
            (self.build, self.input_shape, self.dataset.info.classes, settings),
            batches,
            epochs=settings.epochs,
            stopping=keras.callbacks.EarlyStopping(
                patience=settings.patience, restore_best_weights=True, **watch
            ),
            callbacks=callbacks,
            validation=self._load(self.split.validation),
            epoch_counter=epoch_counter,
            checkpoint=self.checkpoint_path(out),
            precision=settings.precision,
            distribute=settings.distribute,
        )

    def build_model(self) -> keras.Model:
        """The model with new weights, under the current Keras dtype policy."""
        encoder = {"weights": self.settings.weights} if has_encoder(self.build) else {}
        return self.build(self.input_shape, self.dataset.info.classes, **encoder)

    def _compiled_model(self) -> keras.Model:
        info, settings = self.dataset.info, self.settings
        model = self.build_model()
        model.compile(
            Adam(settings.learning_rate),
            LOSSES[settings.loss](info.classes),
            metrics=[Jaccard(), Dice()],
        )
        return model

    def _load(self, ids: Sequence[str], **order) -> tf.data.Dataset:
        settings = self.settings
        height, width = settings.image_size
        return load_dataset(
            (self.dataset, ids),
            image_size=(height, width),
            batch_size=settings.batch_size,
            keep_aspect_ratio=settings.keep_aspect_ratio,
            cache=settings.cache,
            **order,
        )


def has_encoder(build: ModelBuilder) -> bool:
    """Whether a model builder takes weights for an encoder."""
    return "weights" in inspect.signature(build).parameters


def write_predictions(folder: Path, ids: Sequence[str], probabilities: np.ndarray) -> None:
    """Writes `ID.png` of every image: probability times 255, or the class index."""
    for id, probability in zip(ids, probabilities, strict=True):
        if probability.shape[-1] == 1:
            grey = np.round(255 * probability[:, :, 0])
        else:
            grey = probability.argmax(axis=-1)
        png = io.BytesIO()
        Image.fromarray(grey.astype("uint8")).save(png, format="png")
        atomic_write(folder / f"{id}.png", png.getvalue())


def _scores(
    dataset: ImageDataset, ids: Sequence[str], truth: np.ndarray, probabilities: np.ndarray
) -> list[dict[str, Any]]:
    """Jaccard and Dice of every test image, see `mask_scores`."""
    groups = dataset.values("group", ids)
    scores = mask_scores(truth, probabilities)
    return [
        {"id": id, "group": group, **score}
        for id, group, score in zip(ids, groups, scores, strict=True)
    ]


def best_constant(truth: np.ndarray) -> dict[str, float]:
    """Scores of the best prediction that is the same for every pixel of every test image."""
    scores = best_constant_scores(truth)
    if truth.shape[-1] > 1:
        micro = best_constant_scores(truth, average="micro")
        scores |= {f"{name}_micro": score for name, score in micro.items()}
    return {name: round(float(score), 6) for name, score in scores.items()}


def _count(weights: Sequence[keras.Variable]) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)
