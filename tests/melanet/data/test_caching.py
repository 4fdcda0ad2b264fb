import numpy as np
import pytest
from PIL import Image

from melanet.data import (
    DatasetInfo,
    Sample,
    caching,
    load_dataset,
    load_unpaired,
    write_dataset,
)
from melanet.data.caching import COPIES
from melanet.data.pipelines import make_epoch_counter


def epochs(dataset, count=3):
    return [[batch.numpy() for batch, _ in dataset] for _ in range(count)]


@pytest.fixture
def loaded(dermoscopy):
    def load(cache, **arguments):
        size = (20, 28)  # other than theirs
        return load_dataset(dermoscopy, image_size=size, cache=cache, shuffle=True, **arguments)

    return load


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_where_images_are_kept_changes_nothing_that_is_loaded(loaded, cache):
    for kept, other in zip(epochs(loaded("memory")), epochs(loaded(cache)), strict=True):
        for batch, same in zip(kept, other, strict=True):
            np.testing.assert_array_equal(batch, same)


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_an_epoch_has_its_order_wherever_reading_begins(loaded, cache):
    whole = epochs(loaded(cache))
    counter = make_epoch_counter()
    resumed = loaded(cache, epoch_counter=counter)
    counter.assign(2)
    for batch, same in zip(epochs(resumed, 1)[0], whole[2], strict=True):
        np.testing.assert_array_equal(batch, same)
    orders = [np.concatenate(epoch) for epoch in whole]
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_pairs_of_a_cyclegan_are_the_same_wherever_they_are_kept(dermoscopy, cache):
    def two_epochs(where):
        pairs = load_unpaired(dermoscopy, dermoscopy, image_size=(20, 28), cache=where, flip=True)
        return np.array([[first.numpy() for first, _ in pairs] for _ in range(2)])

    np.testing.assert_array_equal(two_epochs(cache), two_epochs("memory"))


def test_resized_images_are_rounded_to_8_bits(dermoscopy):
    images, _ = next(iter(load_dataset(dermoscopy, image_size=(20, 28), scaling="none")))
    np.testing.assert_array_equal(images, np.round(images))


def test_copies_on_disk_are_made_once_and_anew_for_another_size(tmp_path):
    nine = np.full((32, 32), 9, "uint8")
    samples = [Sample(id, id, lambda: nine, None, f"{id}.png", label=id) for id in "ab"]
    info = DatasetInfo("mine", "Mine", (16, 16), 1, labels=("a", "b"))
    dataset = write_dataset(tmp_path / "mine", info, samples)

    def read(size):
        images, _ = next(iter(load_dataset(dataset, image_size=size, cache="disk", scaling="none")))
        return images.numpy()

    assert (read((16, 16)) == 9).all()
    (copy,) = dataset.folder.glob(f"{COPIES}/16x16-*/images/a.png")
    Image.new("L", (16, 16), 50).save(copy)
    assert read((16, 16)).max() == 50
    assert read((8, 8)).max() == 9


def test_images_that_do_not_fit_in_memory_are_decoded_anew_and_it_is_said(dermoscopy, monkeypatch):
    monkeypatch.setattr(caching, "MEMORY_SHARE", 0)
    with pytest.warns(UserWarning, match="--cache disk"):
        images = load_dataset(dermoscopy)
    assert sum(len(batch) for batch, _ in images) == 25


def test_another_word_for_the_cache_is_refused(dermoscopy):
    with pytest.raises(ValueError, match="`cache` must be"):
        load_dataset(dermoscopy, cache=True)
