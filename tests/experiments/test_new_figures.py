"""The figures of the thesis: what they show, and that they can be read in print."""

import base64
import io
import itertools

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments import (
    figure_2_1,
    figure_2_2,
    figure_2_3,
    figure_2_8,
    figure_2_9,
    figure_2_10,
    figure_3_1,
    figure_3_2,
    figure_predictions,
)
from experiments.classification.features import features_path, write_features
from experiments.classification.figures import class_samples, metric_bars, roc_curves
from experiments.classification.figures_heat_maps import choose
from experiments.classification.figures_predictions import PUBLISHED, GroupScores
from experiments.classification.saved import load_classifier, training_features
from experiments.common.diagram import read_stages
from experiments.common.records import write_record
from experiments.common.report import save_figure
from experiments.common.style import COLOURS, TWO_COLUMNS, colours_of, styled
from experiments.segmentation.figures import _choose, learning_curves, model_bars
from melanet.classifiers import vgg_gap
from melanet.cyclegan import build_cyclegan
from melanet.data import DatasetInfo, load_dataset, phantom, write_dataset
from melanet.networks import unet_generator
from melanet.saving import save_model
from melanet.synthesis import translate_majority
from sharpunet import MODELS, sharp_unet

CONDITIONS = ("vgg_gap", "augment_5x", "augment_10x", "melanet")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def written_texts(figure):
    figure.canvas.draw()
    return [
        text for text in figure.findobj(plt.Text) if text.get_visible() and text.get_text().strip()
    ]


def check_print(figure):
    """At most two columns wide, all text 7 to 9 points high and inside the figure."""
    width, height = figure.get_size_inches()
    assert width <= TWO_COLUMNS + 1e-6
    assert height <= 9.5
    box = figure.bbox.padded(2)
    for text in written_texts(figure):
        assert 7 <= text.get_fontsize() <= 9, text.get_text()
        if text.axes is None or not text.get_clip_on():
            extent = text.get_window_extent()
            inside = box.x0 <= extent.x0 <= extent.x1 <= box.x1
            assert inside or not extent.width, text.get_text()


def test_a_figure_is_saved_as_pdf_and_png_and_returned_for_a_page(tmp_path):
    @styled
    def draw():
        figure, axes = plt.subplots(figsize=(2, 1))
        axes.set_title("price: $5 or $6_a")
        return figure

    picture = save_figure(tmp_path, "plot", draw())
    png = (tmp_path / "figures/plot.png").read_bytes()
    assert base64.b64decode(picture.png.removeprefix("data:image/png;base64,")) == png
    assert Image.open(io.BytesIO(png)).width == 440
    pdf = (tmp_path / "figures/plot.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert base64.b64decode(picture.pdf.removeprefix("data:application/pdf;base64,")) == pdf
    save_figure(tmp_path, "again", draw())
    assert (tmp_path / "figures/again.pdf").read_bytes() == pdf
    assert not plt.get_fignums()


def test_models_and_conditions_keep_one_colour_everywhere():
    assert colours_of(["melanet"])["melanet"] == colours_of(CONDITIONS)["melanet"]
    assert colours_of(["sharp_unet"])["sharp_unet"] == colours_of(MODELS)["sharp_unet"]
    assert list(colours_of(MODELS).values()) == list(COLOURS)
    others = colours_of(["unet", "laplacian", "log"])
    assert len(set(others.values())) == 3


# Figures of records


def condition_runs(**values):
    row = {"auc": 80.0, "sensitivity": 50.0, "specificity": 99.0, "false_negatives": 5,
           "positives": 10}  # fmt: skip
    return pd.DataFrame([{**row, "condition": name, **values} for name in CONDITIONS])


def test_figure_2_6_has_false_negatives_and_shows_a_zero_as_a_line_and_a_number():
    titles = {name: name for name in CONDITIONS}
    figure = metric_bars(condition_runs(sensitivity=0.0, false_negatives=10), titles)
    rates, missed = figure.axes
    assert [bars[0].get_height() for bars in missed.containers] == [10] * 4
    assert missed.get_ylabel() == "of 10 positive test images"
    lines = [c for c in rates.collections if any(len(path) for path in c.get_segments())]
    assert len(lines) == 4
    assert sum(text.get_text() == "0.0" for text in rates.texts) == 4
    assert rates.spines["left"].get_bounds() == (0, 100)
    check_print(figure)


def test_figure_2_7_has_the_areas_in_its_legend():
    scores = [(True, 0.9), (True, 0.4), (False, 0.5), (False, 0.1)]
    record = {"scores": [{"positive": p, "score": s} for p, s in scores]}
    records = [{**record, "condition": name} for name in ("vgg_gap", "melanet")]
    figure = roc_curves(records, {"vgg_gap": "VGG-GAP", "melanet": "MelaNet"})
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:2] == ["VGG-GAP: AUC 75.0%", "MelaNet: AUC 75.0%"]
    check_print(figure)


