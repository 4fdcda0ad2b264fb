import dataclasses
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments import figure_3_9
from experiments.common.table import parse
from experiments.segmentation.trial import SegmentationTrial
from melanet.explain import grad_cam
from sharpunet import sharp_unet, ternausnet16, unet
from sharpunet.data import InputError


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def tiny(build, channels=1, classes=1):
    return build((32, 32, channels), classes, filters=(2, 2, 3, 3, 4))


def test_heat_maps_have_a_row_per_model_and_a_column_per_concatenation():
    models = {"unet": tiny(unet), "sharp_unet": tiny(sharp_unet)}
    images, masks = np.random.default_rng(0).random((2, 2, 32, 32, 1)).astype("float32")
    figure = figure_3_9.heat_maps(models, ["first", "second"], images, masks, 0)
    *panels, _colour_bar = figure.axes
    assert len(panels) == 2 * len(models) * (2 + 4)
    heat = [axes.images[-1].get_array() for axes in panels[2:6]]
    expected = figure_3_9.concatenation_maps(models["unet"], images, 0)
    for shown, (_, maps) in zip(heat, expected, strict=True):
        np.testing.assert_array_equal(shown, maps[0])
    sides = [axes.get_xlabel() for axes in panels[2:6]]
    assert sides == ["4 × 4", "8 × 8", "16 × 16", "32 × 32"]  # deepest first


def test_each_class_has_its_own_heat_map():
    model = unet((16, 16, 1), 3, filters=(2, 2))
    images = np.random.default_rng(0).random((1, 16, 16, 1))
    first, second = (figure_3_9.concatenation_maps(model, images, index) for index in (1, 2))
    assert any((a != b).any() for (_, a), (_, b) in zip(first, second, strict=True))
    with pytest.raises(ValueError, match="class_index"):
        grad_cam(model, images, class_index=3)


def test_repeating_a_grey_channel_is_not_a_skip_connection():
    layers = figure_3_9.concatenations(ternausnet16((32, 32, 1)))
    assert [layer.output.shape[1] for layer in layers] == [2, 4, 8, 16]


SMALL = ["--image-size", "16", "16", "--epochs", "1", "--batch-size", "4", "--precision",
         "float32", "--model", "unet", "--images", "1"]  # fmt: skip


def words(small_phantom, out, *more):
    folder = small_phantom.folder
    places = ["--data", str(folder.parent), "--dataset", folder.name, "--out", str(out)]
    return [*places, *SMALL, *more]


@pytest.mark.slow
def test_a_second_call_draws_the_same_figure_without_training(
    small_phantom, tmp_path, monkeypatch, capsys
):
    table = dataclasses.replace(figure_3_9.TABLE, builders={"unet": partial(unet, filters=(4, 4))})
    monkeypatch.setattr(figure_3_9, "TABLE", table)
    out = tmp_path / "out"
    assert figure_3_9.main(words(small_phantom, out)) == 0
    picture = out / "figures" / "figure_3_9.png"
    first = picture.read_bytes()
    picture.unlink()
    monkeypatch.setattr(SegmentationTrial, "train", lambda *_: pytest.fail("it trained again"))
    assert figure_3_9.main(words(small_phantom, out)) == 0
    assert picture.read_bytes() == first
    assert figure_3_9.main(words(small_phantom, out, "--dry-run")) == 0
    assert "trained  phantom-unet-r0-f0-" in capsys.readouterr().out
    elsewhere = words(small_phantom, tmp_path / "other", "--weights-from", str(out / "weights"))
    assert figure_3_9.main(elsewhere) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--dataset", "cvc"], "'cvc' is not a known dataset"),
        (["--dataset", "phantom", "phantom_2"], "'phantom_2' is not a known dataset"),
        (["--image-size", "100", "96"], "multiples of 16"),
        (["--class-index", "1"], "--class-index 1"),
        (["--weights-from", "nowhere"], "has no unet.weights.h5"),
    ],
)
def test_bad_input_is_one_line_and_code_2(change, reason, small_phantom, tmp_path, capsys):
    assert figure_3_9.main(words(small_phantom, tmp_path / "out", *change)) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert reason in message


def test_unsuitable_weights_are_an_error(small_phantom, tmp_path):
    tiny(unet).save_weights(tmp_path / "unet.weights.h5")
    arguments = words(small_phantom, tmp_path / "out", "--weights-from", str(tmp_path))
    with pytest.raises(InputError, match=r"unet\.weights\.h5: does not fit unet"):
        figure_3_9.run(parse(figure_3_9.TABLE, arguments))
