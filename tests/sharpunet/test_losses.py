import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from sharpunet import LOSSES, unet
from sharpunet.losses import Boundary, FocalTversky, signed_distance


def square(side=16):
    mask = np.zeros((1, side, side, 1), "float32")
    mask[0, 4:10, 5:12] = 1
    return mask


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("classes", [1, 3])
def test_a_right_mask_costs_less_and_training_lowers_the_loss(name, classes, tmp_path):
    keras.utils.set_random_seed(0)
    loss = LOSSES[name](classes)
    labels = square()[..., 0].astype(int)
    true = square() if classes == 1 else np.eye(classes, dtype="float32")[labels]
    right, wrong = (np.clip(x, 0.01, 0.99) for x in (true, 1 - true))
    assert float(loss(true, right)) < float(loss(true, wrong))
    model = unet((16, 16, 1), classes, filters=(8, 8, 8))
    model.compile(keras.optimizers.Adam(1e-2), loss)
    losses = [model.train_on_batch(square(), true) for _ in range(8)]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.test_on_batch(square(), true) == pytest.approx(
        model.test_on_batch(square(), true), rel=1e-5
    )


def pair(classes=1):
    """True masks of two images and a prediction that is different in both."""
    labels = np.random.default_rng(0).integers(0, max(classes, 2), (2, 8, 8))
    true = labels[..., None] if classes == 1 else np.eye(classes)[labels]
    predicted = np.random.default_rng(1).random((2, 8, 8, classes))
    predicted = predicted / predicted.sum(axis=-1, keepdims=True) if classes > 1 else predicted
    return true.astype("float32"), predicted.astype("float32")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("classes", [1, 3])
class TestEveryLoss:
    """Checks that every loss passes."""

    def test_an_image_of_weight_0_does_not_count(self, name, classes):
        loss = LOSSES[name](classes)
        true, predicted = pair(classes)
        other = predicted.copy()
        other[1] = predicted[1, ::-1]
        weights = np.array([1.0, 0.0], "float32")
        assert float(loss(true, predicted, weights)) == float(loss(true, other, weights))
        assert float(loss(true, predicted)) != float(loss(true, other))

    def test_equal_weights_change_nothing(self, name, classes):
        loss = LOSSES[name](classes)
        true, predicted = pair(classes)
        weighted = loss(true, predicted, np.ones(2, "float32"))
        assert float(weighted) == pytest.approx(float(loss(true, predicted)), rel=1e-6)

    def test_a_weight_per_pixel_raises(self, name, classes):
        true, predicted = pair(classes)
        with pytest.raises(ValueError, match="one weight per image"):
            LOSSES[name](classes)(true, predicted, np.ones((2, 8, 8)))

    def test_label_maps_and_missing_channels_raise(self, name, classes):
        true, predicted = pair(classes)
        with pytest.raises(ValueError, match="must both be"):
            LOSSES[name](classes)(true[..., 0], predicted)

    def test_a_mask_of_0_and_255_counts_as_one_of_0_and_1(self, name, classes):
        true, predicted = pair(classes)
        loss = LOSSES[name](classes)
        assert float(loss(255 * true, predicted)) == float(loss(true, predicted))

    def test_it_works_in_float16(self, name, classes):
        loss = LOSSES[name](classes)
        half = type(loss).from_config({**loss.get_config(), "dtype": "float16"})
        true, predicted = pair(classes)
        expected = float(loss(true, predicted))
        halved = half(true.astype("float16"), predicted.astype("float16"))
        assert float(halved) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_a_right_empty_mask_costs_nothing_and_has_a_gradient(name):
    loss = LOSSES[name](1)
    nothing = tf.zeros((1, 8, 8, 1))
    assert float(loss(nothing, nothing)) == pytest.approx(0, abs=1e-6)
    predicted = tf.Variable(nothing)
    for value in (0.0, 1e-30, 0.1):
        predicted.assign(tf.fill(nothing.shape, value))
        with tf.GradientTape() as tape:
            cost = loss(nothing, predicted)
        assert np.isfinite(tape.gradient(cost, predicted)).all()


def test_cross_entropy_is_that_of_keras():
    for classes, expected in (
        (1, keras.losses.BinaryCrossentropy()),
        (3, keras.losses.CategoricalCrossentropy()),
    ):
        assert float(LOSSES["cross_entropy"](classes)(*pair(classes))) == float(
            expected(*pair(classes))
        )


def test_tversky_by_hand():
    true = np.array([1, 1, 1, 0, 0, 0], "float32").reshape(1, 6, 1, 1)
    predicted = np.array([1, 1, 0, 1, 0, 0], "float32").reshape(1, 6, 1, 1)
    # 2 true positives, 1 false positive, 1 false negative: TI = 2 / (2 + 0.3 + 0.7)
    assert float(LOSSES["tversky"](1)(true, predicted)) == pytest.approx(1 / 3, rel=1e-5)
    assert float(LOSSES["focal_tversky"](1)(true, predicted)) == pytest.approx(
        (1 / 3) ** 0.75, rel=1e-5
    )
    # beta weighs false negatives, alpha false positives.
    missed = np.array([1, 1, 0, 0, 0, 0], "float32").reshape(1, 6, 1, 1)
    assert float(LOSSES["tversky"](1)(true, missed)) == pytest.approx(0.7 / 2.7, rel=1e-5)
    assert float(FocalTversky(alpha=0.7, beta=0.3, gamma=1)(true, missed)) == pytest.approx(
        0.3 / 2.3, rel=1e-5
    )


def test_signed_distance_is_euclidean_negative_inside_and_cut_off():
    mask = square()[0, :, :, 0]
    inside, outside = np.argwhere(mask == 1), np.argwhere(mask == 0)
    expected = np.zeros(mask.shape)
    for place in np.ndindex(mask.shape):
        others = outside if mask[place] else inside
        nearest = np.sqrt(((others - place) ** 2).sum(axis=1)).min()
        expected[place] = -nearest if mask[place] else nearest
    found = ops.convert_to_numpy(signed_distance(square(), reach=32))[0, :, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    short = ops.convert_to_numpy(signed_distance(square(), reach=2))[0, :, :, 0]
    np.testing.assert_allclose(short, np.clip(expected, -2, 2), atol=1e-5)
    nothing = ops.convert_to_numpy(signed_distance(np.zeros((1, 8, 8, 1)), reach=5))
    assert (nothing == 5).all()


def test_the_boundary_loss_takes_unknown_sides():
    model = unet((None, None, 1), filters=(4, 4, 4))
    model.compile("sgd", LOSSES["boundary"](1))
    shape = (None, None, None, 1)
    pair = (tf.TensorSpec(shape), tf.TensorSpec(shape))
    batches = tf.data.Dataset.from_generator(lambda: [(square(), square())], output_signature=pair)
    assert np.isfinite(model.fit(batches, verbose=0).history["loss"][0])


def test_the_boundary_loss_grows_with_the_distance():
    near, far = np.zeros((2, 1, 16, 16, 1), "float32")
    near[0, 4, 3], far[0, 15, 15] = 1, 1
    loss = Boundary(weight=1)
    assert float(loss(square(), near)) < float(loss(square(), far))


@pytest.mark.parametrize("module", ["losses", "metrics"])
def test_either_of_losses_and_metrics_can_be_imported_first(module):
    subprocess.run([sys.executable, "-c", f"import sharpunet.{module}"], check=True)
