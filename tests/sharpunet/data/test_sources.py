"""The datasets of table 3.1, from small files in their official layouts."""

import dataclasses
import io
import shutil

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from experiments.common.published import DATASET_TITLES
from melanet.data import Sample
from melanet.data.readers.nifti import read_nifti
from sharpunet.data import BUILDERS, InputError, ct, prepare
from sharpunet.data.__main__ import main
from tests.conftest import save_nifti, save_png, square_mask, write_cvc_clinicdb, write_dsb2018

pytestmark = pytest.mark.filterwarnings("ignore:.*images found:UserWarning")
OFFICIAL = ["isbi2012", "dsb2018", "cvc_clinicdb", "covid_ct", "isic2018", "lung"]


@pytest.fixture
def download(request):
    """The folder of the official files of the dataset that the test is parametrized with."""
    return request.getfixturevalue(request.param)


def prepare_beside(folder):
    """Prepares a dataset whose folder has its name."""
    return prepare(folder.name, folder, folder.parent / "prepared")


def image_of(dataset, id):
    return np.asarray(Image.open(dataset.paths([id])[0]))


def mask_of(dataset, id):
    return np.asarray(Image.open(dataset.paths([id], "mask_file_name")[0]))


def groups(dataset):
    return dict(zip(dataset.metadata["id"], dataset.metadata["group"], strict=True))


def test_the_sources_are_the_datasets_of_table_3_1_and_the_phantoms():
    assert list(BUILDERS) == [*DATASET_TITLES, "phantom", "phantom3d"]
    for name, title in DATASET_TITLES.items():
        assert BUILDERS[name].info.title == title


def test_sizes_channels_classes_and_counts_are_those_of_section_3_3_1():
    found = {
        name: (*info.image_size, info.channels, info.classes, info.keep_aspect_ratio, published)
        for name, builder in BUILDERS.items()
        if (info := builder.info) and (published := builder.published_count)
    }
    assert found["isic2018"] == (192, 256, 3, 1, True, 2594)
    assert found["cvc_clinicdb"] == (192, 256, 3, 1, True, 612)
    assert found["lung"] == (256, 256, 1, 1, False, 267)
    assert found["covid_ct"] == (512, 512, 1, 4, False, 100)


@pytest.mark.parametrize("download", [name for name in OFFICIAL if name != "lung"], indirect=True)
def test_listing_decodes_no_pixels(download, monkeypatch):
    monkeypatch.setattr(tifffile, "imread", None)
    monkeypatch.setattr(Image, "open", None)
    monkeypatch.setattr(nibabel.Nifti1Image, "get_fdata", None)
    samples = BUILDERS[download.name].read(download)
    assert samples
    assert all(isinstance(sample, Sample) for sample in samples)


@pytest.mark.parametrize("download", OFFICIAL, indirect=True)
def test_another_count_than_the_published_is_a_warning(download):
    published = BUILDERS[download.name].published_count
    with pytest.warns(UserWarning, match=f"images found, {published} are published"):
        prepare_beside(download)


def test_isbi2012_is_one_image_per_slice_with_the_cells_as_foreground(isbi2012):
    dataset = prepare_beside(isbi2012)
    assert len(dataset.ids()) == 12
    np.testing.assert_array_equal(mask_of(dataset, "slice-00"), square_mask(64, 64))
    assert image_of(dataset, "slice-00").shape == (64, 64)


def test_isbi2012_groups_are_blocks_of_neighbouring_slices(isbi2012):
    assert list(groups(prepare_beside(isbi2012)).values()) == ["block-0"] * 6 + ["block-1"] * 6


def test_dsb2018_merges_the_nuclei_of_an_image_and_drops_transparency(dsb2018):
    dataset = prepare_beside(dsb2018)
    expected = np.zeros((40, 48), "uint8")
    expected[5:15, 10:20] = expected[20:30, 10:20] = 255
    np.testing.assert_array_equal(mask_of(dataset, dataset.ids()[0]), expected)
    assert image_of(dataset, dataset.ids()[0]).shape == (40, 48, 3)


def zip_with(*entries):
    return lambda folder: write_dsb2018(folder, {"a": (40, 48)}, entries)


