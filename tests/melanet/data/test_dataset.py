"""The layout of a dataset on disk, and what `open_dataset` refuses."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet.data import DatasetInfo, InputError, open_dataset
from melanet.data import dataset as dataset_module
from melanet.data.dataset import COLUMNS, open_existing
from sharpunet.data import prepare as prepare_masks


def flip_byte(path, at=0.5):
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0xFF
    path.write_bytes(bytes(content))


def test_the_layout_is_that_of_an_image_folder(small_phantom):
    """`datasets` 5.2 opens it with `load_dataset("imagefolder")`: image and mask are pictures."""
    table = pd.read_csv(small_phantom.folder / "metadata.csv")
    assert list(table) == COLUMNS
    assert COLUMNS[:2] == ["file_name", "mask_file_name"]
    assert table["file_name"][3] == "images/phantom-003.png"
    assert table["mask_file_name"][3] == "masks/phantom-003.png"
    for name in [*table["file_name"], *table["mask_file_name"]]:
        assert Image.open(small_phantom.folder / name).size == (32, 32)
    assert sorted(path.name for path in small_phantom.folder.iterdir()) == [
        "dataset.json", "images", "masks", "metadata.csv",
    ]  # fmt: skip


def test_a_dataset_for_classification_has_labels_and_no_masks(dermoscopy):
    table = pd.read_csv(dermoscopy.folder / "metadata.csv")
    assert list(table) == COLUMNS
    assert table["mask_file_name"].isna().all()
    assert set(table["label"]) == set(dermoscopy.info.labels)
    assert not (dermoscopy.folder / "masks").exists()


def test_metadata_is_the_table_with_the_ids_before_it(small_phantom):
    assert list(small_phantom.metadata) == ["id", *COLUMNS]
    assert small_phantom.ids()[:2] == ["phantom-000", "phantom-001"]


def test_ids_values_and_paths(dermoscopy):
    malignant = dermoscopy.ids(label="malignant", split="test")
    assert dermoscopy.values("label", malignant) == ["malignant"]
    assert dermoscopy.values("split", malignant) == ["test"]
    backwards = dermoscopy.ids()[::-1]
    assert [Path(path).stem for path in dermoscopy.paths(backwards)] == backwards
    with pytest.raises(InputError, match="no image has the id 'x'"):
        dermoscopy.paths(["x"])


def test_the_earlier_layout_is_to_be_prepared_anew(tmp_path):
    (tmp_path / "manifest.csv").write_text("id,image,mask\n")
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(InputError, match=r"layout of an earlier version.*prepare the dataset anew"):
        open_dataset(tmp_path)


def test_damaged_files_are_found_before_training(small_phantom):
    small_phantom.verify()
    flip_byte(small_phantom.folder / "images/phantom-001.png")
    with pytest.raises(InputError, match=r"phantom-001\.png: is damaged"):
        small_phantom.verify()


def save_changed(path, change):
    Image.fromarray(change(np.array(Image.open(path)))).save(path)


def one_grey_value(pixels):
    pixels[5, 7] ^= 1
    return pixels


CHANGES = {
    "a pixel": ("images", one_grey_value),
    "an inverted mask": ("masks", lambda pixels: 255 - pixels),
    "another size": ("masks", lambda pixels: pixels[1:]),
    "a sound picture in other colours": ("masks", lambda pixels: np.stack([pixels] * 3, -1)),
    "more bits": ("masks", lambda pixels: pixels.astype("uint16")),
}


@pytest.mark.parametrize("verified_before", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_sound_file_with_other_pixels_is_found_before_training(
    change, verified_before, small_phantom
):
    if verified_before:
        small_phantom.verify()
    kind, edit = CHANGES[change]
    save_changed(small_phantom.folder / kind / "phantom-003.png", edit)
    with pytest.raises(InputError, match=r"phantom-003\.png: .*prepare the dataset anew"):
        small_phantom.verify()


def test_files_that_have_not_changed_are_verified_once(small_phantom, monkeypatch):
    small_phantom.verify()
    assert (small_phantom.folder / ".verified.json").is_file()
    assert open_dataset(small_phantom.folder).fingerprint == small_phantom.fingerprint
    decoded = []
    monkeypatch.setattr(dataset_module, "hash_pixels", lambda *paths: decoded.append(paths))
    small_phantom.verify()
    assert not decoded


@pytest.mark.parametrize("content", [b"", b"[]", b'{"images/phantom-000.png": 3}', b"\xff"])
def test_a_broken_cache_is_ignored(content, small_phantom):
    (small_phantom.folder / ".verified.json").write_bytes(content)
    small_phantom.verify()


def test_a_dataset_that_cannot_be_written_is_verified_every_time(small_phantom):
    (small_phantom.folder / ".verified.json").mkdir()  # as root may write to any folder
    small_phantom.verify()
    small_phantom.verify()


def test_real_images_are_verified_in_seconds(real_data, tmp_path):
    dataset = prepare_masks("dsb2018", real_data / "dsb2018", tmp_path / "prepared")
    began = time.monotonic()
    dataset.verify()
    first = time.monotonic()
    dataset.verify()
    assert first - began < 10
    assert time.monotonic() - first < 1


def edit_table(edit):
    def spoil(folder):
        table = pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)
        edit(table).to_csv(folder / "metadata.csv", index=False)

    return spoil


def set_cell(column, value):
    def edit(table):
        table.loc[1, column] = value
        return table

    return edit_table(edit)


def edit_info(**fields):
    def spoil(folder):
        path = folder / "dataset.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return spoil


DAMAGED = {
    "no table": (lambda f: (f / "metadata.csv").unlink(), "it has no metadata.csv"),
    "no dataset.json": (lambda f: (f / "dataset.json").unlink(), "it has no dataset.json"),
    "a broken dataset.json": (lambda f: (f / "dataset.json").write_text("{"), "cannot read"),
    "an unknown field": (edit_info(x=1), "cannot read"),
    "channels in words": (edit_info(channels="three"), "`channels` must be 1 or 3"),
    "a huge size": (edit_info(image_size=[10**9, 8]), "two whole numbers from 1 to 8192"),
    "too many classes": (edit_info(classes=257), "from 1 to 256"),
    "a missing image": (lambda f: (f / "images/phantom-001.png").unlink(), "but missing"),
    "a missing mask": (lambda f: (f / "masks/phantom-001.png").unlink(), "but missing"),
    "a missing column": (edit_table(lambda t: t.drop(columns="group")), "'group' is missing"),
    "no rows": (edit_table(lambda t: t.head(0)), "lists no image"),
    "an id twice": (edit_table(lambda t: pd.concat([t, t])), "'phantom-000' twice"),
    "an invalid id": (set_cell("file_name", "images/a b.png"), "'a b' is not valid as an id"),
    "a path out of the folder": (set_cell("mask_file_name", "../../a.png"), "lies outside"),
    "an absolute path": (set_cell("mask_file_name", "/etc/passwd"), "lies outside"),
    "an unknown split": (set_cell("split", "tset"), "the split 'tset' is none of train, test"),
    "an unknown source": (set_cell("source", "?"), "the source '\\?' is none of real"),
    "a row that is cut off": (set_cell("sha256", "12ab"), "phantom-001 is cut off"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_dataset_is_refused(case, small_phantom):
    spoil, reason = DAMAGED[case]
    spoil(small_phantom.folder)
    with pytest.raises(InputError, match=reason):
        open_dataset(small_phantom.folder)


def test_an_unknown_label_is_refused(dermoscopy):
    set_cell("label", "nan")(dermoscopy.folder)
    with pytest.raises(InputError, match="the label 'nan' is none of benign, malignant"):
        open_dataset(dermoscopy.folder)


def test_what_was_made_from_something_else_is_not_taken_for_it(small_phantom):
    assert open_existing(small_phantom.folder, small_phantom.info) is not None
    other = dataclasses.replace(small_phantom.info, source_fingerprint="other")
    with pytest.raises(InputError, match="made from other images or with other settings"):
        open_existing(small_phantom.folder, other)


@pytest.mark.parametrize(
    "wrong",
    [{"image_size": (0, 8)}, {"channels": 2}, {"channels": True}, {"classes": 0}, {"title": None},
     {"labels": ("a", "a")}, {"labels": "ab"}, {"keep_aspect_ratio": 1}, {"name": "a/b"},
     {"name": ""}],
)  # fmt: skip
def test_info_checks_its_values(wrong):
    with pytest.raises(ValueError, match=r"must|not valid"):
        DatasetInfo(**{"name": "x", "title": "X", "image_size": (8, 8), "channels": 1, **wrong})


def test_the_fingerprint_follows_the_pixels(small_phantom, tmp_path):
    table = (small_phantom.folder / "metadata.csv").read_text()
    before, hashes = small_phantom.fingerprint, set(small_phantom.metadata["sha256"])
    assert len(hashes) == 10
    (small_phantom.folder / "metadata.csv").write_text(table.replace(hashes.pop(), "0" * 64))
    assert open_dataset(small_phantom.folder).fingerprint != before
    assert np.char.str_len(list(hashes)).tolist() == [64] * 9
