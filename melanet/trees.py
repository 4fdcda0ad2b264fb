"""DenseNet-121 with bagged trees: "DenseNet-121 + BGT" of tables 2.2 and 2.3."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from sklearn.ensemble import BaggingClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from melanet import lazy
from melanet.classifiers import densenet121_features
from melanet.data.writing import atomic_write

if TYPE_CHECKING:
    from skops import io as skops_io
else:
    skops_io = lazy.module("skops.io")

NETWORK, TREES, SETTINGS = "network.keras", "trees.skops", "settings.json"
#: Types that skops loads beyond those it trusts by itself; `_check_trees` checks their content.
TRUSTED_TYPES = ["sklearn.tree._tree.Tree"]


class BaggedTrees:
    """Bagged decision trees on the features of a frozen DenseNet-121 ([62]).

    Only the trees are trained. The thesis does not give their number; 10 is scikit-learn's default.
    They grow in parallel within `joblib.parallel_config(n_jobs=...)`, with the same result.

    Args:
        input_shape: `(height, width, channels)`, sides of 32 pixels or more, 1 or 3 channels.
        classes: Number of classes, the positive one last.
        weights: Weights of the network: `"imagenet"` (downloaded once by Keras), None for random
            weights, or a weights file of DenseNet-121 without its top.
        preprocessing: `"none"` or `"imagenet"`, as in `vgg_gap`; saved with the model.
        trees: Number of trees.
        seed: Seed of the bootstraps and the trees.

    Attributes:
        network: The `keras.Model` from images in [0, 1] to 1024 features.
        bagging: The `BaggingClassifier` of scikit-learn.

    Raises:
        ValueError: If an argument is out of range, or `weights` is a file that is missing or does
            not fit.

    Example:
        >>> import numpy as np
        >>> from melanet import BaggedTrees
        >>> model = BaggedTrees((32, 32, 1), weights=None, trees=3)
        >>> images = np.random.default_rng(0).random((4, 32, 32, 1))
        >>> model.fit(images, np.eye(2)[[0, 1, 0, 1]]).predict(images).shape
        (4, 2)
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] = (256, 256, 3),
        classes: int = 2,
        *,
        weights: str | Path | None = "imagenet",
        preprocessing: str = "none",
        trees: int = 10,
        seed: int = 0,
    ):
        if classes < 2 or trees < 1:
            raise ValueError(
                "`classes` must be 2 or more and `trees` 1 or more. "
                f"Received: classes={classes}, trees={trees}"
            )
        self.classes, self.preprocessing = classes, preprocessing
        self.bagging = BaggingClassifier(
            DecisionTreeClassifier(), n_estimators=trees, random_state=seed
        )
        self.network = densenet121_features(
            input_shape, weights=weights, preprocessing=preprocessing
        )

    def fit(self, dataset: Any, labels: np.ndarray | None = None) -> "BaggedTrees":
        """Grows new trees, in one pass over the images.

        Args:
            dataset: Batches of `(images, labels)`, as `load_dataset` returns them; or an array of
                images in [0, 1], `(images, height, width, channels)`.
            labels: One-hot labels, `(images, classes)`, if `dataset` is an array. A class may be
                missing.

        Returns:
            This object.

        Raises:
            ValueError: If there are no images, they are not of `input_shape` or not finite, or the
                labels are not one-hot, one row per image.
        """
        if labels is None and isinstance(dataset, np.ndarray):
            raise ValueError("`labels` must be given with an array of images")
        batches = dataset if labels is None else [(dataset, labels)]
        features, indices = [], []
        for images, one_hot in batches:
            features.append(self._features(images))
            indices.append(self._class_indices(one_hot, len(features[-1])))
        self.bagging.fit(_concatenate(features), np.concatenate(indices))
        return self

    def predict(self, dataset: Any) -> np.ndarray:
        """Predicts class probabilities, the mean over the trees.

        Args:
            dataset: An array of images in [0, 1], or a dataset of them, with or without labels.

        Returns:
            A float32 array, `(images, classes)`; 0 for classes that were missing in `fit`.

        Raises:
            ValueError: If the trees are not fitted, there are no images, or they are not of
                `input_shape` or not finite.
        """
        check_is_fitted(self.bagging)
        batches = [dataset] if isinstance(dataset, np.ndarray) else dataset
        images = (batch[0] if isinstance(batch, tuple) else batch for batch in batches)
        features = _concatenate([self._features(batch) for batch in images])
        probabilities = np.zeros((len(features), self.classes), "float32")
        probabilities[:, self.bagging.classes_] = self.bagging.predict_proba(features)
        return probabilities

    def count_params(self) -> int:
        """Number of parameters of the network."""
        return self.network.count_params()

    def get_config(self) -> dict[str, Any]:
        """Configuration of the network and settings of the trees, in types that JSON has."""
        trees = {name: repr(value) for name, value in self.bagging.get_params().items()}
        return {"network": self.network.get_config(), "trees": trees, "classes": self.classes}

    def save(self, path: str | Path) -> None:
        """Writes the model as one zip file, whole or not at all.

        It holds the network in Keras's format, the trees in that of skops, and the settings.

        Args:
            path: The file; an existing one is replaced.

        Raises:
            ValueError: If the trees are not fitted; as an InputError, if the file system refuses.
        """
        check_is_fitted(self.bagging)
        path = Path(path)
        settings = {
            "input_shape": self.network.input_shape[1:],
            "classes": self.classes,
            "preprocessing": self.preprocessing,
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
                archive.writestr(TREES, skops_io.dumps(self.bagging))
                archive.writestr(SETTINGS, json.dumps(settings))

        atomic_write(path, write)

    @classmethod
    def load(cls, path: str | Path) -> "BaggedTrees":
        """Reads a model written by `save`, without executing anything in the file.

        Only weights are taken from the saved network, not its architecture; of the trees, only the
        types that `fit` makes are accepted.

        Args:
            path: The file.

        Returns:
            The model, ready to predict.

        Raises:
            ValueError: If the file is missing, damaged or not a saved `BaggedTrees`.
        """
        if not Path(path).is_file():
            raise ValueError(f"{path}: no such file")
        try:
            return cls._read(path)
        except Exception as error:  # whatever the readers raise on a damaged file
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{path}: cannot be read as saved BaggedTrees: {reason}") from error

    @classmethod
    def _read(cls, path: str | Path) -> "BaggedTrees":
        with ZipFile(path) as archive, TemporaryDirectory() as folder:
            settings = json.loads(archive.read(SETTINGS))
            bagging = skops_io.loads(archive.read(TREES), trusted=TRUSTED_TYPES)
            model = cls(
                tuple(settings["input_shape"]),
                settings["classes"],
                weights=archive.extract(NETWORK, folder),
                # Files without this setting are older than it, and had the ImageNet scaling.
                preprocessing=settings.get("preprocessing", "imagenet"),
                trees=settings["trees"],
                seed=settings["seed"],
            )
        _check_trees(bagging, model)
        model.bagging = bagging
        return model

    def _features(self, images) -> np.ndarray:
        pixels, shape = np.asarray(images, "float32"), self.network.input_shape[1:]
        if pixels.ndim != 4 or pixels.shape[1:] != shape:
            raise ValueError(
                f"Images must have the shape (images, {', '.join(map(str, shape))}). "
                f"Received: {pixels.shape}"
            )
        if not np.isfinite(pixels).all():
            raise ValueError("Images must be finite; some pixels are NaN or infinite")
        if not len(pixels):
            return np.empty((0, self.network.output_shape[-1]), "float32")
        # A batch of a dataset is a tensor and one step; an array may be far larger.
        if isinstance(images, np.ndarray):
            return self.network.predict(pixels, verbose=0)
        return self.network.predict_on_batch(pixels)

    def _class_indices(self, labels, count: int) -> np.ndarray:
        one_hot = np.asarray(labels)
        if (
            one_hot.shape != (count, self.classes)
            or not np.isin(one_hot, (0, 1)).all()
            or not (one_hot.sum(axis=1) == 1).all()
        ):
            raise ValueError(
                f"Labels must be one-hot, of shape {(count, self.classes)}. "
                f"Received shape {one_hot.shape}"
            )
        return one_hot.argmax(axis=1)


def _concatenate(features: list[np.ndarray]) -> np.ndarray:
    if not sum(map(len, features)):
        raise ValueError("`dataset` holds no images")
    return np.concatenate(features)


def _check_trees(bagging, model: BaggedTrees) -> None:
    """Raises unless `fit` could have made them: scikit-learn would read out of bounds."""
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
        raise ValueError("its trees are not of the kind that `fit` grows")


def _is_sound(tree, channels) -> bool:
    """Whether every child comes after its parent and every split uses one of the features."""
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
