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
