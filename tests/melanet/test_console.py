"""Commands show lines of their own only, and few of them in a file."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from melanet import console
from melanet.saving import ModelInfo, save_model

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


def run(*command, **more):
    environment = {name: v for name, v in os.environ.items() if name != console.LOG_LEVEL} | more
    given = [sys.executable, *map(str, command)]
    done = subprocess.run(given, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_a_table_writes_nothing_but_its_report(small_phantom, tmp_path):
    options = [
        *("--data", small_phantom.folder.parent, "--datasets", small_phantom.folder.name),
        *("--out", tmp_path / "out", "--image-size", 16, 16, "--folds", 2, "--repeats", 1),
        *("--epochs", 1, "--models", "unet", "--precision", "float32"),
    ]
    done = run("-m", "experiments.table_3_1", *options)
    assert done.stderr == ""
    assert done.stdout.startswith("Table 3.1: ")
    assert len(done.stdout.splitlines()) < 30


def test_training_writes_its_scores_and_warnings_in_one_line(own_images, tmp_path):
    for index in range(3, 15):
        for part in ("images", "masks"):
            pixels = np.roll(np.asarray(Image.open(own_images / part / "case-0.png")), index, 0)
            Image.fromarray(pixels).save(own_images / part / f"case-{index}.png")
    options = ("--out", tmp_path / "out", "--image-size", 16, 16, "--epochs", 1)
    done = run("-m", "sharpunet", "train", own_images, *options)
    assert len(done.stdout.splitlines()) == 5
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("warning: own: no groups")


def test_predictions_and_exports_write_one_line(own_images, tmp_path):
    layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(1, 1, activation="sigmoid")]
    info = ModelInfo("segmentation", (16, 16), 3)
    save_model(keras.Sequential(layers), tmp_path / "m.keras", info)
    for command in (
        ["predict", tmp_path / "m.keras", own_images / "images", "--out", tmp_path / "out"],
        ["export", tmp_path / "m.keras", "--format", "tflite", "--out", tmp_path / "m.tflite"],
    ):
        done = run("-m", "sharpunet", *command)
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(("level", "shown"), [({}, False), ({console.LOG_LEVEL: "0"}, True)])
def test_what_tensorflow_writes_at_its_start_is_not_shown(tmp_path, level, shown):
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'I0000 started')")
    code = "from melanet.console import quiet_tensorflow as q; q(); import tensorflow"
    assert ("I0000 started" in run("-c", code, PYTHONPATH=str(tmp_path), **level).stderr) == shown


def test_what_tensorflow_writes_is_shown_if_it_cannot_start(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'no AVX'); 1 / 0")
    code = """from melanet.console import quiet_tensorflow; quiet_tensorflow()
try: import tensorflow
except ZeroDivisionError: pass"""
    assert run("-c", code, PYTHONPATH=str(tmp_path)).stderr == "no AVX"


def test_a_user_s_own_import_is_left_alone(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os; os.write(2, b'I0000 started')")
    code = (
        "import melanet, sharpunet, os, tensorflow; print(os.environ.get('TF_CPP_MIN_LOG_LEVEL'))"
    )
    done = run("-c", code, PYTHONPATH=str(tmp_path))
    assert (done.stdout, done.stderr) == ("None\n", "I0000 started")


def test_progress_in_a_file_is_a_few_lines(monkeypatch, capsys):
    assert not console.is_interactive()
    assert list(console.progress_bar(range(10_000))) == list(range(10_000))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(console, "SECONDS_PER_LINE", 0)
    bar = console.progress_bar(total=3, desc="outer")
    for _ in console.progress_bar(range(2), desc="inner", leave=False):
        bar.update()
    bar.close()
    written = capsys.readouterr().err
    assert "\r" not in written
    assert "\x1b" not in written
    lines = written.splitlines()
    assert len(lines) == len(set(lines))
    assert all(line.startswith(("outer: ", "inner: ")) for line in lines)


def test_progress_on_a_terminal_overwrites_its_line(monkeypatch, capsys):
    monkeypatch.setattr(console, "is_interactive", lambda: True)
    list(console.progress_bar(range(3), desc="images"))
    assert "\rimages: 100%" in capsys.readouterr().err
