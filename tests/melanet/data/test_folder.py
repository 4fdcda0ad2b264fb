"""Images of one's own in classes, from the folder to the command's one line about what is wrong."""

import html
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from experiments.classification.protocols import MELANOMA_PROTOCOLS
from experiments.classification.splits import split_images
from experiments.common.table import run_table
from experiments.table_2_1 import TABLE
from melanet.data import InputError, find_builder, prepare
from melanet.data.__main__ import main
from tests.conftest import save_png

COUNTS = {"mole": 6, "melanoma": 4, "nevus": 5}


def save_noise(path, seed, shape=(40, 48, 3)):
    return save_png(path, np.random.default_rng(seed).integers(0, 256, shape))


@pytest.fixture
def by_folder(tmp_path):
    """Six moles and four melanomas, a folder each."""
    for label in ("mole", "melanoma"):
        for index in range(COUNTS[label]):
            save_noise(tmp_path / "own" / label / f"{label[:3]}{index}.png", [len(label), index])
    return tmp_path / "own"


@pytest.fixture
def by_table(tmp_path):
    """Ten images p0 to p9, of which the last four are melanomas, with `labels.csv`."""
    for index in range(10):
        save_noise(tmp_path / "own/images" / f"p{index}.png", index)
    write_table(tmp_path / "own")
    return tmp_path / "own"


def write_table(folder, name="labels.csv", columns=("image", "label"), **others):
    rows = {
        columns[0]: [f"p{i}.png" for i in range(10)],
        columns[1]: ["mole"] * 6 + ["melanoma"] * 4,
    }
    pd.DataFrame(rows | others).to_csv(folder / name, index=False)


def test_a_folder_per_class_is_a_dataset_with_the_rarer_class_last(by_folder, tmp_path):
    dataset = prepare("lesions", by_folder, tmp_path / "prepared")
    assert dataset.info.name == dataset.info.title == "lesions"
    assert dataset.info.labels == ("mole", "melanoma")
    assert dataset.info.image_size == (256, 256)
    assert dataset.info.channels == 3
    assert len(dataset.ids(label="mole")) == 6
    assert "The positive class is melanoma" in dataset.info.notes


def test_the_positive_class_can_be_said(by_folder, tmp_path):
    assert prepare("a", by_folder, tmp_path / "a", positive="mole").info.labels[-1] == "mole"
    with pytest.raises(InputError, match="--positive wart: is none of the classes mel"):
        prepare("b", by_folder, tmp_path / "b", positive="wart")
    with pytest.raises(InputError, match="--positive benign: the positive class of phantom is"):
        prepare("phantom", by_folder, tmp_path / "c", positive="benign")


def test_a_prepared_dataset_gets_another_positive_class_where_one_is_said(by_folder, tmp_path):
    folder = tmp_path / "a"
    prepare("a", by_folder, folder)
    with pytest.warns(UserWarning, match="positive class is mole now, not melanoma; --positive"):
        prepare("a", by_folder, folder, positive="mole")
    assert prepare("a", by_folder, folder).info.labels[-1] == "mole"  # where none is said
    with pytest.warns(UserWarning, match="positive class is melanoma now, not mole"):
        dataset = prepare("a", by_folder, folder, positive="melanoma")
    assert dataset.info.labels == ("mole", "melanoma")


def test_changed_files_are_prepared_anew_and_a_changed_positive_class_warns(by_folder, tmp_path):
    folder = tmp_path / "a"
    prepare("a", by_folder, folder)
    save_noise(by_folder / "melanoma/new.png", 60)
    assert len(prepare("a", by_folder, folder).ids(label="melanoma")) == 5
    for index in range(2):
        save_noise(by_folder / f"melanoma/more{index}.png", [61, index])
    with pytest.warns(UserWarning, match="positive class is mole now, not melanoma; --positive"):
        assert prepare("a", by_folder, folder).info.labels[-1] == "mole"


def test_options_are_kept_where_none_are_given_and_files_are_the_same(by_folder, tmp_path):
    folder, rule = tmp_path / "a", "(...)"
    prepare("a", by_folder, folder, group_by=rule)
    assert prepare("a", by_folder, folder).metadata["group"].nunique() == 2
    save_noise(by_folder / "melanoma/new.png", 60)
    with pytest.raises(InputError, match=r"--group-by.*give them again"):
        prepare("a", by_folder, folder)
    assert len(prepare("a", by_folder, folder, group_by=rule).ids()) == 11
    assert prepare("a", by_folder, folder, group_by="(.*)").metadata["group"].is_unique


