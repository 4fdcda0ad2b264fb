"""One classifier of chapter 2, with its over-sampling or augmentation, to a record."""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from experiments.classification.balancing import (
    HEAD_OPTIMIZER,
    NEIGHBOURS,
    class_weights,
    repeated_ids,
    smote,
    train_head,
    with_class_weights,
)
from experiments.classification.conditions import BAGGED_TREES, Condition, trial_title
from experiments.classification.features import features_path, write_features
from experiments.classification.splits import Split
from experiments.classification.synthesis import LOGGED_FIELDS, SyntheticSetStage
from experiments.common.own_models import accepted, find_builder
from experiments.common.records import (
    ADDED,
    CODE_VERSIONS,
    config_hash,
    describe_model,
    events_path,
    hashed_settings,
    model_hash,
    recorded_settings,
)
from experiments.common.table import Trial
from experiments.common.training import (
    check_finite,
    train,
)
from melanet import optimizers
from melanet.augmentation import augment_offline
from melanet.classifiers import CLASSIFIERS
from melanet.data import ImageDataset, InputError, load_dataset
from melanet.data.caching import Cache
from melanet.data.pipelines import make_epoch_counter
from melanet.data.pixels import Scaling
from melanet.data.subsets import Subset, open_subset
from melanet.distribution import barrier, chief_first, is_chief
from melanet.explain import features
from melanet.losses import focal_loss
from melanet.precision import describe_precision, precision_policy
from melanet.saving import ModelInfo, load_model, save_model
from melanet.training import EpochBar, EventLog, seed_everything
from melanet.trees import BaggedTrees

POSITIVE_WEIGHT = 0.25  # α of eq. 2.6


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
        choose_threshold: Whether the scores of validation images are recorded.
        equal_steps: Whether an epoch of every condition has as many optimizer steps as one of the
            real images alone: it ends after so many batches of all images, in an order of its own.
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
    choose_threshold: bool = dataclasses.field(default=False, metadata=ADDED)
    equal_steps: bool = dataclasses.field(default=False, metadata=ADDED)

    @property
    def optimizer(self) -> tuple[str, float]:
        """Name and learning rate of the optimizer, which depends on the weights."""
        return ("Adadelta", 1e-3) if self.weights is not None else ("Adam", 1e-4)

    def loss_function(self, classes: int) -> keras.losses.Loss:
        """The loss. On two softmax columns, cross-entropy is the binary one of the positive.

        The thesis's weight of the positive class is that of each of more than two.
        """
        if self.loss == "cross_entropy":
            return keras.losses.CategoricalCrossentropy()
        if classes == 2:
            return focal_loss(variant=self.loss_form)
        return focal_loss([POSITIVE_WEIGHT] * classes, variant=self.loss_form)


