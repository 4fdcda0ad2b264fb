import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from experiments import figure_3_9
from experiments.figure_bars import model_bars
from experiments.figure_cases import cases, evenly
from experiments.figure_curves import COLOURS
from experiments.figure_multiclass import CLASS_COLOURS, choose, class_maps, tint
from experiments.published import MODELS
from melanet.data import DatasetInfo, Sample, write_dataset
from melanet.explain import grad_cam
from sharpunet import sharp_unet, ternausnet16, unet
from sharpunet.data import InputError


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def run_of(model, jaccard, dice, dataset="cvc_clinicdb"):
    return {"dataset": dataset, "model": model, "jaccard": jaccard, "dice": dice}


def test_bars_are_as_high_as_the_means_and_error_bars_as_long_as_the_sample_deviation():
    runs = [run_of("unet", 60, 70), run_of("unet", 70, 76), run_of("sharp_unet", 80, 90)]
    runs.append(run_of("unet", 0, 0, "isbi2012"))
    axes = model_bars(pd.DataFrame(runs), "cvc_clinicdb").axes[0]
    plain, sharp = (bars for bars in axes.containers if hasattr(bars, "patches"))
    assert [bar.get_height() for bar in plain] == [65, 73]
    assert [bar.get_height() for bar in sharp] == [80, 90]
    (_, low), (_, high) = plain.errorbar.lines[2][0].get_segments()[0]
    assert (high - low) / 2 == pytest.approx(np.std([60, 70], ddof=1))
    assert sharp.errorbar is None  # one run


def test_all_eight_models_have_their_name_and_the_colour_of_the_other_figures():
    runs = pd.DataFrame([run_of(model, 70, 80) for model in MODELS])
    figure = model_bars(runs, "cvc_clinicdb")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(MODELS.values())
    colours = [bars[0].get_facecolor()[:3] for bars in figure.axes[0].containers]
    assert colours == [to_rgb(colour) for colour in COLOURS]


@pytest.fixture
def four_classes(tmp_path):
    """A set of three images and four classes, and records of two models that found it all."""
    mask = np.zeros((16, 16), "uint8")
    mask[4:8, :4], mask[4:8, 4:8], mask[4:8, 8:12] = 1, 2, 3
    image = np.add.outer(np.arange(16), np.arange(16)).astype("uint8")
    items = [Sample(id, id, lambda: image, lambda: mask, id, id) for id in "abc"]
    info = DatasetInfo("covid_ct", "COVID-19 CT", (16, 16), channels=1, classes=4)
    dataset = write_dataset(tmp_path / "covid_ct", info, items)
    records = []
    for model in ("unet", "sharp_unet"):
        folder = tmp_path / "out" / "predictions" / model
        folder.mkdir(parents=True)
        for id in "abc":
            Image.fromarray(mask).save(folder / f"{id}.png")
        records.append(
            {
                "key": model,
                "model": model,
                "repeat": 0,
                "image_size": [16, 16],
                "dataset": {"classes": 4},
                "scores": [{"id": id, "jaccard": 1.0} for id in "abc"],
            }
        )
    return dataset, records, tmp_path / "out"


def test_class_maps_of_a_right_model_equal_the_ground_truth_and_the_legend_names_the_classes(
    four_classes,
):
    dataset, records, out = four_classes
    figure = class_maps(records, dataset, out, count=2)
    assert len(figure.axes) == 2 * (2 + 2)
    _, truth, plain, sharp = (axes.images[0].get_array() for axes in figure.axes[:4])
    np.testing.assert_array_equal(plain, truth)
    np.testing.assert_array_equal(sharp, truth)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["ground-glass", "consolidation", "pleural effusion"]
    patches = [patch.get_facecolor()[:3] for patch in figure.legends[0].get_patches()]
    np.testing.assert_allclose(patches, CLASS_COLOURS[:3])


