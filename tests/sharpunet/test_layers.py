import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from sharpunet import KERNELS, SharpBlock
from sharpunet.layers import sharpening_kernel

ZERO_SUM = ("laplacian", "laplacian_4", "log")
UNIT_SUM = ("laplacian_identity", "sharpen", "gaussian")


def sharpen(image, kernel):
    return ops.convert_to_numpy(SharpBlock(kernel)(image))


def impulse(channels=2, size=9):
    image = np.zeros((1, size, size, channels), "float32")
    image[0, size // 2, size // 2] = 1
    return image


def random_image(seed=0):
    return np.random.default_rng(seed).normal(size=(2, 12, 10, 3)).astype("float32")


def test_the_default_kernel_is_k_of_eq_3_1():
    expected = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
    np.testing.assert_array_equal(KERNELS["laplacian"], expected)
    assert SharpBlock().kernel == "laplacian"


@pytest.mark.parametrize("name", KERNELS)
def test_impulse_response_is_the_kernel_on_every_channel(name):
    kernel = KERNELS[name]
    response = sharpen(impulse(), name)[0]
    reach = kernel.shape[0] // 2
    for channel in range(2):
        around = response[4 - reach : 5 + reach, 4 - reach : 5 + reach, channel]
        # Convolution layers correlate, so the impulse response is the kernel turned by 180°.
        np.testing.assert_allclose(around, kernel[::-1, ::-1], atol=1e-6)
        assert np.abs(response[:, :, channel]).sum() == pytest.approx(np.abs(kernel).sum(), 1e-5)


@pytest.mark.parametrize("name", ZERO_SUM)
def test_edge_kernels_give_0_on_a_flat_region(name):
    assert KERNELS[name].sum() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", UNIT_SUM)
def test_the_other_kernels_keep_the_mean(name):
    assert KERNELS[name].sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_symmetric_under_quarter_turns(name):
    np.testing.assert_allclose(KERNELS[name], np.rot90(KERNELS[name]), atol=1e-7)


def test_eq_3_2_is_the_image_plus_its_laplacian():
    image = random_image()
    np.testing.assert_allclose(
        sharpen(image, "laplacian_identity"), image + sharpen(image, "laplacian"), atol=1e-5
    )


def test_laplacian_by_hand_with_zero_padding():
    image = np.array([[1, 2], [3, 4]], "float32").reshape(1, 2, 2, 1)
    expected = [[8 - 2 - 3 - 4, 16 - 1 - 3 - 4], [24 - 1 - 2 - 4, 32 - 1 - 2 - 3]]
    np.testing.assert_allclose(sharpen(image, "laplacian")[0, :, :, 0], expected)


def test_an_array_can_be_the_kernel():
    image = random_image()
    shift = [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(sharpen(image, shift)[:, :, :-1], image[:, :, 1:])


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("laplace", "laplacian"),
        (np.ones((2, 3)), "odd"),
        (np.ones(3), "2-D"),
        (np.full((3, 3), np.nan), "finite"),
    ],
)
def test_invalid_kernels_raise(kernel, message):
    with pytest.raises(ValueError, match=message):
        SharpBlock(kernel)


def test_its_weights_stay_frozen_when_the_model_is_set_trainable():
    block = SharpBlock()
    model = keras.Sequential([keras.Input((8, 8, 5)), block])
    model.trainable = True
    assert block.trainable_weights == []
    assert block.count_params() == 3 * 3 * 5


def test_training_does_not_change_the_kernel():
    block = SharpBlock()
    model = keras.Sequential([keras.Input((8, 8, 2)), keras.layers.Conv2D(2, 1), block])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 8, 8, 2)), np.ones((4, 8, 8, 2)), verbose=0)
    kernel = ops.convert_to_numpy(block.depthwise_kernel)[:, :, 0, 0]
    np.testing.assert_array_equal(kernel, KERNELS["laplacian"])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("kernel", ["log", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]])
def test_it_saves_and_loads_without_custom_objects(policy, kernel, tmp_path):
    block = SharpBlock(kernel, dtype=policy)
    model = keras.Sequential([keras.Input((8, 8, 2)), block])
    model.save(tmp_path / "block.keras")
    again = keras.models.load_model(tmp_path / "block.keras")
    image = random_image()[:, :8, :8, :2]
    np.testing.assert_array_equal(
        ops.convert_to_numpy(ops.cast(again(image), "float32")),
        ops.convert_to_numpy(ops.cast(model(image), "float32")),
    )
    assert again.layers[-1].dtype_policy.name == policy
    np.testing.assert_allclose(
        ops.convert_to_numpy(again.layers[-1].depthwise_kernel)[:, :, 1, 0],
        sharpening_kernel(kernel),
    )


def test_a_new_process_loads_it_after_importing_the_package(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 2)), SharpBlock()])
    model.save(tmp_path / "block.keras")
    code = "import sys, keras, sharpunet; keras.models.load_model(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path / "block.keras"], check=True)


def test_a_learned_block_starts_at_the_kernel_and_changes_it():
    block = SharpBlock(learned=True)
    model = keras.Sequential([keras.Input((8, 8, 2)), block])
    before = ops.convert_to_numpy(block.depthwise_kernel).copy()
    for channel in range(2):
        np.testing.assert_array_equal(before[:, :, channel, 0], KERNELS["laplacian"])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    images = np.random.default_rng(0).random((2, 8, 8, 2), "float32")
    model.train_on_batch(images, images)
    assert np.abs(ops.convert_to_numpy(block.depthwise_kernel) - before).max() > 1e-3
    assert SharpBlock.from_config(block.get_config()).learned
