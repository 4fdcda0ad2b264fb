"""One classifier training of chapter 2, with its over-sampling or augmentation, to a record."""

import dataclasses
import hashlib
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from experiments.trial import (
    EpochBar,
    fix_randomness,
    precision_policy,
    provenance,
    read_record,
    write_record,
)
from melanet.augmentation import augment_offline
from melanet.classifiers import CLASSIFIERS
from melanet.cyclegan import CycleGAN
from melanet.data import InputError, PreparedSet, load_dataset
from melanet.data.pipeline import Part
from melanet.losses import focal_loss
from melanet.oversampling import train_cyclegan, translate_majority

#: What each protocol of chapter 2 does, in a sentence.
PROTOCOLS = {
    "thesis": "trained until the training loss stops improving, best weights kept; log loss, no "
    "identity loss, images padded to square (sections 2.2 and 2.3.3)",
    "released": "as the author's code: early stopping and best weights by the test set (its score "
    "flatters), class weights, released focal loss, least squares, identity loss, flips, stretched",
    "clean": "as thesis, but stopped by a tenth of the training images, which no training sees",
}


@dataclasses.dataclass(frozen=True)
class Condition:
    """A row of table 2.1: what is added to the real training images."""

    name: str
    title: str
    augment: int = 0
    oversample: bool = False


@dataclasses.dataclass(frozen=True)
class Translation:
    """How a CycleGAN is built and trained. Defaults are the thesis's (section 2.3.3).

    Attributes:
        epochs: Passes over the undersampled classes, with batches of 1.
        filters, rates: Of the first block, and Adam's learning rate: of generators and of
            discriminators.
        adversarial_loss, identity_weight: As `CycleGAN.compile`.
    """

    epochs: int = 500
    filters: tuple[int, int] = (32, 64)
    rates: tuple[float, float] = (2e-4, 2e-4)
    adversarial_loss: str = "log"
    identity_weight: float = 0.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a training is told, but its images. Defaults are the thesis's (section 2.3.3).

    Attributes:
        weights: `"imagenet"`, None or a file. From random weights the thesis's Adadelta at 1e-3
            hardly moves: then the optimizer is Adam at 1e-4.
        patience: Epochs without a better loss before training stops, `plateau` before the rate
            falls to a tenth; the thesis gives neither, the released code 8 and 5.
    """

    protocol: str
    model: str
    weights: str | None
    epochs: int
    translation: Translation
    batch_size: int
    image_size: tuple[int, int]
    precision: str
    weights_sha256: str | None = None
    patience: int = 8
    plateau: int = 5
    deterministic: bool = True

    @property
    def released(self) -> bool:
        """Whether the author's code is followed where it differs from the thesis."""
        return self.protocol == "released"

    @property
    def optimizer(self) -> tuple[str, float]:
        """Name and learning rate of the optimizer, which depends on the weights."""
        return ("Adadelta", 1e-3) if self.weights is not None else ("Adam", 1e-4)

    @property
    def keep_aspect_ratio(self) -> bool | None:
        """Whether images are padded to square; as their set says, unless the code stretches."""
        return False if self.released else None


