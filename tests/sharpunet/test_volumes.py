"""In three dimensions: kernels, models, skips, losses and metrics hold what they hold in two."""

import keras
import numpy as np
import pytest
from scipy.ndimage import correlate, distance_transform_edt

from sharpunet import (
    KERNELS_3D,
    LOSSES,
    VOLUME_MODELS,
    Dice,
    Jaccard,
    SharpBlock,
    dice,
    jaccard,
    sharp_unet3d,
    sharpen_skips,
    unet,
    unet3d,
)
from sharpunet.layers import _box_difference, _depthwise_3d
from sharpunet.losses import signed_distance
from sharpunet.names import KERNEL_NAMES_3D, VOLUME_MODEL_NAMES

SMALL = {"filters": (2, 4, 8)}
RANDOM = np.random.default_rng(0)


def test_names_are_those_of_kernels_and_models():
    assert tuple(KERNELS_3D) == KERNEL_NAMES_3D
    assert tuple(VOLUME_MODELS) == VOLUME_MODEL_NAMES


@pytest.mark.parametrize("name", KERNELS_3D)
def test_an_impulse_gives_the_kernel(name):
    kernel = KERNELS_3D[name]
    side = kernel.shape[0]
    volume = np.zeros((1, side, side, side, 2), "float32")
    volume[0, side // 2, side // 2, side // 2] = (1, -2)
    given = np.asarray(SharpBlock(name)(volume))
    np.testing.assert_allclose(given[0, ..., 0], kernel, atol=1e-6)  # kernels are symmetric
    np.testing.assert_allclose(given[0, ..., 1], -2 * kernel, atol=1e-6)


@pytest.mark.parametrize("name", ["laplacian", "laplacian_6", "log"])
def test_a_flat_volume_has_no_edges(name):
    inside = np.asarray(SharpBlock(name)(np.full((1, 9, 9, 9, 1), 3.0)))[0, 3:6, 3:6, 3:6]
    np.testing.assert_allclose(inside, 0, atol=1e-5)


def test_the_laplacian_is_27_x_less_the_sum_of_its_box():
    volume = RANDOM.normal(size=(1, 6, 7, 8, 1)).astype("float32")
    box = correlate(volume[0, ..., 0], np.ones((3, 3, 3)), mode="constant")
    given = np.asarray(SharpBlock()(volume))[0, ..., 0]
    np.testing.assert_allclose(given, 27 * volume[0, ..., 0] - box, atol=1e-4)


def test_both_ways_to_compute_it_agree_and_follow_the_weights():
    volume = RANDOM.normal(size=(2, 5, 6, 7, 3)).astype("float32")
    block = SharpBlock("laplacian_identity")
    block.build(volume.shape)
    block.set_weights([2 * block.get_weights()[0]])
    kernel = block.depthwise_kernel
    given = np.asarray(block(volume))
    for compute in (_box_difference, _depthwise_3d):
        np.testing.assert_allclose(given, np.asarray(compute(volume, kernel)), atol=1e-4)


def test_both_ways_have_the_same_gradient():
    import tensorflow as tf

    volume = tf.constant(RANDOM.normal(size=(1, 4, 5, 6, 2)).astype("float32"))
    upstream = RANDOM.normal(size=volume.shape).astype("float32")
    block = SharpBlock()
    block.build(volume.shape)
    gradients = []
    for compute in (_box_difference, _depthwise_3d):
        with tf.GradientTape() as tape:
            tape.watch(volume)
            total = tf.reduce_sum(upstream * compute(volume, block.depthwise_kernel))
        gradients.append(tape.gradient(total, volume).numpy())
    np.testing.assert_allclose(*gradients, atol=1e-4)


def test_any_odd_array_convolves_every_channel_alone():
    kernel = RANDOM.normal(size=(3, 1, 5))
    volume = RANDOM.normal(size=(1, 4, 5, 6, 2)).astype("float32")
    given = np.asarray(SharpBlock(kernel)(volume))
    for channel in range(2):
        expected = correlate(volume[0, ..., channel], kernel, mode="constant")
        np.testing.assert_allclose(given[0, ..., channel], expected, atol=1e-5)


def test_half_precision_keeps_small_differences_of_large_values():
    policy = keras.DTypePolicy("mixed_bfloat16")
    volume = np.ones((1, 5, 5, 5, 1), "float32")
    volume[0, 2, 2, 2] = 1 + 2**-7  # the next number that bfloat16 has
    assert float(SharpBlock(dtype=policy)(volume)[0, 2, 2, 2, 0]) == pytest.approx(26 * 2**-7, 0.01)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [("laplacian_4", "laplacian_6"), (np.ones((3, 3)), "3-D array"), (np.ones((3, 3, 2)), "odd")],
)
def test_kernels_of_images_and_even_ones_are_refused(kernel, message):
    with pytest.raises(ValueError, match=message):
        SharpBlock(kernel)(np.zeros((1, 4, 4, 4, 1)))


