"""One classifier of chapter 2, with its over-sampling or augmentation, to a record."""

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from experiments.classification.conditions import BAGGED_TREES, Condition
from experiments.classification.features import features_path, write_features
from experiments.classification.splits import Split
from experiments.classification.synthesis import LOGGED_FIELDS, SyntheticSetStage
from experiments.common.own_models import accepted, file_part, find_builder
from experiments.common.records import (
    CODE_VERSIONS,
    config_hash,
    describe_model,
    events_path,
    hashed_settings,
    model_hash,
)
from experiments.common.table import Trial
from experiments.common.training import (
    check_finite,
    train,
)
from melanet.augmentation import augment_offline
from melanet.classifiers import CLASSIFIERS
from melanet.data import ImageDataset, load_dataset
from melanet.data.caching import Cache
from melanet.data.loading import Scaling, Subset, make_epoch_counter, open_subset
from melanet.distribution import chief_first, is_chief
from melanet.losses import focal_loss
from melanet.precision import describe_precision, precision_policy
from melanet.saving import ModelInfo, save_model
from melanet.training import EpochBar, EventLog, seed_everything
from melanet.trees import BaggedTrees


@dataclasses.dataclass(frozen=True)
class ClassifierSettings:
    """Training configuration. Defaults are the thesis's (section 2.3.3) where it names them.

    Attributes:
        weights: `"imagenet"`, None or a file. From random weights the thesis's Adadelta at 1e-3
            hardly moves: then the optimizer is Adam at 1e-4.
        weights_sha256: Hash of a weights file.
        loss: `"focal"` (melanoma) or `"cross_entropy"` (COVID-19).
        epochs, patience, plateau, watch, loss_form, keep_aspect_ratio, scaling: As in
            `ClassifierProtocol`.
        preprocessing: Of the classifier's inputs, as in `melanet.vgg_gap`.
        augmentation: As the `policy` of `melanet.augment_offline`.
    """

    protocol: str
    model: str
    weights: str | None
    epochs: int
    batch_size: int
    image_size: tuple[int, int]
    precision: str
    loss: str = "focal"
    weights_sha256: str | None = None
    patience: int = 8
    plateau: int = 5
    watch: str = "train"
    loss_form: str = "thesis"
    keep_aspect_ratio: bool | None = None
    scaling: Scaling = "min_max"
    preprocessing: str = "none"
    augmentation: Literal["thesis", "released"] = "thesis"
    deterministic: bool = True
    distribute: str = "none"
    cache: Cache = "memory"

    @property
    def optimizer(self) -> tuple[str, float]:
        """Name and learning rate of the optimizer, which depends on the weights."""
        return ("Adadelta", 1e-3) if self.weights is not None else ("Adam", 1e-4)

    @property
    def loss_function(self) -> keras.losses.Loss:
        """The loss. On two softmax columns, cross-entropy is the binary one of the positive."""
        if self.loss == "cross_entropy":
            return keras.losses.CategoricalCrossentropy()
        return focal_loss(variant=self.loss_form)


