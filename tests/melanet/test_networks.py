import keras
import numpy as np
import pytest
from keras import ops

from melanet.layers import ScalarLayerNormalization, UpsampledConv2D
from melanet.networks import patchgan_discriminator, unet_generator


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def test_parameters_and_patches_match_the_thesis():
    assert unet_generator().count_params() == 1_546_819
    discriminator = patchgan_discriminator()
    assert discriminator.count_params() == 2_766_529
    assert discriminator.output_shape == (None, 16, 16, 1)


def test_parameters_of_the_released_code_with_one_scale_and_offset_per_norm():
    assert unet_generator(norm="layer").count_params() == 1_545_425
    assert patchgan_discriminator(norm="layer").count_params() == 2_764_743


def test_layer_norm_by_hand():
    x = images(3, 4, 5, 2) * np.array([1, 10, 100], "float32")[:, None, None, None]
    layer = ScalarLayerNormalization(epsilon=0.5)
    layer.build(x.shape)
    layer.set_weights([np.float32(3), np.float32(-1)])
    expected = [3 * (image - image.mean()) / (image.std() + 0.5) - 1 for image in x]
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_layer_norm_has_float32_statistics_under_mixed_precision(policy):
    layer = ScalarLayerNormalization(dtype=policy)
    x = ops.cast(1000 + images(2, 16, 16, 8), layer.compute_dtype)  # float16 cannot sum these
    expected = ScalarLayerNormalization()(ops.cast(x, "float32"))
    assert layer(x).dtype == layer.compute_dtype
    np.testing.assert_array_equal(layer(x), ops.cast(expected, layer.compute_dtype))


def test_layer_norm_of_a_constant_image_has_finite_gradients():
    tf = pytest.importorskip("tensorflow")
    layer, x = ScalarLayerNormalization(), tf.Variable(np.ones((1, 4, 4, 2), "float32"))
    with tf.GradientTape() as tape:
        output = layer(x)
    assert not np.any(output)
    assert np.isfinite(tape.gradient(output, x)).all()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_any_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        generator = unet_generator((32, 48, 1), filters=4)
        discriminator = patchgan_discriminator((32, 48, 1), filters=4)
    finally:
        keras.config.set_dtype_policy("float32")
    output = generator(images(2, 32, 48, 1))
    assert output.shape == (2, 32, 48, 1)
    assert np.abs(output).max() <= 1
    assert output.dtype == "float32"
    patches = discriminator(output)
    assert patches.shape == (2, 2, 3, 1)
    assert patches.dtype == "float32"


@pytest.mark.parametrize("norm", ["instance", "layer"])
@pytest.mark.parametrize("build", [unet_generator, patchgan_discriminator])
def test_images_of_a_batch_do_not_affect_each_other(build, norm):
    model = build((32, 32, 3), filters=4, norm=norm)
    batch = images(3, 32, 32, 3)
    alone = np.concatenate([model(batch[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(model(batch, training=True), alone, atol=1e-5)


@pytest.mark.parametrize("build", [unet_generator, patchgan_discriminator])
@pytest.mark.parametrize(
    "arguments",
    [{"input_shape": (40, 32, 3)}, {"input_shape": (32, 32)}, {"filters": 0}, {"norm": "batch"}],
)
def test_invalid_arguments_raise_an_error_that_names_them(build, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        build(**arguments)


@pytest.mark.parametrize("norm", ["instance", "layer"])
def test_weights_of_a_generator_of_plain_layers_load_and_give_the_same_images(norm):
    def plain(layer, *arguments, **keywords):
        if not isinstance(layer, UpsampledConv2D):
            return layer(*arguments, **keywords)
        convolution = keras.layers.Conv2D.from_config({**layer.get_config(), "padding": "same"})
        return convolution(keras.layers.UpSampling2D(2)(*arguments))

    generator = unet_generator((32, 48, 3), filters=4, norm=norm)
    keras.utils.set_random_seed(1)
    pair = keras.models.clone_model(generator, call_function=plain)
    pair.set_weights([np.random.normal(0, 0.1, w.shape) for w in pair.weights])
    generator.set_weights(pair.get_weights())
    assert not any(isinstance(layer, UpsampledConv2D) for layer in pair.layers)
    np.testing.assert_allclose(
        generator(images(2, 32, 48, 3)), pair(images(2, 32, 48, 3)), atol=1e-5
    )