@dataclasses.dataclass(frozen=True)
class ClassifierTrial(Trial):
    """One training: a condition on one split of a dataset, by one seed.

    Attributes:
        synthetic_stages: Stages that make the condition's synthetic datasets, one each.
        save_model: Whether the trained classifier is saved beside its record.
        log_events: Whether its epochs are logged for TensorBoard.
        network: Trial on the real images alone, whose network SMOTE's features are of.
    """

    dataset: ImageDataset
    condition: Condition
    split: Split
    settings: ClassifierSettings
    seed: int
    synthetic_stages: tuple[SyntheticSetStage, ...] = ()
    save_model: bool = False
    log_events: bool = False
    network: "ClassifierTrial | None" = None

    #: Whether a figure of the table draws the features of its classifiers.
    saves_features: ClassVar[bool] = True
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
        return trial_title(
            self.dataset.info.name, self.settings.model, self.condition.name, self.seed
        )

    @property
    def config(self) -> list[Any]:
        stages = [stage.key for stage in self.synthetic_stages]
        head = [] if self.network is None else [self.network.key, HEAD_OPTIMIZER, NEIGHBOURS]
        return [
            *self._data_config,
            hashed_settings(self.condition),
            hashed_settings(self.settings),
            stages,
            model_hash(
                _random_network,
                self.settings.model,
                self._input_shape,
                self.settings.preprocessing,
            ),
            self.settings.optimizer,
            self._loss_function.get_config(),
            CODE_VERSIONS["classification"],
            *head,
        ]

    @property
    def _data_config(self) -> list[Any]:
        info = self.dataset.info.to_dict()
        return [self.dataset.fingerprint, info, dataclasses.asdict(self.split), self.seed]

    @property
    def shared_artifacts(self) -> tuple[str, ...]:
        augmented = [self._augmented_name] if self.condition.augment else []
        # A trial on real images alone and SMOTE, which needs its network, stay together.
        networks = [trial.key for trial in (self.network, self) if trial and trial.save_model]
        return (*(stage.key for stage in self.synthetic_stages), *augmented, *networks)

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
        if self.network is not None:
            fit = self._fit_head
        repeated = self._repeated_images()
        counts.update(label for subset in repeated for label in _labels(subset))
        model, training = fit([*subsets, *repeated], out)
        if not is_chief():
            return None
        scores = {"scores": self._score(model, split.test)}
        if settings.choose_threshold:
            scores["validation_scores"] = self._score(model, split.validation)
        self._save(model, [*subsets, test], out)
        return {
            "condition": self.condition.name,
            "parameters": model.count_params(),
            "training_images": dict(counts),
            "images": {name: len(ids) for name, ids in dataclasses.asdict(split).items()},
            **recorded_settings(settings),
            "precision_reason": describe_precision(settings.precision),
            **training,
            "synthetic": [{k: record[k] for k in LOGGED_FIELDS} for _, record in synthetic],
            **scores,
        }

    def _score(self, model: Any, ids: tuple[str, ...]) -> list[dict[str, Any]]:
        """Scores of real images, as a record holds them."""
        images, groups = (self.dataset, ids), self.dataset.values("group", ids)
        scores = _predict(model, self._load(images))
        check_finite(scores, self.key)
        rows = zip(ids, groups, _labels(images), scores, strict=True)
        return [
            {"id": id, "group": group, **self.outcome(label, p)} for id, group, label, p in rows
        ]

    def outcome(self, label: str, probabilities: np.ndarray) -> dict[str, Any]:
        """The truth of an image and what is predicted, as a record holds them."""
        positive = self.dataset.info.labels[-1]
        return {"positive": label == positive, "score": round(float(probabilities[-1]), 6)}

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

    def _repeated_images(self) -> list[Subset]:
        """Real images that are trained with again, so that the classes are equal."""
        if self.condition.balance != "repeat":
            return []
        ids = repeated_ids(self.dataset, self._allowed(self.split.train), self.seed)
        return [(self.dataset, ids)] if ids else []

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
        batches = self._one_epoch(batches)
        if self.condition.balance == "class_weights":
            counts = Counter(label for subset in subsets for label in _labels(subset))
            weights = class_weights(counts, self.dataset.info.labels)
            batches = with_class_weights(batches, weights)
        validation = self._load(watched) if (watched := self._watched_images) else None
        stopping, plateau = self._watching
        trained = train(
            self._compiled_model,
            (self._input_shape, len(self.dataset.info.labels), settings),
            batches,
            epochs=settings.epochs,
            stopping=stopping,
            callbacks=[
                plateau,
                EpochBar(settings.epochs, self.key, stopping.monitor),
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

    @property
    def _watched_images(self) -> Subset | None:
        """The images that stop the training, if the training images do not.

        Real negatives alone would choose the weights that call nobody positive. Their loss has no
        class weights: it is the same in all conditions.
        """
        ids = self.split.validation
        if not ids or self.settings.watch == "train" or not self.condition.real_positives:
            return None
        return self.dataset, ids

    @property
    def _watching(self) -> tuple[keras.callbacks.EarlyStopping, keras.callbacks.Callback]:
        """What stops the training and keeps its best weights, and what lowers its rate."""
        watch = "loss" if self._watched_images is None else "val_loss"
        patience, plateau = self.settings.patience, self.settings.plateau
        return (
            keras.callbacks.EarlyStopping(watch, patience=patience, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau(watch, factor=0.1, patience=plateau),
        )

    def _one_epoch(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The batches of an epoch: all, or as many as the real images alone have."""
        if not self.settings.equal_steps:
            return batches
        steps = math.ceil(len(self.split.train) / self.settings.batch_size)
        if int(batches.cardinality()) < steps:
            raise InputError(
                f"--equal-steps: {self.condition.name} has fewer images than the real ones alone; "
                "leave it out of --conditions"
            )
        return batches.take(steps)

    def _fit_head(self, subsets: Sequence[Subset], out: Path) -> tuple[keras.Model, dict[str, Any]]:
        """A new head on features over-sampled by SMOTE, of a network trained on real images."""
        network_key, network = self._trained_network(out)
        seed_everything(self.seed, self.settings.deterministic)
        found, labels = self._features(network, *subsets)
        found, labels, neighbours = smote(found, labels, self.seed)
        stopping, plateau = self._watching
        watched = self._watched_images
        trained = train_head(
            network,
            (found, labels),
            self.dataset.info.labels,
            validation=None if watched is None else self._features(network, watched),
            loss=self._loss_function,
            epochs=self.settings.epochs,
            stopping=stopping,
            plateau=plateau,
            one_epoch=lambda rows: self._one_epoch(rows.batch(self.settings.batch_size)),
            seed=self.seed,
        )
        return network, {
            "optimizer": "{} {:g}".format(*HEAD_OPTIMIZER),
            "network": network_key,
            "neighbours": neighbours,
            "training_images": dict(Counter(labels)),
            **trained.summary(),
        }

    def _trained_network(self, out: Path) -> tuple[str, keras.Model]:
        """Key and network of the trial on the real images, which is run now if it was not saved."""
        if self.network is None or (path := self.network.model_path(out)) is None:
            raise ValueError("SMOTE needs a trial that saves its network")
        if not path.exists():
            self.network.run(out)
            barrier()
        return self.network.key, load_model(path)

    def _features(self, network: keras.Model, *subsets: Subset) -> tuple[np.ndarray, list[str]]:
        labels = [label for subset in subsets for label in _labels(subset)]
        return features(network, self._load(*subsets)), labels

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
        none["steps"] = 0
        return model, {**none, "seconds": seconds}

    def _compiled_model(self) -> keras.Model:
        settings, labels = self.settings, self.dataset.info.labels
        build = find_builder(settings.model, CLASSIFIERS)
        options = accepted(build, weights=settings.weights, preprocessing=settings.preprocessing)
        model = build(self._input_shape, len(labels), **options)
        name, rate = settings.optimizer
        model.compile(getattr(optimizers, name)(rate), self._loss_function)
        return model

    @property
    def _loss_function(self) -> keras.losses.Loss:
        return self.settings.loss_function(len(self.dataset.info.labels))

    @property
    def _input_shape(self) -> tuple[int, int, int]:
        return (*self.settings.image_size, self.dataset.info.channels)

    def _save(self, model: Any, subsets: Sequence[Subset], out: Path) -> None:
        """Saves features of some of the images, and the model if asked to."""
        if self.saves_features:
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


def _predict(model: keras.Model | BaggedTrees, images: tf.data.Dataset) -> np.ndarray:
    """Probability of each class, of each image."""
    quiet = {} if isinstance(model, BaggedTrees) else {"verbose": 0}
    return model.predict(images, **quiet)


def _labels(subset: Subset) -> list[str]:
    dataset, ids = open_subset(subset)
    return dataset.values("label", ids)
