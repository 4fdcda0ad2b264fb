import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from melanet.classifiers import densenet121_gap, vgg_gap
from melanet.explain import features, grad_cam, umap_embedding


def spot_model(nested=False):
    """Class 1 scores the mean of the red channel, class 0 that of the green channel."""
    inputs = keras.Input((16, 16, 3))
    features = keras.layers.Conv2D(2, 1, use_bias=False, name="features")
    body = keras.Model(inputs, features(inputs), name="body")
    x = body(inputs) if nested else body.output
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(2, activation="softmax", use_bias=False, name="class")(x)
    model = keras.Model(inputs, x)
    features.set_weights([np.array([[0, 1], [1, 0], [0, 0]], "float32")[None, None]])
    model.get_layer("class").set_weights([5 * np.eye(2, dtype="float32")])
    return model


def spots():
    """A red spot in the upper left, a green one in the lower right."""
    image = np.zeros((1, 16, 16, 3), "float32")
    image[0, 2:5, 2:5, 0] = image[0, 10:14, 10:14, 1] = 1
    return image


@pytest.mark.parametrize("nested", [False, True])
def test_the_map_shows_the_evidence_for_the_class_and_nothing_else(nested):
    model = spot_model(nested)
    red = grad_cam(model, spots(), class_index=1)[0]
    green = grad_cam(model, spots(), class_index=0)[0]
    np.testing.assert_allclose(red, spots()[0, :, :, 0], atol=1e-6)
    np.testing.assert_allclose(green, spots()[0, :, :, 1], atol=1e-6)


@pytest.mark.parametrize("bias", [-2.0, 0.0, 2.0])
def test_the_map_of_a_logit_shows_the_evidence_for_the_class(bias):
    model = spot_model()
    logits = keras.layers.Dense(2, name="logits")
    outputs = logits(model.get_layer("class").input)
    logits.set_weights([5 * np.eye(2, dtype="float32"), np.full(2, bias, "float32")])
    with_logits = keras.Model(model.input, outputs)
    assert np.sign(with_logits(spots())[0, 1]) == np.sign(bias) or not bias
    red = grad_cam(with_logits, spots(), class_index=1)[0]
    np.testing.assert_allclose(red, spots()[0, :, :, 0], atol=1e-6)


def test_a_class_that_is_all_but_excluded_still_has_evidence():
    model = spot_model()
    model.get_layer("class").set_weights([np.diag([1500.0, 400.0]).astype("float32")])
    assert 0 < model(spots())[0, 1] < 1e-30
    red = grad_cam(model, spots(), class_index=1)[0]
    np.testing.assert_allclose(red, spots()[0, :, :, 0], atol=1e-6)


def test_a_layer_that_is_used_twice_is_shown_by_its_last_call():
    inputs = keras.Input((16, 16, 3))
    shared = keras.layers.Conv2D(3, 1, use_bias=False)
    outputs = keras.layers.GlobalAveragePooling2D()(shared(shared(inputs)))
    model = keras.Model(inputs, outputs)
    shared.set_weights([2 * np.eye(3, dtype="float32")[None, None]])
    np.testing.assert_allclose(grad_cam(model, spots(), class_index=0)[0], spots()[0, :, :, 0])


SCRIPT = """
import sys
import keras, numpy as np
from melanet.explain import features, grad_cam

inputs = keras.Input((8, 8, 1))
conv = keras.layers.Conv2D(2, 3, padding="same", activation="relu")
x = conv(inputs)
x = keras.layers.GlobalAveragePooling2D()(x)
head = keras.layers.Dense(2, activation=sys.argv[1])
model = keras.Model(inputs, head(x))
random = np.random.default_rng(0)
for layer in (conv, head):
    layer.set_weights([random.normal(size=w.shape) for w in layer.get_weights()])
images = random.random((5, 8, 8, 1))
maps = grad_cam(model, images, class_index=[0, 1, 0, 1, 0], batch_size=3)
assert maps.max(axis=(1, 2)).any() and maps.shape == (5, 8, 8)
assert keras.backend.backend() == "tensorflow" or "tensorflow" not in sys.modules
np.savez(sys.argv[2], maps=maps, features=features(model, images, batch_size=3))
"""


@pytest.mark.parametrize("activation", ["softmax", "linear"])
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_maps_and_features_are_the_same_on_other_backends(backend, activation, tmp_path):
    pytest.importorskip(backend)
    results = []
    for name in ("tensorflow", backend):
        file = tmp_path / f"{name}.npz"
        environment = {**os.environ, "KERAS_BACKEND": name}
        command = [sys.executable, "-c", SCRIPT, activation, str(file)]
        subprocess.run(command, env=environment, check=True)
        results.append(np.load(file))
    for one, other in zip(*(result.values() for result in results), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_predicted_class_is_the_default_and_each_image_may_have_its_own():
    model = spot_model()
    images = np.concatenate([spots(), spots()])
    predicted = int(np.argmax(model(spots())))  # green is the larger spot
    assert predicted == 0
    np.testing.assert_array_equal(grad_cam(model, images), grad_cam(model, images, class_index=0))
    mixed = grad_cam(model, images, class_index=[1, 0])
    np.testing.assert_allclose(mixed[0], spots()[0, :, :, 0], atol=1e-6)


def test_batches_do_not_matter_and_the_model_is_left_as_it_was():
    model = spot_model()
    images = np.random.default_rng(0).random((5, 16, 16, 3), "float32")
    before = model.predict(images, verbose=0)
    np.testing.assert_allclose(
        grad_cam(model, images, batch_size=2), grad_cam(model, images, batch_size=5), atol=1e-6
    )
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)
    assert "call" not in vars(model.get_layer("features"))


