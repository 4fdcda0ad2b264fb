"""Reports of datasets, classes and models whose names hold what markup takes for commands."""

import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from experiments.classification import figures as classification
from experiments.classification.report import runs_frame as classifier_runs
from experiments.common.report import save_figure, write_section
from experiments.segmentation import figures as segmentation
from experiments.segmentation.report import runs_frame
from melanet.data import DatasetInfo, Sample, write_dataset
from tests.conftest import save_png

NAME = r"a$b_c^d~e\f|g`h%i&j{k}#$"
#: Matplotlib refuses this where it reads mathematics.
BROKEN_MATH = r"$\frac{a$"


@pytest.fixture
def section(tmp_path):
    cells = pd.DataFrame({"Dataset": [NAME, "b\nc"], f"{NAME} Dice": ["1.00 ± 0.10", "2.00"]})
    return write_section(
        tmp_path, title=NAME, caption=NAME, numbers=cells, shown=cells, figures={}, settings={},
        runs=cells, comparison=cells, comparison_note="Percent.",
    )  # fmt: skip


def rows_of(markdown):
    return [line for line in markdown.splitlines() if line.startswith("|")]


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_heading(section):
    rows = rows_of(section.markdown)
    assert len(rows) == 8  # a heading, a rule and two rows, of both tables
    assert {len(re.findall(r"(?<!\\)\|", row.replace(r"\\", ""))) for row in rows} == {3}
    assert "`" not in section.markdown.replace(r"\`", "")


def test_headings_and_cells_of_the_latex_table_are_escaped(section, tmp_path):
    latex = (tmp_path / "table.tex").read_text()
    name = r"a\$b\_c\textasciicircum{}d\textasciitilde{}e\textbackslash{}f\textbar{}g`h\%i\&j\{k\}"
    assert latex.count(rf"{name}\#\$") == 2
    assert r"1.00 $\pm$ 0.10" in latex
    assert "b c &" in latex


def test_headings_of_the_html_table_are_escaped(tmp_path):
    cells = pd.DataFrame({"<b>": ["<i>"]})
    made = write_section(
        tmp_path, title="", caption="", numbers=cells, shown=cells, figures={}, settings={},
        runs=cells,
    )  # fmt: skip
    assert "&lt;b&gt;" in made.table
    assert "&lt;i&gt;" in made.table


def test_a_figure_that_was_drawn_in_another_style_is_saved_all_the_same(tmp_path):
    with mpl.rc_context({"text.parse_math": True}):
        figure, axes = plt.subplots()
        axes.set_title(BROKEN_MATH)
        axes.set_xticks([0], [BROKEN_MATH])
        axes.plot([0], [0], label=BROKEN_MATH)
        axes.legend()
        figure.suptitle(BROKEN_MATH)
    assert save_figure(tmp_path, "drawn", figure).png.startswith("data:image/png")


@pytest.mark.parametrize("name", [NAME, BROKEN_MATH])
def test_figures_of_segmentation_hold_any_name(name, tmp_path):
    mask = np.zeros((16, 16), "uint8")
    mask[4:8, :4], mask[4:8, 4:8] = 1, 2
    samples = [Sample(id, id, lambda: mask, lambda: mask, id, id) for id in "abc"]
    classes = ("background", name, "other")
    info = DatasetInfo(name, name, (16, 16), channels=1, classes=3, class_names=classes)
    dataset = write_dataset(tmp_path / "set", info, samples)
    record = {
        "key": "k", "model": name, "repeat": 0, "fold": 0, "image_size": [16, 16], "seed": 0,
        "dataset": info.to_dict(), "history": {"val_jaccard": [0.1, 0.2]}, "best_epoch": 1,
        "epochs_run": 2, "seconds": 1, "parameters": {"trainable": 1, "frozen": 0},
        "best_constant": {}, "scores": [{"id": i, "jaccard": 0.5, "dice": 0.5} for i in "abc"],
    }  # fmt: skip
    for id in "abc":
        save_png(tmp_path / "predictions/k" / f"{id}.png", mask)
    runs = runs_frame([record])
    drawn = [
        segmentation.learning_curves([record]),
        segmentation.fold_by_fold(runs, [record]),
        segmentation.model_bars(runs, name, name),
        segmentation.class_maps([record], dataset, tmp_path),
        segmentation.cases([record], dataset, tmp_path),
    ]
    for number, figure in enumerate(drawn):
        save_figure(tmp_path, f"{number}-{name}".replace("/", ""), figure)


@pytest.mark.parametrize("name", [NAME, BROKEN_MATH])
def test_figures_of_classification_hold_any_name(name, tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "umap_embedding", lambda table, seed: table[:, :2])
    labels = ("benign", name)
    image = np.eye(9, dtype="uint8")
    samples = [
        Sample(f"id{number}", f"id{number}", lambda: image, None, "file", label=labels[number % 2])
        for number in range(4)
    ]
    info = DatasetInfo("set", name, (9, 9), channels=1, labels=labels)
    dataset = write_dataset(tmp_path / "set", info, samples)
    scores = [{"id": str(i), "positive": i % 2 == 1, "score": 0.3 + 0.1 * i} for i in range(6)]
    record = {
        "model": name, "condition": name, "seed": 0, "dataset": info.to_dict(), "scores": scores,
        "training_images": dict.fromkeys(labels, 2), "epochs_run": 1, "best_epoch": 1, "seconds": 1,
    }  # fmt: skip
    titles = {name: name}
    features = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 4)))
    drawn = [
        classification.class_samples(dataset),
        classification.class_histogram([record], titles),
        classification.metric_bars(classifier_runs([record]), titles),
        classification.roc_curves([record], titles),
        classification.confidences(record, name),
        classification.umap_panels({name: features.assign(group=list(labels) * 6)}, labels),
    ]
    for number, figure in enumerate(drawn):
        save_figure(tmp_path, f"{number}", figure)