def parts_of_groups(dataset):
    """The parts, over ten seeds, in which the images of each group lie."""
    parts = []
    for seed in range(10):
        split = split_images(dataset, MELANOMA_PROTOCOLS["clean"], seed)
        part_of = {id: part for part in ("train", "validation", "test")
                   for id in getattr(split, part)}  # fmt: skip
        rows = dataset.metadata.groupby("group")["id"]
        parts += [{part_of.get(id) for id in ids} for _, ids in rows]
    return parts


@pytest.mark.parametrize("by", ["groups.csv", "--group-by", "the column patient"])
def test_a_split_keeps_groups_together(by, by_table, tmp_path):
    patients = [f"x{i // 2}" for i in range(10)]
    rule = ""
    if by == "groups.csv":
        rows = [f"p{i}{'.png' if i % 2 else ''},{patients[i]}" for i in range(10)]
        (by_table / "groups.csv").write_text("\n".join(["name,group", *rows]))
    elif by == "--group-by":
        names = [f"{patients[index]}_{index}.png" for index in range(10)]
        for index, name in enumerate(names):
            (by_table / f"images/p{index}.png").rename(by_table / "images" / name)
        write_table(by_table, image=names)
        rule = "(x.)_"
    else:
        write_table(by_table, patient=patients)
    dataset = prepare("a", by_table, tmp_path / "a", group_by=rule)
    assert list(dataset.metadata["group"]) == [f"patient-{patient}" for patient in patients]
    assert all(len(parts) == 1 for parts in parts_of_groups(dataset))


def test_in_groups_csv_equal_names_of_two_classes_have_their_folders(by_folder, tmp_path):
    for label in ("mole", "melanoma"):
        save_noise(by_folder / label / "left.png", len(label))
    names = [path.stem for path in sorted(by_folder.glob("*/*.png")) if path.stem != "left"]
    rows = ["name,group", *(f"{name},{name}" for name in names)]
    table = by_folder / "groups.csv"
    table.write_text("\n".join([*rows, "left,anna"]))
    place = f"groups.csv: line {len(rows) + 1}: left could be melanoma/left.png or mole/left.png"
    with pytest.raises(InputError, match=place):
        prepare("a", by_folder, tmp_path / "a")
    table.write_text("\n".join([*rows, "mole/left.png,anna", "melanoma/left.png,bob"]))
    dataset = prepare("a", by_folder, tmp_path / "a")
    assert dataset.values("group", ["left", "left-2"]) == ["patient-bob", "patient-anna"]
    assert list(dataset.metadata["original_name"]).count("left.png") == 1


def test_of_equally_rare_classes_the_alphabetically_last_is_positive(by_folder):
    for path in sorted((by_folder / "mole").iterdir())[4:]:
        path.unlink()
    assert find_builder("a", by_folder).info.labels == ("melanoma", "mole")


def test_three_classes_are_a_dataset_but_not_one_of_the_table(by_folder, tmp_path, capsys):
    for index in range(COUNTS["nevus"]):
        save_noise(by_folder / "nevus" / f"nev{index}.png", [9, index])
    assert find_builder("own", by_folder).info.labels == ("mole", "nevus", "melanoma")
    options = ["--dataset", "own", "--weights", "none", "--dry-run", "--out", str(tmp_path / "out")]
    prepared = ["--prepared", str(tmp_path / "prepared")]
    assert run_table(TABLE, ["--data", str(tmp_path), *options, *prepared]) == 2
    assert "has 3 classes; two are expected" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["labels.csv", "lesions of 2024.csv"])
@pytest.mark.parametrize("columns", [("name", "class"), ("ID", "Target"), ("filename", "label")])
def test_the_table_may_have_other_words(name, columns, by_table, tmp_path):
    (by_table / "labels.csv").unlink()
    write_table(by_table, name, columns)
    assert prepare("a", by_table, tmp_path / "a").info.labels == ("mole", "melanoma")


def test_patients_and_the_split_come_from_the_table(by_table, tmp_path):
    split = ["train", "test"] * 5
    write_table(by_table, patient=[f"x{i // 2}" for i in range(10)], split=split, age=[50] * 10)
    dataset = prepare("a", by_table, tmp_path / "a")
    assert dataset.metadata["group"].nunique() == 5
    assert list(dataset.metadata["split"]) == split