def curve_record(model, curve, fold=0):
    dataset = {"name": "phantom", "title": "Phantom"}
    return {"model": model, "dataset": dataset, "fold": fold, "history": {"val_jaccard": curve}}


def test_figure_3_3_draws_each_epoch_as_it_was_and_the_best_so_far_only_if_asked():
    records = [curve_record("unet", [0.2, 0.6, 0.4]), curve_record("unet", [0.4, 0.2, 0.6], 1)]
    line = learning_curves(records).axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [30, 40, 50])
    assert line.get_xdata().tolist() == [1, 2, 3]
    line = learning_curves(records, best_so_far=True).axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [30, 50, 60])


def test_figure_3_3_shows_where_early_stopping_has_ended_some_runs():
    records = [curve_record("unet", [0.2, 0.4, 0.6, 0.8]), curve_record("unet", [0.4, 0.4], 1)]
    all_runs, rest = learning_curves(records).axes[0].lines
    np.testing.assert_allclose(all_runs.get_ydata(), [30, 40])
    np.testing.assert_allclose(rest.get_ydata(), [40, 60, 80])
    assert rest.get_linestyle() == ":"


def test_figure_3_5_marks_the_thesis_scores_on_its_own_dataset_only():
    models = ["unet", "sharp_unet", "wide_unet", "wide_sharp_unet"]
    runs = pd.DataFrame([
        {"dataset": name, "model": model, "jaccard": 60.0, "dice": 70.0}
        for name in ("cvc_clinicdb", "phantom") for model in models
    ])  # fmt: skip
    figure = model_bars(runs, "cvc_clinicdb")
    marks = [c.get_offsets()[:, 1] for c in figure.axes[0].collections if len(c.get_offsets()) == 2]
    np.testing.assert_allclose(marks[2], [73.9754, 82.1686])
    np.testing.assert_allclose(marks[3], [75.9263, 83.8992])
    check_print(figure)
    own = model_bars(runs, "phantom").axes[0]
    assert not any(len(c.get_offsets()) == 2 for c in own.collections)


def test_a_kind_of_case_that_no_image_shows_has_no_row():
    square = np.zeros((4, 4), bool)
    square[1:3, 1:3] = True
    truth = dict.fromkeys("abcd", square)
    jaccard = {"unet": dict.fromkeys("abcd", 0.5)}
    empty = {id: np.zeros((4, 4), bool) for id in "abcd"}
    assert _choose("abcd", truth, empty, jaccard, 1) == [("hardest", "a"), ("under-segmented", "b")]
    full = {id: np.ones((4, 4), bool) for id in "abcd"}
    assert _choose("abcd", truth, full, jaccard, 1) == [("hardest", "a"), ("over-segmented", "b")]
    assert _choose("abcd", truth, truth, jaccard, 1) == [("hardest", "a")]


# Diagrams


def test_the_diagram_of_sharp_unet_has_its_filters_and_a_sharp_block_on_every_skip():
    first, *middle, last = read_stages(sharp_unet((64, 64, 3)))
    assert (first.size, last.size) == ((64, 64, 3), (64, 64, 1))
    down = [stage for stage in middle if not stage.decoder]
    up = [stage for stage in middle if stage.decoder]
    assert [stage.size[-1] for stage in down] == [32, 64, 128, 256, 512]
    assert [stage.size[-1] for stage in up] == [256, 128, 64, 32]
    assert {stage.work for stage in down} == {("2 × conv 3×3",)}
    assert [(stage.skip, stage.skipped) for stage in up] == [
        ("sharp", 256), ("sharp", 128), ("sharp", 64), ("sharp", 32)]  # fmt: skip
    assert {stage.entry for stage in up} == {"up-conv 2×2"}


