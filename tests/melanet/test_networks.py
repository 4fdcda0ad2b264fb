import keras
import numpy as np
import pytest

from melanet.networks import patchgan_discriminator, unet_generator


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def test_parameters_and_patches_of_the_thesis():
    assert unet_generator().count_params() == 1_546_819
    discriminator = patchgan_discriminator()
    assert discriminator.count_params() == 2_766_529
    assert discriminator.output_shape == (None, 16, 16, 1)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_generator_gives_images_and_discriminator_patches_in_float32(policy):
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
def test_every_image_is_treated_by_itself(build):
    model = build((32, 32, 3), filters=4)
    batch = images(3, 32, 32, 3)
    alone = np.concatenate([model(batch[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(model(batch, training=True), alone, atol=1e-5)


@pytest.mark.parametrize("build", [unet_generator, patchgan_discriminator])
@pytest.mark.parametrize(
    "arguments", [{"input_shape": (40, 32, 3)}, {"input_shape": (32, 32)}, {"filters": 0}]
)
def test_wrong_arguments_are_named(build, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        build(**arguments)
