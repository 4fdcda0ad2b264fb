"""Exported models compute what Keras computes, or are not written."""

import importlib.util

import keras
import numpy as np
import pytest
import tensorflow as tf

from melanet import export
from melanet.command import run
from melanet.data import InputError
from melanet.saving import ModelInfo, save_model
from sharpunet import sharp_unet


@pytest.fixture
def saved(tmp_path):
    keras.utils.set_random_seed(0)
    info = ModelInfo("segmentation", (16, 16), 1, ("foreground",))
    save_model(sharp_unet((16, 16, 1), filters=(4, 4)), tmp_path / "m.keras", info)
    return tmp_path / "m.keras"


@pytest.mark.parametrize(("format", "name"), [("saved_model", "m"), ("tflite", "m.tflite")])
@pytest.mark.parametrize("package", ["melanet", "sharpunet"])
def test_the_command_exports_and_says_so(saved, tmp_path, capsys, format, name, package):
    command = ["export", saved, "--format", format, "--out", tmp_path / "out" / name]
    assert run(package, [str(word) for word in command]) == 0
    assert "exported; its outputs are Keras's" in capsys.readouterr().out
    images = np.random.default_rng(1).random((2, 16, 16, 1), "float32")
    found = export.RUNNERS[format](tmp_path / "out" / name)(images)
    expected = keras.models.load_model(saved).predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert run(package, [str(word) for word in command]) == 2
    assert "exists already" in capsys.readouterr().err


def test_missing_packages_are_named(saved, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "onnx" in name else real(name)
    )
    with pytest.raises(InputError, match="pip install onnx tf2onnx onnxruntime"):
        export.export_model(saved, tmp_path / "m.onnx", format="onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_onnx(saved, tmp_path):
    for name in export.PACKAGES["onnx"]:
        pytest.importorskip(name)
    path = export.export_model(saved, tmp_path / "m.onnx", format="onnx")
    images = np.random.default_rng(1).random((2, 16, 16, 1), "float32")
    expected = keras.models.load_model(saved).predict(images, verbose=0)
    np.testing.assert_allclose(export.RUNNERS["onnx"](path)(images), expected, atol=1e-4)


def test_only_models_of_one_image_and_one_output_are_exported(tmp_path):
    save_model(keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)]), tmp_path / "m.keras")
    with pytest.raises(InputError, match="does not take one image and give one output"):
        export.export_model(tmp_path / "m.keras", tmp_path / "m", format="saved_model")


def test_other_outputs_are_refused(saved, tmp_path, monkeypatch):
    def wrong(path):
        loaded = tf.saved_model.load(str(path))
        return lambda images: np.asarray(loaded.serve(images)) + 0.01

    monkeypatch.setattr(export, "RUNNERS", {"saved_model": wrong})
    with pytest.raises(
        InputError, match=r"computes something else than in Keras \(by up to 0.01\)"
    ):
        export.export_model(saved, tmp_path / "m", format="saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_a_wrong_name_is_refused(saved, tmp_path):
    with pytest.raises(InputError, match=r"let it end in \.tflite"):
        export.export_model(saved, tmp_path / "m.bin", format="tflite")
