import keras
import numpy as np
import pytest

from sharpunet import Dice, Jaccard, dice, jaccard


def masks(*rows):
    """Images of one row of pixels and one class."""
    return np.array(rows, "float32")[:, None, :, None]


def random_batch(images, classes, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, max(classes, 2), (images, 6, 5))
    true = (labels if classes == 1 else labels[..., None] == np.arange(classes)).astype("float32")
    predicted = random.random((images, 6, 5, classes)).astype("float32")
    return true.reshape(images, 6, 5, classes), predicted


def test_by_hand():
    true, predicted = masks([1, 1, 1, 0, 0]), masks([0, 0.9, 0.8, 0.7, 0.1])
    assert jaccard(true, predicted) == pytest.approx(2 / 4)
    assert dice(true, predicted) == pytest.approx(2 * 2 / (3 + 3))


def test_images_count_equally_whatever_their_area():
    true = masks([1, 1, 1, 1], [1, 0, 0, 0])
    predicted = masks([1, 1, 1, 1], [0, 1, 0, 0])
    assert jaccard(true, predicted) == pytest.approx((1 + 0) / 2)


@pytest.mark.parametrize("score", [jaccard, dice])
def test_empty_masks(score):
    nothing, something = masks([0, 0, 0]), masks([0, 1, 0])
    assert score(nothing, nothing) == 1
    assert score(nothing, something) == 0
    assert score(something, nothing) == 0


def test_the_threshold_itself_is_background_as_in_rounding():
    assert jaccard(masks([1, 1]), masks([0.5, 0.6])) == pytest.approx(1 / 2)
    assert jaccard(masks([1, 1]), masks([0.5, 0.6]), threshold=0.4) == 1


def test_a_pixel_has_its_most_probable_class_and_classes_are_averaged():
    true = np.eye(3, dtype="float32")[[[[0, 0, 1, 1]]]].reshape(1, 1, 4, 3)
    predicted = np.array([[0.4, 0.3, 0.3]] * 3 + [[0.1, 0.5, 0.4]], "float32").reshape(1, 1, 4, 3)
    # Classes 0, 0, 0, 1 are predicted: class 0 has 2 of 3, class 1 1 of 2, class 2 is empty twice.
    np.testing.assert_allclose(jaccard(true, predicted, average="images"), [2 / 3, 1 / 2, 1])
    np.testing.assert_allclose(jaccard(true, predicted), (2 / 3 + 1 / 2 + 1) / 3, rtol=1e-6)
    np.testing.assert_allclose(dice(true, predicted, average="images"), [4 / 5, 2 / 3, 1])


@pytest.mark.parametrize("classes", [1, 3])
def test_dice_follows_from_jaccard_on_every_image_and_class(classes):
    true, predicted = random_batch(5, classes)
    each = jaccard(true, predicted, average=None)
    assert each.shape == (5, classes)
    np.testing.assert_allclose(
        dice(true, predicted, average=None), 2 * each / (1 + each), rtol=1e-5
    )


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize(("metric", "function"), [(Jaccard, jaccard), (Dice, dice)])
@pytest.mark.parametrize("cuts", [[], [1], [2, 3, 6]])
def test_streaming_equals_the_function_for_any_batch_size(classes, metric, function, cuts):
    true, predicted = random_batch(7, classes)
    streaming = metric()
    for part in np.split(np.arange(7), cuts):
        streaming.update_state(true[part], predicted[part])
    assert float(streaming.result()) == pytest.approx(function(true, predicted), abs=1e-6)


def test_a_saved_model_keeps_the_thresholds_of_its_metrics(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Activation("linear")])
    model.compile("sgd", "mse", metrics=[Jaccard(threshold=0.2), Dice()])
    images = np.full((1, 4, 4, 1), 0.3, "float32")
    model.evaluate(images, np.ones_like(images), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    scores = again.evaluate(images, np.ones_like(images), verbose=0, return_dict=True)
    assert scores["jaccard"] == 1
    assert scores["dice"] == 0


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        (np.ones((1, 2, 2, 1)), np.ones((1, 2, 3, 1)), "shapes"),
        (np.ones((2, 2)), np.ones((2, 2)), "shapes"),
        (np.ones((0, 2, 2, 1)), np.ones((0, 2, 2, 1)), "one image or more"),
    ],
)
def test_invalid_shapes_raise(true, predicted, message):
    with pytest.raises(ValueError, match=message):
        jaccard(true, predicted)


def test_a_mask_of_255_raises():
    with pytest.raises(ValueError, match="divide a mask of 0 and 255 by 255"):
        jaccard(masks([0, 255]), masks([0, 1]))


def test_an_unknown_average_raises():
    with pytest.raises(ValueError, match="average"):
        jaccard(masks([1]), masks([1]), average="micro")