@dataclasses.dataclass(frozen=True)
class ClassifierTrial(Trial):
    """One training: a condition on one split of a dataset, by one seed.

    Attributes:
        synthetic_stages: Stages that make the condition's synthetic datasets, one each.
        save_model: Whether the trained classifier is saved beside its record.
        log_events: Whether its epochs are logged for TensorBoard.
    """

    dataset: ImageDataset
    condition: Condition
    split: Split
    settings: ClassifierSettings
    seed: int
    synthetic_stages: tuple[SyntheticSetStage, ...] = ()
    save_model: bool = False
    log_events: bool = False

    record_fields = (
        *Trial.record_fields,
        "model",
        "condition",
        "training_images",
        "images",
        "best_epoch",
        "epochs_run",
        "seconds",
        "synthetic",
        "scores",
    )

    @property
    def title(self) -> str:
        names = [self.dataset.info.name, file_part(self.settings.model), self.condition.name]
        return f"{'-'.join(names)}-s{self.seed}"

    @property
    def config(self) -> list[Any]:
        stages = [stage.key for stage in self.synthetic_stages]
        return [
            *self._data_config,
            dataclasses.asdict(self.condition),
            hashed_settings(self.settings),
            stages,
            model_hash(
                _random_network,
                self.settings.model,
                self._input_shape,
                self.settings.preprocessing,
            ),
            self.settings.optimizer,
            self.settings.loss_function.get_config(),
            CODE_VERSIONS["classification"],
        ]

    @property
    def _data_config(self) -> list[Any]:
        info = self.dataset.info.to_dict()
        return [self.dataset.fingerprint, info, dataclasses.asdict(self.split), self.seed]

    @property
    def shared_artifacts(self) -> tuple[str, ...]:
        augmented = [self._augmented_name] if self.condition.augment else []
        return (*(stage.key for stage in self.synthetic_stages), *augmented)

    @property
    def _augmented_name(self) -> str:
        version = CODE_VERSIONS["classification"]
        config = [*self._data_config, self.settings.augmentation, version]
        return f"augmented-{self.condition.augment}x-{config_hash(config)}"

    def features_path(self, out: Path) -> Path:
        """Where the features of its images are or will be."""
        return features_path(out, self.key)

    def model_path(self, out: Path) -> Path | None:
        suffix = "trees" if self.settings.model == BAGGED_TREES else "keras"
        return out / "models" / f"{self.key}.{suffix}" if self.save_model else None

    @property
    def model_info(self) -> ModelInfo:
        """What the saved model says of itself."""
        labels, scaling = self.dataset.info.labels, self.settings.scaling
        return describe_model(
            "classification", self.dataset, labels, self.settings, self.seed, scaling
        )

    def train_and_test(self, out: Path) -> dict[str, Any] | None:
        settings, split = self.settings, self.split
        synthetic = [stage.run(out) for stage in self.synthetic_stages]
        subsets = self._training_subsets(out, [dataset for dataset, _ in synthetic])
        counts = Counter(label for subset in subsets for label in _labels(subset))
        seed_everything(self.seed, settings.deterministic)
        test = (self.dataset, split.test)
        fit = self._fit_trees if settings.model == BAGGED_TREES else self._fit_network
        model, training = fit(subsets, out)
        if not is_chief():
            return None
        scores = _positive_scores(model, self._load(test))
        check_finite(scores, self.key)
        positive, groups = self.dataset.info.labels[-1], self.dataset.values("group", split.test)
        self._save(model, [*subsets, test], out)
        return {
            "condition": self.condition.name,
            "parameters": model.count_params(),
            "training_images": dict(counts),
            "images": {name: len(ids) for name, ids in dataclasses.asdict(split).items()},
            **dataclasses.asdict(settings),
            "precision_reason": describe_precision(settings.precision),
            **training,
            "synthetic": [{k: record[k] for k in LOGGED_FIELDS} for _, record in synthetic],
            "scores": [
                {
                    "id": id,
                    "group": group,
                    "positive": label == positive,
                    "score": round(float(score), 6),
                }
                for id, group, label, score in zip(
                    split.test, groups, _labels(test), scores, strict=True
                )
            ],
        }

    def _training_subsets(self, out: Path, synthetic: Sequence[ImageDataset]) -> list[Subset]:
        """The real training images that take part, and the datasets that join them."""
        ids = self._allowed(self.split.train)
        subsets: list[Subset] = [(self.dataset, ids), *synthetic]
        if self.condition.augment:
            folder = out / "sets" / self._augmented_name
            with chief_first():
                augmented = augment_offline(
                    self.dataset,
                    self.condition.augment,
                    folder,
                    ids=ids,
                    seed=self.seed,
                    policy=self.settings.augmentation,
                )
            augmented.verify()  # it may have been made, and damaged, long ago
            subsets.append(augmented)
        return subsets

    def _allowed(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `ids` that the condition may see: without real positives, negatives only."""
        if self.condition.real_positives:
            return ids
        positive, labels = self.dataset.info.labels[-1], self.dataset.values("label", ids)
        return tuple(id for id, label in zip(ids, labels, strict=True) if label != positive)

    def _load(self, *subsets: Subset, **order) -> tf.data.Dataset:
        settings = self.settings
        return load_dataset(
            *subsets,
            image_size=settings.image_size,
            batch_size=settings.batch_size,
            keep_aspect_ratio=settings.keep_aspect_ratio,
            scaling=settings.scaling,
            cache=settings.cache,
            **order,
        )

    def _fit_network(
        self, subsets: Sequence[Subset], out: Path
    ) -> tuple[keras.Model, dict[str, Any]]:
        settings, epoch_counter = self.settings, make_epoch_counter()
        batches = self._load(*subsets, shuffle=True, seed=self.seed, epoch_counter=epoch_counter)
        validation, watch = None, "loss"
        # Real negatives alone would choose the weights that call nobody positive.
        if self.split.validation and self.condition.real_positives:
            validation, watch = self._load((self.dataset, self.split.validation)), "val_loss"
        trained = train(
            self._compiled_model,
            (self._input_shape, len(self.dataset.info.labels), settings),
            batches,
            epochs=settings.epochs,
            stopping=keras.callbacks.EarlyStopping(
                watch, patience=settings.patience, restore_best_weights=True
            ),
            callbacks=[
                keras.callbacks.ReduceLROnPlateau(watch, factor=0.1, patience=settings.plateau),
                EpochBar(settings.epochs, self.key, watch),
                EventLog(events_path(out, self.key) if self.log_events else None),
            ],
            validation=validation,
            epoch_counter=epoch_counter,
            checkpoint=self.checkpoint_path(out),
            precision=settings.precision,
            distribute=settings.distribute,
        )
        optimizer = "{} {:g}".format(*settings.optimizer)
        return trained.model, {"optimizer": optimizer, **trained.summary()}

    def _fit_trees(
        self, subsets: Sequence[Subset], out: Path
    ) -> tuple[BaggedTrees, dict[str, Any]]:
        settings = self.settings
        batches = self._load(*subsets, shuffle=True, seed=self.seed)
        labels = self.dataset.info.labels
        with precision_policy(settings.precision):
            model = BaggedTrees(
                self._input_shape,
                len(labels),
                weights=settings.weights,
                seed=self.seed,
                preprocessing=settings.preprocessing,
            )
        started = time.monotonic()
        model.fit(batches)
        seconds = round(time.monotonic() - started, 1)
        none = {"optimizer": "none", "replicas": 1, "epochs_run": 0, "best_epoch": 0, "history": {}}
        return model, {**none, "seconds": seconds}

    def _compiled_model(self) -> keras.Model:
        settings, labels = self.settings, self.dataset.info.labels
        build = find_builder(settings.model, CLASSIFIERS)
        options = accepted(build, weights=settings.weights, preprocessing=settings.preprocessing)
        model = build(self._input_shape, len(labels), **options)
        name, rate = settings.optimizer
        model.compile(getattr(keras.optimizers, name)(rate), settings.loss_function)
        return model

    @property
    def _input_shape(self) -> tuple[int, int, int]:
        return (*self.settings.image_size, self.dataset.info.channels)

    def _save(self, model: Any, subsets: Sequence[Subset], out: Path) -> None:
        """Saves features of some of the images, and the model if asked to."""
        network = model.network if isinstance(model, BaggedTrees) else model
        write_features(self.features_path(out), network, subsets, self._load)
        path = self.model_path(out)
        if path is None:
            return
        if isinstance(model, BaggedTrees):
            model.save(path)
        else:
            save_model(model, path, self.model_info, include_optimizer=False)


def _random_network(
    model: str, input_shape: tuple[int, int, int], preprocessing: str
) -> keras.Model | BaggedTrees:
    """A classifier with random weights."""
    if model == BAGGED_TREES:
        return BaggedTrees(input_shape, 2, weights=None, preprocessing=preprocessing)
    build = find_builder(model, CLASSIFIERS)
    return build(input_shape, 2, **accepted(build, weights=None, preprocessing=preprocessing))


def _positive_scores(model: keras.Model | BaggedTrees, images: tf.data.Dataset) -> np.ndarray:
    """Probability of the positive class, the last one."""
    quiet = {} if isinstance(model, BaggedTrees) else {"verbose": 0}
    return model.predict(images, **quiet)[:, -1]


def _labels(subset: Subset) -> list[str]:
    dataset, ids = open_subset(subset)
    return dataset.values("label", ids)
