import h5py
import keras
import numpy as np
import pytest
from keras import ops

from melanet.classifiers import CLASSIFIERS, vgg_gap


def images(count=2, size=32):
    return np.random.default_rng(0).random((count, size, size, 3), "float32")


def test_all_parameters_of_the_thesis_are_trainable():
    model = vgg_gap(weights=None)
    assert model.count_params() == 14_715_714
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 14_715_714


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_output_is_one_probability_per_class(name):
    output = ops.convert_to_numpy(CLASSIFIERS[name]((32, 32, 3), 3, weights=None)(images()))
    assert output.shape == (2, 3)
    np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("vgg_gap", keras.applications.vgg16),
        ("resnet50_gap", keras.applications.resnet50),
        ("densenet121_gap", keras.applications.densenet),
    ],
)
def test_imagenet_preprocessing_is_that_of_keras(name, module):
    model = CLASSIFIERS[name]((32, 32, 3), weights=None, preprocessing="imagenet")
    inner = keras.Model(model.input, model.get_layer("imagenet_preprocessing").output)
    expected = module.preprocess_input(255 * images())
    np.testing.assert_allclose(ops.convert_to_numpy(inner(images())), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "module", "parameters"),
    [
        ("vgg_gap", keras.applications.vgg16, 14_715_714),
        ("resnet50_gap", keras.applications.resnet50, 23_591_810),
        ("densenet121_gap", keras.applications.densenet, 7_039_554),
    ],
)
def test_grey_images_are_repeated_to_three_channels(name, module, parameters):
    model = CLASSIFIERS[name]((32, 32, 1), weights=None, preprocessing="imagenet")
    grey = images()[..., :1]
    assert model.count_params() == parameters
    inner = keras.Model(model.input, model.get_layer("imagenet_preprocessing").output)
    expected = module.preprocess_input(255 * np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(ops.convert_to_numpy(inner(grey)), expected, atol=1e-3)


def test_by_default_the_network_sees_the_pixels_in_0_1_as_in_the_thesis():
    model = vgg_gap((32, 32, 3), weights=None)
    backbone = keras.applications.VGG16(include_top=False, weights=None, pooling="avg")
    backbone.set_weights(model.get_weights()[:-2])
    inner = keras.Model(model.input, model.layers[-2].output)
    np.testing.assert_allclose(inner(images()), backbone(images()), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("preprocessing", ["none", "imagenet"])
def test_a_saved_model_says_its_preprocessing(preprocessing, tmp_path):
    model = vgg_gap((32, 32, 3), weights=None, preprocessing=preprocessing)
    model.save(tmp_path / "vgg.keras")
    loaded = keras.models.load_model(tmp_path / "vgg.keras")
    names = {layer["name"] for layer in loaded.get_config()["layers"]}
    assert ("imagenet_preprocessing" in names) == (preprocessing == "imagenet")
    np.testing.assert_allclose(loaded(images()), model(images()), atol=1e-6)


def test_probabilities_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = vgg_gap((32, 32, 3), weights=None)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(images()).dtype == "float32"


def test_weights_from_a_file(tmp_path):
    model = vgg_gap((32, 32, 3), weights=None)
    model.save_weights(tmp_path / "vgg.weights.h5")
    loaded = vgg_gap((32, 32, 3), weights=tmp_path / "vgg.weights.h5")
    np.testing.assert_allclose(loaded(images()), model(images()), atol=1e-6)


BACKBONES = {
    "vgg_gap": keras.applications.VGG16,
    "resnet50_gap": keras.applications.ResNet50,
    "densenet121_gap": keras.applications.DenseNet121,
}


def save_notop(network, path):
    """Writes weights in the layout of Keras's own `*_tf_dim_ordering_tf_kernels_notop.h5`."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in network.layers]
        for layer in network.layers:
            group, weights = file.create_group(layer.name), layer.weights
            group.attrs["weight_names"] = [f"{layer.name}/{w.name}:0".encode() for w in weights]
            for weight in weights:
                group[f"{layer.name}/{weight.name}:0"] = ops.convert_to_numpy(weight)


@pytest.mark.parametrize("suffix", ["_tf_dim_ordering_tf_kernels_notop.h5", ".weights.h5"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_weights_from_a_file_of_the_backbone(name, suffix, tmp_path):
    network, path = BACKBONES[name](include_top=False, weights=None), tmp_path / f"net{suffix}"
    if suffix == ".weights.h5":
        network.save_weights(path)
    else:
        save_notop(network, path)
    model = CLASSIFIERS[name]((32, 32, 1), 3, weights=path, preprocessing="imagenet")
    for ours, theirs in zip(model.weights[:-2], network.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_backbone_file_of_another_network_is_refused(tmp_path):
    path = tmp_path / "vgg19_notop.h5"
    save_notop(keras.applications.VGG19(include_top=False, weights=None), path)
    with pytest.raises(ValueError, match=r"vgg19_notop\.h5 does not fit vgg_gap"):
        vgg_gap((32, 32, 3), weights=path)


def test_imagenet_weights_are_the_default_and_come_from_keras(monkeypatch):
    requested = []

    def vgg16(weights, **arguments):
        requested.append(weights)
        return build(weights=None, **arguments)

    build = keras.applications.VGG16
    monkeypatch.setattr(keras.applications, "VGG16", vgg16)
    vgg_gap((32, 32, 3))
    vgg_gap((32, 32, 3), weights=None)
    assert requested == ["imagenet", None]


def test_a_weights_file_that_does_not_fit_raises_an_error_that_names_it(tmp_path):
    path = tmp_path / "small.weights.h5"
    vgg_gap((32, 32, 3), 5, weights=None).save_weights(path)
    with pytest.raises(ValueError, match=r"small\.weights\.h5 does not fit vgg_gap"):
        vgg_gap((32, 32, 3), 2, weights=path)
    (tmp_path / "text.weights.h5").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.weights\.h5 does not fit"):
        vgg_gap((32, 32, 3), weights=tmp_path / "text.weights.h5")
    with pytest.raises(ValueError, match="no such file: nowhere"):
        vgg_gap((32, 32, 3), weights="nowhere")


@pytest.mark.parametrize(
    "arguments",
    [
        {"input_shape": (16, 16, 3)},
        {"input_shape": (32, 32, 2)},
        {"classes": 1},
        {"preprocessing": "caffe"},
    ],
)
def test_invalid_arguments_raise_an_error_that_names_them(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        vgg_gap(**{"weights": None, **arguments})
