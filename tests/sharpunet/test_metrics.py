import keras
import numpy as np
import pytest
from sklearn.model_selection import KFold

from sharpunet import Dice, Jaccard, dice, jaccard
from sharpunet.data import load_dataset, prepare
from sharpunet.metrics import best_constant_scores


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
    np.testing.assert_allclose(jaccard(true, predicted, average=None), [[2 / 3, 1 / 2, 1]])
    np.testing.assert_allclose(jaccard(true, predicted), (2 / 3 + 1 / 2 + 1) / 3, rtol=1e-6)
    np.testing.assert_allclose(dice(true, predicted, average=None), [[4 / 5, 2 / 3, 1]])
    # Of all classes together, 3 of 4 pixels are right, and 3 / (4 + 4 - 3).
    assert jaccard(true, predicted, average="micro") == pytest.approx(3 / 5)
    assert dice(true, predicted, average="micro") == pytest.approx(3 / 4)


def background_slice():
    """A CT slice with 92% background and two of three kinds of lesion, and a mask of nothing."""
    labels = np.zeros((1, 10, 10), int)
    labels[0, 0, :5], labels[0, 1, :3] = 1, 2
    nothing = np.zeros((1, 10, 10), int)
    return (np.eye(4, dtype="float32")[x] for x in (labels, nothing))


def test_background_alone_scores_0852_over_all_channels_and_048_as_a_mean():
    true, nothing = background_slice()
    assert jaccard(true, nothing, average="micro") == pytest.approx(0.852, abs=5e-4)
    assert jaccard(true, nothing, average="macro") == pytest.approx(0.48, abs=5e-4)
    assert best_constant_scores(true, average="micro")["jaccard"] == pytest.approx(0.852, abs=5e-4)


def test_per_image_scores():
    true, predicted = random_batch(5, 3)
    for average in ("macro", "micro"):
        each = jaccard(true, predicted, average=average, per_image=True)
        assert each.shape == (5,)
        assert each.mean() == pytest.approx(jaccard(true, predicted, average=average))


def test_best_constant_scores_by_hand():
    true = masks([1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0])
    # A full mask scores 3 / 4, 1 / 4 and 0, an empty one 0, 0 and 1.
    scores = best_constant_scores(true)
    assert scores["jaccard"] == pytest.approx(1 / 3)
    assert scores["dice"] == pytest.approx((6 / 7 + 2 / 5) / 3)
    assert best_constant_scores(true[1:])["jaccard"] == pytest.approx(1 / 2)  # the empty one


def test_the_best_constant_on_the_first_fold_of_isbi2012_scores_0786(real_data, tmp_path):
    dataset = prepare("isbi2012", real_data / "isbi2012", tmp_path / "isbi2012")
    ids = dataset.ids()
    _, test = next(KFold(5, shuffle=True, random_state=0).split(ids))
    batches = load_dataset((dataset, [ids[i] for i in test]), image_size=(256, 256))
    true = np.concatenate([masks for _, masks in batches.as_numpy_iterator()])
    assert best_constant_scores(true)["jaccard"] == pytest.approx(0.786, abs=5e-4)


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
@pytest.mark.parametrize("average", ["macro", "micro"])
def test_streaming_equals_the_function_for_any_batch_size(classes, metric, function, cuts, average):
    true, predicted = random_batch(7, classes)
    streaming = metric(average=average)
    for part in np.split(np.arange(7), cuts):
        streaming.update_state(true[part], predicted[part])
    expected = function(true, predicted, average=average)
    assert float(streaming.result()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", [Jaccard, Dice])
class TestStreaming:
    """What the streaming metrics refuse, in the words of the functions."""

    @pytest.mark.parametrize("classes", [1, 3])
    def test_label_maps_and_missing_channels_raise(self, metric, classes):
        true, predicted = random_batch(2, classes)
        with pytest.raises(ValueError, match=r"must both be \(images, height, width, classes\)"):
            metric()(true[..., 0], predicted)
        with pytest.raises(ValueError, match="must both be"):
            metric()(true, predicted[..., 0])
        with pytest.raises(ValueError, match="one-hot"):
            metric()(true[..., :1], np.repeat(predicted, 2, axis=-1))

    def test_they_raise_while_training_too(self, metric):
        model = keras.Sequential([keras.Input((6, 5, 1)), keras.layers.Conv2D(1, 1)])
        model.compile("sgd", "mse", metrics=[metric()])
        true, predicted = random_batch(2, 1)
        with pytest.raises(ValueError, match="must both be"):
            model.fit(predicted, true[..., 0], verbose=0)

    def test_a_mask_of_0_and_255_counts_as_one_of_0_and_1(self, metric):
        true, _ = random_batch(2, 1)
        assert float(metric()(255 * true, true)) == 1

    @pytest.mark.parametrize("classes", [1, 3])
    def test_nan_predictions_are_not_background(self, metric, classes):
        nothing = np.zeros((2, 4, 4, classes), "float32")
        assert np.isnan(float(metric()(nothing, np.full_like(nothing, np.nan))))

    def test_weights_are_those_of_images(self, metric):
        true, predicted = random_batch(3, 3)
        score = metric()(true, predicted, sample_weight=[0.0, 1.0, 3.0])
        each = {Jaccard: jaccard, Dice: dice}[metric](true, predicted, per_image=True)
        assert float(score) == pytest.approx((each[1] + 3 * each[2]) / 4, rel=1e-5)
        same = metric()(true, predicted, sample_weight=np.array([[0.0], [1.0], [3.0]]))
        assert float(same) == pytest.approx(float(score))

    def test_a_weight_per_pixel_raises(self, metric):
        true, predicted = random_batch(2, 1)
        with pytest.raises(ValueError, match="one weight per image"):
            metric()(true, predicted, sample_weight=np.ones((2, 6, 5)))

    def test_an_unknown_average_raises(self, metric):
        with pytest.raises(ValueError, match="`average`"):
            metric(average="weighted")


def test_a_saved_model_keeps_the_thresholds_of_its_metrics(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Activation("linear")])
    model.compile("sgd", "mse", metrics=[Jaccard(threshold=0.2), Dice(average="micro")])
    images = np.full((1, 4, 4, 1), 0.3, "float32")
    model.evaluate(images, np.ones_like(images), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    scores = again.evaluate(images, np.ones_like(images), verbose=0, return_dict=True)
    assert scores["jaccard"] == 1
    assert scores["dice"] == 0
    assert {"micro", "macro"} == {m.average for m in again.metrics[1].metrics}


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
        jaccard(masks([1]), masks([1]), average="weighted")


def test_nan_predictions_raise():
    with pytest.raises(ValueError, match="NaN"):
        dice(masks([0, 0]), masks([0, np.nan]))
