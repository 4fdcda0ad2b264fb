import keras
import numpy as np
import pytest

from melanet.networks import patchgan_discriminator, unet_generator


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def test_parameters_and_patches_match_the_thesis():
    assert unet_generator().count_params() == 1_546_819
    discriminator = patchgan_discriminator()
    assert discriminator.count_params() == 2_766_529
    assert discriminator.output_shape == (None, 16, 16, 1)


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


@pytest.mark.parametrize("build", [unet_generator, patchgan_discriminator])
def test_images_of_a_batch_do_not_affect_each_other(build):
    model = build((32, 32, 3), filters=4)
    batch = images(3, 32, 32, 3)
    alone = np.concatenate([model(batch[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(model(batch, training=True), alone, atol=1e-5)


@pytest.mark.parametrize("build", [unet_generator, patchgan_discriminator])
@pytest.mark.parametrize(
    "arguments", [{"input_shape": (40, 32, 3)}, {"input_shape": (32, 32)}, {"filters": 0}]
)
def test_invalid_arguments_raise_an_error_that_names_them(build, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        build(**arguments)