def test_suffixes_and_folders_in_the_table_are_optional(by_table, tmp_path):
    names = [f"p{i}" if i % 2 else f"images/p{i}.png" for i in range(10)]
    labels = ["mole"] * 6 + ["melanoma"] * 4
    pd.DataFrame({"name": names, "label": labels}).to_csv(by_table / "labels.csv", index=False)
    assert prepare("a", by_table, tmp_path / "a").ids() == [f"p{i}" for i in range(10)]


def test_names_become_safe_and_stay_unique(by_folder, tmp_path):
    save_noise(by_folder / "mole/left eye.png", 50)
    save_noise(by_folder / "melanoma/left eye.png", 51)
    save_noise(by_folder / "mole/left-eye.png", 52)
    ids = prepare("a", by_folder, tmp_path / "a").ids()
    assert {"left-eye", "left-eye-2", "left-eye-3"} <= set(ids)


def test_every_format_is_read(by_folder, tmp_path):
    folder = by_folder / "melanoma"
    for suffix in ("jpg", "tif", "bmp", "gif", "JPEG"):
        save_noise(folder / f"as_{suffix}.{suffix}", 7)
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "ct.dcm")
    (folder / ".DS_Store").write_bytes(b"")
    Image.fromarray(np.arange(2400, dtype="uint16").reshape(40, 60)).save(folder / "deep.png")
    dataset = prepare("a", by_folder, tmp_path / "a", positive="melanoma")
    assert {"as_jpg", "as_tif", "as_bmp", "as_gif", "as_JPEG", "ct", "deep"} <= set(dataset.ids())
    assert "1 of 17 images are of 16 bits; each was scaled from" in dataset.info.notes
    assert "1 of 17 images are DICOM: by the window of each file" in dataset.info.notes


def test_only_grey_images_are_one_channel(tmp_path):
    for label in ("a", "b"):
        for index in range(2):
            save_noise(tmp_path / "own" / label / f"{label}{index}.png", index, (40, 48))
    assert find_builder("own", tmp_path / "own").info.channels == 1
    save_noise(tmp_path / "own/a/colour.png", 3)
    assert find_builder("own", tmp_path / "own").info.channels == 3


def test_equal_pictures_stay_on_one_side_of_the_split(by_table, tmp_path):
    coarse = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype("uint8")
    picture = Image.fromarray(coarse).resize((48, 40))
    for copy, size in enumerate([(48, 40), (96, 80), (60, 50)]):
        picture.resize(size).save(by_table / f"images/p{copy}.png")
    dataset = prepare("a", by_table, tmp_path / "a")
    for seed in range(5):
        split = split_images(dataset, MELANOMA_PROTOCOLS["thesis"], seed)
        copies = {"p0", "p1", "p2"}
        assert copies <= {*split.train, *split.validation} or copies <= set(split.test)


def test_the_table_runs_on_own_images_without_the_rows_of_the_thesis(by_folder, tmp_path):
    names = {"mole": "m$o_le|\\x^~", "melanoma": "<b>w&art`%#{"}  # of classes, as they are shown
    for label, name in names.items():
        (by_folder / label).rename(by_folder / name)
    words = ["--data", str(tmp_path), "--dataset", "own", "--weights", "none", "--epochs", "1"]
    words += ["--conditions", "vgg_gap", "--image-size", "32", "32", "--batch-size", "8"]
    folders = ["--out", str(tmp_path / "out"), "--prepared", str(tmp_path / "prepared")]
    assert run_table(TABLE, [*words, *folders]) == 0
    table = next(Path(tmp_path / "out").rglob("table.md")).read_text()
    assert "ours" in table
    assert "| thesis" not in table
    assert list(Path(tmp_path / "out").rglob("table.tex"))
    assert list(Path(tmp_path / "out").rglob("figures/roc.pdf"))
    page = next((tmp_path / "out").rglob("index.html")).read_text()
    shown = {label: html.escape(name, quote=False) for label, name in names.items()}
    assert f"Images of each class: {shown['mole']} 6, {shown['melanoma']} 4." in page
    assert names["melanoma"] not in page


def edit(old, new):
    def spoil(folder):
        table = folder / "labels.csv"
        table.write_text(table.read_text().replace(old, new))

    return spoil


def remove_images(folder):
    for index in range(9):
        (folder / f"images/p{index}.png").rename(folder.parent / f"p{index}.png")
    write = pd.DataFrame({"name": [f"q{i}" for i in range(12)], "label": "mole"})
    write.to_csv(folder / "labels.csv", index=False)


