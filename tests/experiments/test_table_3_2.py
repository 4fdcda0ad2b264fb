import json

import keras
import pytest

from experiments import kernel_ablation, table_3_2
from experiments.segmentation_table import parse, plan, run_table
from melanet.data import InputError
from sharpunet import KERNELS, MODELS

SMALL = ["--image-size", "32", "32", "--folds", "2", "--repeats", "1", "--epochs", "1",
         "--batch-size", "4", "--precision", "float32"]  # fmt: skip


def words(small_phantom, out, *more):
    return ["--data", str(small_phantom.folder.parent), "--datasets", small_phantom.folder.name,
            "--out", str(out), *SMALL, *more]  # fmt: skip


@pytest.mark.slow
def test_many_models_give_a_row_each(small_phantom, tmp_path):
    out = tmp_path / "out"
    models = ["unet", "sharp_unet", "ternausnet16"]
    arguments = words(
        small_phantom, out, "--models", *models, "--weights", "none", "--loss", "dice"
    )
    assert run_table(table_3_2.TABLE, arguments) == 0
    lines = (out / "table.md").read_text().splitlines()
    ours = [line for line in lines if "| ours" in line]
    assert [line.split("|")[2].strip() for line in ours] == [
        "U-Net", "Sharp U-Net", "TernausNet-16",
    ]  # fmt: skip
    assert "7,759,521 + 4,320" in ours[1]
    assert any("CVC-ClinicDB" in line and "76.07 ± 3.69" in line for line in lines)
    for path in (out / "records").iterdir():
        record = json.loads(path.read_text())
        assert (record["loss"], record["weights"]) == ("dice", None)


def test_table_3_2_plans_all_eight_models(small_phantom, tmp_path):
    table = table_3_2.TABLE
    options = parse(table, words(small_phantom, tmp_path, "--weights", "none"))
    trials = plan(table, [small_phantom], options)
    assert {trial.model for trial in trials} == set(MODELS)
    assert len({trial.key for trial in trials}) == 16


def test_weights_that_cannot_be_had_are_said_before_the_first_training(
    small_phantom, tmp_path, monkeypatch
):
    def offline(**_):
        raise Exception("URL fetch failure")

    offline.__module__ = keras.applications.VGG16.__module__
    monkeypatch.setattr(keras.applications, "VGG16", offline)
    table = table_3_2.TABLE
    options = parse(table, words(small_phantom, tmp_path, "--models", "unet", "ternausnet16"))
    with pytest.raises(InputError, match=r"--weights imagenet: .*ternausnet16.*URL fetch failure"):
        plan(table, [small_phantom], options)
    options = parse(table, words(small_phantom, tmp_path, "--models", "unet"))
    assert {trial.settings.weights for trial in plan(table, [small_phantom], options)} == {None}


def test_a_side_must_suit_the_deepest_model(small_phantom, tmp_path):
    table = table_3_2.TABLE
    arguments = words(small_phantom, tmp_path, "--weights", "none", "--image-size", "48", "48")
    with pytest.raises(InputError, match="multiples of 32"):
        plan(table, [small_phantom], parse(table, arguments))
    options = parse(table, [*arguments, "--models", "unet", "sharp_unet"])
    assert plan(table, [small_phantom], options)


@pytest.mark.slow
def test_the_kernel_ablation_compares_every_kernel_with_the_plain_unet(small_phantom, tmp_path):
    out = tmp_path / "out"
    chosen = ["unet", "laplacian", "learned"]
    arguments = words(small_phantom, out, "--models", *chosen)
    assert run_table(kernel_ablation.TABLE, arguments) == 0
    counts = {}
    for path in (out / "records").iterdir():
        record = json.loads(path.read_text())
        counts[record["model"]] = tuple(record["parameters"].values())
    assert counts["laplacian"] == (counts["unet"][0], 4320)
    assert counts["learned"] == (counts["unet"][0] + 4320, 0)
    assert "learned less U-Net" in (out / "comparison.csv").read_text()


def test_the_kernel_ablation_has_every_kernel():
    assert set(kernel_ablation.BUILDERS) == {"unet", *KERNELS, "learned"}
    model = kernel_ablation.BUILDERS["log"]((16, 16, 1), 1, filters=(4, 4))
    blocks = [layer for layer in model.layers if hasattr(layer, "depthwise_kernel")]
    assert [block.kernel for block in blocks] == ["log"]