def colour_nuclei(*colours):
    """The zip with a nucleus per colour, of 4 x 4 pixels in a row."""

    def png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return file.getvalue()

    entries = [("c/images/c.png", png(np.full((16, 32, 4), 90, "uint8")))]
    for number, colour in enumerate(colours):
        mask = np.zeros((16, 32, 4), "uint8")
        mask[..., 3] = 255
        mask[4:8, 8 * number : 8 * number + 4, :3] = colour
        entries.append((f"c/masks/{number}.png", png(mask)))
    return zip_with(*entries)


def test_dsb2018_nuclei_may_be_drawn_in_any_colour(tmp_path):
    folder = tmp_path / "dsb2018"
    colour_nuclei((255, 255, 255), (0, 255, 0), (0, 0, 120))(folder)
    mask = mask_of(prepare_beside(folder), "c")
    assert mask[5, [1, 9, 17, 25]].tolist() == [255, 255, 255, 0]
    assert np.count_nonzero(mask) == 3 * 16


def test_dsb2018_tiles_of_one_field_are_one_group(tmp_path):
    folder = tmp_path / "dsb2018"
    smooth = gaussian_filter(np.random.default_rng(0).normal(0, 100, (2, 80, 96)), (0, 3, 3))
    field, other = np.clip(128 + 3 * smooth, 0, 255).astype("uint8")
    tiles = {"c": field[:40, :48], "a": other[:40, :48], "b": field[40:, :48], "d": field[40:, 48:]}
    entries = []
    for name, pixels in tiles.items():
        for kind in ("images", "masks"):
            file = io.BytesIO()
            shown = pixels if kind == "images" else 255 * np.uint8(pixels > 128)
            Image.fromarray(shown).save(file, "png")
            entries.append((f"{name}/{kind}/{name}.png", file.getvalue()))
    write_dsb2018(folder, {}, entries)
    assert groups(prepare_beside(folder)) == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_isic2018_pairs_images_with_masks_and_leaves_its_texts_out(isic2018):
    dataset = prepare_beside(isic2018)
    names = ["ISIC_0000000", "ISIC_0000001", "ISIC_0000002"]
    assert groups(dataset) == dict(zip(names, names, strict=True))
    np.testing.assert_array_equal(mask_of(dataset, "ISIC_0000001"), square_mask())
    image = image_of(dataset, "ISIC_0000002")
    assert image.shape == (40, 48, 3)
    assert abs(image.astype(int) - 160).max() <= 1  # JPEG


def test_cvc_clinicdb_keeps_the_frames_of_a_video_together(cvc_clinicdb):
    assert groups(prepare_beside(cvc_clinicdb)) == {
        "frame-001": "video-01",
        "frame-025": "video-01",
        "frame-026": "video-02",
        "frame-612": "video-29",
    }


def test_cvc_clinicdb_has_29_videos_of_612_frames(tmp_path):
    for kind in ("Original", "Ground Truth"):
        (tmp_path / kind).mkdir()
        for frame in range(1, 613):
            (tmp_path / kind / f"{frame}.tif").touch()
    samples = BUILDERS["cvc_clinicdb"].read(tmp_path)
    assert [sample.id for sample in samples] == [f"frame-{frame:03d}" for frame in range(1, 613)]
    videos = [sample.group for sample in samples]
    assert videos == sorted(videos)  # each is a run of frames
    assert len(set(videos)) == 29


@pytest.mark.parametrize(("part", "suffix"), [("PNG", ".png"), ("TIF", ".tif")])
def test_cvc_clinicdb_is_read_from_its_copy_too(part, suffix, tmp_path):
    folder = write_cvc_clinicdb(tmp_path / "cvc_clinicdb", [3], part, suffix)
    dataset = prepare_beside(folder)
    np.testing.assert_array_equal(mask_of(dataset, "frame-003"), square_mask())
    assert (image_of(dataset, "frame-003") == 3).all()


def test_cvc_clinicdb_masks_are_thresholded_at_half(tmp_path):
    mask = square_mask()
    mask[0, :4] = [3, 127, 128, 252]
    dataset = prepare_beside(write_cvc_clinicdb(tmp_path / "cvc_clinicdb", [3], mask=mask))
    assert mask_of(dataset, "frame-003")[0, :5].tolist() == [0, 0, 255, 255, 0]


def test_covid_ct_has_four_classes_and_a_group_per_slice(covid_ct):
    dataset = prepare_beside(covid_ct)
    assert groups(dataset) == {f"slice-00{n}": f"slice-00{n}" for n in range(4)}
    labels = mask_of(dataset, "slice-001")
    assert labels[9:13, 3:9].tolist() == [  # rows are NIfTI's second axis, columns its first
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 2, 2, 2, 2, 0],
        [0, 3, 3, 3, 3, 0],
    ]
    assert not mask_of(dataset, "slice-000").any()


