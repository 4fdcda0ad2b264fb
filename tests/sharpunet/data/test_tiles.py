"""Tiles of one field are linked by their edges; images of other fields are not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sharpunet.data.tiles import link_tiles

SIDE = 64


def make_field(seed, sigma=3.0, side=2 * SIDE):
    """A smooth random texture with the noise of a camera, as 8-bit grey."""
    random = np.random.default_rng(seed)
    texture = gaussian_filter(random.normal(size=(side, side)), sigma)
    noisy = 128 + 40 * texture / texture.std() + random.normal(0, 1, texture.shape)
    return np.clip(noisy, 0, 255).astype("uint8")


def cut(field, rows, columns):
    return [tile for part in np.split(field, rows) for tile in np.split(part, columns, axis=1)]


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_tiles_of_two_fields_fall_into_two_groups(seed):
    tiles = [tile for n in (seed, 100 + seed) for tile in cut(make_field(n, side=4 * SIDE), 4, 4)]
    order = np.random.default_rng(seed).permutation(len(tiles))
    numbers = np.array(link_tiles(tiles[index] for index in order))
    for of_field in (order < 16, order >= 16):
        assert len(set(numbers[of_field])) == 1
    assert len(set(numbers)) == 2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sigma", [0.5, 3, 20])
def test_images_of_unrelated_fields_stay_apart(seed, sigma):
    images = [make_field(1000 * seed + n, sigma, SIDE) for n in range(40)]
    assert len(set(link_tiles(images))) == 40


def test_two_images_are_not_neighbours_for_want_of_others():
    assert link_tiles([make_field(1), make_field(2)]) == [0, 1]


def test_tiles_of_other_sizes_and_in_colour_are_linked():
    field = np.stack([make_field(channel) for channel in range(3)], axis=2)
    tiles = [field[:70], make_field(9), field[70:, :50], field[70:, 50:]]
    first, other, *rest = link_tiles(tiles)
    # The tile above is as wide as both tiles below it, so that their rows cannot be compared.
    assert rest[0] == rest[1]
    assert len({first, other, rest[0]}) == 3


def test_edges_of_background_alone_say_nothing():
    random = np.random.default_rng(0)
    field = np.zeros((64, 64))
    field[20:30, 5:25] = field[40:50, 40:60] = 200  # no nucleus crosses the middle
    assert link_tiles(cut(field, 2, 2)) != [0, 0, 0, 0]
    flat = field * 0
    assert len(set(link_tiles(cut(flat, 2, 2)))) == 4
    noisy = 10 + random.normal(0, 1, (64, 64))
    assert len(set(link_tiles(cut(noisy, 2, 2)))) == 4


def test_tiles_with_a_gap_and_copies_are_not_linked():
    field = make_field(3)
    assert len(set(link_tiles([field[:, :50], field[:, 60:], make_field(4)]))) == 3
    left, right = field[:, :64], field[:, 64:]
    assert link_tiles([left, right, right]) == [0, 1, 2]  # which one is next to it is not certain
