from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet import augmentation
from melanet.augmentation import RELEASED_TRANSFORMATIONS, TRANSFORMATIONS, augment_offline
from melanet.data import DatasetInfo, ImageDataset, InputError, load_dataset


def png(dataset, id):
    return np.asarray(Image.open(dataset.folder / f"images/{id}.png"))


def transformed(name, image, seed=0, transformations=TRANSFORMATIONS):
    return transformations[name](image, np.random.default_rng(seed))


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
        "horizontal_shift", "vertical_shift", "noise_once_per_pixel", "colour_space", "rotation",
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


def test_the_released_chain_is_made_of_the_nine_transformations_of_the_authors_code():
    assert set(RELEASED_TRANSFORMATIONS) == {
        "contrast", "crop", "blur", "noise", "rotation", "shift", "shear", "dropout", "hue",
    }  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", RELEASED_TRANSFORMATIONS)
def test_each_released_transformation_changes_the_image_and_follows_its_seed(name, channels, image):
    image = image[:, :, :channels]
    changed = transformed(name, image, transformations=RELEASED_TRANSFORMATIONS)
    assert changed.shape == image.shape
    assert np.allclose(changed, image, atol=1e-3) == (name == "hue" and channels == 1)
    np.testing.assert_array_equal(
        changed, transformed(name, image, transformations=RELEASED_TRANSFORMATIONS)
    )


def test_released_shifts_rotations_and_shears_leave_the_centre_of_mass_where_it_should_be():
    disc = np.zeros((41, 61, 1))
    disc[18:23, 28:33] = 1

    def centre(image):
        return np.array([(axis * image[..., 0]).sum() for axis in np.mgrid[:41, :61]]) / image.sum()

    np.testing.assert_allclose(centre(disc), (20, 30))
    for name in ("rotation", "shear"):
        turned = transformed(name, disc, transformations=RELEASED_TRANSFORMATIONS)
        np.testing.assert_allclose(centre(turned), (20, 30), atol=0.1)
    x, y = np.random.default_rng(0).uniform(-0.15, 0.15, 2)
    moved = transformed("shift", disc, transformations=RELEASED_TRANSFORMATIONS)
    np.testing.assert_allclose(centre(moved), (20 + 41 * y, 30 + 61 * x), atol=0.1)


def test_the_released_policy_gives_every_copy_its_own_chain(dermoscopy, tmp_path, monkeypatch):
    used = []
    for name, transformation in RELEASED_TRANSFORMATIONS.items():
        monkeypatch.setitem(
            RELEASED_TRANSFORMATIONS, name,
            lambda image, random, n=name, t=transformation: used[-1].append(n) or t(image, random),
        )  # fmt: skip
    chain = augmentation._chain
    monkeypatch.setattr(augmentation, "_chain", lambda *args: used.append([]) or chain(*args))
    first = augment_offline(dermoscopy, 3, tmp_path / "first", policy="released")
    assert len(first.ids()) == len(used) == 60
    assert set().union(*used) == set(RELEASED_TRANSFORMATIONS)
    assert {len(chain) for chain in used} == set(range(1, 10))
    assert len(set(map(tuple, used))) > 40  # orders differ too
    assert all(len(set(chain)) == len(chain) for chain in used)


def test_the_policy_is_part_of_the_fingerprint_and_the_seed_gives_the_same_pixels(
    dermoscopy, tmp_path
):
    ids = dermoscopy.ids()[:3]
    fingerprints = [
        augment_offline(
            dermoscopy, 2, tmp_path / str(n), ids=ids, policy="released", seed=seed
        ).fingerprint
        for n, seed in enumerate((1, 1, 2))
    ]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    with pytest.raises(InputError, match="other settings"):
        augment_offline(dermoscopy, 2, tmp_path / "0", ids=ids, seed=1)
    with pytest.raises(ValueError, match="`policy` must be 'thesis' or 'released'"):
        augment_offline(dermoscopy, 2, tmp_path / "3", policy="clean")


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


def test_gaussian_noise_differs_between_channels_and_noise_once_per_pixel_does_not(image):
    coloured = transformed("gaussian_noise", image) - image
    grey = transformed("noise_once_per_pixel", image) - image
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
