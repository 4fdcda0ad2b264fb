"""Volumes as datasets: slices and stacks, patches, NIfTI files of one's own."""

import nibabel
import numpy as np
import pytest

from melanet.data import DatasetInfo, InputError, write_dataset
from melanet.data.pipelines import make_epoch_counter
from sharpunet.data import prepare
from sharpunet.data.phantom3d import generate
from sharpunet.data.volumes import load_patches, read_volume, volume_samples, volume_slices

RANDOM = np.random.default_rng(0)


@pytest.fixture
def stored(tmp_path):
    """Two volumes of 4 x 10 x 12, of which only the second has an object: one corner voxel."""
    volumes = RANDOM.integers(0, 256, (2, 4, 10, 12)).astype("uint8")
    masks = np.zeros_like(volumes)
    masks[1, 3, 9, 11] = 255
    samples = [
        sample
        for index, name in enumerate("ab")
        for sample in volume_samples(name, 4, lambda index=index: (volumes[index], masks[index]))
    ]
    info = DatasetInfo("two", "Two", (10, 12), 1, spacing=(2, 1, 1))
    return write_dataset(tmp_path / "two", info, samples, allow_empty_masks=True), volumes, masks


def test_the_phantom_is_found_by_its_texture_and_is_the_same_every_time():
    volume, mask = generate(3)
    again = generate(3)
    np.testing.assert_array_equal(volume, again[0])
    assert 0.02 < (mask > 0).mean() < 0.4
    rough = np.abs(np.diff(volume.astype(float), axis=2))
    inside = (mask[:, :, 1:] > 0) & (mask[:, :, :-1] > 0)
    assert rough[inside].mean() > 1.5 * rough[~inside].mean()