@pytest.mark.parametrize(("build", "last"), [(vgg_gap, "block5_conv3"), (densenet121_gap, "relu")])
def test_the_default_layer_is_the_last_one_with_feature_maps(build, last):
    model = build((32, 32, 3), weights=None)
    images = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    maps = grad_cam(model, images)
    assert maps.shape == (2, 32, 32)
    np.testing.assert_array_equal(maps, grad_cam(model, images, layer=last))


def test_a_black_image_has_an_empty_map():
    assert not grad_cam(spot_model(), np.zeros((1, 16, 16, 3))).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "missing"}, "no layer 'missing'"),
        ({"class_index": 2}, "0 to 1"),
        ({"images": np.zeros((0, 16, 16, 3))}, "one image or more"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(**{"model": spot_model(), "images": spots(), **arguments})


@pytest.mark.parametrize("nested", [False, True])
def test_features_are_the_global_averages(nested):
    found = features(spot_model(nested), spots())
    np.testing.assert_allclose(found, [[16 / 256, 9 / 256]], atol=1e-7)
    assert found.dtype == "float32"


def test_features_of_a_nested_head_and_of_a_model_without_a_head():
    whole = spot_model()
    inputs = keras.Input((16, 16, 3))
    outer = keras.Model(inputs, keras.layers.Softmax()(whole(inputs)))
    expected = features(whole, spots())
    np.testing.assert_array_equal(features(outer, spots()), expected)
    body = keras.Model(whole.input, whole.layers[-2].output)
    np.testing.assert_array_equal(features(body, spots()), expected)


def test_features_keep_the_order_of_arrays_and_datasets_for_any_batch_size():
    images = np.random.default_rng(0).random((5, 16, 16, 3), "float32")
    model = spot_model()
    expected = features(model, images)
    assert expected.shape == (5, 2)
    np.testing.assert_allclose(features(model, images, batch_size=2), expected, atol=1e-7)
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(2)
    np.testing.assert_allclose(features(model, dataset), expected, atol=1e-7)
    labelled = tf.data.Dataset.zip(dataset, tf.data.Dataset.from_tensors([0, 1]).repeat(3))
    np.testing.assert_allclose(features(model, labelled), expected, atol=1e-7)


def test_features_of_the_classifiers_are_their_global_average_pooling():
    model = vgg_gap((32, 32, 1), weights=None)
    images = np.random.default_rng(0).random((2, 32, 32, 1), "float32")
    pooled = keras.Model(model.input, model.layers[-2].output)
    np.testing.assert_allclose(features(model, images), pooled(images), rtol=1e-4, atol=1e-6)
    assert features(model, images).shape == (2, 512)


def test_no_images_and_feature_maps_without_pooling_are_refused():
    with pytest.raises(ValueError, match="no image"):
        features(spot_model(), np.zeros((0, 16, 16, 3)))
    inputs = keras.Input((16, 16, 3))
    with pytest.raises(ValueError, match=r"must end in a Dense layer"):
        features(keras.Model(inputs, keras.layers.ReLU()(inputs)), spots())


@pytest.mark.filterwarnings("error:n_:UserWarning")
@pytest.mark.parametrize("count", [4, 10, 40])
def test_the_embedding_is_the_same_for_the_same_seed_even_for_few_samples(count):
    pytest.importorskip("umap")
    samples = np.random.default_rng(0).random((count, 6))
    samples[::2] += 10
    embedding = umap_embedding(samples, seed=1)
    assert embedding.shape == (count, 2)
    assert embedding.dtype == "float32"
    assert np.isfinite(embedding).all()
    np.testing.assert_array_equal(umap_embedding(samples, seed=1), embedding)


def test_the_embedding_keeps_neighbours_together():
    pytest.importorskip("umap")
    samples = np.random.default_rng(0).random((40, 6))
    samples[::2] += 10
    embedding = umap_embedding(samples)
    distances = np.linalg.norm(embedding[:, None] - embedding, axis=-1)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(distances.argmin(axis=1) % 2, np.arange(40) % 2)


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 2)), np.zeros(9), np.full((5, 2), np.nan)], ids=["few", "1-D", "NaN"]
)
def test_wrong_features_are_named(wrong):
    with pytest.raises(ValueError, match="4 samples or more"):
        umap_embedding(wrong)


def test_a_missing_umap_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match="pip install umap-learn"):
        umap_embedding(np.eye(5))
