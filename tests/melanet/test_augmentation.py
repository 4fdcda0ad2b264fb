from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet import augmentation
from melanet.augmentation import TRANSFORMATIONS, augment_offline
from melanet.data import DatasetInfo, ImageDataset, InputError, load_dataset


def png(dataset, id):
    return np.asarray(Image.open(dataset.folder / f"images/{id}.png"))


def transformed(name, image, seed=0):
    return TRANSFORMATIONS[name](image, np.random.default_rng(seed))


@pytest.fixture
def image():
    return np.random.default_rng(1).random((24, 32, 3))


@pytest.mark.parametrize(("factor", "total"), [(5, 5_400), (10, 9_900)])
def test_900_images_become_5400_and_9900(factor, total, monkeypatch):
    rows = pd.DataFrame({"id": [f"i{n}" for n in range(900)], "label": "benign", "group": "g"})
    rows["file_name"] = "images/" + rows["id"] + ".png"
    rows["split"] = "train"
    written = []
    monkeypatch.setattr(augmentation, "write_dataset", lambda *args: written.extend(args[2]))
    info = DatasetInfo("x", "X", (32, 32), 3, labels=("benign", "malignant"))
    dataset = ImageDataset(Path("nowhere"), info, rows)
    dataset.__dict__["fingerprint"] = "0" * 64
    augment_offline(dataset, factor, "nowhere")
    assert len(rows) + len(written) == total
    assert len({sample.id for sample in written}) == len(written)


def test_the_transformations_are_those_of_section_2_3_1():
    assert set(TRANSFORMATIONS) == {
        "horizontal_flip", "vertical_flip", "gaussian_noise", "brightness", "zoom",
        "horizontal_shift", "vertical_shift", "noise_per_channel", "colour_space", "rotation",
    }  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_each_transformation_keeps_the_shape_changes_the_image_and_follows_its_seed(name, image):
    changed = transformed(name, image)
    assert changed.shape == image.shape
    assert not np.allclose(changed, image, atol=1e-3)
    np.testing.assert_array_equal(changed, transformed(name, image))


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_pixels_do_not_depend_on_the_dtype_policy(name, image):
    before = transformed(name, image)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        np.testing.assert_array_equal(transformed(name, image), before)
    finally:
        keras.config.set_dtype_policy("float32")


def test_flips_are_exact(image):
    np.testing.assert_array_equal(transformed("horizontal_flip", image), image[:, ::-1])
    np.testing.assert_array_equal(transformed("vertical_flip", image), image[::-1])


def test_brightness_moves_all_pixels_alike_and_shifts_move_only_their_own_axis(image):
    dim = 0.4 + 0.2 * image
    difference = transformed("brightness", dim) - dim
    np.testing.assert_allclose(difference, difference[0, 0, 0], atol=1e-6)
    rows = np.broadcast_to(np.linspace(0, 1, 24)[:, None, None], (24, 32, 3))
    np.testing.assert_allclose(transformed("horizontal_shift", rows), rows, atol=1e-5)
    assert not np.allclose(transformed("vertical_shift", rows), rows, atol=1e-2)


def test_grey_noise_and_noise_per_channel_differ_in_just_that(image):
    grey = transformed("gaussian_noise", image) - image
    coloured = transformed("noise_per_channel", image) - image
    np.testing.assert_allclose(grey[..., 0], grey[..., 1], atol=1e-12)
    assert not np.allclose(coloured[..., 0], coloured[..., 1])


def test_copies_are_written_once_with_their_parents_and_used_equally(dermoscopy, tmp_path):
    augmented = augment_offline(dermoscopy, 5, tmp_path / "augmented", seed=3)
    metadata = augmented.metadata
    training = dermoscopy.ids(split="train")
    assert len(metadata) == 5 * 20
    assert set(metadata["parent"]) == set(training)  # never a test image
    assert set(metadata["source"]) == {"synthetic"}
    kinds = metadata["id"].str.split("-").str[-1].value_counts()
    assert set(kinds.index) == set(TRANSFORMATIONS)
    assert kinds.max() - kinds.min() <= 5
    assert dermoscopy.values("label", metadata["parent"]) == list(metadata["label"])
    merged = load_dataset((dermoscopy, training), augmented)
    assert sum(len(labels) for _, labels in merged.as_numpy_iterator()) == 6 * 20


def test_the_same_seed_gives_the_same_pixels(dermoscopy, tmp_path):
    ids = dermoscopy.ids()[:2]
    fingerprints = [
        augment_offline(dermoscopy, 10, tmp_path / str(n), ids=ids, seed=seed).fingerprint
        for n, seed in enumerate((1, 1, 2))
    ]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_an_existing_dataset_is_opened_if_its_settings_are_the_same_and_refused_if_not(
    dermoscopy, tmp_path
):
    first = augment_offline(dermoscopy, 2, tmp_path / "augmented")
    stamp = (first.folder / "metadata.csv").stat().st_mtime_ns
    augment_offline(dermoscopy, 2, tmp_path / "augmented")
    assert (first.folder / "metadata.csv").stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match="other settings"):
        augment_offline(dermoscopy, 3, tmp_path / "augmented")
    others = dermoscopy.ids()[:20][::-1]
    with pytest.raises(InputError, match="made from other images"):
        augment_offline(dermoscopy, 2, tmp_path / "augmented", ids=others)
    with pytest.raises(InputError, match="the id 'nobody'"):
        augment_offline(dermoscopy, 2, tmp_path / "other", ids=["nobody"])
    with pytest.raises(InputError, match="factor is 0; it must be 1 or more"):
        augment_offline(dermoscopy, 0, tmp_path / "other")