def test_the_diagram_of_vgg_gap_has_thirteen_convolutions_in_five_blocks():
    _, *middle, last = read_stages(vgg_gap((64, 64, 3), 2, weights=None))
    counts = [int(stage.work[0][0]) for stage in middle if stage.work]
    assert counts == [2, 2, 3, 3, 3]
    assert [stage.size[-1] for stage in middle if stage.work] == [64, 128, 256, 512, 512]
    assert middle[-1].entry == "global average pool"
    assert (last.size, last.entry, last.work) == ((2,), "dense", ("softmax",))


def test_the_diagram_of_the_generator_has_three_skips_and_none_at_full_resolution():
    stages = read_stages(unet_generator((64, 64, 3), 8))
    assert [stage.size[0] for stage in stages if stage.skip] == [8, 16, 32]
    assert {stage.skip for stage in stages} == {"", "plain"}
    up = [stage for stage in stages if stage.decoder]
    assert {stage.entry for stage in up[:-1]} == {"upsample 2×2"}
    assert [stage.work for stage in up[:-1]] == [
        (f"concat to {8 * scale}", "conv 4×4") for scale in (8, 4, 2)
    ]
    assert (up[-1].entry, up[-1].work) == ("upsample 2×2, conv 4×4", ("tanh",))


@pytest.mark.parametrize("model", ["unet", "ternausnet16", "sharp_unet_resnet50"])
def test_diagrams_of_other_models_fit_the_page(model, tmp_path):
    assert figure_3_1.main(["--model", model, "--out", str(tmp_path)]) == 0
    check_size(tmp_path / "figures/figure_3_1.png")


