"""Saved models carry what it needs to use them, and a file cannot unpack to more than it holds."""

import dataclasses
import io
import json
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest

from melanet.data import InputError
from melanet.saving import (
    INFO_ENTRY,
    ModelInfo,
    load_model,
    read_model_info,
    save_model,
    to_float32,
)

INFO = ModelInfo(
    "classification",
    (8, 8),
    3,
    ("benign", "malignant"),
    "unit",
    True,
    0.3,
    "lesions",
    "abc",
    training={"epochs": 2},
)


def tiny_model():
    keras.utils.set_random_seed(0)
    pooled = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")]
    return keras.Sequential([keras.Input((8, 8, 3)), *pooled])


@pytest.fixture
def saved(tmp_path):
    save_model(tiny_model(), tmp_path / "model.keras", INFO)
    return tmp_path / "model.keras"


def rewritten(source, path, entries):
    """A copy of a .keras file with other entries, compressed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        contents = {name: old.read(name) for name in old.namelist()} | entries
        for name, content in contents.items():
            new.writestr(name, content)
    return path


def test_a_saved_model_says_what_it_needs_and_predicts_as_before(saved):
    images = np.random.default_rng(0).random((2, 8, 8, 3), "float32")
    assert read_model_info(saved) == INFO
    assert {"keras", "tensorflow"} <= set(read_model_info(saved).versions)
    np.testing.assert_array_equal(load_model(saved)(images), tiny_model()(images))
    np.testing.assert_array_equal(keras.models.load_model(saved)(images), tiny_model()(images))
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_model_of_another_program_has_no_info(tmp_path):
    tiny_model().save(tmp_path / "plain.keras")
    assert read_model_info(tmp_path / "plain.keras") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "regression"},
        {"image_size": [8]},
        {"image_size": [True, 8]},
        {"channels": 2},
        {"class_names": [1]},
        {"scaling": "log"},
        {"keep_aspect_ratio": 1},
        {"threshold": 2},
        {"threshold": float("nan")},
        {"training": []},
        {"class_names": "ab"},
    ],
)
def test_what_a_file_says_of_its_model_is_checked(saved, tmp_path, wrong):
    content = json.dumps(dataclasses.asdict(INFO) | wrong)
    path = rewritten(saved, tmp_path / "wrong.keras", {INFO_ENTRY: content})
    with pytest.raises(InputError, match=r"wrong.keras: its model_info.json is not valid"):
        read_model_info(path)


def weights_of(shape):
    """Weights that declare many zeros and hold none."""
    file = io.BytesIO()
    with h5py.File(file, "w") as weights:
        weights.create_dataset("layer/vars/0", shape, "float32", chunks=True, compression="gzip")
    return file.getvalue()


@pytest.mark.parametrize(
    "entries",
    [
        {"assets/zeros": bytes(64 * 2**20)},
        {"model.weights.h5": weights_of((50_000, 50_000))},
        {"model.weights.h5": weights_of((5_000, 5_000))},
    ],
)
def test_a_file_that_would_unpack_to_far_more_than_it_holds_is_refused_at_once(
    saved, tmp_path, entries
):
    path = rewritten(saved, tmp_path / "bomb.keras", entries)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"bomb.keras: .* would unpack to"):
        load_model(path)
    assert time.monotonic() - started < 1


def test_weights_that_lie_in_another_file_are_refused(saved, tmp_path):
    file = io.BytesIO()
    with h5py.File(file, "w") as weights:
        weights.create_dataset("a", (4,), "u1", external=[("/etc/hostname", 0, 4)])
    path = rewritten(saved, tmp_path / "external.keras", {"model.weights.h5": file.getvalue()})
    with pytest.raises(InputError, match="refers to other files"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\3\4" + bytes(100)])
def test_a_file_that_is_no_model_is_named(tmp_path, content):
    (tmp_path / "x.keras").write_bytes(content)
    for read in (load_model, read_model_info):
        with pytest.raises(InputError, match=r"x\.keras: cannot be loaded"):
            read(tmp_path / "x.keras")


def test_another_suffix_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"let it end in \.keras"):
        save_model(tiny_model(), tmp_path / "model.h5", INFO)
    assert not list(tmp_path.iterdir())


def test_half_precision_becomes_float32_with_the_same_weights():
    layers = [keras.Input((2,)), keras.layers.Dense(1, dtype="mixed_float16")]
    half = keras.Sequential(layers)
    single = to_float32(half)
    assert single.layers[0].compute_dtype == "float32"
    np.testing.assert_array_equal(single.get_weights()[0], half.get_weights()[0])


def test_a_file_without_the_optimizer_is_small_and_leaves_the_model_as_it_was(tmp_path):
    model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1000)])
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 100)), np.zeros((2, 1000)), verbose=0)
    optimizer = model.optimizer
    save_model(model, tmp_path / "all.keras")
    save_model(model, tmp_path / "weights.keras", include_optimizer=False)
    sizes = [(tmp_path / name).stat().st_size for name in ("all.keras", "weights.keras")]
    assert sizes[1] < 0.4 * sizes[0]  # Adam keeps two numbers for every weight
    assert model.compiled
    assert model.optimizer is optimizer
    assert load_model(tmp_path / "all.keras").optimizer.iterations == 1
    alone = load_model(tmp_path / "weights.keras")
    assert not alone.compiled
    np.testing.assert_array_equal(alone.get_weights()[0], model.get_weights()[0])
