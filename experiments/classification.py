"""One classifier training of chapter 2, with its over-sampling or augmentation, to a record."""

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from experiments.figure_umap import features_path, write_features
from experiments.synthesis import CycleGANConfig, SyntheticSetStage, save_model
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
from melanet.augmentation import augment_offline
from melanet.checkpoint import EpochCheckpoint
from melanet.classifiers import CLASSIFIERS
from melanet.data import ImageDataset, InputError, load_dataset
from melanet.data.loading import Subset, make_epoch_counter
from melanet.distribution import (
    chief_first,
    count_replicas,
    fit,
    is_chief,
    make_strategy,
    on_one_device,
    scope,
)
from melanet.losses import focal_loss
from melanet.trees import BaggedTrees

#: The classifier that is no network from end to end, beside `CLASSIFIERS`.
BAGGED_TREES = "densenet121_bagged_trees"
#: What a record says of a synthetic set.
LOGGED_FIELDS = (
    "key",
    "set",
    "seconds",
    *(field.name for field in dataclasses.fields(CycleGANConfig)),
)

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
    """What a classifier is trained on.

    Attributes:
        name, title: In records and in tables.
        augment: Augmented copies of each real training image.
        synthetic_sets: How many synthetic sets join: the first is of the set's own majority.
        real_positives: Whether real images of the positive class take part.
    """

    name: str
    title: str
    augment: int = 0
    synthetic_sets: int = 0
    real_positives: bool = True


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a training is told, but its images. Defaults are the thesis's (section 2.3.3).

    Attributes:
        weights: `"imagenet"`, None or a file. From random weights the thesis's Adadelta at 1e-3
            hardly moves: then the optimizer is Adam at 1e-4.
        loss: `"focal"` (melanoma) or `"cross_entropy"` (COVID-19).
        patience: Epochs without a better loss before training stops, `plateau` before the rate
            falls to a tenth; the thesis gives neither, the released code 8 and 5.
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
    deterministic: bool = True
    distribute: str = "none"

    @property
    def released(self) -> bool:
        """Whether the author's code is followed where it differs from the thesis."""
        return self.protocol == "released"

    @property
    def optimizer(self) -> tuple[str, float]:
        """Name and learning rate of the optimizer, which depends on the weights."""
        return ("Adadelta", 1e-3) if self.weights is not None else ("Adam", 1e-4)

    @property
    def loss_function(self) -> keras.losses.Loss:
        """The loss; on two softmax columns, cross-entropy is the binary one of the positive."""
        if self.loss == "cross_entropy":
            return keras.losses.CategoricalCrossentropy()
        return focal_loss(form="released" if self.released else "thesis")

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


def split_images(
    dataset: ImageDataset, protocol: str, seed: int, split_jointly_with: Sequence[ImageDataset] = ()
) -> Split:
    """The official split, or a stratified 80/20 one by seed where the set has none.

    Images of one group (patient) stay together, and groups that share a picture, see `patient_groups`.

    Args:
        prepared: The set.
        protocol: A name in `PROTOCOLS`.
        seed: Of the split, where it is not official.
        beside: Sets that share images or patients with it. All are split as one: who is tested in
            one of them is not trained with in another. Equal ids must be equal images.

    Raises:
        InputError: If a class has too few images to be split, or the sets contradict each other.
    """
    metadata = dataset.metadata
    for other in split_jointly_with:  # in an order that is the same whichever comes first
        _check_shared(dataset, other)
        metadata = pd.concat([metadata, other.metadata])
        metadata = metadata.drop_duplicates("id").sort_values("id")
    official = metadata["split"] == "test"
    try:
        if official.any():
            train, test = metadata[~official], metadata[official]
        else:
            train, test = _stratified(metadata, 5, seed)
        validation = test if protocol == "released" else train.head(0)
        if protocol == "clean":
            train, validation = _stratified(train, 10, seed)
    except ValueError as error:
        raise InputError(f"{dataset.folder}: cannot be split: {error}") from None
    own = set(dataset.metadata["id"])
    return Split(
        *(tuple(id for id in part["id"] if id in own) for part in (train, validation, test))
    )


