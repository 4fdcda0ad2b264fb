"""Table 3.2 and the kernel ablation: many models in one table."""

import dataclasses
import hashlib
import json
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from experiments import kernel_ablation, table_3_2
from experiments.common.table import parse, run_table
from melanet.data import InputError
from sharpunet import KERNELS, MODELS, sharp_unet, ternausnet16, unet

SMALL = ["--image-size", "32", "32", "--folds", "2", "--repeats", "1", "--epochs", "1",
         "--batch-size", "4", "--precision", "float32"]  # fmt: skip


def words(small_phantom, out, *more):
    return ["--data", str(small_phantom.folder.parent), "--datasets", small_phantom.folder.name,
            "--out", str(out), *SMALL, *more]  # fmt: skip


def read_records(out):
    return [json.loads(path.read_text()) for path in (out / "records").iterdir()]


@pytest.mark.slow
def test_each_of_many_models_has_a_row(small_phantom, tmp_path):
    out = tmp_path / "out"
    builders = {
        "unet": partial(unet, filters=(4, 4)),
        "sharp_unet": partial(sharp_unet, filters=(4, 4)),
        "ternausnet16": ternausnet16,
    }
    table = dataclasses.replace(table_3_2.TABLE, builders=builders, models=list(builders))
    assert run_table(table, words(small_phantom, out, "--weights", "none", "--loss", "dice")) == 0
    lines = (out / "table.md").read_text().splitlines()
    ours = [line for line in lines if "| ours" in line]
    assert [line.split("|")[2].strip() for line in ours] == [
        "U-Net", "Sharp U-Net", "TernausNet-16",
    ]  # fmt: skip
    trainable = builders["unet"]((32, 32, 1)).count_params()
    assert f"{trainable:,} + 0 " in ours[0]
    assert f"{trainable:,} + 36 " in ours[1]
    assert any("CVC-ClinicDB" in line and "76.07 ± 3.69" in line for line in lines)
    assert {(record["loss"], record["weights"]) for record in read_records(out)} == {("dice", None)}


def test_table_3_2_plans_all_eight_models(small_phantom, tmp_path):
    table = table_3_2.TABLE
    options = parse(table, words(small_phantom, tmp_path, "--weights", "none"))
    trials = table.plan([small_phantom], options)
    assert {trial.model for trial in trials} == set(MODELS)
    assert len({trial.key for trial in trials}) == 16


def test_unavailable_weights_are_reported_before_the_first_training(
    small_phantom, tmp_path, monkeypatch
):
    def offline(**_):
        raise Exception("URL fetch failure")

    offline.__module__ = keras.applications.VGG16.__module__
    monkeypatch.setattr(keras.applications, "VGG16", offline)
    table = table_3_2.TABLE
    options = parse(table, words(small_phantom, tmp_path, "--models", "unet", "ternausnet16"))
    with pytest.raises(InputError, match=r"--weights imagenet: .*ternausnet16.*URL fetch failure"):
        table.plan([small_phantom], options)
    options = parse(table, words(small_phantom, tmp_path, "--models", "unet"))
    trials = table.plan([small_phantom], options)
    assert {trial.settings.weights for trial in trials} == {None}


def test_an_encoder_starts_from_a_file_that_its_trial_knows_by_content(
    small_phantom, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    encoder = keras.applications.VGG16(include_top=False, weights=None)
    encoder.save_weights("vgg16.weights.h5")
    chosen = ("--weights", "vgg16.weights.h5", "--models", "unet", "ternausnet16")
    table = table_3_2.TABLE
    options = parse(table, words(small_phantom, tmp_path, *chosen))
    plain, pretrained = table.plan([small_phantom], options)[:2]
    assert (plain.settings.weights, plain.settings.weights_sha256) == (None, None)
    found = hashlib.sha256(Path("vgg16.weights.h5").read_bytes()).hexdigest()
    assert pretrained.settings.weights_sha256 == found
    loaded = pretrained.build_model().get_layer("block1_conv2").get_weights()[0]
    np.testing.assert_array_equal(loaded, encoder.get_layer("block1_conv2").get_weights()[0])
    key = pretrained.key
    Path("vgg16.weights.h5").rename("moved.weights.h5")
    options.weights = "moved.weights.h5"
    assert table.plan([small_phantom], options)[1].key == key


def test_a_weights_file_of_another_encoder_is_refused_with_a_cure(
    small_phantom, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    keras.applications.VGG16(include_top=False, weights=None).save_weights("vgg16.weights.h5")
    chosen = ("--weights", "vgg16.weights.h5", "--models", "unet_resnet50")
    options = parse(table_3_2.TABLE, words(small_phantom, tmp_path, *chosen))
    reason = r"--weights vgg16.weights.h5: not available for unet_resnet50 .*name the --models"
    with pytest.raises(InputError, match=reason):
        table_3_2.TABLE.plan([small_phantom], options)


@pytest.mark.parametrize("weights", ["missing.h5", "vgg16"])
def test_a_missing_weights_file_is_refused(weights, small_phantom, tmp_path):
    chosen = ("--weights", weights, "--models", "ternausnet16")
    options = parse(table_3_2.TABLE, words(small_phantom, tmp_path, *chosen))
    with pytest.raises(InputError, match=f"--weights {weights}: .*no such file"):
        table_3_2.TABLE.plan([small_phantom], options)


def test_image_sides_must_suit_the_deepest_model(small_phantom, tmp_path):
    table = table_3_2.TABLE
    arguments = words(small_phantom, tmp_path, "--weights", "none", "--image-size", "48", "48")
    with pytest.raises(InputError, match="multiples of 32"):
        table.plan([small_phantom], parse(table, arguments))
    options = parse(table, [*arguments, "--models", "unet", "sharp_unet"])
    assert table.plan([small_phantom], options)


@pytest.mark.slow
def test_the_kernel_ablation_compares_kernels_with_plain_unet(small_phantom, tmp_path):
    out = tmp_path / "out"
    builders = {
        name: partial(kernel_ablation.BUILDERS[name], filters=(4, 4))
        for name in ("unet", "laplacian", "learned")
    }
    table = dataclasses.replace(kernel_ablation.TABLE, builders=builders, models=list(builders))
    assert run_table(table, words(small_phantom, out)) == 0
    counts = {record["model"]: tuple(record["parameters"].values()) for record in read_records(out)}
    assert counts["laplacian"] == (counts["unet"][0], 36)
    assert counts["learned"] == (counts["unet"][0] + 36, 0)
    assert "learned less U-Net" in (out / "comparison.csv").read_text()


def test_the_kernel_ablation_has_every_kernel():
    assert set(kernel_ablation.BUILDERS) == {"unet", *KERNELS, "learned"}
    model = kernel_ablation.BUILDERS["log"]((16, 16, 1), 1, filters=(4, 4))
    blocks = [layer for layer in model.layers if hasattr(layer, "depthwise_kernel")]
    assert [block.kernel for block in blocks] == ["log"]