@dataclasses.dataclass(frozen=True)
class Split:
    """Image ids: `train`, `validation` (stops the training; may be empty) and `test`."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_images(prepared: PreparedSet, protocol: str, seed: int) -> Split:
    """The official split, or a stratified 80/20 one by seed where the set has none.

    Raises:
        InputError: If a class has too few images to be split.
    """
    manifest = prepared.manifest
    official = manifest["split"] == "test"
    try:
        if official.any():
            train, test = manifest[~official], manifest[official]
        else:
            train, test = _stratified(manifest, 5, seed)
        validation = test if protocol == "released" else train.head(0)
        if protocol == "clean":
            train, validation = _stratified(train, 10, seed)
    except ValueError as error:
        raise InputError(f"{prepared.folder}: cannot be split: {error}") from None
    return Split(tuple(train["id"]), tuple(validation["id"]), tuple(test["id"]))


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training: a condition on one split of a prepared set, by one seed."""

    prepared: PreparedSet
    condition: Condition
    split: Split
    settings: Settings
    seed: int

    @property
    def key(self) -> str:
        """Name of its record: readable, and different if anything that shapes the result is."""
        shaping = [*self._shaping, dataclasses.asdict(self.settings)]
        if not self.condition.oversample:
            shaping[-1].pop("translation")
        name = f"{self.prepared.description.name}-{self.settings.model}-{self.condition.name}"
        return f"{name}-s{self.seed}-{_mark(shaping)}"

    @property
    def gan_key(self) -> str:
        """Name of its CycleGAN, which other classifiers of the same seed share."""
        names = ("protocol", "translation", "image_size", "precision", "deterministic")
        settings = dataclasses.asdict(self.settings)
        shaping = [*self._shaping, [settings[name] for name in names]]
        return f"{self.prepared.description.name}-s{self.seed}-{_mark(shaping)}"

    @property
    def _shaping(self) -> list[Any]:
        described = dataclasses.asdict(self.prepared.description)
        return [self.prepared.digest, described, dataclasses.asdict(self.split), self.seed]

    def record_path(self, out: Path) -> Path:
        """Where its record is or will be."""
        return out / "records" / f"{self.key}.json"

    def run(self, out: Path) -> dict[str, Any]:
        """Makes what is added to the training set, trains, tests, and writes the record."""
        settings, split = self.settings, self.split
        added, gan = self._added(out)
        fix_randomness(self.seed, settings.deterministic)
        shape: dict[str, Any] = {
            "image_size": settings.image_size,
            "batch_size": settings.batch_size,
            "keep_aspect_ratio": settings.keep_aspect_ratio,
        }
        parts: list[Part] = [(self.prepared, split.train), *added]
        train = load_dataset(*parts, shuffle=True, seed=self.seed, **shape)
        test = load_dataset((self.prepared, split.test), **shape)
        watched = None
        if split.validation:
            watched = load_dataset((self.prepared, split.validation), **shape)
        with precision_policy(settings.precision):
            model = self._compiled_model()
        callbacks = self._callbacks()
        counts = Counter(label for part in parts for label in _labels(part))
        started = time.monotonic()
        history = model.fit(
            train,
            validation_data=watched,
            epochs=settings.epochs,
            callbacks=callbacks,
            class_weight=self._class_weight(counts),
            shuffle=False,
            verbose=0,
        ).history
        seconds = time.monotonic() - started
        scores = model.predict(test, verbose=0)[:, -1]
        if not np.isfinite(scores).all():
            raise InputError(
                f"{self.key}: the training diverged; try --precision float32 or another --seed"
            )
        positive = self.prepared.description.labels[-1]
        record = {
            "key": self.key,
            "dataset": {
                **dataclasses.asdict(self.prepared.description),
                "manifest_sha256": self.prepared.digest,
                "images": len(self.prepared.manifest),
            },
            "condition": self.condition.name,
            "parameters": model.count_params(),
            "optimizer": "{} {:g}".format(*settings.optimizer),
            "training_images": dict(counts),
            "images": {
                "train": len(split.train),
                "validation": len(split.validation),
                "test": len(split.test),
            },
            "seed": self.seed,
            **dataclasses.asdict(settings),
            "translation": dataclasses.asdict(settings.translation) if gan else None,
            "epochs_run": len(history["loss"]),
            "best_epoch": callbacks[0].best_epoch + 1,
            "seconds": round(seconds, 1),
            "gan": gan,
            "history": {k: [round(float(v), 6) for v in curve] for k, curve in history.items()},
            "scores": [
                {"id": id, "positive": label == positive, "score": round(float(score), 6)}
                for id, label, score in zip(
                    split.test, _labels((self.prepared, split.test)), scores, strict=True
                )
            ],
            **provenance(),
        }
        write_record(self.record_path(out), record)
        return record

    def synthetic_folder(self, out: Path) -> Path:
        """Where its translated images are or will be."""
        return out / "sets" / f"synthetic-{self.gan_key}"

    def _added(self, out: Path) -> tuple[list[PreparedSet], dict[str, Any] | None]:
        """Sets that join the real training images, and how the CycleGAN was trained."""
        if self.condition.oversample:
            model, gan = self._cyclegan(out)
            synthetic = translate_majority(
                model,
                self.prepared,
                self.synthetic_folder(out),
                self.split.train,
                image_size=self.settings.image_size,
                keep_aspect_ratio=self.settings.keep_aspect_ratio,
            )
            return [synthetic], gan
        if self.condition.augment:
            mark = _mark(self._shaping)
            folder = out / "sets" / f"augmented-{self.condition.augment}x-{mark}"
            ids = self.split.train
            return [
                augment_offline(
                    self.prepared, self.condition.augment, folder, ids=ids, seed=self.seed
                )
            ], None
        return [], None

    def _cyclegan(self, out: Path) -> tuple[CycleGAN, dict[str, Any]]:
        """The CycleGAN of this seed: trained, or loaded where it was trained before."""
        path, notes = out / "gans" / f"{self.gan_key}.keras", out / "gans" / f"{self.gan_key}.json"
        if path.exists() and notes.exists():
            try:
                return keras.models.load_model(path), read_record(notes)
            except (ValueError, OSError, KeyError) as error:
                reason = str(error).strip().splitlines()[0]
                raise InputError(f"{path}: cannot be loaded ({reason}); remove it") from None
        settings, translation = self.settings, self.settings.translation
        fix_randomness(self.seed, settings.deterministic)
        shown = f"cycle_{self.prepared.description.labels[0]}"
        bar = EpochBar(translation.epochs, f"CycleGAN {self.gan_key}", shown)
        started = time.monotonic()
        with precision_policy(settings.precision):
            generator_optimizer, discriminator_optimizer = (
                keras.optimizers.Adam(rate, beta_1=0.5) for rate in translation.rates
            )
            model = train_cyclegan(
                self.prepared,
                self.split.train,
                image_size=settings.image_size,
                filters=translation.filters,
                epochs=translation.epochs,
                seed=self.seed,
                flip=settings.released,
                keep_aspect_ratio=settings.keep_aspect_ratio,
                callbacks=[bar],
                generator_optimizer=generator_optimizer,
                discriminator_optimizer=discriminator_optimizer,
                adversarial_loss=translation.adversarial_loss,
                identity_weight=translation.identity_weight,
            )
        gan = {"key": self.gan_key, "seconds": round(time.monotonic() - started, 1)}
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{os.getpid()}-{path.name}")
        model.save(partial)
        partial.replace(path)
        write_record(notes, gan)
        return model, gan

    def _compiled_model(self) -> keras.Model:
        settings = self.settings
        size = (*settings.image_size, self.prepared.description.channels)
        classes = len(self.prepared.description.labels)
        model = CLASSIFIERS[settings.model](size, classes, weights=settings.weights)
        name, rate = settings.optimizer
        optimizer = getattr(keras.optimizers, name)(rate)
        model.compile(optimizer, focal_loss(form="released" if settings.released else "thesis"))
        return model

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        watch = "val_loss" if self.split.validation else "loss"
        settings = self.settings
        return [
            keras.callbacks.EarlyStopping(
                watch, patience=settings.patience, restore_best_weights=True
            ),
            keras.callbacks.ReduceLROnPlateau(watch, factor=0.1, patience=settings.plateau),
            EpochBar(settings.epochs, self.key, watch),
        ]

    def _class_weight(self, counts: Counter) -> dict[int, float] | None:
        """`class_weight="balanced"` of scikit-learn, which the released code uses."""
        if not self.settings.released:
            return None
        labels = self.prepared.description.labels
        return {
            place: counts.total() / (len(labels) * counts[label])
            for place, label in enumerate(labels)
        }


def _labels(part) -> list[str]:
    prepared, ids = part if isinstance(part, tuple) else (part, part.manifest["id"])
    return list(prepared.manifest.set_index("id")["label"].loc[list(ids)])


def _stratified(manifest, folds, seed):
    """All but the first, and the first, of `folds` parts with equal shares of every label.

    Images of one group (patient) stay together.
    """
    if manifest["label"].value_counts().min() < 2:
        raise ValueError("a class has fewer than two images")
    if manifest["group"].is_unique:
        return train_test_split(
            manifest, test_size=1 / folds, stratify=manifest["label"], random_state=seed
        )
    by_group = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    train, test = next(by_group.split(manifest, manifest["label"], manifest["group"]))
    return manifest.iloc[train], manifest.iloc[test]


def _mark(shaping) -> str:
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:8]
