import dataclasses

import keras
import numpy as np
import pytest

from melanet.data import InputError, load_dataset, load_for_translation, load_unpaired
from melanet.data.loading import with_labels
from melanet.data.pipelines import make_epoch_counter


def arrays(dataset):
    parts = zip(*dataset.as_numpy_iterator(), strict=True)
    return [np.concatenate(part) for part in parts]


def test_shapes_ranges_and_labels(dermoscopy):
    images, labels = arrays(load_dataset(dermoscopy, batch_size=4))
    assert images.shape == (25, 32, 32, 3)
    assert images.min() == 0
    assert images.max() == 1
    assert labels.shape == (25, 2)
    malignant = dermoscopy.metadata["label"] == "malignant"
    np.testing.assert_array_equal(labels[:, 1], malignant)


def test_several_datasets_are_merged_and_shuffled_together(dermoscopy):
    benign, malignant = (dermoscopy.ids(label=label) for label in ("benign", "malignant"))
    parts = (dermoscopy, benign), (dermoscopy, malignant)
    _, ordered = arrays(load_dataset(*parts))
    assert list(ordered[:, 1]) == [0] * 20 + [1] * 5
    _, shuffled = arrays(load_dataset(*parts, shuffle=True, seed=1))
    assert shuffled[:, 1].sum() == 5
    assert list(shuffled[:, 1]) != list(ordered[:, 1])


def test_unpaired_batches_end_with_the_smaller_domain_and_lie_in_minus_1_to_1(dermoscopy):
    benign, malignant = (dermoscopy.ids(label=label) for label in ("benign", "malignant"))
    pairs = load_unpaired((dermoscopy, benign), (dermoscopy, malignant))
    first, second = arrays(pairs)
    assert first.shape == second.shape == (5, 32, 32, 3)
    assert first.min() >= -1
    assert second.max() <= 1
    assert first.min() < -0.2


def test_unpaired_batches_of_four_classes_become_one_with_labels(lesions):
    classes = [(lesions, lesions.ids(label=label)) for label in lesions.info.labels]
    batches = with_labels(load_unpaired(*classes, batch_size=2))
    assert int(batches.cardinality()) == 3  # six vascular lesions
    own = {
        label: list(load_for_translation(subset, batch_size=1).as_numpy_iterator())
        for label, subset in enumerate(classes)
    }
    for images, labels in batches.as_numpy_iterator():
        assert labels.argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        for image, label in zip(images, labels.argmax(axis=1), strict=True):
            assert any(np.array_equal(image, each[0]) for each in own[label])


@pytest.mark.parametrize("flip", [False, True])
def test_unpaired_orders_follow_the_seed_and_differ_between_epochs(dermoscopy, flip):
    def two_epochs(seed):
        pairs = load_unpaired(dermoscopy, dermoscopy, seed=seed, flip=flip)
        return [np.stack(arrays(pairs)) for _ in range(2)]

    first, again, other = two_epochs(1), two_epochs(1), two_epochs(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0][0], first[0][1])


def test_flips_mirror_about_half_of_the_images(dermoscopy):
    straight = np.concatenate(list(load_for_translation(dermoscopy).as_numpy_iterator()))
    seen, _ = arrays(load_unpaired(dermoscopy, dermoscopy, flip=True))
    mirrored = [
        any(np.array_equal(image[:, ::-1], original) for original in straight) for image in seen
    ]
    kept = [any(np.array_equal(image, original) for original in straight) for image in seen]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 5 <= sum(mirrored) <= 20


def test_what_cannot_be_loaded_is_refused(dermoscopy, small_phantom):
    with pytest.raises(InputError, match="no image was chosen"):
        load_dataset((dermoscopy, []))
    with pytest.raises(InputError, match="no dataset was given"):
        load_dataset()
    with pytest.raises(InputError, match="no image has the id 'x'"):
        load_dataset((dermoscopy, ["x"]))
    with pytest.raises(InputError, match=r"masks but no labels; sharpunet.data.load_dataset loads"):
        load_dataset(small_phantom)
    with pytest.raises(InputError, match="1 domains were given; translation needs two or more"):
        load_unpaired(dermoscopy)
    with pytest.raises(InputError, match="5 images are fewer than a batch of 6"):
        load_unpaired(dermoscopy, (dermoscopy, dermoscopy.ids(label="malignant")), batch_size=6)


def relabelled(dataset, labels):
    """The dataset with other labels in its info; its table stays."""
    info = dataclasses.replace(dataset.info, labels=labels)
    return dataclasses.replace(dataset, info=info)


def test_a_dataset_with_other_labels_joins_with_what_the_first_one_knows(dermoscopy):
    other = relabelled(dermoscopy, ("nevus", "benign", "malignant"))
    malignant = other.ids(label="malignant")
    merged = load_dataset(dermoscopy, (other, malignant))
    labels = np.concatenate([labels for _, labels in merged.as_numpy_iterator()])
    assert labels.sum(axis=0).tolist() == [20, 5 + 5]
    two = relabelled(dermoscopy, ("nevus", "malignant"))
    with pytest.raises(InputError, match="the label 'benign' of phantom-0001 is none of nevus"):
        load_dataset((two, malignant), dermoscopy)


def test_a_dataset_with_other_channels_is_refused(dermoscopy):
    grey = dataclasses.replace(dermoscopy.info, channels=1)
    with pytest.raises(InputError, match="its channels differ"):
        load_dataset(dermoscopy, dataclasses.replace(dermoscopy, info=grey))


def test_the_order_of_an_epoch_depends_on_seed_and_number_alone(dermoscopy):
    def one_epoch(global_seed, number, seed=3):
        keras.utils.set_random_seed(global_seed)
        epoch_counter = make_epoch_counter()
        epoch_counter.assign(number)
        batches = load_dataset(dermoscopy, shuffle=True, seed=seed, epoch_counter=epoch_counter)
        images = np.concatenate([images for images, _ in batches.as_numpy_iterator()])
        return images.mean(axis=(1, 2, 3))

    np.testing.assert_array_equal(one_epoch(0, 4), one_epoch(7, 4))
    assert not np.array_equal(one_epoch(0, 4), one_epoch(0, 5))
    assert not np.array_equal(one_epoch(0, 4), one_epoch(0, 4, seed=2))


def test_a_folder_is_a_subset_like_its_dataset(dermoscopy):
    ids = dermoscopy.ids(split="test")
    for subset in (str(dermoscopy.folder), dermoscopy.folder):
        assert len(list(load_dataset(subset, batch_size=25))) == 1
        images, labels = arrays(load_dataset((subset, ids)))
        expected, _ = arrays(load_dataset((dermoscopy, ids)))
        np.testing.assert_array_equal(images, expected)
        assert labels.sum(axis=0).tolist() == [4, 1]


def test_pixels_are_scaled_as_asked(dermoscopy):
    by_extremes, by_255, raw = (
        arrays(load_dataset((dermoscopy, dermoscopy.ids()[:3]), scaling=scaling))[0]
        for scaling in ("min_max", "unit", "none")
    )
    np.testing.assert_allclose(by_255, raw / 255, rtol=1e-6)
    low, high = (f(raw, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    np.testing.assert_allclose(by_extremes, (raw - low) / (high - low), rtol=1e-5)
    with pytest.raises(ValueError, match="`scaling` must be one of"):
        load_dataset(dermoscopy, scaling="half")