CASES = {
    "a row without a file": (edit("p3.png", "p33.png"), "p33.png: no such file"),
    "many rows without files": (remove_images, "q0, q1, q2, q3, q4, q5, q6, q7, q8, q9 and 2 more"),
    "a file without a row": (edit("p3.png,mole\n", ""), "p3.png: no row in labels.csv"),
    "a file listed twice": (edit("p3.png", "p2"), "lists p2.png again, after line 4"),
    "no column of names": (edit("image,", "picture,"), "none of the columns picture, label is the"),
    "no column of labels": (edit(",label", ",kind"), "is the image's label; call it label"),
    "an empty label": (edit("p3.png,mole", "p3.png,"), "line 5: the label '' cannot be"),
    "one class": (edit("melanoma", "mole"), "has a single class; two are needed"),
    "a class with one image": (edit("p3.png,mole", "p3.png,wart"), "wart has a single image"),
    "no table": (lambda f: (f / "labels.csv").unlink(), "labels.csv: no such file. Put your"),
    "two tables": (
        lambda f: [(f / "labels.csv").rename(f / "a.csv"), write_table(f, "b.csv")],
        "has a.csv, b.csv; call the one",
    ),
    "a split of another name": (
        lambda f: write_table(f, split=["train", "tets"] * 5), "the split 'tets' is neither",
    ),
    "half a split": (
        lambda f: write_table(f, split=["train", "test", *[""] * 8]), "p9.png: no split; fill",
    ),
    "a split without a class": (
        lambda f: write_table(f, split=["train"] * 6 + ["test"] * 4), "train has no image of the",
    ),
    "patients twice": (
        lambda f: [write_table(f, patient=["x"] * 10), (f / "groups.csv").write_text("name,group")],
        "groups.csv: labels.csv has a column of patients too; remove one",
    ),
    "groups of some images only": (
        lambda f: (f / "groups.csv").write_text("name,group\np0,a\n"),
        "groups.csv: has no group for p1.png, p2.png",
    ),
    "a WebP image": (
        lambda f: (f / "images/p1.png").rename(f / "images/p1.webp"),
        "images/p1.webp: is none of .bmp, .dcm, .dicom, .gif, .jpeg, .jpg, .png, .tif, .tiff; "
        "convert images to PNG",
    ),
    "a file of another kind": (
        lambda f: (f / "images/notes.txt").write_text("a"), "notes.txt: is none of .bmp",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named_in_one_line_and_nothing_is_written(case, by_table, tmp_path, capsys):
    spoil, reason = CASES[case]
    spoil(by_table)
    before = set(tmp_path.rglob("*"))
    arguments = ["mine", "--download", str(by_table), "--prepared", str(tmp_path / "prepared")]
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert reason in lines[0]
    assert set(tmp_path.rglob("*")) == before


def test_a_class_of_webp_images_is_told_to_convert_them(by_folder, tmp_path):
    for path in (by_folder / "mole").iterdir():
        path.rename(path.with_suffix(".webp"))
    with pytest.raises(InputError, match=r"mole/mol0\.webp: .*convert images to PNG .*\(6: mol0"):
        prepare("a", by_folder, tmp_path / "a")


def test_what_file_managers_leave_is_no_class_and_no_image(by_folder, tmp_path):
    save_png(by_folder / "__MACOSX/mole/._mol0.png", np.zeros((8, 8)))
    save_png(by_folder / "__MACOSX/a.png", np.zeros((8, 8)))
    for name in ("mole/._mol0.png", "mole/Thumbs.db", ".DS_Store", "melanoma/desktop.ini"):
        (by_folder / name).write_bytes(b"x")
    assert prepare("a", by_folder, tmp_path / "a").info.labels == ("mole", "melanoma")


@pytest.mark.parametrize("rule", ["x(", "mole", "(x)"])
def test_a_rule_that_finds_no_group_is_one_line(rule, by_folder, tmp_path, capsys):
    arguments = ["mine", "--download", str(by_folder), "--prepared", str(tmp_path / "prepared")]
    assert main([*arguments, "--group-by", rule]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --group-by {rule!r}: ")
    assert not (tmp_path / "prepared").exists()


def test_flags_for_own_images_are_not_for_a_dataset(by_folder, tmp_path, capsys):
    prepare("own", by_folder, tmp_path / "data/own")
    options = ["--dataset", "own", "--weights", "none", "--dry-run", "--out", str(tmp_path / "out")]
    given = ["--positive", "mole", "--group-by", "(...)"]
    assert run_table(TABLE, ["--data", str(tmp_path / "data"), *options, *given]) == 2
    error = capsys.readouterr().err
    assert "is a dataset already; leave out --positive and --group-by, or prepare it" in error
