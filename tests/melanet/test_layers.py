import keras
import numpy as np
import pytest
from keras import layers, ops

from melanet.layers import UpsampledConv2D

POLICIES = ["float32", "mixed_bfloat16", "mixed_float16"]


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def pair_and_layer(shape, kernel_size, **arguments):
    """The two plain layers and the one that replaces them, with equal weights from one seed."""
    keras.utils.set_random_seed(0)
    plain = keras.Sequential([
        keras.Input(shape),
        layers.UpSampling2D(2, data_format=arguments.get("data_format")),
        layers.Conv2D(5, kernel_size, padding="same", bias_initializer="normal", **arguments),
    ])  # fmt: skip
    fused = UpsampledConv2D(5, kernel_size, **arguments)
    fused.build((None, *shape))
    fused.set_weights(plain.get_weights())
    return plain, fused


@pytest.mark.parametrize("sides", [(5, 7), (6, 4), (1, 3)])
@pytest.mark.parametrize("kernel_size", [*range(1, 8), (4, 3), (2, 7), 10])
def test_outputs_and_gradients_are_those_of_an_upsampling_and_a_convolution(kernel_size, sides):
    tf = pytest.importorskip("tensorflow")
    x = tf.Variable(images(2, *sides, 3))
    weights = images(2, 2 * sides[0], 2 * sides[1], 5)  # of the pixels in the loss
    results = []
    for model in pair_and_layer((*sides, 3), kernel_size, activation="tanh"):
        with tf.GradientTape() as tape:
            output = model(x)
            loss = ops.mean(weights * output)
        results.append([output, *tape.gradient(loss, [x, *model.trainable_variables])])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_sides_may_be_unknown():
    _, fused = pair_and_layer((None, None, 3), 4)
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, fused(inputs))
    assert model.output_shape == (None, None, None, 5)
    assert model.predict(images(1, 3, 5, 3), verbose=0).shape == (1, 6, 10, 5)


def test_shape_of_the_output_with_channels_first():
    layer = UpsampledConv2D(5, 4, data_format="channels_first")
    assert layer.compute_output_shape((None, 3, 7, 9)) == (None, 5, 14, 18)


@pytest.mark.parametrize("policy", POLICIES)
def test_mixed_precision_is_as_near_to_float32_as_that_of_the_plain_layers(policy):
    x = images(2, 9, 6, 16)
    expected, _ = (model(x) for model in pair_and_layer((9, 6, 16), 4))
    plain, fused = pair_and_layer((9, 6, 16), 4, dtype=policy)
    of_plain, of_fused = (
        np.abs(ops.cast(model(x), "float32") - expected).max() for model in (plain, fused)
    )
    assert of_fused <= 2 * of_plain + 1e-5
    assert fused(x).dtype == fused.compute_dtype
    assert fused.kernel.dtype == "float32"


def test_config_round_trip():
    layer = UpsampledConv2D(
        4, (3, 4), activation="relu", use_bias=False, kernel_regularizer="l2", name="up"
    )
    config = layer.get_config()
    again = UpsampledConv2D.from_config(config)
    assert again.get_config() == config
    again.build((None, 4, 4, 3))
    assert [weight.path for weight in again.weights] == ["up/kernel"]
    assert again.kernel.shape == (3, 4, 3, 4)
    assert len(again.losses) == 1


def test_initial_weights_are_those_of_the_plain_convolution():
    kernels = []
    for kind in (layers.Conv2D, UpsampledConv2D):
        keras.utils.set_random_seed(7)
        layer = kind(4, 3, padding="same")
        layer.build((None, 8, 8, 3))
        kernels.append(layer.kernel.numpy())
    np.testing.assert_array_equal(*kernels)


def test_a_saved_model_predicts_the_same(tmp_path):
    model = keras.Sequential([keras.Input((5, 6, 3)), UpsampledConv2D(4, 4, activation="relu")])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.layers[0], UpsampledConv2D)
    np.testing.assert_array_equal(again(images(2, 5, 6, 3)), model(images(2, 5, 6, 3)))


def test_weights_of_the_plain_layers_load_from_their_file(tmp_path):
    plain, fused = pair_and_layer((5, 6, 3), 4)
    plain.layers[1].save_own_variables(store := {})
    fused.set_weights([np.zeros(weight.shape) for weight in fused.weights])
    fused.load_own_variables({name: np.asarray(value) for name, value in store.items()})
    np.testing.assert_array_equal(fused.kernel, plain.layers[1].kernel)


@pytest.mark.parametrize(
    "argument", [{"strides": 2}, {"padding": "valid"}, {"dilation_rate": 2}, {"groups": 2}]
)
def test_what_the_layer_cannot_do_raises_an_error_that_names_it(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        UpsampledConv2D(4, 3, **argument)
