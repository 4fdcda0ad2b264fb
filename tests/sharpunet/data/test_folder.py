"""Images and masks of one's own, from the folder to the command's one line about what is wrong."""

import numpy as np
import pytest
from PIL import Image

from sharpunet.data import InputError, find_builder, prepare
from sharpunet.data.__main__ import main
from tests.conftest import save_png, square_mask


def test_own_images_need_only_two_folders(own_images, tmp_path):
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    assert dataset.ids() == ["case-0", "case-1", "case-2"]
    assert dataset.info.title == "mine"


def test_a_folder_without_images_is_not_own_data(tmp_path):
    with pytest.raises(InputError, match=r"'mine' is not a known dataset.*put your images"):
        find_builder("mine", tmp_path)


@pytest.mark.parametrize(
    "name", ["{}_mask", "{}_segmentation", "{}-seg", "{}_Label", "mask_{}", "{}_ground_truth"]
)
def test_masks_may_have_longer_names_and_that_is_said(name, own_images, tmp_path):
    for index in range(2):  # not all of them
        path = own_images / f"masks/case-{index}.png"
        path.rename(path.with_stem(name.format(path.stem)))
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    assert dataset.ids() == ["case-0", "case-1", "case-2"]
    assert dataset.info.notes.startswith("2 masks were found by longer names")


def test_a_second_mask_of_an_image_is_refused(own_images, tmp_path):
    (own_images / "masks/case-1.png").rename(own_images / "masks/case-0_mask.png")
    with pytest.raises(InputError, match=r"case-0_mask\.png: is a second mask of case-0"):
        prepare("mine", own_images, tmp_path / "prepared")


def test_masks_saved_as_jpeg_are_thresholded_at_half(own_images, tmp_path):
    large = np.kron(square_mask(), np.ones((4, 4), "uint8"))
    save_png(own_images / "images/case-1.png", np.zeros((160, 192)))
    (own_images / "masks/case-1.png").unlink()
    Image.fromarray(large).convert("RGB").save(own_images / "masks/case-1.jpg", quality=90)
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    mask = np.asarray(Image.open(dataset.paths(["case-1"], "mask_file_name")[0]))
    np.testing.assert_array_equal(mask, large)


def test_a_photo_in_the_place_of_a_jpeg_mask_is_refused(own_images, tmp_path):
    (own_images / "masks/case-1.png").unlink()
    photo = np.tile(np.linspace(0, 255, 48).astype("uint8"), (40, 1))
    Image.fromarray(photo).save(own_images / "masks/case-1.jpg")
    with pytest.raises(InputError, match=r"masks/case-1\.jpg: the mask is not binary"):
        prepare("mine", own_images, tmp_path / "prepared")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_and_its_mask_are_both_upright(orientation, own_images, tmp_path):
    image = np.zeros((40, 48, 3), "uint8")
    image[square_mask() > 0] = 230
    stored = {3: image[::-1, ::-1], 6: np.rot90(image), 8: np.rot90(image, -1)}[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    (own_images / "images/case-1.png").unlink()
    Image.fromarray(stored).save(own_images / "images/case-1.jpg", exif=exif, quality=95)
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    shown = np.asarray(Image.open(dataset.paths(["case-1"])[0]))
    assert shown[square_mask() > 0].mean() > 220
    assert shown[square_mask() == 0].mean() < 10


def test_a_mask_of_the_photo_as_it_is_stored_is_told_so(own_images, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((40, 48, 3), "uint8")).save(
        own_images / "images/case-1.png", exif=exif
    )
    with pytest.raises(InputError, match=r"masks/case-1\.png: .*EXIF orientation"):
        prepare("mine", own_images, tmp_path / "prepared")


def mask(array, name="case-1.png"):
    def spoil(folder):
        Image.fromarray(np.asarray(array, "uint8")).save(folder / "masks" / name)

    return spoil


def remove_all(folder):
    for path in [*folder.glob("images/*"), *folder.glob("masks/*")]:
        path.unlink()


NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 3))
CASES = {
    "an image without its mask": (
        lambda f: (f / "masks/case-1.png").unlink(), "images/case-1.png", "has no mask",
    ),
    "a mask without its image": (
        lambda f: (f / "images/case-1.png").unlink(), "masks/case-1.png", "has no image",
    ),
    "sizes that differ": (mask(square_mask(41, 48)), "masks/case-1.png", "48x41 differs"),
    "an empty mask": (mask(np.zeros((40, 48))), "masks/case-1.png", "single value"),
    "a mask that is not binary": (
        mask(np.arange(40 * 48).reshape(40, 48) % 256), "masks/case-1.png",
        "not binary: it holds 256 values",
    ),
    "a mask in colour": (mask(NOISE), "masks/case-1.png", "in colour"),
    "no files": (remove_all, "prepared", "nothing to prepare"),
    "two files of one name": (
        lambda f: (f / "images/case-1.jpg").write_bytes(b""), "images/case-1.png", "same name",
    ),
    "an image too thin to resize": (
        lambda f: Image.fromarray(np.zeros((2, 90), "uint8")).save(f / "images/case-1.png"),
        "images/case-1.png", "90x2 is too long",
    ),
    "no folder of masks": (lambda f: (f / "masks").rename(f / "labels"), "masks", "no such folder"),
}  # fmt: skip


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("case", CASES)
def test_bad_files_are_named_in_one_line_and_nothing_is_written(case, own_images, tmp_path, capsys):
    spoil, file, reason = CASES[case]
    spoil(own_images)
    before = files_below(tmp_path)
    arguments = ["mine", "--download", str(own_images), "--prepared", str(tmp_path / "prepared")]
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert file in lines[0]
    assert reason in lines[0]
    assert files_below(tmp_path) == before