def test_covid_ct_windows_air_to_black_and_tissue_to_white(covid_ct):
    image = image_of(prepare_beside(covid_ct), "slice-002")
    # -1200 and below -1000: 0; -300: 700 / 1400 of 255; 400 and above: 255; 0: 1000 / 1400 of 255
    assert image[:4, 0].tolist() == [0, 128, 255, 255]
    assert image[0, 5] == 182


def test_lung_slices_and_volumes_of_a_scan_are_one_group(lung):
    assert groups(prepare_beside(lung)) == {
        "ID_0000_Z_0142": "scan-0000",
        "ID_0002_Z_0080": "scan-0002",
        "ID_0007_Z_0080": "scan-0007",
        "scan-0002-slice-003": "scan-0002",
    }


def test_lung_windows_as_azad_et_al(lung):
    dataset = prepare_beside(lung)
    # -1000 and -512: 0; 0: half of 255; 512 and above: 255
    image = image_of(dataset, "ID_0000_Z_0142")
    assert image[0, :5].tolist() == [0, 128, 255, 255, 0]
    assert image_of(dataset, "scan-0002-slice-003")[0, :3].tolist() == [0, 255, 0]


def test_lung_masks_of_slices_and_volumes(lung):
    dataset = prepare_beside(lung)
    np.testing.assert_array_equal(mask_of(dataset, "ID_0000_Z_0142"), square_mask(24, 24))
    mask = mask_of(dataset, "scan-0002-slice-003")
    assert (mask[4:9, 4:20] == 255).all()
    assert np.count_nonzero(mask) == 5 * 16


def test_lung_slices_without_lung_are_left_out_and_counted(lung):
    tifffile.imwrite(lung / "2d_masks/ID_0007_Z_0080.tif", np.zeros((24, 24), "uint8"))
    dataset = prepare_beside(lung)
    assert dataset.ids() == ["ID_0000_Z_0142", "ID_0002_Z_0080", "scan-0002-slice-003"]
    assert dataset.info.notes == "Left out: 5 of 8 slices, which show no lung."


def test_lung_eight_bit_slices_stay_as_they_are(lung):
    page = np.arange(24 * 24).reshape(24, 24).astype("uint8")
    tifffile.imwrite(lung / "2d_images/ID_0000_Z_0142.tif", page)
    image = image_of(prepare_beside(lung), "ID_0000_Z_0142")
    np.testing.assert_array_equal(image, page)


@pytest.mark.parametrize(("gone", "left"), [(["3d_images"], 3), (["2d_images", "2d_masks"], 1)])
def test_lung_slices_or_volumes_alone_suffice(gone, left, lung):
    for name in gone:
        shutil.rmtree(lung / name)
    assert len(prepare_beside(lung).metadata) == left


@pytest.mark.parametrize("download", ["covid_ct", "lung"], indirect=True)
def test_a_volume_is_unpacked_once_not_for_every_slice(download, monkeypatch):
    unpacked = []
    open_nifti = nibabel.Nifti1Image.get_fdata

    def count(image, **options):
        unpacked.append(image.get_filename())
        return open_nifti(image, **options)

    monkeypatch.setattr(nibabel.Nifti1Image, "get_fdata", count)
    prepare_beside(download)
    assert len(set(unpacked)) == 2
    assert len(unpacked) <= 4  # the masks of lungs also to count and to list the slices


LPS, RAS = np.diag([-1.0, -1, 1, 1]), np.diag([1.0, 1, 1, 1])


def moved(affine, *place):
    affine = affine.copy()
    affine[:3, 3] = place
    return affine


def save_scan(folder, name, values, affine):
    folder.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(values), affine), folder / name)


def write_scan(folder, image=LPS, mask=LPS, change=lambda values: values, mask_change=None):
    """`lung` with one volume in LPS axes, stored in other axes by `change` and `mask_change`."""
    scan = np.random.default_rng(0).integers(-1000, 400, (24, 24, 3)).astype("int16")
    labels = np.zeros((24, 24, 3), "uint8")
    labels[5:9, 8:20] = 1
    save_scan(folder / "3d_images", "IMG_0001.nii.gz", change(scan), image)
    save_scan(folder / "3d_images", "MASK_0001.nii.gz", (mask_change or change)(labels), mask)
    return prepare("lung", folder, folder.parent / f"{folder.name}-prepared")


