"""The table of several classes: one StarGAN, macro metrics, and the page."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments.classification.balancing import repeated_ids
from experiments.classification.multiclass import PHANTOM_OPTIONS
from experiments.classification.multiclass_report import (
    class_bars,
    compare,
    confusion_panels,
    runs_frame,
)
from experiments.classification.seeds import METRICS, ClassSamples, compare_seeds
from experiments.classification.small import small_gap
from experiments.common.table import parse, run_table
from experiments.table_multiclass import TABLE
from melanet import multiclass
from tests.conftest import save_png

SMALL = ["--dataset", "phantom_lesions", "--epochs", "1", "--repeats", "1", "--gan-epochs", "1",
         "--gan-filters", "2", "2", "--image-size", "32", "32",
         "--precision", "float32", "--weights", "none"]  # fmt: skip
LABELS = ["a", "b", "c"]


def made_up_record(condition, seed, probabilities, true=(0, 0, 1, 1, 2, 2)):
    return {
        "model": "vgg_gap",
        "condition": condition,
        "seed": seed,
        "dataset": {"labels": LABELS},
        "training_images": {"a": 30, "b": 10, "c": 5},
        "scores": [
            {"id": str(n), "group": str(n), "label": LABELS[t], "probabilities": list(p)}
            for n, (t, p) in enumerate(zip(true, probabilities, strict=True))
        ],
        **dict.fromkeys(("epochs_run", "best_epoch", "steps", "seconds"), 1),
    }


RIGHT = np.eye(3)[[0, 0, 1, 1, 2, 2]]
WRONG = np.eye(3)[[0, 0, 0, 0, 0, 0]]


@pytest.mark.slow
def test_all_conditions_go_from_images_to_the_page_and_resume(lesions, tmp_path, capsys):
    words = ["--data", str(lesions.folder.parent), "--out", str(tmp_path / "out"), *SMALL]
    assert run_table(TABLE, words) == 0
    printed = capsys.readouterr().out
    records = [json.loads(p.read_text()) for p in (tmp_path / "out/records").iterdir()]
    counts = {record["condition"]: record["training_images"] for record in records}
    assert set(counts) == {"real", "class_weights", "repeated", "melanet"}
    assert len(set(counts["melanet"].values())) == 1
    assert counts["repeated"] == counts["melanet"]
    assert counts["real"]["vascular"] < counts["real"]["nevus"] == counts["melanet"]["vascular"]
    assert len({record["steps"] for record in records}) == 1  # the same for all
    for record in records:
        assert len(record["scores"]) == 20
        for score in record["scores"]:
            assert sum(score["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert "| Macro AUC" in printed
    assert "nevus" in printed.partition("Percent;")[0]
    page = (tmp_path / "out/index.html").read_text()
    assert "StarGAN" in page
    names = {path.stem for path in (tmp_path / "out/figures").glob("*.png")}
    assert names >= {"samples", "classes", "bars", "confusion", "translations"}
    assert run_table(TABLE, words) == 0
    assert "4 of 4 trials are done already" in capsys.readouterr().out


def test_two_classes_are_refused_with_the_table_for_them(dermoscopy, tmp_path, capsys):
    words = ["--data", str(dermoscopy.folder.parent), "--out", str(tmp_path / "out")]
    assert run_table(TABLE, [*words, *SMALL, "--dataset", "phantom", "--dry-run"]) == 2
    message = capsys.readouterr().err
    assert "has 2 classes; three or more are expected" in message
    assert "table_oversampling" in message


def test_generated_images_have_options_of_their_own_and_others_the_protocols():
    generated = parse(TABLE, [])
    assert generated.epochs == PHANTOM_OPTIONS["epochs"]
    assert generated.models == ["experiments.classification.small:small_gap"]
    assert (generated.equal_steps, generated.repeats, generated.protocol) == (True, 3, "clean")
    assert parse(TABLE, ["--epochs", "3"]).epochs == 3
    own = parse(TABLE, ["--dataset", "moles"])
    assert (own.models, own.weights, own.epochs, own.gan_norm) == (
        ["vgg_gap"], "imagenet", None, None,
    )  # fmt: skip
    assert not parse(TABLE, ["--no-equal-steps"]).equal_steps


def test_the_small_classifier_has_the_parameters_that_it_states():
    assert small_gap((32, 32, 3), 4).count_params() == 295_476


def test_every_rarer_class_is_repeated_up_to_the_largest(lesions):
    ids = lesions.ids(split="train")
    labels = dict(zip(ids, lesions.values("label", ids), strict=True))
    again = repeated_ids(lesions, ids, seed=0)
    counts = {name: [*labels.values()].count(name) for name in lesions.info.labels}
    for id in again:
        counts[labels[id]] += 1
    assert set(counts.values()) == {20}
    often = [again.count(id) for id in ids if labels[id] == "melanoma"]
    assert max(often) - min(often) <= 1


def test_drawn_metrics_of_all_images_are_those_of_the_library():
    random = np.random.default_rng(0)
    true, scores = random.integers(0, 3, 40), random.dirichlet([1, 1, 1], 40)
    whole = ClassSamples(true, scores, np.ones((1, 40), int))
    for name in ("accuracy", "macro_sensitivity", "macro_auc"):
        expected = getattr(multiclass, name)(true, scores)
        assert METRICS[name].compute(whole)[0] == pytest.approx(expected)
    # To draw an image twice is to have it twice.
    twice = ClassSamples(true, scores, np.array([[2] * 10 + [1] * 30]))
    more = np.r_[np.arange(10), np.arange(40)]
    for name in ("accuracy", "macro_sensitivity", "macro_auc"):
        expected = getattr(multiclass, name)(true[more], scores[more])
        assert METRICS[name].compute(twice)[0] == pytest.approx(expected)


def test_a_run_has_the_metrics_of_its_classes():
    row = runs_frame([made_up_record("real", 0, [*RIGHT[:3], [0.6, 0.4, 0], *RIGHT[4:]])]).iloc[0]
    assert row["macro_sensitivity"] == pytest.approx(100 * (1 + 0.5 + 1) / 3)
    assert row["sensitivity_1"] == 50
    assert row["sensitivity_1_low"] == pytest.approx(1.258, abs=1e-3)  # 1 of 2
    assert row["accuracy"] == pytest.approx(500 / 6)
    assert row["skew"] == 6
    assert row["learned"]
    assert not runs_frame([made_up_record("real", 0, WRONG)]).iloc[0]["learned"]


def test_a_class_without_a_test_image_is_left_open():
    records = [made_up_record(c, 0, RIGHT[:4], (0, 0, 1, 1)) for c in ("real", "melanet")]
    titles = {"real": "Real", "melanet": "MelaNet"}
    row = compare(records, titles).iloc[0]
    assert (row["Macro AUC"], row["p, macro AUC"]) == ("–", "–")
    assert np.isnan(runs_frame(records)["macro_sensitivity"]).all()
    for draw in (class_bars, confusion_panels):
        plt.close(draw(records, titles))


def test_equally_many_images_of_each_class_are_refused_before_any_training(tmp_path, capsys):
    for label in "abc":
        for number in range(10):
            save_png(
                tmp_path / f"moles/{label}/{label}{number}.png", np.full((32, 32), number * 20)
            )
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), *SMALL]
    assert run_table(TABLE, [*words, "--dataset", "moles", "--protocol", "thesis"]) == 2
    assert "nothing to over-sample" in capsys.readouterr().err


def test_a_better_condition_is_found_to_be_better():
    pair = made_up_record("real", 0, WRONG), made_up_record("melanet", 0, RIGHT)
    found = compare_seeds([pair], "macro_sensitivity")
    assert found.mean == pytest.approx(100 - 100 / 3)
    assert compare_seeds([pair], "macro_auc").mean == pytest.approx(50)
    row = compare(pair, {"real": "Real", "melanet": "MelaNet"}).iloc[0]
    assert row["Pair"] == "MelaNet less Real"
    assert row["Macro AUC"].startswith("+50.00")
    assert {"p, macro AUC", "p, macro sensitivity"} <= set(row.index)