def test_slices_stack_to_the_volume_that_was_written(stored):
    dataset, volumes, masks = stored
    slices = volume_slices(dataset.ids())
    assert {name: len(ids) for name, ids in slices.items()} == {"a": 4, "b": 4}
    for index, ids in enumerate(slices.values()):
        volume = read_volume(dataset, ids)
        np.testing.assert_array_equal(volume.pixels[..., 0], volumes[index])
        np.testing.assert_array_equal(volume.mask, masks[index] // 255)
    assert dataset.info.spacing == (2, 1, 1)
    assert (volume.scaled().min(), volume.scaled().max()) == (0, 1)


def test_images_that_are_no_slices_are_refused():
    with pytest.raises(InputError, match="polyp: is an image, not a slice"):
        volume_slices(["a-001", "polyp"])


def all_patches(batches):
    return np.concatenate([np.concatenate([x, y], axis=-1) for x, y in batches])


def test_patches_follow_from_seed_and_epoch_and_are_cut_from_the_volumes(stored):
    dataset, volumes, _ = stored
    options = {"patch_size": (2, 4, 4), "patches": 3, "seed": 5}
    batches = load_patches(dataset, dataset.ids(), **options)
    first, second = all_patches(batches), all_patches(batches)
    assert first.shape == (6, 2, 4, 4, 2)
    assert not np.array_equal(first, second)
    again = load_patches(dataset, dataset.ids(), **options)
    np.testing.assert_array_equal(first, all_patches(again))
    counter = make_epoch_counter()
    counter.assign(1)  # one epoch was done before
    resumed = load_patches(dataset, dataset.ids(), **options, epoch_counter=counter)
    np.testing.assert_array_equal(second, all_patches(resumed))
    fixed = load_patches(dataset, dataset.ids(), **options, fixed=True)
    np.testing.assert_array_equal(all_patches(fixed), all_patches(fixed))
    windows = [
        np.lib.stride_tricks.sliding_window_view(
            (volume - float(volume.min())) / (float(volume.max()) - volume.min()), (2, 4, 4)
        ).reshape(-1, 2, 4, 4)
        for volume in volumes
    ]
    for patch in first[..., 0]:
        gaps = [np.abs(each - patch).max(axis=(1, 2, 3)).min() for each in windows]
        assert min(gaps) < 1e-6


def test_foreground_is_shown_as_often_as_asked(stored):
    dataset, _, _ = stored
    ids = volume_slices(dataset.ids())["b"]
    options = {"patch_size": (2, 4, 4), "patches": 200}
    shown = {
        share: float(
            (
                all_patches(load_patches(dataset, ids, foreground=share, **options))[..., 1].max(
                    axis=(1, 2, 3)
                )
            ).mean()
        )
        for share in (0.0, 0.5, 1.0)
    }
    assert shown[1.0] == 1
    assert 0.4 < shown[0.5] < 0.65
    assert shown[0.0] < 0.1  # one of 3 x 7 x 9 places


def test_small_volumes_are_padded_with_background(stored):
    dataset, _, _ = stored
    patches = all_patches(load_patches(dataset, dataset.ids(), patch_size=(8, 8, 8), patches=1))
    assert patches.shape == (2, 8, 8, 8, 2)
    assert not patches[:, 4:].any()


def save(path, values, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def own(folder, spacings=((1, 1, 2), (1, 1, 2), (0.5, 1, 4)), labels=(1,)):
    for index, spacing in enumerate(spacings):
        values = RANDOM.normal(0, 300, (16, 20, 10)).astype("int16")
        mask = np.zeros(values.shape, "uint8")
        for place, label in enumerate(labels):
            mask[4 * place : 4 * place + 4, 2:10, 3:8] = label
        affine = np.diag([*spacing, 1.0])
        save(folder / f"images/case {index}_0000.nii.gz", values, affine)
        save(folder / f"masks/case {index}.nii.gz", mask, affine)
    return folder


def test_own_volumes_are_resampled_to_their_median_spacing(tmp_path):
    dataset = prepare("mine", own(tmp_path / "mine"), tmp_path / "out")
    assert dataset.info.spacing == (2, 1, 1)
    assert "1 of 3 were resampled" in dataset.info.notes
    shapes, inside = {}, {}
    for name, ids in volume_slices(dataset.ids()).items():
        volume = read_volume(dataset, ids)
        shapes[name], inside[name] = volume.mask.shape, int(volume.mask.sum())
    assert shapes == {"case_0": (10, 20, 16), "case_1": (10, 20, 16), "case_2": (20, 20, 8)}
    # The same millimetres hold the same voxels: 4 x 8 x 5 of 2 mm3 each.
    assert inside == {"case_0": 160, "case_1": 160, "case_2": 160}
    assert set(dataset.metadata["group"]) == {"case_0", "case_1", "case_2"}
    assert "case 0_0000.nii.gz" in set(dataset.metadata["original_name"])


def test_axes_are_brought_to_one_order(tmp_path):
    """The same body, stored with other axes: the same slices."""
    values = RANDOM.normal(0, 300, (16, 20, 10)).astype("float32")
    mask = np.zeros(values.shape, "uint8")
    mask[2:6, 3:9, 4:7] = 1
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])  # to the left, to the back, up
    save(tmp_path / "mine/images/a.nii", values, affine)
    save(tmp_path / "mine/masks/a.nii", mask, affine)
    turned = np.array([[0, 0, 1, 0], [0, -1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], float)
    # Stored as (up, to the back, to the right).
    save(tmp_path / "mine/images/b.nii", values.transpose(2, 1, 0)[:, :, ::-1], turned)
    save(tmp_path / "mine/masks/b.nii", mask.transpose(2, 1, 0)[:, :, ::-1], turned)
    dataset = prepare("mine", tmp_path / "mine", tmp_path / "out")
    first, second = (read_volume(dataset, ids) for ids in volume_slices(dataset.ids()).values())
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(first.mask, mask.transpose(2, 1, 0))


def test_labels_become_classes_in_order(tmp_path):
    dataset = prepare("mine", own(tmp_path / "mine", labels=(2, 7)), tmp_path / "out")
    assert dataset.info.classes == 3
    assert "Values 0, 2, 7 of the masks became 0 to 2" in dataset.info.notes
    volume = read_volume(dataset, volume_slices(dataset.ids())["case_0"])
    assert np.unique(volume.mask).tolist() == [0, 1, 2]
    assert volume.targets(3).shape == (10, 20, 16, 3)


@pytest.mark.parametrize("suffix", ["", ".nii.gz"])
def test_patients_of_several_volumes_are_groups(suffix, tmp_path):
    folder = own(tmp_path / "mine")
    (folder / "groups.csv").write_text("name,group\n" + "".join(
        f"case {index}_0000{suffix},{group}\n" for index, group in enumerate("xxy")
    ))  # fmt: skip
    dataset = prepare("mine", folder, tmp_path / "out")
    groups = dict(zip(dataset.metadata["id"], dataset.metadata["group"], strict=True))
    assert (groups["case_0-000"], groups["case_1-003"], groups["case_2-000"]) == ("x", "x", "y")


def test_what_cannot_be_a_volume_with_its_mask_is_named(tmp_path):
    folder = own(tmp_path / "other grid")
    save(folder / "masks/case 1.nii.gz", np.zeros((16, 20, 9), "uint8"), np.diag([1, 1, 2, 1.0]))
    with pytest.raises(InputError, match=r"case 1\.nii\.gz: its shape .* differs"):
        prepare("mine", folder, tmp_path / "out")
    folder = own(tmp_path / "empty", labels=())
    with pytest.raises(InputError, match="no mask outlines anything"):
        prepare("mine", folder, tmp_path / "out")
    folder = own(tmp_path / "missing")
    (folder / "masks/case 2.nii.gz").unlink()
    with pytest.raises(InputError, match="case 2"):
        prepare("mine", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