def swapped(values):
    return values.transpose(2, 0, 1)


#: Where the axes of the array lead to, the array, and an affine that places the same voxels so.
ORIENTATIONS = {
    "RAS": (lambda v: v[::-1, ::-1], moved(RAS, -23, -23, 0)),
    "LAS": (lambda v: v[:, ::-1], moved(np.diag([-1.0, 1, 1, 1]), 0, -23, 0)),
    "LPI": (lambda v: v[:, :, ::-1], moved(np.diag([-1.0, -1, -1, 1]), 0, 0, 2)),
    "SLP": (swapped, np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_volumes_come_out_upright_and_alike_in_any_order_of_axes(name, tmp_path):
    stored = write_scan(tmp_path / "lps")
    change, affine = ORIENTATIONS[name]
    both = write_scan(tmp_path / "both", affine, affine, change)
    mask_alone = write_scan(tmp_path / "mask", LPS, affine, mask_change=change)
    assert stored.ids() == both.ids() == mask_alone.ids()
    # Rows lead to the back and columns to the left, which is the order of NIfTI's axes in LPS.
    assert mask_of(stored, stored.ids()[0])[8:20, 5:9].all()
    for dataset in (both, mask_alone):
        assert list(dataset.metadata["sha256"]) == list(stored.metadata["sha256"])


@pytest.mark.parametrize(
    ("mask", "reason"),
    [(moved(LPS, 0, 0, 3), "3 mm from IMG_0001"), (np.diag([-2.0, -2, 1, 1]), "mm from IMG_0001"),
     (RAS, "mm from IMG_0001")],
)  # fmt: skip
def test_a_mask_that_lies_elsewhere_is_refused(mask, reason, tmp_path):
    with pytest.raises(InputError, match=rf"MASK_0001\.nii\.gz: its affine .*{reason}"):
        write_scan(tmp_path / "lung", LPS, mask)


def test_an_affine_of_image_or_mask_alone_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"IMG_0001\.nii\.gz says nothing of its orientation"):
        write_scan(tmp_path / "lung", image=None)
    with pytest.raises(InputError, match=r"MASK_0001\.nii\.gz says nothing of its orientation"):
        write_scan(tmp_path / "lung", mask=None)


def test_volumes_that_say_nothing_of_their_orientation_stay_as_they_are(tmp_path):
    stored, silent = write_scan(tmp_path / "lps"), write_scan(tmp_path / "none", None, None)
    assert list(silent.metadata["sha256"]) == list(stored.metadata["sha256"])


def test_arrays_of_slices_that_were_saved_without_thought_stay_as_they_are(lung):
    # Slices come first, so the affine cannot be right; rows and columns are those of the arrays.
    mask = mask_of(prepare_beside(lung), "scan-0002-slice-003")
    assert mask[4:9, 4:20].all()


def test_axial_slices_lie_across_the_axis_that_is_not_square(tmp_path):
    wide = save_nifti(tmp_path / "wide.nii.gz", np.zeros((24, 20, 16), "int16"))
    with pytest.raises(InputError, match=r"wide.nii.gz.*\(24, 20, 16\)"):
        ct.slice_volume(wide, wide, read_nifti, prefix="slice", window=(-1, 1))


def truncate(path, keep=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


@pytest.mark.parametrize("at", [0.2, 0.25, 0.3, 0.35, 0.4])
def test_a_damaged_entry_of_a_zip_file_is_refused(at, dsb2018):
    path = dsb2018 / "stage1_train.zip"
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"stage1_train\.zip"):
        prepare_beside(dsb2018)


@pytest.mark.parametrize("keep", [0, 0.001, 0.5, 0.9])
@pytest.mark.parametrize("names", [["train-volume.tif"], ["train-volume.tif", "train-labels.tif"]])
def test_truncated_stacks_are_refused(names, keep, isbi2012):
    for name in names:
        truncate(isbi2012 / name, keep)
    with pytest.raises(InputError, match=r"train-volume\.tif.*cannot be read"):
        prepare_beside(isbi2012)


@pytest.mark.parametrize("name", [*OFFICIAL, "unknown"])
def test_a_missing_folder_is_named(name, tmp_path, monkeypatch, capsys):
    if name in BUILDERS:  # without a download
        builder = dataclasses.replace(BUILDERS[name], fetch=None)
        monkeypatch.setitem(BUILDERS, name, builder)
    arguments = [name, "--download", str(tmp_path / "no"), "--prepared", str(tmp_path / "p")]
    assert main(arguments) == 2
    assert str(tmp_path / "no") in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


ISIC_MASKS = "ISIC2018_Task1_Training_GroundTruth"
ISIC_IMAGES = "ISIC2018_Task1-2_Training_Input"
NOISE = np.random.default_rng(0).integers(-1000, 1000, (24, 24, 4)).astype("int16")


#: By case: the dataset, what is done to its folder, what the message names, and what it says.
BAD = {
    "an image without nuclei": (
        "dsb2018", zip_with(("b/images/b.png", b"")), "b/images/b.png", "has no mask",
    ),
    "nuclei without an image": (
        "dsb2018", zip_with(("b/masks/1.png", b"")), "b/masks/1.png", "has no image",
    ),
    "an empty nucleus": ("dsb2018", colour_nuclei((9, 9, 9), (0, 0, 0)), "c/masks/1.png", "empty"),
    "a nucleus of several colours": (
        "dsb2018", colour_nuclei(np.arange(48).reshape(4, 4, 3)), "c/masks/0.png",
        "several colours",
    ),
    "a slice of signed bytes": (
        "lung",
        lambda f: tifffile.imwrite(
            f / "2d_images/ID_0007_Z_0080.tif", np.full((24, 24), -100, "int8")),
        "2d_images/ID_0007_Z_0080.tif", "8-bit signed",
    ),
    "a broken image in the zip file": (
        "dsb2018", zip_with(("b/images/b.png", b"\x89PNG"), ("b/masks/1.png", b"")),
        "b/images/b.png", "cannot be read as an image",
    ),
    "no folder of images": (
        "isic2018", lambda f: shutil.rmtree(f / ISIC_IMAGES), ISIC_IMAGES, "https://challenge.isic",
    ),
    "an empty folder of masks": (
        "isic2018", lambda f: [p.unlink() for p in (f / ISIC_MASKS).glob("*.png")], ISIC_MASKS,
        "holds no ISIC_*_segmentation.png",
    ),
    "an image without its mask": (
        "isic2018", lambda f: (f / ISIC_MASKS / "ISIC_0000001_segmentation.png").unlink(),
        f"{ISIC_IMAGES}/ISIC_0000001.jpg", "has no mask",
    ),
    "a mask without its image": (
        "isic2018", lambda f: (f / ISIC_IMAGES / "ISIC_0000001.jpg").unlink(),
        f"{ISIC_MASKS}/ISIC_0000001_segmentation.png", "has no image",
    ),
    "a mask of another size": (
        "isic2018",
        lambda f: save_png(f / ISIC_MASKS / "ISIC_0000001_segmentation.png", square_mask(41)),
        "ISIC_0000001_segmentation.png", "48x41 differs from the size 48x40",
    ),
    "no frames": (
        "cvc_clinicdb", lambda f: shutil.rmtree(f / "Original"), "Original", "no such folder",
    ),
    "no masks of frames": (
        "cvc_clinicdb", lambda f: shutil.rmtree(f / "Ground Truth"), "Ground Truth",
        "https://polyp.grand-challenge.org",
    ),
    "a frame that is not of the set": (
        "cvc_clinicdb", lambda f: write_cvc_clinicdb(f, [613]), "Original/613.tif", "1 to 612",
    ),
    "a frame without a number": (
        "cvc_clinicdb", lambda f:
        (f / "Original/1.tif").rename(f / "Original/first.tif"), "first.tif", "1 to 612",
    ),
    "a truncated frame": (
        "cvc_clinicdb", lambda f: truncate(f / "Original/25.tif"), "Original/25.tif", "read",
    ),
    "a missing volume": (
        "covid_ct", lambda f: (f / "tr_mask.nii.gz").unlink(), "tr_mask.nii.gz",
        "http://medicalsegmentation.com",
    ),
    "a truncated volume": (
        "covid_ct", lambda f: truncate(save_nifti(f / "tr_im.nii.gz", NOISE)), "tr_im.nii.gz",
        "cannot be read to its end",
    ),
    "no NIfTI": (
        "covid_ct", lambda f: (f / "tr_im.nii.gz").write_bytes(b"<html>" * 100), "tr_im.nii.gz",
        "as NIfTI",
    ),
    "volumes of two shapes": (
        "covid_ct", lambda f: save_nifti(f / "tr_mask.nii.gz", np.zeros((24, 24, 3), "uint8")),
        "tr_mask.nii.gz", "(24, 24, 3) differs from the shape (24, 24, 4)",
    ),
    "a class too many": (
        "covid_ct", lambda f: save_nifti(f / "tr_mask.nii.gz", np.full((24, 24, 4), 4, "uint8")),
        "tr_mask.nii.gz (slice 0)", "holds the class 4",
    ),
    "a mask of fractions": (
        "covid_ct",
        lambda f: save_nifti(f / "tr_mask.nii.gz", np.full((24, 24, 4), 0.5, "float32")),
        "tr_mask.nii.gz (slice 0)", "fractions",
    ),
    "values that are no numbers": (
        "covid_ct",
        lambda f: save_nifti(f / "tr_im.nii.gz", np.full((24, 24, 4), np.nan, "float32")),
        "tr_im.nii.gz", "not finite numbers",
    ),
    "a volume in other units": (
        "covid_ct", lambda f: save_nifti(f / "tr_im.nii.gz", np.ones((24, 24, 4), "float32")),
        "tr_im.nii.gz (slice 0)", "Hounsfield",
    ),
    "neither slices nor volumes": (
        "lung", lambda f: [shutil.rmtree(p) for p in f.iterdir()], "lung", "https://www.kaggle.com",
    ),
    "slices without a folder of masks": (
        "lung", lambda f: shutil.rmtree(f / "2d_masks"), "2d_masks", "no such folder",
    ),
    "a slice without its mask": (
        "lung", lambda f: (f / "2d_masks/ID_0007_Z_0080.tif").unlink(),
        "2d_images/ID_0007_Z_0080.tif", "has no mask",
    ),
    "a volume without its mask": (
        "lung", lambda f: (f / "3d_images/MASK_0002.nii.gz").rename(f / "3d_images/MASK_3.nii.gz"),
        "IMG_0002.nii.gz", "has no mask",
    ),
    "an unreadable slice": (
        "lung", lambda f: truncate(f / "2d_images/ID_0007_Z_0080.tif", 0.3),
        "2d_images/ID_0007_Z_0080.tif", "cannot be read",
    ),
    "a slice in colour": (
        "lung",
        lambda f: save_png(f / "2d_images/ID_0007_Z_0080.tif", np.zeros((24, 24, 3))),
        "2d_images/ID_0007_Z_0080.tif", "grey slices",
    ),
    "a truncated mask of a volume": (
        "lung", lambda f: truncate(f / "3d_images/MASK_0002.nii.gz", 0.8), "MASK_0002.nii.gz",
        "cannot be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_download_is_named_in_one_line(case, request, tmp_path):
    name, spoil, file, reason = BAD[case]
    folder = request.getfixturevalue(name)
    spoil(folder)
    with pytest.raises(InputError) as raised:
        prepare_beside(folder)
    assert file in str(raised.value)
    assert reason in str(raised.value)
    assert not (tmp_path / "prepared").exists()


def test_real_isbi2012(real_data, tmp_path):
    dataset = prepare("isbi2012", real_data / "isbi2012", tmp_path / "prepared")
    assert len(dataset.ids()) == 30
    mask = mask_of(dataset, "slice-00")
    assert mask.shape == (512, 512)
    assert 0.7 < (mask == 255).mean() < 0.9  # cells fill most of the tissue


def test_real_dsb2018(real_data, tmp_path):
    dataset = prepare("dsb2018", real_data / "dsb2018", tmp_path / "prepared")
    assert len(dataset.ids()) == 101
    fields = dataset.metadata.groupby("group").size()
    assert sorted(fields[fields > 1]) == [2] * 9 + [3]


def test_real_cvc_clinicdb_as_published_and_its_copy_are_the_same_pixels(real_data, tmp_path):
    published, copy = (
        prepare("cvc_clinicdb", real_data / name, tmp_path / name)
        for name in ("cvc_clinicdb_official", "cvc_clinicdb")
    )
    assert (len(published.ids()), len(copy.ids())) == (24, 612)
    assert published.values("sha256", published.ids()) == copy.values("sha256", published.ids())
