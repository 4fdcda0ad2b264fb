import keras
import numpy as np
import pytest
from keras import ops

from melanet.losses import (
    WeightedCrossentropy,
    cycle_loss,
    discriminator_loss,
    focal_loss,
    generator_loss,
)


def logit(probability):
    return np.log(probability / (1 - np.asarray(probability, "float64"))).astype("float32")


def test_a_weight_per_class_is_that_of_the_class():
    loss = focal_loss(alpha=[0.1, 0.2, 0.7], gamma=2)
    scores = np.array([[0.5, 0.3, 0.2]] * 3)
    found = [float(loss(np.eye(3)[[n]], scores[[n]])) for n in range(3)]
    by_hand = [-a * (1 - p) ** 2 * np.log(p) for a, p in [(0.1, 0.5), (0.2, 0.3), (0.7, 0.2)]]
    np.testing.assert_allclose(found, by_hand, rtol=1e-4)


@pytest.mark.parametrize("alpha", [[0.5], [0.5, 1.5], [], -0.1, [0.5, np.nan]])
def test_weights_of_classes_that_are_none_are_refused(alpha):
    with pytest.raises(ValueError, match="`alpha` must lie in"):
        focal_loss(alpha=alpha)
    with pytest.raises(ValueError, match="with a single `alpha`"):
        focal_loss(alpha=[0.5, 0.5], variant="released")


def test_eq_2_2_by_hand():
    real, fake = logit([0.9, 0.6]), logit([0.2, 0.5])
    expected = -(np.log(0.9) + np.log(0.6)) / 2 - (np.log(1 - 0.2) + np.log(1 - 0.5)) / 2
    assert float(discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)


def test_the_generator_loss_is_minus_log_d_of_the_fake_images():
    fake = logit([0.2, 0.5])
    expected = -(np.log(0.2) + np.log(0.5)) / 2
    assert float(generator_loss(fake)) == pytest.approx(expected, rel=1e-5)


def test_least_squares_by_hand():
    real, fake = np.array([0.8, 1.2], "float32"), np.array([0.5, -0.1], "float32")
    assert float(discriminator_loss(real, fake, "least_squares")) == pytest.approx(
        (0.04 + 0.04) / 2 + (0.25 + 0.01) / 2
    )
    assert float(generator_loss(fake, "least_squares")) == pytest.approx((0.25 + 1.21) / 2)


def test_eq_2_4_is_zero_for_a_perfect_cycle_and_the_mean_difference_otherwise():
    images = np.array([[0.0, 1.0], [-1.0, 0.5]], "float32")
    assert float(cycle_loss(images, images)) == 0
    shifted = images + np.array([0.1, -0.3], "float32")
    assert float(cycle_loss(images, shifted)) == pytest.approx(0.2, rel=1e-5)


def test_losses_are_float32_on_half_precision_scores():
    half = ops.convert_to_tensor([-30.0, 30.0], dtype="bfloat16")
    for loss in (discriminator_loss(half, half), generator_loss(half), cycle_loss(half, half)):
        assert loss.dtype == "float32"
        assert np.isfinite(float(loss))


@pytest.mark.parametrize("loss", [generator_loss, lambda *a: discriminator_loss(a[0], *a)])
def test_an_unknown_variant_raises_an_error_that_lists_the_known_ones(loss):
    with pytest.raises(ValueError, match="log, least_squares"):
        loss(np.zeros(2), "hinge")


LABELS = np.array([[0, 1], [1, 0]], "float32")  # a positive and a negative sample


def focal(positive_probability, **arguments):
    """Loss of each of the two samples if both are predicted `positive_probability`."""
    predicted = np.array([[1 - positive_probability, positive_probability]] * 2, "float32")
    loss = focal_loss(**arguments)
    loss.reduction = None
    return ops.convert_to_numpy(loss(LABELS, predicted))


def test_eq_2_6_by_hand():
    positive, negative = focal(0.8)
    assert positive == pytest.approx(-0.25 * 0.2**2 * np.log(0.8), rel=1e-4)
    assert negative == pytest.approx(-0.75 * 0.8**2 * np.log(0.2), rel=1e-4)


def test_with_gamma_0_it_is_the_weighted_cross_entropy():
    np.testing.assert_allclose(
        focal(0.7, alpha=0.5, gamma=0), [-0.5 * np.log(0.7), -0.5 * np.log(0.3)], rtol=1e-4
    )


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_alpha_cancels_in_the_released_variant(probability):
    weighted = [focal(probability, alpha=a, variant="released") for a in (0.05, 0.25, 0.9)]
    np.testing.assert_allclose(weighted[0], weighted[1], rtol=1e-5)
    np.testing.assert_allclose(weighted[0], weighted[2], rtol=1e-5)
    # The rest is the focal loss without weights: both classes alike.
    np.testing.assert_allclose(weighted[0], 2 * focal(probability, alpha=0.5), rtol=1e-4)


def test_alpha_does_not_cancel_in_eq_2_6():
    assert focal(0.5, alpha=0.25)[0] == pytest.approx(focal(0.5, alpha=0.25)[1] / 3, rel=1e-4)


@pytest.mark.parametrize("variant", ["thesis", "released"])
def test_a_model_with_it_is_saved_and_loaded(variant, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    model.compile("sgd", focal_loss(alpha=0.3, variant=variant))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    inputs = np.array([[0.3, -1.0], [2.0, 0.1]], "float32")
    assert loaded.evaluate(inputs, LABELS, verbose=0) == model.evaluate(inputs, LABELS, verbose=0)


@pytest.mark.parametrize("arguments", [{"alpha": 1.5}, {"gamma": -1}, {"variant": "binary"}])
def test_invalid_focal_arguments_raise_an_error_that_names_them(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        focal_loss(**arguments)


def test_the_weighted_cross_entropy_is_the_unfocused_focal_loss():
    given, truth = np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([[0.0, 1.0], [0.0, 1.0]])
    focal = keras.losses.CategoricalFocalCrossentropy(alpha=[0.5, 1.5], gamma=0.0)
    ours = float(WeightedCrossentropy([0.5, 1.5])(truth, given))
    assert ours == pytest.approx(float(focal(truth, given)), rel=1e-5)


@pytest.mark.parametrize("sharpness", [60.0, 6000.0])
def test_the_weighted_cross_entropy_corrects_a_classifier_that_is_sure_and_wrong(sharpness):
    kernel = keras.initializers.Constant([[sharpness, -sharpness]])
    head = keras.layers.Dense(2, "softmax", kernel_initializer=kernel)
    model = keras.Sequential([keras.Input((1,)), head])
    model.compile(keras.optimizers.Adam(1.0), WeightedCrossentropy([1.0, 1.0]))
    truth = np.array([[0.0, 1.0]] * 4)
    losses = model.fit(np.ones((4, 1)), truth, epochs=3, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(2 * sharpness)
    assert losses[2] < losses[1] < losses[0]


def test_a_model_with_the_weighted_cross_entropy_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, "softmax")])
    model.compile("adam", WeightedCrossentropy([0.5, 2.0]))
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").loss.class_weights == [0.5, 2.0]
