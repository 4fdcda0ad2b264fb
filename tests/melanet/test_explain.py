import keras
import numpy as np
import pytest

from melanet.classifiers import densenet121_gap, vgg_gap
from melanet.explain import grad_cam


def spot_model(nested=False):
    """Class 1 is the mean of the red channel, class 0 that of the green one."""
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
def test_the_map_shows_what_speaks_for_the_class_and_nothing_else(nested):
    model = spot_model(nested)
    red = grad_cam(model, spots(), class_index=1)[0]
    green = grad_cam(model, spots(), class_index=0)[0]
    np.testing.assert_allclose(red, spots()[0, :, :, 0], atol=1e-6)
    np.testing.assert_allclose(green, spots()[0, :, :, 1], atol=1e-6)


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
def test_it_looks_at_the_last_feature_maps_of_the_classifiers(build, last):
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
        ({"images": np.zeros((0, 16, 16, 3))}, "an image or more"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(**{"model": spot_model(), "images": spots(), **arguments})
