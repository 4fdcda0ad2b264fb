import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from experiments.common.published import SEGMENTATION_TITLES
from experiments.common.style import COLOURS, evenly_spaced
from experiments.segmentation.figures import (
    CLASS_COLOURS,
    _choose_ranked,
    _tint,
    cases,
    class_maps,
    model_bars,
)
from melanet.data import DatasetInfo, Sample, write_dataset


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def run_of(model, jaccard, dice, dataset="cvc_clinicdb"):
    return {"dataset": dataset, "model": model, "jaccard": jaccard, "dice": dice}


def test_bars_show_means_and_error_bars_the_sample_deviation():
    runs = [run_of("unet", 60, 70), run_of("unet", 70, 76), run_of("sharp_unet", 80, 90)]
    runs.append(run_of("unet", 0, 0, "isbi2012"))
    axes = model_bars(pd.DataFrame(runs), "cvc_clinicdb").axes[0]
    plain, sharp = (bars for bars in axes.containers if hasattr(bars, "patches"))
    assert [bar.get_height() for bar in plain] == [65, 73]
    assert [bar.get_height() for bar in sharp] == [80, 90]
    (_, low), (_, high) = plain.errorbar.lines[2][0].get_segments()[0]
    assert (high - low) / 2 == pytest.approx(np.std([60, 70], ddof=1))
    assert sharp.errorbar is None  # one run


def test_all_eight_models_have_the_thesis_s_names_and_colours_of_their_own():
    runs = pd.DataFrame([run_of(model, 70, 80) for model in SEGMENTATION_TITLES])
    figure = model_bars(runs, "cvc_clinicdb")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == list(SEGMENTATION_TITLES.values())
    bars = [bars for bars in figure.axes[0].containers if hasattr(bars, "patches")]
    assert [each[0].get_facecolor()[:3] for each in bars] == [to_rgb(c) for c in COLOURS]


@pytest.fixture
def four_classes(tmp_path):
    """A dataset of three images and four classes, and records of two perfect models."""
    mask = np.zeros((16, 16), "uint8")
    mask[4:8, :4], mask[4:8, 4:8], mask[4:8, 8:12] = 1, 2, 3
    image = np.add.outer(np.arange(16), np.arange(16)).astype("uint8")
    samples = [Sample(id, id, lambda: image, lambda: mask, id, id) for id in "abc"]
    info = DatasetInfo("covid_ct", "COVID-19 CT", (16, 16), channels=1, classes=4)
    dataset = write_dataset(tmp_path / "covid_ct", info, samples)
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


def test_class_maps_of_a_perfect_model_equal_the_ground_truth_and_the_legend_names_the_classes(
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


def test_the_background_is_not_tinted_and_every_class_has_its_own_colour():
    image = np.full((1, 4, 1), 0.5)
    tinted = _tint(image, np.array([[0, 1, 2, 3]]))
    assert list(tinted[0, 0]) == [0.5] * 3
    assert len({tuple(colour) for colour in tinted[0]}) == 4


def test_class_maps_go_from_the_worst_to_the_best_image_without_empty_ones():
    truth = {id: np.array([[0, 1]]) for id in "abcde"} | {"e": np.zeros((1, 2))}
    jaccard = {"unet": {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.6, "e": 0.0}}
    assert _choose_ranked(list("abcde"), truth, jaccard, 2) == ["b", "a"]
    assert _choose_ranked(["e"], truth, jaccard, 2) == ["e"]


def test_cases_of_several_classes_count_all_but_the_background(four_classes):
    dataset, records, out = four_classes
    figure = cases(records, dataset, out, each=1)
    truth = figure.axes[1].images[0].get_array()
    assert truth.sum() == 4 * 12


def test_even_steps_begin_with_the_first_item_and_end_with_the_last():
    assert evenly_spaced(list("abcde"), 3) == ["a", "c", "e"]
    assert evenly_spaced(["a"], 3) == ["a"]