def test_the_background_stays_as_it_is_and_every_class_has_a_colour_of_its_own():
    image = np.full((1, 4, 1), 0.5)
    tinted = tint(image, np.array([[0, 1, 2, 3]]))
    assert list(tinted[0, 0]) == [0.5] * 3
    assert len({tuple(colour) for colour in tinted[0]}) == 4


def test_class_maps_are_shown_from_the_worst_to_the_best_and_none_without_a_finding():
    truth = {id: np.array([[0, 1]]) for id in "abcde"} | {"e": np.zeros((1, 2))}
    jaccard = {"unet": {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.6, "e": 0.0}}
    assert choose(list("abcde"), truth, jaccard, 2) == ["b", "a"]
    assert choose(["e"], truth, jaccard, 2) == ["e"]


def test_cases_of_several_classes_count_all_but_the_background(four_classes):
    dataset, records, out = four_classes
    figure = cases(records, dataset, out, each=1)
    truth = figure.axes[1].images[0].get_array()
    assert truth.sum() == 4 * 12


def test_even_steps_begin_with_the_first_and_end_with_the_last():
    assert evenly(list("abcde"), 3) == ["a", "c", "e"]
    assert evenly(["a"], 3) == ["a"]


def tiny(build, channels=1, classes=1):
    return build((32, 32, channels), classes, filters=(2, 2, 3, 3, 4))


def test_grad_cam_stands_in_a_row_a_model_and_a_column_a_concatenation():
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


def test_each_class_has_evidence_of_its_own():
    model = tiny(unet, classes=3)
    images = np.random.default_rng(0).random((1, 32, 32, 1))
    first, second = (figure_3_9.concatenation_maps(model, images, index) for index in (1, 2))
    assert any((a != b).any() for (_, a), (_, b) in zip(first, second, strict=True))
    with pytest.raises(ValueError, match="class_index"):
        grad_cam(model, images, class_index=3)


def test_a_grey_image_made_three_channels_is_no_meeting_of_encoder_and_decoder():
    sides = [layer.output.shape[1] for layer in figure_3_9.concatenations(
        ternausnet16((32, 32, 1)))]  # fmt: skip
    assert sides == [2, 4, 8, 16, 32]


SMALL = ["--image-size", "16", "16", "--epochs", "1", "--batch-size", "4", "--precision",
         "float32", "--models", "unet", "--images", "1"]  # fmt: skip


def words(small_phantom, out, *more):
    folder = small_phantom.folder
    places = ["--data", str(folder.parent), "--dataset", folder.name, "--out", str(out)]
    return [*places, *SMALL, *more]


@pytest.mark.slow
def test_a_second_call_draws_the_same_figure_and_trains_nothing(
    small_phantom, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    assert figure_3_9.main(words(small_phantom, out)) == 0
    picture = out / "figures" / "figure_3_9.png"
    first = picture.read_bytes()
    picture.unlink()
    monkeypatch.setattr(figure_3_9, "train", lambda trial: pytest.fail("it trained again"))
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
        (["--dataset", "cvc"], "'cvc' is no known dataset"),
        (["--image-size", "100", "96"], "multiples of 16"),
        (["--class-index", "1"], "--class-index 1"),
        (["--weights-from", "nowhere"], "has no unet.weights.h5"),
    ],
)
def test_bad_input_is_one_line_and_code_2(change, reason, small_phantom, tmp_path, capsys):
    assert figure_3_9.main(words(small_phantom, tmp_path / "out", *change)) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1:]
    assert message
    assert message[0].startswith("error: ")
    assert reason in message[0]


def test_weights_that_do_not_fit_are_named(small_phantom, tmp_path):
    tiny(unet).save_weights(tmp_path / "unet.weights.h5")
    options = figure_3_9.parse(words(small_phantom, tmp_path / "out", "--weights-from",
                                     str(tmp_path)))  # fmt: skip
    with pytest.raises(InputError, match=r"unet\.weights\.h5: does not fit unet"):
        figure_3_9.run(options)
