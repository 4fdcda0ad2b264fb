"""Windows cover a volume, and their mean is the prediction of the whole where it can be."""

import itertools

import keras
import numpy as np
import pytest
from scipy import ndimage

from sharpunet.surface import surface_distance
from sharpunet.windows import gaussian_window, predict_volume, window_corners

RANDOM = np.random.default_rng(0)


def convolution(size):
    """One convolution of 3 x 3 x 3: it sees one voxel around."""
    inputs = keras.Input((*size, 1))
    outputs = keras.layers.Conv3D(2, 3, padding="same", activation="softmax")(inputs)
    return keras.Model(inputs, outputs)


def test_windows_cover_every_voxel_and_overlap_as_asked():
    size, window = (7, 20, 33), (4, 8, 8)
    covered = np.zeros(size, int)
    corners = list(window_corners(size, window, overlap=0.5))
    for corner in corners:
        covered[tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True))] += 1
        assert all(c + w <= s for c, w, s in zip(corner, window, size, strict=True))
    assert covered.min() >= 1
    for axis in range(3):
        starts = sorted({corner[axis] for corner in corners})
        assert all(b - a <= window[axis] / 2 for a, b in itertools.pairwise(starts))


def test_a_constant_prediction_stays_constant():
    inputs = keras.Input((4, 8, 8, 1))
    model = keras.Model(inputs, keras.layers.Rescaling(0.0, 0.25)(inputs))
    given = predict_volume(model, RANDOM.random((9, 11, 8, 1)), (4, 8, 8))
    np.testing.assert_allclose(given, 0.25, rtol=1e-6)


def test_where_the_network_sees_no_border_it_is_the_whole_prediction():
    small = convolution((6, 8, 8))
    whole = convolution((12, 16, 20))
    whole.set_weights(small.get_weights())
    volume = RANDOM.random((12, 16, 20, 1)).astype("float32")
    expected = np.asarray(whole(volume[None]))[0]
    given = predict_volume(small, volume, (6, 8, 8), batch_size=3)
    at_border = np.zeros(volume.shape[:3], bool)  # of a window, but not of the volume
    for corner in window_corners(volume.shape[:3], (6, 8, 8), 0.5):
        for axis, (start, side) in enumerate(zip(corner, (6, 8, 8), strict=True)):
            window = [slice(c, c + s) for c, s in zip(corner, (6, 8, 8), strict=True)]
            for edge, outside in (
                (start, start == 0),
                (start + side - 1, start + side == volume.shape[axis]),
            ):
                if not outside:
                    window[axis] = slice(edge, edge + 1)
                    at_border[tuple(window)] = True
    assert 0.1 < at_border.mean() < 0.9
    np.testing.assert_allclose(given[~at_border], expected[~at_border], atol=1e-6)
    assert np.abs(given - expected).max() < 0.05  # the Gaussian leaves a border little weight
    alone = predict_volume(whole, volume, (12, 16, 20))
    np.testing.assert_allclose(alone, expected, atol=1e-6)


def test_a_volume_smaller_than_a_window_is_padded():
    model = convolution((6, 8, 8))
    volume = RANDOM.random((4, 8, 5, 1)).astype("float32")
    padded = np.zeros((1, 6, 8, 8, 1), "float32")
    padded[0, :4, :, :5] = volume
    expected = np.asarray(model(padded))[0, :4, :, :5]
    np.testing.assert_allclose(predict_volume(model, volume, (6, 8, 8)), expected, atol=1e-6)


def test_the_window_weighs_its_centre_most_and_its_corners_some():
    weights = gaussian_window((8, 9, 10))
    assert weights.shape == (8, 9, 10)
    assert weights.max() == weights[4, 4, 5] == 1
    assert weights.min() == weights[0, 0, 0] > 0


@pytest.mark.parametrize("wrong", [{"overlap": 1}, {"window": (4, 4)}, {"overlap": -0.1}])
def test_sizes_that_cannot_be_are_refused(wrong):
    arguments = {"window": (4, 8, 8), **wrong}
    with pytest.raises(ValueError, match="Received"):
        predict_volume(convolution((4, 8, 8)), np.zeros((4, 8, 8, 1)), **arguments)


def balls():
    places = np.stack(np.indices((20, 24, 24)), axis=-1) * (2.0, 1.0, 1.0)
    return [np.linalg.norm(places - (20, 12, 12), axis=-1) < radius for radius in (6, 9)]


def test_concentric_balls_are_apart_by_the_difference_of_their_radii():
    small, large = balls()
    found = surface_distance(small, large, spacing=(2, 1, 1))
    assert found.mean == pytest.approx(3, abs=0.5)
    assert found.percentile_95 == pytest.approx(3, abs=1.1)  # voxels are 2 mm high
    again = surface_distance(large, small, spacing=(2, 1, 1))
    assert again.mean == pytest.approx(found.mean)


def test_it_is_the_mean_over_both_surfaces_by_hand():
    """Against all pairs of surface voxels, without a distance transform."""
    first, second = RANDOM.random((2, 5, 6, 7)) > 0.6
    spacing = np.array((2.0, 0.7, 1.1))
    points = [
        np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing for mask in (first, second)
    ]
    pairs = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
    nearest = [pairs.min(axis=1), pairs.min(axis=0)]
    found = surface_distance(first, second, tuple(spacing))
    assert found.mean == pytest.approx(np.concatenate(nearest).mean())
    assert found.percentile_95 == pytest.approx(max(np.percentile(each, 95) for each in nearest))


def test_empty_masks_are_0_or_infinitely_apart():
    nothing, something = np.zeros((3, 3, 3)), np.ones((3, 3, 3))
    assert surface_distance(nothing, nothing, (1, 1, 1)) == (0, 0)
    assert surface_distance(nothing, something, (1, 1, 1)).mean == np.inf
    with pytest.raises(ValueError, match="spacing"):
        surface_distance(nothing, something, (1, 1))