def parameters(channels, filters, classes=1):
    """Of convolutions of 3, transposed ones of 2 and a last one of 1, cubed, with biases."""
    total, before = 0, channels
    for count in filters:
        total += 27 * before * count + count + 27 * count * count + count
        before = count
    for count in reversed(filters[:-1]):
        total += 8 * before * count + count
        total += 27 * (2 * count) * count + count + 27 * count * count + count
        before = count
    return total + before * classes + classes


def test_parameters_follow_from_the_architecture():
    assert unet3d((16, 16, 16, 1)).count_params() == parameters(1, (16, 32, 64, 128)) == 1_400_561
    plain = unet3d((16, 16, 16, 3), classes=4, **SMALL)
    assert plain.count_params() == parameters(3, SMALL["filters"], 4)
    sharp = sharp_unet3d((16, 16, 16, 3), classes=4, **SMALL)
    assert sharp.count_params() - plain.count_params() == 27 * (2 + 4)
    trainable = [sum(map(np.size, model.trainable_weights)) for model in (plain, sharp)]
    assert trainable[0] == trainable[1] == plain.count_params()
    sharp.trainable = True
    assert len(sharp.trainable_weights) == len(plain.trainable_weights)


def test_a_model_of_volumes_is_that_of_images_with_a_dimension_more():
    def kinds(model):
        return [type(layer).__name__.replace("3D", "2D") for layer in model.layers]

    assert kinds(unet3d((16, 16, 16, 1), **SMALL)) == kinds(unet((16, 16, 1), **SMALL))
    assert unet3d((None, None, None, 1), **SMALL)(np.zeros((1, 8, 12, 16, 1))).shape[1:4] == (
        8, 12, 16,
    )  # fmt: skip
    with pytest.raises(ValueError, match="depth, height and width must be multiples of 4"):
        unet3d((6, 16, 16, 1), **SMALL)


def test_saved_it_predicts_the_same(tmp_path):
    model = sharp_unet3d((8, 8, 8, 1), kernel="log", **SMALL)
    model.save(tmp_path / "model.keras")
    volume = RANDOM.normal(size=(1, 8, 8, 8, 1)).astype("float32")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(volume), model(volume))


def test_any_model_of_volumes_can_be_sharpened():
    model = unet3d((8, 8, 8, 1), **SMALL)
    sharp = sharpen_skips(model)
    blocks = [layer for layer in sharp.layers if isinstance(layer, SharpBlock)]
    assert sorted(block.input.shape[1:4] for block in blocks) == [(4, 4, 4), (8, 8, 8)]
    twin = sharp_unet3d((8, 8, 8, 1), **SMALL)
    for variable, value in zip(twin.trainable_weights, model.get_weights(), strict=True):
        variable.assign(value)
    volume = RANDOM.normal(size=(1, 8, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(sharp(volume), twin(volume), atol=1e-6)


def test_scores_are_those_of_the_voxels_in_a_row():
    truth = (RANDOM.random((2, 3, 4, 5, 2)) > 0.5).astype("float32")
    truth[..., 1] = 1 - truth[..., 0]
    guess = RANDOM.random((2, 3, 4, 5, 2)).astype("float32")
    rows = truth.reshape(2, 1, 60, 2), guess.reshape(2, 1, 60, 2)
    for score, metric in ((jaccard, Jaccard), (dice, Dice)):
        for average in ("macro", "micro"):
            expected = score(*rows, average=average)
            assert score(truth, guess, average=average) == pytest.approx(expected)
            assert float(metric(average=average)(truth, guess)) == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("classes", [1, 2])
def test_losses_of_a_volume_of_equal_slices_are_those_of_a_slice(name, classes):
    truth = (RANDOM.random((2, 6, 6, 1)) > 0.5).astype("float32")
    guess = RANDOM.random((2, 6, 6, 1)).astype("float32")
    if classes == 2:
        truth, guess = (np.concatenate([1 - each, each], axis=-1) for each in (truth, guess))
    loss = LOSSES[name](classes)
    weights = np.array([1.0, 3.0])
    for extra in ({}, {"sample_weight": weights}):
        flat = float(loss(truth, guess, **extra))
        volumes = [np.repeat(each[:, None], 4, axis=1) for each in (truth, guess)]
        assert float(loss(*volumes, **extra)) == pytest.approx(flat, rel=1e-5)


def test_distances_are_euclidean_in_three_dimensions():
    mask = (RANDOM.random((5, 6, 7)) > 0.3).astype("float32")
    expected = distance_transform_edt(1 - mask) - distance_transform_edt(mask)
    given = np.asarray(signed_distance(mask[None, ..., None], reach=9))[0, ..., 0]
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_it_learns_a_ball():
    """A few steps on one volume, through the sharp blocks."""
    keras.utils.set_random_seed(0)
    places = np.indices((8, 8, 8)) - 3.5
    ball = ((places**2).sum(axis=0) < 9).astype("float32")[None, ..., None]
    model = sharp_unet3d((8, 8, 8, 1), filters=(4, 8))
    model.compile(keras.optimizers.Adam(0.01), LOSSES["cross_entropy"](1), metrics=[Jaccard()])
    history = model.fit(ball, ball, epochs=30, verbose=0).history
    assert history["jaccard"][-1] > 0.9