@pytest.mark.parametrize("figure", [figure_2_1, figure_2_2, figure_3_2])
def test_diagrams_need_nothing_and_can_be_read(figure, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("experiments.common.figure.save_figure", lambda *a: drawn.append(a[2]))
    assert figure.main(["--out", str(tmp_path)]) == 0
    check_print(drawn[0])


def check_size(path):
    assert Image.open(path).width <= TWO_COLUMNS * 220 + 1


# Figures of what table 2.1 left


@pytest.fixture
def lesions(tmp_path):
    """A phantom of 20 training and 5 test images of 32 pixels, a fifth of them malignant."""
    info = DatasetInfo("phantom", "Phantom", (32, 32), channels=3, labels=phantom.LABELS)
    samples = phantom.read(train=20, test=5, size=32)
    return write_dataset(tmp_path / "prepared" / "melanet" / "phantom", info, samples)


@pytest.fixture
def results(lesions, tmp_path):
    """A results folder of table 2.1 as tiny classifiers leave it, and `--prepared`'s folder."""
    prepared, out, dataset = tmp_path / "prepared", tmp_path / "out", lesions
    test = dataset.ids(split="test")
    positives = [label == "malignant" for label in dataset.values("label", test)]
    key = "phantom-s0-00000000"
    for number, condition in enumerate(CONDITIONS):
        keras.utils.set_random_seed(number)
        model = tiny_classifier()
        name = f"phantom-vgg_gap-{condition}-s0-00000000"
        save_model(model, out / "models" / f"{name}.keras")
        train = dataset.ids(split="train")
        write_features(
            features_path(out, name), model, [(dataset, train), (dataset, test)], load_dataset
        )
        record = {
            "key": name, "condition": condition, "model": "vgg_gap", "seed": 0,
            "protocol": "thesis", "image_size": [32, 32], "precision": "float32",
            "keep_aspect_ratio": None, "scaling": "min_max",
            "dataset": {"name": "phantom", "labels": ["benign", "malignant"],
                        "metadata_sha256": dataset.fingerprint},
            "synthetic": [{"key": key}] * (condition == "melanet"),
            "scores": [{"id": id, "positive": positive, "score": 0.4 + 0.1 * number}
                       for id, positive in zip(test, positives, strict=True)],
        }  # fmt: skip
        write_record(out / "records" / f"{name}.json", record)
    gan = build_cyclegan((32, 32, 3), generator_filters=2, discriminator_filters=2)
    translate_majority(gan, dataset, out / "sets" / f"synthetic-{key}", dataset.ids(split="train"))
    return out, prepared


def tiny_classifier(dtype="float32"):
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", dtype=dtype)(inputs)
    x = keras.layers.GlobalAveragePooling2D(dtype=dtype)(x)
    outputs = keras.layers.Dense(2, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs)


def test_grad_cam_figures_show_missed_and_found_images_of_all_four_methods(results):
    out, prepared = results
    for figure in (figure_2_8, figure_2_9):
        assert figure.main(["--out", str(out), "--prepared", str(prepared)]) == 0
        check_size(out / "figures" / f"{figure.NAME}.png")


def test_images_are_chosen_by_how_many_methods_miss_or_find_them():
    def record(**scores):
        scored = [{"id": id, "positive": id != "n", "score": s} for id, s in scores.items()]
        return {"scores": scored}

    records = [record(a=0.1, b=0.9, c=0.3, d=0.6, n=0.2), record(a=0.7, b=0.8, c=0.2, d=0.9, n=0.1)]
    assert choose(records, found=False) == ["c", "a"]
    assert choose(records, found=True) == ["b", "d", "a"]


@pytest.mark.slow
def test_figure_2_10_shows_training_images_only(results):
    out, _ = results
    record = {"key": "phantom-vgg_gap-vgg_gap-s0-00000000", "scores": [{"positive": True}] * 5}
    assert len(training_features(record, out)) == 20
    assert figure_2_10.main(["--out", str(out)]) == 0
    check_size(out / "figures/figure_2_10.png")


def test_the_predictions_of_the_discussion_are_drawn_and_printed_beside_the_thesis(results, capsys):
    out, prepared = results
    assert figure_predictions.main(["--out", str(out), "--prepared", str(prepared)]) == 0
    printed = capsys.readouterr().out
    assert "thesis: 89.4% of 727 negatives right (77 not), 100.0% of 10" in printed
    assert "ours:" in printed


def test_the_f_score_of_21_percent_follows_from_the_prevalence():
    assert round(PUBLISHED.negative_f_score, 1) == 94.4
    assert round(PUBLISHED.positive_f_score, 1) == 20.6
    assert round(PUBLISHED.prevalence, 1) == 1.4
    assert round(PUBLISHED.with_positives(727).positive_f_score, 1) == 95.0
    assert GroupScores(4, 0, 2, 0).positive_f_score == 0


def test_a_classifier_trained_in_half_precision_is_loaded_in_float32(tmp_path):
    model = tiny_classifier("mixed_bfloat16")
    save_model(model, tmp_path / "models" / "half.keras")
    loaded = load_classifier({"key": "half"}, tmp_path)
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("figure", "missing", "reason"),
    [
        (figure_2_8, "models", "--save-models"),
        (figure_2_9, "records", "has no record of vgg_gap, vgg_gap; run python -m"),
        (figure_2_10, "features", "is no file of features"),
        (figure_predictions, "sets", "run python -m experiments.table_2_1"),
    ],
)
def test_what_is_missing_is_one_line_that_names_the_command(
    figure, missing, reason, results, capsys
):
    out, prepared = results
    (out / missing).rename(out / "elsewhere")
    prepared_flag = [] if figure is figure_2_10 else ["--prepared", str(prepared)]
    assert figure.main(["--out", str(out), *prepared_flag]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert reason in line


def test_figure_2_3_is_drawn_by_its_command(tmp_path):
    folders = ["--prepared", str(tmp_path / "prepared"), "--out", str(tmp_path)]
    command = ["--data", str(tmp_path), "--dataset", "phantom", "--images", "2", *folders]
    assert figure_2_3.main(command) == 0
    assert (tmp_path / "figures" / "figure_2_3.png").is_file()


def test_figure_2_3_shows_both_classes_at_even_steps(lesions):
    figure = class_samples(lesions, 4)
    check_print(figure)
    left, right = figure.subfigs
    shown = [[axes for axes in part.axes if axes.images] for part in (left, right)]
    assert list(map(len, shown)) == [4, 4]
    assert left.get_suptitle() == "malignant (4 training images)"
    pictures = [axes.images[0].get_array() for axes in itertools.chain(*shown)]
    assert len({picture.tobytes() for picture in pictures}) == 8
