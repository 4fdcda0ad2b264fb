"""Images of one's own in classes, from the folder to the command's one line about what is wrong."""

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


def test_a_prepared_dataset_with_another_positive_class_is_refused(by_folder, tmp_path):
    prepare("a", by_folder, tmp_path / "a")
    with pytest.raises(InputError, match=r"has the classes mole, melanoma, the positive one last"):
        prepare("a", by_folder, tmp_path / "a", positive="mole")


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
    dataset = prepare("a", by_folder, tmp_path / "a", positive="melanoma")
    assert {"as_jpg", "as_tif", "as_bmp", "as_gif", "as_JPEG", "ct"} <= set(dataset.ids())


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
    words = ["--data", str(tmp_path), "--dataset", "own", "--weights", "none", "--epochs", "1"]
    words += ["--conditions", "vgg_gap", "--image-size", "32", "32", "--batch-size", "8"]
    folders = ["--out", str(tmp_path / "out"), "--prepared", str(tmp_path / "prepared")]
    assert run_table(TABLE, [*words, *folders]) == 0
    table = next(Path(tmp_path / "out").rglob("table.md")).read_text()
    assert "ours" in table
    assert "| thesis" not in table
    assert list(Path(tmp_path / "out").rglob("table.tex"))
    assert list(Path(tmp_path / "out").rglob("figures/roc.pdf"))


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
    "one class": (edit("melanoma", "mole"), "has 1 classes; two are needed"),
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
    "a file of another kind": (
        lambda f: (f / "images/notes.txt").write_text("a"), "notes.txt: none of .bmp",
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
