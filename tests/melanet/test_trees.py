import io
import json
from zipfile import ZipFile

import keras
import numpy as np
import pytest
import skops.io
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from melanet.data import InputError
from melanet.trees import NETWORK, SETTINGS, TREES, TRUSTED_TYPES, BaggedTrees

SHAPE = (32, 32, 1)


def images(count=12):
    """Dark and bright images in turn."""
    random = np.random.default_rng(0).random((count, *SHAPE), "float32") / 2
    random[1::2] += 0.5
    return random


def one_hot(indices, classes=3):
    return np.eye(classes, dtype="float32")[indices]


LABELS = one_hot([0, 2] * 6)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return BaggedTrees(SHAPE, 3, weights=None, trees=3)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The file of a saved model, and its predictions."""
    path = tmp_path_factory.mktemp("trees") / "made" / "trees.zip"
    model.fit(images(), LABELS).save(path)
    return path, model.predict(images())


def altered(saved, tmp_path, **members):
    """A copy of the saved file with some members replaced, or left out if None."""
    path = tmp_path / "altered.zip"
    names = {"network": NETWORK, "trees": TREES, "settings": SETTINGS}
    replaced = {names[name]: content for name, content in members.items()}
    with ZipFile(saved[0]) as source, ZipFile(path, "w") as target:
        for name in source.namelist():
            content = replaced.get(name, source.read(name))
            if content is not None:
                target.writestr(name, content)
    return path


def trees_of(saved):
    with ZipFile(saved[0]) as archive:
        return skops.io.loads(archive.read(TREES), trusted=TRUSTED_TYPES)


def test_the_network_is_densenet_121_without_its_top_and_frozen(model):
    assert model.count_params() == 7_037_504
    assert not model.network.trainable_weights
    assert model.network.output_shape == (None, 1024)


def test_probabilities_are_in_class_order_and_0_for_a_class_without_samples(model):
    predicted = model.fit(images(), LABELS).predict(images())
    assert predicted.shape == (12, 3)
    assert predicted.dtype == "float32"
    np.testing.assert_allclose(predicted.sum(axis=1), 1)
    assert not predicted[:, 1].any()
    np.testing.assert_array_equal(predicted.argmax(axis=1), [0, 2] * 6)


def test_fit_makes_a_single_pass_in_the_order_of_the_dataset(model):
    arrays = model.fit(images(), LABELS).predict(images())
    dataset = tf.data.Dataset.from_tensor_slices((images(), LABELS))
    batches = dataset.batch(5)
    np.testing.assert_array_equal(model.fit(batches).predict(images()), arrays)
    np.testing.assert_array_equal(model.predict(batches), arrays)
    shuffled = dataset.shuffle(12).batch(5)  # another order in every pass
    predicted = model.fit(shuffled).predict(images())
    np.testing.assert_array_equal(predicted.argmax(axis=1), [0, 2] * 6)


def test_the_trees_depend_on_the_seed_alone(model):
    def thresholds(seed):
        model.bagging.set_params(random_state=seed)
        model.fit(noise, LABELS)
        return [tree.tree_.threshold.tolist() for tree in model.bagging.estimators_]

    noise = np.random.default_rng(1).random((12, *SHAPE), "float32")
    try:
        assert thresholds(0) == thresholds(0)
        assert thresholds(0) != thresholds(1)
    finally:
        model.bagging.set_params(random_state=0)


def test_a_single_positive_may_be_missing_in_a_bootstrap(model):
    predicted = model.fit(images(), one_hot([0] * 11 + [2])).predict(images())
    seen = [11 in drawn for drawn in model.bagging.estimators_samples_]
    assert 0 < sum(seen) < 3  # otherwise the test shows nothing
    # Trees that have seen it are certain of it; the others do not know its class.
    assert predicted[11] == pytest.approx([1 - sum(seen) / 3, 0, sum(seen) / 3])
    np.testing.assert_allclose(predicted.sum(axis=1), 1)
    only = model.fit(images(), one_hot([1] * 12)).predict(images())
    np.testing.assert_array_equal(only, one_hot([1] * 12))


def test_a_loaded_model_predicts_the_same_and_saving_leaves_no_other_file(saved):
    path, predicted = saved
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    loaded = BaggedTrees.load(path)
    np.testing.assert_array_equal(loaded.predict(images()), predicted)
    assert (loaded.network.input_shape, loaded.classes) == ((None, *SHAPE), 3)
    assert loaded.preprocessing == "none"


def test_a_file_without_the_preprocessing_setting_had_the_imagenet_scaling(saved, tmp_path):
    with ZipFile(saved[0]) as archive:
        settings = json.loads(archive.read(SETTINGS))
    assert settings.pop("preprocessing") == "none"
    loaded = BaggedTrees.load(altered(saved, tmp_path, settings=json.dumps(settings)))
    assert loaded.network.get_layer("imagenet_preprocessing")


def test_a_failed_save_leaves_the_old_file(saved, model, monkeypatch):
    path = saved[0]
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(skops.io, "dumps", fail)
    with pytest.raises(InputError, match=r"trees.zip: cannot be written \(disk full\)"):
        model.fit(images(), LABELS).save(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_the_architecture_in_the_file_is_ignored(saved, tmp_path):
    inner = tmp_path / NETWORK
    with ZipFile(saved[0]) as archive:
        source = ZipFile(io.BytesIO(archive.read(NETWORK)))
    with ZipFile(inner, "w") as target:
        for name in source.namelist():
            content = b"no architecture" if name == "config.json" else source.read(name)
            target.writestr(name, content)
    path = altered(saved, tmp_path, network=inner.read_bytes())
    np.testing.assert_array_equal(BaggedTrees.load(path).predict(images()), saved[1])


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_another_network_is_refused(saved, tmp_path):
    stub().save(tmp_path / NETWORK)
    path = altered(saved, tmp_path, network=(tmp_path / NETWORK).read_bytes())
    with pytest.raises(ValueError, match=r"altered\.zip: .*does not fit densenet121_features"):
        BaggedTrees.load(path)


def test_trees_of_other_types_are_refused(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("melanet.trees.densenet121_features", lambda *_, **__: stub())
    path = altered(saved, tmp_path, trees=skops.io.dumps(LogisticRegression()))
    with pytest.raises(ValueError, match=r"altered\.zip: .* not of the kind that `fit` grows"):
        BaggedTrees.load(path)
    path = altered(saved, tmp_path, trees=skops.io.dumps(Stranger()))
    with pytest.raises(ValueError, match=r"altered\.zip: .*Stranger"):
        BaggedTrees.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", 10**6), ("right_child", 0), ("right_child", -1), ("feature", 1024)],
)
def test_a_tree_with_nodes_or_features_out_of_bounds_is_refused(
    saved, tmp_path, monkeypatch, field, value
):
    monkeypatch.setattr("melanet.trees.densenet121_features", lambda *_, **__: stub())
    bagging = trees_of(saved)
    tree = bagging.estimators_[0].tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = value
    tree.__setstate__(state)
    with pytest.raises(ValueError, match="not of the kind that `fit` grows"):
        BaggedTrees.load(altered(saved, tmp_path, trees=skops.io.dumps(bagging)))


def test_a_tree_on_some_of_the_features_is_refused(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("melanet.trees.densenet121_features", lambda *_, **__: stub())
    bagging = trees_of(saved)
    bagging.estimators_features_[0] = np.arange(3)
    with pytest.raises(ValueError, match="not of the kind that `fit` grows"):
        BaggedTrees.load(altered(saved, tmp_path, trees=skops.io.dumps(bagging)))


def test_a_damaged_file_raises_an_error_that_names_it(saved, tmp_path):
    text = tmp_path / "text.zip"
    text.write_text("hello")
    with pytest.raises(ValueError, match=r"text\.zip: cannot be read"):
        BaggedTrees.load(text)
    with pytest.raises(ValueError, match="nowhere: no such file"):
        BaggedTrees.load("nowhere")
    for name in ("trees", "settings", "network"):
        path = altered(saved, tmp_path, **{name: None})
        with pytest.raises(ValueError, match=r"altered\.zip: cannot be read"):
            BaggedTrees.load(path)
    settings = json.dumps({"input_shape": [8, 8, 1], "classes": 3, "trees": 3, "seed": 0})
    with pytest.raises(ValueError, match=r"altered\.zip: .*input_shape"):
        BaggedTrees.load(altered(saved, tmp_path, settings=settings))


@pytest.mark.parametrize(
    ("labels", "message"),
    [(LABELS[:5], "one-hot"), (LABELS / 2, "one-hot"), (LABELS[:, :2], "one-hot")],
)
def test_invalid_labels_raise_an_error(model, labels, message):
    with pytest.raises(ValueError, match=message):
        model.fit(images(), labels)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (images(0), "holds no images"),
        (np.full((2, *SHAPE), np.nan), "must be finite"),
        (np.full((2, *SHAPE), np.inf), "must be finite"),
        (np.zeros((2, 40, 40, 1)), r"\(images, 32, 32, 1\)\. Received: \(2, 40, 40, 1\)"),
        (np.zeros((2, 32, 32, 3)), r"Received: \(2, 32, 32, 3\)"),
        (np.zeros(SHAPE), r"Received: \(32, 32, 1\)"),
    ],
)
def test_unusable_images_raise_an_error_in_fit_and_predict(bad, message, monkeypatch):
    monkeypatch.setattr("melanet.trees.densenet121_features", lambda *_, **__: stub())
    trees, labels = BaggedTrees(SHAPE, 3, weights=None, trees=3), one_hot([0] * len(bad))
    dataset = tf.data.Dataset.from_tensor_slices((bad, one_hot([0] * len(bad)))).batch(2)
    for arguments in ((bad, labels), (dataset,)):
        with pytest.raises(ValueError, match=message if bad.ndim == 4 else "Images must have"):
            trees.fit(*arguments)
    trees.fit(images(), LABELS)
    for argument in (bad, dataset, dataset.map(lambda image, _: image)):
        with pytest.raises(ValueError, match=message if bad.ndim == 4 else "Images must have"):
            trees.predict(argument)


def test_an_array_without_labels_raises_an_error(model):
    with pytest.raises(ValueError, match="`labels` must be given"):
        model.fit(images())


def test_predict_and_save_raise_an_error_before_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("melanet.trees.densenet121_features", lambda *_, **__: stub())
    fresh = BaggedTrees(SHAPE, weights=None)
    with pytest.raises(ValueError, match="not fitted"):
        fresh.predict(images())
    with pytest.raises(ValueError, match="not fitted"):
        fresh.save(tmp_path / "trees.zip")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="holds no images"):
        fresh.fit([])


@pytest.mark.parametrize(
    "arguments", [{"input_shape": (32, 32, 2)}, {"classes": 1}, {"trees": 0}, {"weights": "none"}]
)
def test_invalid_arguments_raise_an_error_that_names_them(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        BaggedTrees(**{"input_shape": SHAPE, "weights": None, **arguments})


class Stranger:
    def __init__(self):
        self.value = 1


def stub():
    """A small model with the network's input and output shapes."""
    inputs = keras.Input(SHAPE)
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Concatenate()([x] * 1024))
