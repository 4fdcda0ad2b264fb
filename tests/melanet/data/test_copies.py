import dataclasses

import numpy as np
import pytest
from PIL import Image

from melanet.data import DatasetInfo, Sample, covid_collection, write_dataset
from melanet.data import copies as copies_module
from melanet.data.copies import find_copies, merge_groups
from melanet.data.own import open_own
from melanet.data.xray_phantom import generate

INFO = DatasetInfo("xrays", "X-rays", (64, 64), 1, labels=("normal", "covid19"))


def write(folder, pictures, groups=None):
    """A dataset of images by id, each its own group unless `groups` says otherwise."""
    samples = [
        Sample(id, (groups or {}).get(id, id), lambda image=image: image, None, id, label="normal")
        for id, image in pictures.items()
    ]
    return write_dataset(folder, INFO, samples)


def xray(patient, size=64):
    return generate(patient, 0, "normal", size)


def other_contrast(image):
    return np.rint(255 * (image / 255.0) ** 1.4 * 0.8 + 10).astype("uint8")


def resized(image, size):
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def test_copies_of_other_size_and_contrast_are_found_and_others_are_not(tmp_path):
    pictures = {f"p{patient}": xray(patient) for patient in range(8)}
    pictures["p2-again"] = other_contrast(xray(2))
    pictures["p5-again"] = resized(xray(5), (90, 80))
    pictures["p2-third"] = xray(2)
    dataset = write(tmp_path / "xrays", pictures)
    assert find_copies(dataset) == [["p2", "p2-again", "p2-third"], ["p5", "p5-again"]]
    assert find_copies(dataset, threshold=1e-3) == [["p2", "p2-third"]]


def test_groups_that_share_a_picture_become_one(tmp_path):
    pictures = {name: xray(number) for number, name in enumerate("abcdef")}
    pictures |= {"b-again": other_contrast(xray(1)), "d-again": other_contrast(xray(3))}
    groups = {"a": "1", "b": "1", "c": "2", "d": "2", "b-again": "3", "d-again": "3"}
    dataset = write(tmp_path / "xrays", pictures, groups)
    merged = dict(zip(dataset.ids(), merge_groups(dataset), strict=True))
    assert {merged[id] for id in ("a", "b", "c", "d", "b-again", "d-again")} == {"1"}
    assert (merged["e"], merged["f"]) == ("e", "f")


def test_constant_images_are_no_copies_and_harm_nothing(tmp_path):
    flat = {str(grey): np.full((16, 16), grey, "uint8") for grey in (0, 80, 255)}
    assert find_copies(write(tmp_path / "flat", flat)) == []


def test_many_images_are_compared_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(copies_module, "BLOCK", 3)
    pictures = {f"p{patient}": xray(patient) for patient in range(7)}
    pictures["p1-again"] = xray(1)
    assert find_copies(write(tmp_path / "xrays", pictures)) == [["p1", "p1-again"]]


def test_the_result_is_kept_for_the_same_images_and_threshold(tmp_path, monkeypatch):
    dataset = write(tmp_path / "xrays", {"a": xray(0), "b": xray(0), "c": xray(1)})
    assert find_copies(dataset) == [["a", "b"]]
    monkeypatch.setattr(copies_module, "_standardized", None)
    assert find_copies(dataclasses.replace(dataset)) == [["a", "b"]]
    with pytest.raises(TypeError):
        find_copies(dataset, threshold=0.1)
    monkeypatch.undo()
    for content in (b"", b"[]", b"{}"):
        (dataset.folder / ".copies.json").write_bytes(content)
        assert find_copies(dataset) == [["a", "b"]]


def test_real_patients_of_two_numbers_are_found(real_data, tmp_path):
    samples = covid_collection.read(real_data / "covid-chestxray-dataset")
    dataset = write_dataset(tmp_path / "covid", INFO, samples)
    group = dict(zip(dataset.ids(), dataset.metadata["group"], strict=True))
    linked = {frozenset(group[id] for id in picture) for picture in find_copies(dataset)}
    pairs = {("97", "178"), ("78", "201"), ("137", "202"), ("192", "196")}
    assert {names for names in linked if len(names) > 1} == {
        frozenset(f"covid-{number}" for number in pair) for pair in pairs
    }
    assert len(set(merge_groups(dataset))) == 143 - 4


def test_one_picture_with_two_labels_is_named_to_its_owner(tmp_path):
    for label, patients in (("normal", (0, 1, 2)), ("covid19", (3, 4))):
        for patient in patients:
            path = tmp_path / "mine" / label / f"{label}-{patient}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(xray(patient)).save(path)
    Image.fromarray(xray(1)).save(tmp_path / "mine/covid19/again.jpg", quality=90)
    with pytest.warns(UserWarning, match="mine") as warned:
        open_own(tmp_path / "mine", tmp_path / "out")
    [text] = [str(each.message) for each in warned if "several labels" in str(each.message)]
    assert text.startswith("mine: ")
    assert "again (covid19)" in text
    assert "normal-1 (normal) are one" in text or "normal-1 (normal), again" in text
