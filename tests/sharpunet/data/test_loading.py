import dataclasses

import numpy as np
import pytest

from melanet.data import DatasetInfo, Sample, write_dataset
from melanet.data.pixels import scale_min_max
from sharpunet.data import InputError, load_dataset, prepare
from tests.conftest import square_mask


def arrays(dataset):
    images, masks = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(masks)


def prepare_arrays(folder, image, mask, **info):
    sample = Sample("a", "a", lambda: image, lambda: mask, "image", "mask")
    fields = {"name": "x", "title": "X", "image_size": (8, 8), "channels": 1, **info}
    return write_dataset(folder, DatasetInfo(**fields), [sample])


def test_eq_2_7_scales_each_image_by_its_own_extremes():
    image, constant = np.array([[[10, 20, 60]]], "uint8"), np.full((1, 1, 3), 7, "uint8")
    np.testing.assert_allclose(scale_min_max(image), [[[0, 0.2, 1]]])
    np.testing.assert_array_equal(scale_min_max(constant), np.zeros((1, 1, 3)))
    batch = scale_min_max(np.stack([image, constant]))
    np.testing.assert_array_equal(batch, [scale_min_max(image), scale_min_max(constant)])


def test_shapes_ranges_and_types(small_phantom):
    images, masks = arrays(load_dataset(small_phantom, batch_size=4))
    assert images.shape == masks.shape == (10, 32, 32, 1)
    assert images.dtype == masks.dtype == "float32"
    assert set(np.unique(masks)) == {0, 1}
    np.testing.assert_array_equal(images.min(axis=(1, 2, 3)), 0)
    np.testing.assert_array_equal(images.max(axis=(1, 2, 3)), 1)


def test_images_are_resized_by_area_and_masks_to_the_nearest(tmp_path):
    image = np.kron(np.array([[0, 100], [200, 100]], "uint8"), np.ones((8, 8), "uint8"))
    image[0, 0] = 64  # an area mean keeps a trace of it: 64 / 4
    mask = np.kron(np.array([[0, 255], [255, 0]], "uint8"), np.ones((8, 8), "uint8"))
    images, masks = arrays(load_dataset(prepare_arrays(tmp_path / "set", image, mask)))
    np.testing.assert_allclose(images[0, 0, 0, 0], 16 / 200)
    np.testing.assert_array_equal(masks[0, :, :, 0], mask[::2, ::2] // 255)


def test_keeping_the_aspect_ratio_pads_image_and_mask_alike(tmp_path):
    image, mask = np.full((8, 16), 200, "uint8"), np.zeros((8, 16), "uint8")
    mask[:, :8] = 255
    dataset = prepare_arrays(
        tmp_path / "set", image, mask, keep_aspect_ratio=True, image_size=(16, 16)
    )
    images, masks = arrays(load_dataset(dataset))
    inside = np.zeros((16, 16))
    inside[4:12] = 1
    np.testing.assert_array_equal(images[0, :, :, 0], inside)
    inside[:, 8:] = 0
    np.testing.assert_array_equal(masks[0, :, :, 0], inside)


def test_stretching_where_the_thesis_does_not_keep_it(tmp_path):
    image = np.tile(np.arange(16, dtype="uint8"), (8, 1))
    dataset = prepare_arrays(tmp_path / "set", image, square_mask(8, 16) | (image > 7) * 255)
    images, masks = arrays(load_dataset(dataset))
    np.testing.assert_allclose(images[0, :, :, 0], np.tile(np.linspace(0, 1, 8), (8, 1)), rtol=1e-5)
    np.testing.assert_array_equal(masks[0, :, :, 0], np.tile([0] * 4 + [1] * 4, (8, 1)))


def test_classes_are_one_hot(tmp_path):
    mask = np.arange(64, dtype="uint8").reshape(8, 8) % 3
    dataset = prepare_arrays(tmp_path / "set", mask * 50, mask, classes=3)
    _, masks = arrays(load_dataset(dataset))
    np.testing.assert_array_equal(masks[0].argmax(axis=-1), mask)
    np.testing.assert_array_equal(masks.sum(axis=-1), 1)


def test_ids_are_taken_in_their_order(small_phantom):
    every, _ = arrays(load_dataset(small_phantom))
    ids = small_phantom.ids()
    some, _ = arrays(load_dataset((small_phantom, [ids[7], ids[2]])))
    np.testing.assert_array_equal(some, every[[7, 2]])


def test_shuffling_follows_the_seed_and_differs_between_epochs(small_phantom):
    def two_epochs(seed):
        dataset = load_dataset(small_phantom, shuffle=True, seed=seed)
        return [arrays(dataset)[0] for _ in range(2)]

    first, again, other = two_epochs(1), two_epochs(1), two_epochs(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_allclose(
        np.sort(first[0].sum(axis=(1, 2, 3))), np.sort(first[1].sum(axis=(1, 2, 3)))
    )


def test_a_folder_is_a_subset_like_its_dataset(small_phantom):
    assert len(list(load_dataset(small_phantom.folder, batch_size=3))) == 4
    images, _ = arrays(load_dataset((str(small_phantom.folder), ["phantom-003"])))
    expected, _ = arrays(load_dataset((small_phantom, ["phantom-003"])))
    np.testing.assert_array_equal(images, expected)


def test_several_datasets_with_masks_are_merged_in_their_order(small_phantom, tmp_path):
    mask = square_mask(32, 32)
    other = prepare_arrays(tmp_path / "other", mask, mask)
    parts = (small_phantom, ["phantom-001"]), other, (small_phantom, ["phantom-000"])
    images, masks = arrays(load_dataset(*parts))
    assert images.shape == (3, 32, 32, 1)
    np.testing.assert_array_equal(masks[1, :, :, 0], mask // 255)
    every, _ = arrays(load_dataset(small_phantom))
    np.testing.assert_array_equal(images[[2, 0]], every[:2])
    shuffled, _ = arrays(load_dataset(*parts, shuffle=True, seed=1))
    assert sorted(shuffled.sum(axis=(1, 2, 3))) == sorted(images.sum(axis=(1, 2, 3)))


def test_datasets_that_do_not_fit_together_are_refused(small_phantom, dermoscopy, tmp_path):
    mask = np.arange(64, dtype="uint8").reshape(8, 8) % 3
    classes = prepare_arrays(tmp_path / "classes", mask, mask, classes=3)
    colour = prepare_arrays(tmp_path / "colour", mask, (mask > 0) * 1, channels=3)
    for other, reason in (
        (classes, "its classes differ"),
        (colour, "its channels differ"),
        (dermoscopy, r"labels but no masks; melanet\.data\.load_dataset loads it"),
    ):
        with pytest.raises(InputError, match=reason):
            load_dataset(small_phantom if other is not dermoscopy else other, other)


@pytest.mark.parametrize(("ids", "message"), [([], "no image was chosen"), (["x"], "the id 'x'")])
def test_ids_that_are_not_there_are_refused(small_phantom, ids, message):
    with pytest.raises(InputError, match=message):
        load_dataset((small_phantom, ids))


def test_grey_images_become_colour_where_the_dataset_is_in_colour(own_images, tmp_path):
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    images, _ = arrays(load_dataset(dataset, image_size=(16, 32)))
    assert images.shape == (3, 16, 32, 3)
    assert dataclasses.asdict(dataset.info)["channels"] == 3
