"""A saved network segments new images in their own sizes; interrupted runs resume."""

import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet import inference
from melanet.command import run
from melanet.data import InputError
from melanet.saving import ModelInfo, save_model
from sharpunet.inference import predict


def bright_pixels(size, classes=1):
    """A network that needs no training: bright is foreground; of several classes, the last."""
    kernel = np.zeros((1, 1, 1, classes), "float32")
    kernel[..., -1] = 1000
    layer = keras.layers.Conv2D(classes, 1, activation="softmax" if classes > 1 else "sigmoid")
    model = keras.Sequential([keras.Input((*size, 1)), layer])
    bias = np.zeros(classes, "float32")
    bias[-1] = -500
    model.set_weights([kernel, bias])
    return model


def bright_square(path, size=(40, 20)):
    """A grey image, `size` wide and high, of which the middle is bright."""
    pixels = np.zeros(size[::-1], "uint8")
    pixels[size[1] // 4 : 3 * size[1] // 4, size[0] // 4 : 3 * size[0] // 4] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("size", [(40, 20), (20, 40), (160, 80), (32, 32), (37, 23)])
def test_a_mask_lies_on_its_image_whatever_the_size(tmp_path, keep, classes, size):
    names = ("background", "bright") if classes > 1 else ()
    info = ModelInfo("segmentation", (64, 64), 1, names, keep_aspect_ratio=keep)
    save_model(bright_pixels((64, 64), classes), tmp_path / "m.keras", info)
    pixels = bright_square(tmp_path / "images/my image.png", size)
    predict(tmp_path / "m.keras", tmp_path / "images", tmp_path / "out")
    mask = np.asarray(Image.open(tmp_path / "out/masks/my image.png"))
    assert set(np.unique(mask)) == {0, 255 if classes == 1 else 1}
    found, truth = mask > 0, pixels > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.75
    rows, columns = np.nonzero(found)
    centre = rows.mean() - np.nonzero(truth)[0].mean(), columns.mean() - np.nonzero(truth)[1].mean()
    assert np.abs(centre).max() < 1
    assert Image.open(tmp_path / "out/overlays/my image.png").size == size
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    share = "share_bright" if classes > 1 else "share_foreground"
    assert table["name"].tolist() == ["my image"]
    assert table[share][0] == pytest.approx(found.mean(), abs=1e-6)


@pytest.fixture
def ready(tmp_path):
    save_model(
        bright_pixels((16, 16)), tmp_path / "m.keras", ModelInfo("segmentation", (16, 16), 1)
    )
    for name in "abcd":
        bright_square(tmp_path / f"images/{name}.png")
    return tmp_path


def test_an_interrupted_run_resumes_with_the_same_table(ready, monkeypatch):
    arguments = ready / "m.keras", ready / "images"
    predict(*arguments, ready / "whole", batch_size=2)
    calls, real = [], inference.read_new_image

    def interrupted(path, channels):
        calls.append(path.stem)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(path, channels)

    monkeypatch.setattr(inference, "read_new_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(*arguments, ready / "out", batch_size=2)
    assert predict(*arguments, ready / "out", batch_size=2).count == 4
    assert calls == ["a", "b", "c", "c", "d"]
    tables = [(ready / name / "predictions.csv").read_text() for name in ("whole", "out")]
    assert tables[0] == tables[1]
    with pytest.raises(InputError, match="holds predictions of another model or threshold"):
        predict(*arguments, ready / "out", threshold=0.9)


def test_an_image_whose_files_are_gone_is_predicted_again(ready, monkeypatch):
    arguments = ready / "m.keras", ready / "images", ready / "out"
    predict(*arguments)
    table = (ready / "out/predictions.csv").read_text()
    (ready / "out/masks/a.png").unlink()
    (ready / "out/overlays/c.png").unlink()
    bright_square(ready / "images/d.png", (44, 20))
    calls, real = [], inference.read_new_image
    monkeypatch.setattr(
        inference, "read_new_image", lambda path, n: calls.append(path.stem) or real(path, n)
    )
    assert predict(*arguments).count == 4
    assert calls == ["a", "c", "d"]
    assert (ready / "out/masks/a.png").is_file()
    assert (ready / "out/overlays/c.png").is_file()
    assert (ready / "out/predictions.csv").read_text().splitlines()[:4] == table.splitlines()[:4]


def test_the_command_lists_bad_images_and_goes_on(ready, capsys):
    (ready / "images/bad.png").write_bytes(b"not an image")
    words = ["predict", ready / "m.keras", ready / "images", "--out", ready / "out"]
    assert run("sharpunet", list(map(str, words))) == 2
    error = capsys.readouterr().err
    assert error == (
        f"error: {ready / 'images/bad.png'}: cannot be read as an image, it is none of PNG, JPEG, "
        "BMP, GIF and TIFF; get it anew, or leave it out\n"
    )
    assert len(pd.read_csv(ready / "out/predictions.csv")) == 4
    assert run("melanet", list(map(str, words))) == 2
    assert "is a model for segmentation; python -m sharpunet" in capsys.readouterr().err


def test_several_bad_images_are_listed(ready, capsys):
    for index in range(12):
        (ready / f"images/bad{index:02}.png").write_bytes(b"not an image")
    words = ["predict", ready / "m.keras", ready / "images", "--out", ready / "out"]
    assert run("sharpunet", list(map(str, words))) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: 12 images could not be read:"
    assert lines[-1] == "  and 2 more"
    assert len(lines) == 12


@pytest.mark.parametrize("out", ["a_file", "a_file/below"])
def test_a_file_in_the_place_of_the_folder_of_the_results_is_named(out, ready, capsys):
    (ready / "a_file").write_text("mine")
    words = ["predict", ready / "m.keras", ready / "images", "--out", ready / out]
    assert run("sharpunet", list(map(str, words))) == 2
    error = capsys.readouterr().err
    assert error == f"error: {ready / 'a_file'}: is a file, not a folder; choose another place\n"
    assert (ready / "a_file").read_text() == "mine"


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--threshold", "half", "half is not a number from 0 to 1"),
        ("--threshold", "nan", "nan is not a number from 0 to 1"),
        ("--batch-size", "x", "x is not a whole number above 0"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(flag, value, reason, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("sharpunet", ["predict", "m.keras", "images", "--out", "out", flag, value])
    error = f"error: argument {flag}: {reason}; see sharpunet predict --help\n"
    assert capsys.readouterr().err == error


def test_predictions_do_not_go_among_the_images(ready):
    with pytest.raises(InputError, match="lies in the folder of the images"):
        predict(ready / "m.keras", ready / "images", ready / "images/out")


@pytest.mark.parametrize("package", ["melanet", "sharpunet"])
def test_help_loads_no_tensorflow(package):
    code = f"""import sys
from melanet.command import run
try:
    run({package!r}, ["predict", "--help"])
except SystemExit:
    assert not {{"keras", "tensorflow"}} & set(sys.modules)"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
