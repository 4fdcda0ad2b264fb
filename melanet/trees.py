"""DenseNet-121 with bagged trees: "DenseNet-121 + BGT" of tables 2.2 and 2.3."""

import json
import tempfile
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import skops.io
from sklearn.ensemble import BaggingClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from melanet.classifiers import densenet121_features
from melanet.data.writing import atomic_write

NETWORK, TREES, SETTINGS = "network.keras", "trees.skops", "settings.json"
#: What skops loads beyond what it trusts by itself; `_check_trees` looks into it.
TRUSTED = ["sklearn.tree._tree.Tree"]


class BaggedTrees:
    """Decision trees, each on a bootstrap of the features of a frozen DenseNet-121 ([62]).

    Only the trees are trained. The thesis does not say how many there are; 10 is the default of
    scikit-learn. They are grown one after another; within `joblib.parallel_config(n_jobs=...)`
    beside one another, with the same result.

    Args:
        input_shape: `(height, width, channels)`, 32 pixels a side or more, 1 or 3 channels.
        classes: Number of classes, the positive one last.
        weights: Of the network: `"imagenet"` (downloaded once by Keras), None for random weights,
            or a weights file that `Model.save_weights` of `network` wrote.
        trees: Number of trees.
        seed: Seed of the bootstraps and the trees.

    Attributes:
        network: The `keras.Model` from images in [0, 1] to 1024 features.
        bagging: The `BaggingClassifier` of scikit-learn.

    Raises:
        ValueError: If an argument is out of its range, or `weights` is a file that is not there or
            does not fit.
    """

    def __init__(
        self, input_shape=(256, 256, 3), classes=2, *, weights="imagenet", trees=10, seed=0
    ):
        if classes < 2 or trees < 1:
            raise ValueError(
                "`classes` must be 2 or more, `trees` 1 or more. "
                f"Received: classes={classes}, trees={trees}"
            )
        self.classes = classes
        self.bagging = BaggingClassifier(
            DecisionTreeClassifier(), n_estimators=trees, random_state=seed
        )
        self.network = densenet121_features(input_shape, weights=weights)

    def fit(self, dataset, labels=None) -> "BaggedTrees":
        """Grows the trees anew, with one pass over the images.

        Args:
            dataset: Batches of `(images, labels)`, as `load_dataset` makes them; or images,
                `(images, height, width, channels)`, in [0, 1].
            labels: One-hot, `(images, classes)`, if `dataset` is images. A class may be missing.

        Returns:
            Itself.

        Raises:
            ValueError: If there is no image, or labels are not one-hot, one an image.
        """
        batches = dataset if labels is None else [(dataset, labels)]
        pairs = [(self._features(images), np.asarray(one_hot)) for images, one_hot in batches]
        if not pairs:
            raise ValueError("`dataset`: there is no image")
        features, one_hot = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        if one_hot.shape != (len(features), self.classes) or not _is_one_hot(one_hot):
            raise ValueError(
                f"`labels` must be one-hot, (images, classes), here {(len(features), self.classes)}"
                f". Received shape {one_hot.shape}"
            )
        self.bagging.fit(features, one_hot.argmax(axis=1))
        return self

    def predict(self, dataset) -> np.ndarray:
        """Probabilities of the classes: the mean over the trees.

        Args:
            dataset: Images, in [0, 1], or a dataset of them with or without labels, as of `fit`.

        Returns:
            float32, `(images, classes)`; 0 for a class that `fit` did not meet.

        Raises:
            ValueError: Before `fit`, and, as an InputError, if the file system refuses to write.
        """
        check_is_fitted(self.bagging)
        features = self.network.predict(dataset, verbose=0)
        probabilities = np.zeros((len(features), self.classes), "float32")
        probabilities[:, self.bagging.classes_] = self.bagging.predict_proba(features)
        return probabilities

    def count_params(self) -> int:
        """Parameters of the network."""
        return self.network.count_params()

    def save(self, path: str | Path) -> None:
        """Writes one zip file, whole or not at all; a file that is there is replaced.

        It holds the network in Keras's format, the trees in that of skops, and the settings.

        Raises:
            ValueError: Before `fit`, and, as an InputError, if the file system refuses to write.
        """
        check_is_fitted(self.bagging)
        path = Path(path)
        settings = {
            "input_shape": self.network.input_shape[1:],
            "classes": self.classes,
            "trees": self.bagging.n_estimators,
            "seed": self.bagging.random_state,
        }

        def write(archive_path: Path) -> None:
            with (
                TemporaryDirectory() as folder,
                ZipFile(archive_path, "w", ZIP_DEFLATED) as archive,
            ):
                network = Path(folder) / NETWORK
                self.network.save(network)
                archive.write(network, NETWORK)
                archive.writestr(TREES, skops.io.dumps(self.bagging))
                archive.writestr(SETTINGS, json.dumps(settings))

        atomic_write(path, write)

    @classmethod
    def load(cls, path: str | Path) -> "BaggedTrees":
        """Reads what `save` wrote. Nothing in the file is executed.

        The network is built here and takes its weights from the file, whatever the file says of
        its architecture; of the trees, only the types that `fit` makes are accepted.

        Raises:
            ValueError: If the file is not there, or is not whole, or holds anything else.
        """
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such file")
        try:
            return cls._read(path)
        except Exception as error:  # whatever a damaged file makes its readers raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{path}: cannot be read as saved BaggedTrees: {reason}") from error

    @classmethod
    def _read(cls, path):
        with ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            settings = json.loads(archive.read(SETTINGS))
            bagging = skops.io.loads(archive.read(TREES), trusted=TRUSTED)
            model = cls(
                tuple(settings["input_shape"]),
                settings["classes"],
                weights=archive.extract(NETWORK, folder),
                trees=settings["trees"],
                seed=settings["seed"],
            )
        _check_trees(bagging, model)
        model.bagging = bagging
        return model

    def _features(self, images) -> np.ndarray:
        # A batch of a dataset comes as a tensor, and is one step; an array may be far larger.
        if isinstance(images, np.ndarray):
            return self.network.predict(images, verbose=0)
        return self.network.predict_on_batch(images)


def _is_one_hot(labels) -> bool:
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


def _check_trees(bagging, model: BaggedTrees) -> None:
    """Whether it is what `fit` makes: scikit-learn itself reads past the end if it is not."""
    channels = model.network.output_shape[-1]
    sound = (
        type(bagging) is BaggingClassifier
        and bagging.n_features_in_ == channels
        and len(bagging.estimators_) == len(bagging.estimators_features_) == bagging.n_estimators
        and bagging.n_estimators == model.bagging.n_estimators
        and set(bagging.classes_) <= set(range(model.classes))
        and all(np.array_equal(used, range(channels)) for used in bagging.estimators_features_)
        and all(_is_sound(tree, channels) for tree in bagging.estimators_)
    )
    if not sound:
        raise ValueError("its trees are not those that `fit` grows")


def _is_sound(tree, channels) -> bool:
    """Whether every child comes after its parent, and every split is at one of the features."""
    if type(tree) is not DecisionTreeClassifier or tree.n_features_in_ != channels:
        return False
    nodes = tree.tree_
    parents = np.flatnonzero(nodes.children_left != -1)
    children = np.stack([nodes.children_left[parents], nodes.children_right[parents]])
    split = nodes.feature[parents]
    return bool(
        nodes.node_count > 0
        and (children > parents).all()
        and (children < nodes.node_count).all()
        and (split >= 0).all()
        and (split < channels).all()
    )