@dataclasses.dataclass(frozen=True)
class Trial:
    """One training: a condition on one split of a prepared set, by one seed.

    Attributes:
        syntheses: What makes the condition's synthetic sets, as many as it has.
        keep_model: Whether the trained classifier is saved beside its record.
    """

    dataset: ImageDataset
    condition: Condition
    split: Split
    settings: Settings
    seed: int
    synthetic_stages: tuple[SyntheticSetStage, ...] = ()
    keep_model: bool = False

    @property
    def key(self) -> str:
        """Name of its record: readable, and different if anything that shapes the result is."""
        synthetic = [synthesis.key for synthesis in self.synthetic_stages]
        shaping = [*self._shaping, hashed_settings(self.settings), synthetic]
        name = f"{self.dataset.info.name}-{self.settings.model}-{self.condition.name}"
        return f"{name}-s{self.seed}-{config_hash(shaping)}"

    @property
    def shared_artifacts(self) -> tuple[str, ...]:
        """Names of the CycleGANs and the augmented set, which other trials may use too."""
        augmented = [self._augmented_name] if self.condition.augment else []
        return (*(synthesis.key for synthesis in self.synthetic_stages), *augmented)

    @property
    def _augmented_name(self) -> str:
        return f"augmented-{self.condition.augment}x-{config_hash(self._shaping)}"

    @property
    def _shaping(self) -> list[Any]:
        described = dataclasses.asdict(self.dataset.info)
        return [self.dataset.fingerprint, described, dataclasses.asdict(self.split), self.seed]

    def record_path(self, out: Path) -> Path:
        """Where its record is or will be."""
        return out / "records" / f"{self.key}.json"

    def run(self, out: Path) -> dict[str, Any] | None:
        """Makes what is added to the training set, trains, tests, and writes the record.

        Returns:
            The record; None on hosts that only help to train.
        """
        settings, split = self.settings, self.split
        made = [synthesis.make(out) for synthesis in self.synthetic_stages]
        parts = self._training_parts(out, [synthetic for synthetic, _ in made])
        counts = Counter(label for part in parts for label in _labels(part))
        seed_everything(self.seed, settings.deterministic)
        epoch_counter = make_epoch_counter()
        train = self._load(*parts, shuffle=True, seed=self.seed, epoch_counter=epoch_counter)
        checkpoint = checkpoint_path(out, self.key)
        test = (self.dataset, split.test)
        if settings.model == BAGGED_TREES:
            model, how = self._trained_trees(train)
        else:
            model, how = self._trained_network(train, counts, checkpoint, epoch_counter)
        if not is_chief():
            return None
        scores = _scores(model, self._load(test))
        check_finite(scores, self.key)
        positive = self.dataset.info.labels[-1]
        record = {
            "key": self.key,
            "dataset": {
                **dataclasses.asdict(self.dataset.info),
                "metadata_sha256": self.dataset.fingerprint,
                "images": len(self.dataset.metadata),
            },
            "condition": self.condition.name,
            "parameters": model.count_params(),
            "training_images": dict(counts),
            "images": {
                "train": len(split.train),
                "validation": len(split.validation),
                "test": len(split.test),
            },
            "seed": self.seed,
            **dataclasses.asdict(settings),
            **how,
            "synthetic": [{k: notes[k] for k in LOGGED_FIELDS} for _, notes in made],
            "scores": [
                {"id": id, "positive": label == positive, "score": round(float(score), 6)}
                for id, label, score in zip(split.test, _labels(test), scores, strict=True)
            ],
            **provenance(),
        }
        self._keep(model, [*parts, test], out)
        write_record(self.record_path(out), record)
        EpochCheckpoint(checkpoint).remove()
        return record

    def features_path(self, out: Path) -> Path:
        """Where the features of its images are or will be."""
        return features_path(out, self.key)

    def _training_parts(self, out: Path, synthetic: Sequence[ImageDataset]) -> list[Subset]:
        """The real training images that take part, and the sets that join them."""
        condition, ids = self.condition, self._real(self.split.train)
        parts: list[Subset] = [(self.dataset, ids), *synthetic]
        if condition.augment:
            folder = out / "sets" / self._augmented_name
            with chief_first():
                augmented = augment_offline(
                    self.dataset, condition.augment, folder, ids=ids, seed=self.seed
                )
            parts.append(augmented)
        return parts

    def _real(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `ids` that the condition may see: without positives, only negatives."""
        if self.condition.real_positives:
            return ids
        labels = self.dataset.metadata.set_index("id")["label"]
        positive = self.dataset.info.labels[-1]
        return tuple(id for id in ids if labels[id] != positive)

    def _load(self, *parts: Subset, **order) -> tf.data.Dataset:
        settings = self.settings
        return load_dataset(
            *parts,
            image_size=settings.image_size,
            batch_size=settings.batch_size,
            keep_aspect_ratio=settings.keep_aspect_ratio,
            **order,
        )

    def _trained_network(
        self, train, counts, checkpoint, epoch_counter
    ) -> tuple[keras.Model, dict[str, Any]]:
        settings = self.settings
        watched = None
        if self._watches_validation:
            watched = self._load((self.dataset, self.split.validation))
        strategy = make_strategy(settings.distribute)
        callbacks, weights = self._callbacks(), self._class_weights(counts)
        saving = EpochCheckpoint(checkpoint, callbacks, epoch_counter)
        with precision_policy(settings.precision), scope(strategy):
            model = self._compiled_model()
            first_epoch = saving.restore(model)
        fit(
            model,
            train if weights is None else train.map(partial(_weighed, weights)),
            validation_data=watched,
            epochs=settings.epochs,
            initial_epoch=first_epoch,
            callbacks=[*callbacks, saving],
            shuffle=False,
            verbose=0,
        )
        history = saving.history
        if strategy is not None:
            with precision_policy(settings.precision):
                model = on_one_device(model, self._compiled_model())
        return model, {
            "optimizer": "{} {:g}".format(*settings.optimizer),
            "replicas": count_replicas(strategy),
            "epochs_run": len(history["loss"]),
            "best_epoch": callbacks[0].best_epoch + 1,
            "seconds": round(saving.seconds, 1),
            "history": {k: [round(float(v), 6) for v in curve] for k, curve in history.items()},
        }

    def _trained_trees(self, train) -> tuple[BaggedTrees, dict[str, Any]]:
        settings = self.settings
        with precision_policy(settings.precision):
            model = BaggedTrees(
                self._input_shape,
                len(self.dataset.info.labels),
                weights=settings.weights,
                seed=self.seed,
            )
        started = time.monotonic()
        model.fit(train)
        return model, {
            "optimizer": "none",
            "replicas": 1,
            "epochs_run": 0,
            "best_epoch": 0,
            "seconds": round(time.monotonic() - started, 1),
            "history": {},
        }

    def _compiled_model(self) -> keras.Model:
        settings = self.settings
        classes = len(self.dataset.info.labels)
        model = CLASSIFIERS[settings.model](self._input_shape, classes, weights=settings.weights)
        name, rate = settings.optimizer
        optimizer = getattr(keras.optimizers, name)(rate)
        model.compile(optimizer, settings.loss_function)
        return model

    @property
    def _input_shape(self) -> tuple[int, int, int]:
        return (*self.settings.image_size, self.dataset.info.channels)

    def _keep(self, model, parts: Sequence[Subset], out: Path) -> None:
        """Saves features of some of the images; and the model, if it is to be kept."""
        network = model.network if isinstance(model, BaggedTrees) else model
        write_features(self.features_path(out), network, parts, self._load)
        if not self.keep_model:
            return
        if isinstance(model, BaggedTrees):
            model.save(out / "models" / f"{self.key}.trees")
        else:
            save_model(model, out / "models" / f"{self.key}.keras", include_optimizer=False)

    @property
    def _watches_validation(self) -> bool:
        """Real negatives alone would choose the weights that call nobody positive."""
        return bool(self.split.validation) and self.condition.real_positives

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        watch = "val_loss" if self._watches_validation else "loss"
        settings = self.settings
        return [
            keras.callbacks.EarlyStopping(
                watch, patience=settings.patience, restore_best_weights=True
            ),
            keras.callbacks.ReduceLROnPlateau(watch, factor=0.1, patience=settings.plateau),
            EpochBar(settings.epochs, self.key, watch),
        ]

    def _class_weights(self, counts: Counter) -> list[float] | None:
        """`class_weight="balanced"` of scikit-learn, which the released code uses."""
        if not self.settings.released:
            return None
        labels = self.dataset.info.labels
        return [counts.total() / (len(labels) * counts[label]) for label in labels]


def _weighed(weights: list[float], images, labels):
    """A batch with the weight of each image's class; `fit` takes no `class_weight` where shared."""
    return images, labels, tf.linalg.matvec(labels, weights)


def _scores(model: keras.Model | BaggedTrees, images: tf.data.Dataset) -> np.ndarray:
    """Probability of the positive class, the last one."""
    quiet = {} if isinstance(model, BaggedTrees) else {"verbose": 0}
    return model.predict(images, **quiet)[:, -1]


def _labels(part) -> list[str]:
    dataset, ids = part if isinstance(part, tuple) else (part, part.metadata["id"])
    return list(dataset.metadata.set_index("id")["label"].loc[list(ids)])


def patient_groups(metadata: pd.DataFrame) -> np.ndarray:
    """The group of each image, as a number; groups with an image of equal pixels are one.

    Collections hold the same picture under two names and as of two patients (COVID-19: 78 and 201;
    ISIC-2016: 1442 and 1742): a split must not part them.
    """
    groups, pixels = (pd.factorize(metadata[column])[0] for column in ("group", "sha256"))
    count = len(metadata)
    shared = coo_array((np.ones(count), (groups, pixels + count)), shape=(2 * count, 2 * count))
    return connected_components(shared, directed=False)[1][groups]


def _check_shared(first: ImageDataset, second: ImageDataset) -> None:
    """An InputError if two sets that are to be split as one contradict each other."""
    official = [(each.metadata["split"] == "test").any() for each in (first, second)]
    if official[0] != official[1]:
        raise InputError(f"{second.folder}: one of it and {first.folder} has an official split")
    same = ["id", "label", "group", "sha256"]
    both = first.metadata[same].merge(second.metadata[same], on="id")
    for name in same[1:]:
        for id in both["id"][both[f"{name}_x"] != both[f"{name}_y"]]:
            raise InputError(
                f"{second.folder}: the {name} of {id} is another than in {first.folder}; "
                "give different images different ids"
            )


def _stratified(metadata, folds, seed):
    """All but one, and one, of `folds` parts with nearly equal shares of every label."""
    if metadata["label"].value_counts().min() < 2:
        raise ValueError("a class has fewer than two images")
    groups = patient_groups(metadata)
    if len(np.unique(groups)) == len(groups):
        return train_test_split(
            metadata, test_size=1 / folds, stratify=metadata["label"], random_state=seed
        )
    folds = min(folds, metadata["label"].value_counts().min())
    by_group = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = by_group.split(metadata, metadata["label"], groups)
    wanted = metadata["label"].value_counts() / folds

    def unevenness(part):
        counts = metadata["label"].iloc[part[1]].value_counts()
        return ((counts.reindex(wanted.index, fill_value=0) - wanted).abs() / wanted).max()

    train, test = min(parts, key=unevenness)  # patients have unequal numbers of images
    return metadata.iloc[train], metadata.iloc[test]
