"""Images and masks of one's own, from the folder to the command's one line about what is wrong."""

import numpy as np
import pytest
from PIL import Image

from experiments.common.table import run_table
from experiments.table_3_1 import TABLE
from melanet.data.new_images import read_new_image
from melanet.data.pixels import resize
from sharpunet.data import InputError, OwnOptions, find_builder, open_dataset, prepare
from sharpunet.data.__main__ import main
from sharpunet.data.vanishing import _sampled, find_vanished
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


def jpeg_classes(folder):
    for path in sorted(folder.glob("masks/*")):
        path.unlink()
        Image.fromarray(square_mask() // 255 * 2).save(path.with_suffix(".jpg"))


NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 3))
CASES = {
    "an image without its mask": (
        lambda f: (f / "masks/case-1.png").unlink(), "images/case-1.png", "has no mask",
    ),
    "a mask without its image": (
        lambda f: (f / "images/case-1.png").unlink(), "masks/case-1.png", "has no image",
    ),
    "sizes that differ": (mask(square_mask(41, 48)), "masks/case-1.png", "48x41 differs"),
    "a mask of foreground only": (
        mask(np.full((40, 48), 255)), "masks/case-1.png", "single value",
    ),
    "masks that are all empty": (
        lambda f: [mask(np.zeros((40, 48)), f"case-{i}.png")(f) for i in range(3)], "masks",
        "all masks are empty",
    ),
    "a value between the classes": (
        mask(square_mask() // 255 * 3), "masks/case-1.png", "without gaps",
    ),
    "an image of a format that is not read": (
        lambda f: (f / "images/case-1.png").rename(f / "images/case-1.webp"),
        "images/case-1.webp", "convert images to PNG",
    ),
    "groups of some images only": (
        lambda f: (f / "groups.csv").write_text("name,group\ncase-0,a\n"), "groups.csv",
        "has no group for case-1.png, case-2.png",
    ),
    "a table of colours that lacks one": (
        lambda f: (f / "colours.csv").write_text("colour,name\n#000000,skin\n#ff0000,lesion\n"),
        "masks/case-0.png", "#ffffff",
    ),
    "a mask that is not binary": (
        mask(np.arange(40 * 48).reshape(40, 48) % 256), "masks/case-1.png",
        "not binary: it holds 256 values",
    ),
    "a mask in colour": (mask(NOISE), "masks/case-1.png", "in colour"),
    "no files": (remove_all, "images", "nothing to prepare, no image was found. Put your images"),
    "a link to nothing": (
        lambda f: (f / "images/case-9.png").symlink_to("gone.png"), "images/case-9.png",
        "is a link to a file that is missing; mend or remove it",
    ),
    "a folder among the images": (
        lambda f: (f / "images/more").mkdir(), "images/more", "is a folder; move its images to",
    ),
    "JPEG masks of classes": (
        jpeg_classes, "masks", "JPEG masks are cut at half: save classes from 0 on as PNG",
    ),
    "a table of groups with semicolons": (
        lambda f: (f / "groups.csv").write_text("name;group\ncase-0;a\n"), "groups.csv",
        "fields are separated by ';'; save the table with commas",
    ),
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


def test_images_without_the_object_are_allowed_and_counted(own_images, tmp_path):
    mask(np.zeros((40, 48)))(own_images)
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    assert dataset.info.notes == "1 of 3 images show no object: case-1."
    assert not mask_of(dataset, "case-1").any()


def mask_of(dataset, id):
    return np.asarray(Image.open(dataset.paths([id], "mask_file_name")[0]))


def three_classes():
    labels = square_mask() // 255
    labels[:3] = 2
    return labels


def test_label_maps_become_classes(own_images, tmp_path):
    for index in range(3):
        mask(three_classes(), f"case-{index}.png")(own_images)
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    assert (dataset.info.classes, dataset.info.class_names) == (3, ())
    np.testing.assert_array_equal(mask_of(dataset, "case-1"), three_classes())
    assert "class_names" not in (dataset.folder / "dataset.json").read_text()


def test_classes_may_be_named_also_such_as_no_image_shows(own_images, tmp_path):
    for index in range(3):
        mask(square_mask() // 255 * 2, f"case-{index}.png")(own_images)
    names = ("skin", "hair", "lesion")
    dataset = prepare("mine", own_images, tmp_path / "prepared", OwnOptions(classes=names))
    assert (dataset.info.classes, dataset.info.class_names) == (3, names)
    assert open_dataset(dataset.folder).info == dataset.info


def test_a_palette_counts_by_its_indices(own_images, tmp_path):
    for index in range(3):
        image = Image.fromarray(three_classes()).convert("P")
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.save(own_images / f"masks/case-{index}.png")
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    np.testing.assert_array_equal(mask_of(dataset, "case-1"), three_classes())
    image.putpalette([0, 0, 0, 0, 128, 0, 128, 0, 0])
    image.save(own_images / "masks/case-2.png")
    with pytest.raises(InputError, match=r"case-2\.png: its palette has another colour at 1"):
        prepare("mine", own_images, tmp_path / "other")


@pytest.mark.parametrize("beside", [True, False])
def test_colours_are_classes_by_a_table(beside, own_images, tmp_path):
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], "uint8")
    for index in range(3):
        mask(colours[three_classes()], f"case-{index}.png")(own_images)
    table = (own_images if beside else tmp_path) / "colours.csv"
    table.write_text("colour,name\n#000000,skin\n#ff0000,lesion\n#0000ff,hair\n")
    options = OwnOptions(colours=None if beside else table)
    dataset = prepare("mine", own_images, tmp_path / "prepared", options)
    assert dataset.info.class_names == ("skin", "lesion", "hair")
    np.testing.assert_array_equal(mask_of(dataset, "case-1"), three_classes())


def test_groups_come_from_a_table_or_from_names(own_images, tmp_path):
    (own_images / "groups.csv").write_text("name,group\ncase-0,a\ncase-1.png,b\ncase-2,a\n")
    listed = prepare("mine", own_images, tmp_path / "listed")
    assert list(listed.metadata["group"]) == ["a", "b", "a"]
    named = prepare("mine", own_images, tmp_path / "named", OwnOptions(group_by="(case)-"))
    assert set(named.metadata["group"]) == {"case"}


@pytest.mark.parametrize(("rule", "reason"), [("(", "correct it"), ("a", "no group in paren")])
def test_a_rule_for_groups_that_is_none_is_refused(rule, reason):
    with pytest.raises(InputError, match=reason):
        OwnOptions(group_by=rule)


def test_an_added_image_updates_the_dataset(own_images, tmp_path):
    folder = tmp_path / "prepared"
    prepare("mine", own_images, folder)
    for kind in ("images", "masks"):
        (own_images / kind / "new.png").write_bytes((own_images / kind / "case-1.png").read_bytes())
    assert prepare("mine", own_images, folder).ids() == ["case-0", "case-1", "case-2", "new"]
    assert {path.name for path in tmp_path.iterdir()} == {"own", "prepared"}
    with pytest.raises(InputError, match="holds the dataset 'mine'"):
        prepare("other", own_images, folder)


def test_options_are_kept_where_none_are_given(own_images, tmp_path):
    folder = tmp_path / "prepared"
    prepare("mine", own_images, folder, OwnOptions(classes=("skin", "lesion")))
    assert prepare("mine", own_images, folder).info.class_names == ("skin", "lesion")
    (own_images / "masks/case-1.png").unlink()
    (own_images / "images/case-1.png").unlink()
    with pytest.raises(InputError, match="give them again"):
        prepare("mine", own_images, folder)


def test_other_options_prepare_the_dataset_anew(own_images, tmp_path):
    folder = tmp_path / "prepared"
    prepare("mine", own_images, folder)
    named = prepare("mine", own_images, folder, OwnOptions(classes=("skin", "lesion")))
    assert named.info.class_names == ("skin", "lesion")
    other = prepare("mine", own_images, folder, OwnOptions(classes=("skin", "mole")))
    assert other.info.class_names == ("skin", "mole")
    grouped = prepare("mine", own_images, folder, OwnOptions(group_by="(case)"))
    assert set(grouped.metadata["group"]) == {"case"}
    table = tmp_path / "colours.csv"
    for name in ("lesion", "polyp"):  # a table of another content
        table.write_text(f"colour,name\n#000000,skin\n#ffffff,{name}\n")
        coloured = prepare("mine", own_images, folder, OwnOptions(colours=table))
        assert coloured.info.class_names == ("skin", name)


def test_flags_for_own_images_are_not_for_a_dataset(own_images, tmp_path, capsys):
    prepare("mine", own_images, tmp_path / "data/mine")
    words = ["--data", str(tmp_path / "data"), "--datasets", "mine", "--dry-run"]
    given = ["--classes", "skin", "lesion", "--group-by", "(case)"]
    assert run_table(TABLE, [*words, *given, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "is a dataset already; leave out --classes and --group-by, or prepare it" in error


def test_names_are_made_safe_and_kept(own_images, tmp_path):
    for kind in ("images", "masks"):
        (own_images / kind / "case-1.png").rename(own_images / kind / "Fläche 1 (a).png")
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    assert dataset.ids() == ["Flache_1_a", "case-0", "case-2"]
    assert list(dataset.metadata["original_name"]) == ["Fläche 1 (a).png", "", ""]
    dataset.verify()


def test_files_of_the_system_are_left_out(own_images, tmp_path):
    (own_images / "images/__MACOSX").mkdir()
    for name in ("images/._case-1.png", "images/Thumbs.db", "masks/.DS_Store"):
        (own_images / name).write_bytes(b"x")
    assert len(prepare("mine", own_images, tmp_path / "prepared").ids()) == 3
    (own_images / "images/Thumbs.db").write_bytes(b"changed")
    prepare("mine", own_images, tmp_path / "prepared")


def test_objects_that_vanish_are_warned_of(own_images, tmp_path, capsys):
    small = np.zeros((600, 700), "uint8")
    small[0, 0] = 255
    save_png(own_images / "images/case-1.png", np.zeros((600, 700)))
    save_png(own_images / "masks/case-1.png", small)
    assert main(["mine", "--download", str(own_images), "--prepared", str(tmp_path / "p")]) == 0
    error = capsys.readouterr().err
    assert "warning: mine: the objects of 1 of 3 masks vanish at 256 x 256" in error
    assert "case-1" in error
    assert find_vanished(open_dataset(tmp_path / "p"), (600, 700)) == []


@pytest.mark.parametrize("keep", [True, False])
def test_the_pixels_that_a_resized_mask_takes_are_the_loaders(keep):
    random = np.random.default_rng(0)
    for height, width in random.integers(25, 300, (40, 2)):
        mask = random.integers(1, 256, (height, width)).astype("uint8")
        loaded = resize(mask[:, :, None], (24, 40), "nearest", keep).numpy()
        taken = _sampled(mask, (24, 40), keep)
        np.testing.assert_array_equal(loaded[loaded > 0], taken.ravel())


def test_an_accent_may_be_written_apart_from_its_letter(own_images, tmp_path):
    (own_images / "images/case-1.png").rename(own_images / "images/caf\u00e9.png")
    (own_images / "masks/case-1.png").rename(own_images / "masks/cafe\u0301.png")
    assert "cafe" in prepare("mine", own_images, tmp_path / "prepared").ids()


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_grey_of_16_bits_is_stretched_and_the_notes_say_so(kind, own_images, tmp_path):
    deep = np.linspace(1000, 3000, 40 * 48).reshape(40, 48).astype("uint16")
    (own_images / "images/case-1.png").unlink()
    path = own_images / f"images/case-1.{kind}"
    Image.fromarray(deep).save(path)
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    pixels = np.asarray(Image.open(dataset.paths(["case-1"])[0]))[:, :, 0]
    np.testing.assert_array_equal(pixels, np.rint((deep - 1000.0) * 255 / 2000))
    assert dataset.info.notes == (
        "1 of 3 images are of 16 bits; each was scaled from its minimum to its maximum to 8 bits."
    )
    np.testing.assert_array_equal(read_new_image(path, 1)[:, :, 0], pixels)
