"""From a folder of one's own images to a trained model, its scores, and a second evaluation."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import melanet
import sharpunet
from melanet import fitting
from melanet.command import run
from melanet.data import InputError
from melanet.data.own import open_own
from melanet.evaluation import Evaluation, warn_if_constant
from melanet.saving import read_model_info
from melanet.splits import hold_out
from tests.conftest import save_png

SMALL = ["--image-size", "32", "32", "--epochs", "2", "--batch-size", "8", "--weights", "none",
         "--precision", "float32"]  # fmt: skip


@pytest.fixture
def squares(tmp_path):
    """30 images of ten patients, three each, with a bright square as the mask."""
    random = np.random.default_rng(0)
    for index in range(30):
        mask = np.zeros((40, 40), "uint8")
        top, left = random.integers(0, 20, 2)
        mask[top : top + 16, left : left + 16] = 255
        image = (mask // 2 + random.integers(0, 60, (40, 40))).astype("uint8")
        save_png(tmp_path / f"squares/images/p{index // 3}_{index % 3}.png", image)
        save_png(tmp_path / f"squares/masks/p{index // 3}_{index % 3}.png", mask)
    return tmp_path / "squares"


@pytest.fixture
def moles(tmp_path):
    """Two folders of photos: 24 dark ones, 12 bright ones."""
    return write_classes(tmp_path / "moles", {"dark": 24, "bright": 12})


def write_classes(folder, counts):
    random = np.random.default_rng(0)
    for label, count in counts.items():
        for index in range(count):
            pixels = random.integers(0, 256, (40, 36, 3), "uint8") // (3 if label == "dark" else 1)
            save_png(folder / label / f"{label}_{index}.png", pixels)
    return folder


def words(*given):
    return [str(word) for word in given]


def test_segmentation_from_a_folder_to_scores(squares, tmp_path, capsys):
    train = words("train", squares, "--out", tmp_path / "out", *SMALL, "--group-by", r"(p\d+)_")
    assert run("sharpunet", [*train, "--classes", "skin", "lesion", "--tensorboard"]) == 0
    printed = capsys.readouterr().out
    assert "jaccard" in printed
    assert "6 images in 2 groups; intervals of 95%" in printed
    info = read_model_info(tmp_path / "out/model.keras")
    assert info.class_names == ("lesion",)
    assert info.image_size == (32, 32)
    assert info.training["images"] == {"train": 21, "validation": 3, "test": 6}
    assert info.dataset_fingerprint
    assert info.versions["keras"]
    table = pd.read_csv(tmp_path / "out/scores.csv")
    report = json.loads((tmp_path / "out/scores.json").read_text())
    score = report["scores"]["jaccard"]
    assert score["value"] == pytest.approx(table["jaccard"].mean(), abs=1e-6)
    assert score["low"] <= score["value"] <= score["high"]
    assert report["precision"].startswith("float32: ")
    assert not list((tmp_path / "out").glob(".training-*"))
    assert len(list((tmp_path / "out/tensorboard/train").iterdir())) == 1

    evaluate = words("evaluate", tmp_path / "out/model.keras", squares, "--out", tmp_path / "again")
    assert run("sharpunet", evaluate) == 0
    again = pd.read_csv(tmp_path / "again/scores.csv").set_index("id")
    assert len(again) == 30
    np.testing.assert_allclose(again["dice"][table["id"]], table["dice"], atol=1e-5)
    assert run("melanet", words("evaluate", tmp_path / "out/model.keras", squares,
                                "--out", tmp_path / "wrong")) == 2  # fmt: skip
    assert "is a model for segmentation; python -m sharpunet" in capsys.readouterr().err


def test_the_same_command_does_not_train_again_and_another_is_refused(squares, tmp_path):
    small = {"image_size": (16, 16), "epochs": 1, "precision": "float32"}
    first = sharpunet.train_model(squares, tmp_path / "out", **small)
    written = first.model_path.read_bytes()
    second = sharpunet.train_model(squares, tmp_path / "out", **small)
    assert first.model_path.read_bytes() == written
    assert second.test.scores == first.test.scores
    with pytest.raises(InputError, match="was trained on other images or with other"):
        sharpunet.train_model(squares, tmp_path / "out", **small | {"epochs": 2})


def test_an_interrupted_training_resumes_with_the_same_weights(squares, tmp_path, monkeypatch):
    small = {"image_size": (16, 16), "epochs": 3, "precision": "float32"}
    whole = sharpunet.train_model(squares, tmp_path / "whole", **small)
    on_epoch_begin, begun = fitting.EpochBar.on_epoch_begin, []

    def killed_in_the_third(self, epoch, logs=None):
        begun.append(epoch)
        if begun == [0, 1, 2]:
            raise KeyboardInterrupt
        on_epoch_begin(self, epoch, logs)

    monkeypatch.setattr(fitting.EpochBar, "on_epoch_begin", killed_in_the_third)
    monkeypatch.setattr("melanet.checkpoint.MAX_SAVING_SHARE", 1e9)
    with pytest.raises(KeyboardInterrupt):
        sharpunet.train_model(squares, tmp_path / "out", **small)
    resumed = sharpunet.train_model(squares, tmp_path / "out", **small)
    assert begun == [0, 1, 2, 2]
    pd.testing.assert_frame_equal(resumed.test.images, whole.test.images)


def test_classification_from_a_folder_to_scores(moles, tmp_path, capsys):
    small = [word if word != "2" else "1" for word in SMALL]
    assert run("melanet", words("train", moles, "--out", tmp_path / "out", *small)) == 0
    printed = capsys.readouterr()
    assert all(name in printed.out for name in ("auc", "sensitivity", "specificity", "accuracy"))
    assert "no groups (patients, videos) are known" in printed.err
    info = read_model_info(tmp_path / "out/model.keras")
    assert info.class_names == ("dark", "bright")  # the rarer one is positive
    table = pd.read_csv(tmp_path / "out/scores.csv")
    assert set(table["label"]) == {"dark", "bright"}

    # Given truth in which the other class is rarer: the order of the classes is the model's.
    given = write_classes(tmp_path / "given", {"dark": 3, "bright": 5})
    evaluation = melanet.evaluate_model(
        tmp_path / "out/model.keras", given, tmp_path / "again", threshold=0.0
    )
    assert evaluation.scores["sensitivity"] == pytest.approx((1, 0.025 ** (1 / 5), 1))
    assert evaluation.scores["specificity"][0] == 0
    assert set(evaluation.images["predicted"]) == {"bright"}
    other = write_classes(tmp_path / "other", {"dark": 3, "grey": 5})
    words_ = words("evaluate", tmp_path / "out/model.keras", other, "--out", tmp_path / "o")
    assert run("melanet", words_) == 2
    assert "has images of grey, which are none of the model's classes" in capsys.readouterr().err


def test_more_classes_have_a_sensitivity_each(tmp_path):
    data = write_classes(tmp_path / "three", {"a": 9, "b": 9, "c": 9})
    done = melanet.train_model(
        data, tmp_path / "out", image_size=(32, 32), epochs=1, weights=None, precision="float32"
    )
    names = ["accuracy", *(f"sensitivity_{label}" for label in read_model_info(
        done.model_path).class_names)]  # fmt: skip
    assert list(done.test.scores) == names


def test_groups_and_copies_stay_together_and_an_official_test_split_is_tested(tmp_path):
    folder = write_classes(tmp_path / "pairs", {"dark": 20, "bright": 20})
    Image.open(folder / "dark/dark_0.png").save(folder / "dark/dark_99.tif")  # saved anew
    dataset = open_own(folder, tmp_path / "out", r"((?:dark|bright)_\d)")
    for seed in range(5):
        split = hold_out(dataset, seed)
        parts = [set(dataset.values("group", ids)) for ids in (split.train, split.validation,
                                                               split.test)]  # fmt: skip
        assert len(parts[0] | parts[1] | parts[2]) == sum(map(len, parts))
        assert sum(map(len, (split.train, split.validation, split.test))) == 41
    rows = [f"{path.name},{path.parent.name},{'test' if path.stem[-1] in '05' else 'train'}"
            for path in sorted(folder.glob("*/*.png"))]  # fmt: skip
    listed = tmp_path / "listed"
    for path in folder.glob("*/*.png"):
        save_png(listed / "images" / path.name, Image.open(path))
    (listed / "labels.csv").write_text("\n".join(["name,label,split", *rows]))
    official = hold_out(open_own(listed, tmp_path / "listed_out"))
    assert all(id[-1] in "05" for id in official.test)
    assert len(official.test) == 8


@pytest.mark.parametrize(
    ("package", "change", "message"),
    [
        ("sharpunet", ["--model", "unett"], "--model unett: is unknown; choose from unet"),
        ("sharpunet", ["--image-size", "30", "32"], "--image-size: height and width must be"),
        ("melanet", ["--image-size", "30", "32"], "--image-size 30 32: must be multiples of 16"),
        ("melanet", ["--group-by", "x"], "--group-by 'x': has no group in parentheses"),
        ("melanet", ["--group-by", "(x)"], "--group-by '(x)': finds no group in 36 of 36 names"),
        ("melanet", ["--positive", "grey"], "--positive grey: is none of the classes"),
        ("melanet", ["--weights", "no.h5"], "--weights no.h5: not available"),
    ],
)
def test_bad_arguments_are_one_line(squares, moles, tmp_path, capsys, package, change, message):
    data = {"sharpunet": squares, "melanet": moles}[package]
    assert run(package, words("train", data, "--out", tmp_path / "out", *SMALL, *change)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out/model.keras").exists()


def test_too_few_images_to_hold_some_out_are_one_line(tmp_path, capsys):
    few = write_classes(tmp_path / "few", {"dark": 4, "bright": 4})
    assert run("melanet", words("train", few, "--out", tmp_path / "out", *SMALL)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        "error: few: cannot be split: there are too few images to leave some of each class; "
        "add images"
    )


def test_bad_folders_are_one_line(squares, moles, tmp_path, capsys):
    for package, data, out, message in [
        ("sharpunet", tmp_path / "none", tmp_path / "out", "none: no such folder"),
        ("sharpunet", squares, squares / "out", "out: lies in the folder of the images"),
        ("sharpunet", moles, tmp_path / "out", "'moles' is not a known dataset"),
        ("melanet", squares, tmp_path / "out", "labels.csv: no such file"),
    ]:
        assert run(package, words("train", data, "--out", out, *SMALL)) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("probabilities", "cure"),
    [
        (
            [0.1, 0.2, 0.3, 0.4],
            "reach from 0.100 to 0.400: predict and evaluate with a --threshold",
        ),
        ([0.2, 0.2, 0.2, 0.2], "train one anew, in another --out, with --weights imagenet, more"),
    ],
)
def test_a_classifier_that_calls_all_images_one_class_is_named(probabilities, cure):
    images = pd.DataFrame({"label": ["dark", "dark", "bright", "bright"], "predicted": "dark"})
    images["probability_bright"] = probabilities
    info = melanet.ModelInfo("classification", (32, 32), 3, ("dark", "bright"))
    with pytest.warns(UserWarning, match="vgg.keras: calls all 4 images dark; ") as caught:
        warn_if_constant("vgg.keras", info, Evaluation({}, images))
    assert cure in str(caught[0].message)
    images["predicted"] = images["label"]
    with warnings.catch_warnings(action="error"):
        warn_if_constant("vgg.keras", info, Evaluation({}, images))


def test_evaluate_names_a_constant_classifier(moles, tmp_path, capsys):
    info = melanet.ModelInfo("classification", (32, 32), 3, ("dark", "bright"))
    model = tmp_path / "model.keras"
    melanet.save_model(melanet.vgg_gap((32, 32, 3), weights=None), model, info)
    given = words("evaluate", model, moles, "--out", tmp_path / "out", "--threshold", "1")
    assert run("melanet", given) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "calls all 36" in line]
    assert len(told) == 1
    assert told[0].startswith(f"warning: {model}: calls all 36 images dark; ")
