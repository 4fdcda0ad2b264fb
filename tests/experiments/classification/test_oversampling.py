"""The table of over-sampling: class weights, repeated images, SMOTE and translation."""

import builtins
import dataclasses
import json
import sys
from collections import Counter

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from experiments.classification import balancing
from experiments.classification.comparisons import compare_conditions
from experiments.classification.conditions import Condition
from experiments.classification.protocols import MELANOMA_PROTOCOLS, OVERSAMPLING_PROTOCOLS
from experiments.classification.report import runs_frame
from experiments.classification.splits import split_images
from experiments.common.records import hashed_settings
from experiments.common.table import parse, run_table, take_shard
from experiments.table_2_1 import TABLE as TABLE_2_1
from experiments.table_oversampling import TABLE
from melanet.data import DatasetInfo, InputError, phantom, write_dataset
from melanet.losses import focal_loss

SMALL = ["--dataset", "phantom", "--weights", "none", "--epochs", "2", "--gan-epochs", "1",
         "--gan-filters", "4", "4", "--image-size", "32", "32", "--batch-size", "4",
         "--precision", "float32"]  # fmt: skip
WITHOUT_SMOTE = ["real", "class_weights", "repeated", "melanet"]


def words(dermoscopy, out, *more):
    return ["--data", str(dermoscopy.folder.parent), "--out", str(out), *SMALL, *more]


def plan(table, dermoscopy, out, *more):
    trials = table.plan([dermoscopy], parse(table, words(dermoscopy, out, *more)))
    return {trial.condition.name: trial for trial in trials}


def read_records(out):
    records = [json.loads(path.read_text()) for path in (out / "records").iterdir()]
    return {record["condition"]: record for record in records}


TINY = """
def tiny(input_shape, classes):
    inputs = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=4, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))
"""


@pytest.fixture
def tiny(write_module):
    """The option that names a small classifier."""
    return ["--models", f"{write_module(TINY)}:tiny"]


@pytest.fixture
def lesions(tmp_path):
    """A phantom of 40 training images, so that a tenth of them holds both classes."""
    info = DatasetInfo("phantom", "Phantom", image_size=(32, 32), channels=3, labels=phantom.LABELS)
    samples = phantom.read(train=40, test=5, size=32)
    return write_dataset(tmp_path / "lesions/phantom", info, samples)


@pytest.mark.slow
def test_conditions_go_from_a_dataset_to_the_page(lesions, tiny, tmp_path):
    out = tmp_path / "out"
    more = [*tiny, "--conditions", *WITHOUT_SMOTE, "--equal-steps"]
    assert run_table(TABLE, words(lesions, out, *more)) == 0
    records = read_records(out)
    split = split_images(lesions, OVERSAMPLING_PROTOCOLS["thesis"], 0)
    trained = Counter(lesions.values("label", split.train))
    assert trained == {"benign": 29, "malignant": 7}
    assert {name: record["training_images"] for name, record in records.items()} == {
        "real": trained,
        "class_weights": trained,
        "repeated": {"benign": 29, "malignant": 29},
        "melanet": {"benign": 29, "malignant": 7 + 29},
    }
    for record in records.values():
        assert record["epochs_run"] == 2
        assert record["steps"] == 2 * 9  # 36 images in batches of 4
        assert [score["id"] for score in record["scores"]] == list(split.test)
        assert [score["id"] for score in record["validation_scores"]] == list(split.validation)
        assert "val_loss" not in record["history"]  # it chooses the threshold, nothing else
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 7  # those of table 2.1, and the reliability
    assert "as many optimizer steps" in page
    table = pd.read_csv(out / "table.csv")
    assert {"ece_mean", "brier_mean", "chosen_sensitivity_low"} <= set(table)
    assert "Brier" in pd.read_csv(out / "comparison.csv")


@pytest.mark.slow
def test_as_many_epochs_are_more_steps_of_more_images(dermoscopy, tiny, tmp_path):
    more = [*tiny, "--conditions", "real", "repeated"]
    assert run_table(TABLE, words(dermoscopy, tmp_path, *more)) == 0
    records = read_records(tmp_path)
    steps = {name: record["steps"] for name, record in records.items()}
    assert steps == {"real": 2 * 5, "repeated": 2 * 7}  # 18 and 28 images in batches of 4
    markdown = (tmp_path / "table.md").read_text()  # no malignant image validates
    assert "| – " in markdown


@pytest.mark.slow
def test_smote_trains_a_head_on_the_network_of_the_real_images(dermoscopy, tiny, tmp_path):
    pytest.importorskip("imblearn")
    arguments = words(dermoscopy, tmp_path, *tiny, "--conditions", "smote", "--save-models",
                      "--protocol", "clean", "--equal-steps")  # fmt: skip
    assert run_table(TABLE, arguments) == 0
    records = read_records(tmp_path)
    assert set(records) == {"smote", "real"}
    real, smote = records["real"], records["smote"]
    assert smote["network"] == real["key"]
    assert smote["training_images"] == dict.fromkeys(("benign", "malignant"), 14)
    assert smote["steps"] == real["steps"]
    assert smote["optimizer"] == "Adam 0.001"
    assert "val_loss" in smote["history"]
    networks = [
        keras.saving.load_model(tmp_path / f"models/{r['key']}.keras") for r in (real, smote)
    ]
    same = [
        np.array_equal(*pair) for pair in zip(*(n.get_weights() for n in networks), strict=True)
    ]
    assert same == [True] * (len(same) - 2) + [False] * 2
    stamp = (tmp_path / f"records/{real['key']}.json").stat().st_mtime_ns
    more = words(dermoscopy, tmp_path, *tiny, "--conditions", "real", "--protocol", "clean",
                 "--equal-steps")  # fmt: skip
    assert run_table(TABLE, more) == 0  # done already
    assert (tmp_path / f"records/{real['key']}.json").stat().st_mtime_ns == stamp


def test_features_made_by_smote_lie_between_neighbours():
    pytest.importorskip("imblearn")
    rare = np.array([[0.0, 0], [1, 2], [2, 4], [3, 6]], "float32")  # on a line
    common = np.full((12, 2), 9, "float32") + np.arange(12)[:, None]
    labels = ["a"] * 12 + ["b"] * 4
    found, classes, neighbours = balancing.smote(np.concatenate([common, rare]), labels, seed=0)
    assert Counter(classes) == {"a": 12, "b": 12}
    assert neighbours == 3  # all others of the four
    assert np.array_equal(found[:16], np.concatenate([common, rare]))
    made = found[16:]
    assert made[:, 1] == pytest.approx(2 * made[:, 0])
    assert ((made[:, 0] >= 0) & (made[:, 0] <= 3)).all()
    assert len(np.unique(made, axis=0)) > 4
    again, _, _ = balancing.smote(np.concatenate([common, rare]), labels, seed=0)
    assert np.array_equal(found, again)


def test_smote_of_one_image_is_an_error():
    with pytest.raises(InputError, match="two training images of each class"):
        balancing.smote(np.eye(3), ["a", "a", "b"], seed=0)


def test_smote_without_imbalanced_learn_is_reported_first(
    dermoscopy, tmp_path, capsys, monkeypatch
):
    own_import = builtins.__import__

    def without(name, *more):
        if name.startswith("imblearn"):
            raise ImportError(name)
        return own_import(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in [name for name in sys.modules if name.startswith("imblearn")]:
        monkeypatch.delitem(sys.modules, name)
    assert run_table(TABLE, words(dermoscopy, tmp_path / "out")) == 2
    message = capsys.readouterr().err
    assert "pip install imbalanced-learn" in message
    assert len(message.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_new_head_is_trained_and_put_into_the_network():
    inputs = keras.Input((2,))
    frozen = keras.layers.Rescaling(1.0)(inputs)
    last = keras.layers.Dense(2, activation="softmax")
    network = keras.Model(inputs, last(frozen))
    features = np.array([[-1.0, 0], [1, 0]] * 20, "float32")
    labels = ["a", "b"] * 20
    before = last.get_weights()[0]
    trained = balancing.train_head(
        network,
        (features, labels),
        ["a", "b"],
        validation=None,
        loss=keras.losses.CategoricalCrossentropy(),
        epochs=3,
        stopping=keras.callbacks.EarlyStopping("loss", restore_best_weights=True),
        plateau=keras.callbacks.ReduceLROnPlateau("loss"),
        one_epoch=lambda rows: rows.batch(4).take(5),
        seed=0,
    )
    assert trained.summary()["steps"] == 3 * 5
    assert not np.array_equal(before, last.get_weights()[0])
    no_head = keras.Model(inputs, frozen)
    with pytest.raises(InputError, match="does not end in a Dense layer"):
        balancing.train_head(
            no_head, (features, labels), ["a", "b"], validation=None, loss=None, epochs=1,
            stopping=None, plateau=None, one_epoch=None, seed=0
        )  # fmt: skip


def test_repeated_images_make_the_classes_equal(dermoscopy):
    ids = dermoscopy.ids(split="train")
    extra = balancing.repeated_ids(dermoscopy, ids[:18], seed=0)
    labels = dermoscopy.values("label", ids[:18])
    assert set(dermoscopy.values("label", extra)) == {"malignant"}
    assert labels.count("benign") == labels.count("malignant") + len(extra)
    repeats = Counter(extra).values()
    assert max(repeats) - min(repeats) <= 1
    assert extra == balancing.repeated_ids(dermoscopy, ids[:18], seed=0)


def test_class_weights_scale_the_loss_of_each_image():
    weights = balancing.class_weights({"benign": 6, "malignant": 2}, ["benign", "malignant"])
    assert weights == pytest.approx([8 / 2 / 6, 8 / 2 / 2])
    one_hot, scores = np.eye(2, dtype="float32")[[0, 1]], [[0.8, 0.2], [0.4, 0.6]]
    batches = tf.data.Dataset.from_tensors((np.zeros((2, 1)), one_hot))
    [(_, labels, scale)] = balancing.with_class_weights(batches, weights)
    loss = float(focal_loss()(labels, np.array(scores), sample_weight=scale))
    negative = -0.75 * 0.2**2 * np.log(0.8) * 8 / 12
    positive = -0.25 * 0.4**2 * np.log(0.6) * 2
    assert loss == pytest.approx((negative + positive) / 2, rel=1e-4)


def test_a_tenth_of_the_training_images_chooses_the_threshold(dermoscopy):
    for protocol in OVERSAMPLING_PROTOCOLS.values():
        split = split_images(dermoscopy, protocol, seed=0)
        assert len(split.validation) == 2
        assert not set(split.validation) & {*split.train, *split.test}
    assert not split_images(dermoscopy, MELANOMA_PROTOCOLS["thesis"], seed=0).validation


def made_up_record(condition, validation, scores):
    """A record with positives "a" and "b" and negatives "c" and "d", tested and validated."""

    def rows(values):
        return [
            {"id": id, "group": id, "positive": id in "ab", "score": score}
            for id, score in zip("abcd", values, strict=True)
        ]

    record = dict.fromkeys(("epochs_run", "best_epoch", "seconds", "steps", "seed"), 1)
    record |= {"dataset": {"labels": ["n", "p"]}, "training_images": {"n": 3, "p": 1}}
    record |= {"scores": rows(scores), "validation_scores": rows(validation)}
    return {**record, "model": "vgg_gap", "condition": condition}


def test_the_threshold_comes_from_validation_images_alone():
    # Their threshold is 0.25; that of the test images would be 0.15.
    row = runs_frame([made_up_record("real", [0.4, 0.3, 0.2, 0.1], [0.3, 0.2, 0.1, 0.1])]).iloc[0]
    assert row["threshold"] == pytest.approx(0.25)
    assert (row["sensitivity"], row["chosen_sensitivity"]) == (0, 50)
    assert (row["specificity"], row["chosen_specificity"]) == (100, 100)
    assert row["brier"] == pytest.approx(100 * (0.49 + 0.64 + 0.01 + 0.01) / 4)
    # Bins of a tenth, each with one image or two: 0.3 and 0.2 are positive, 0.1 twice negative.
    assert row["ece"] == pytest.approx(100 * (0.7 + 0.8 + 0.1 + 0.1) / 4)
    no_positive = made_up_record("real", [0.4, 0.3, 0.2, 0.1], [0.3, 0.2, 0.1, 0.1])
    no_positive["validation_scores"] = no_positive["validation_scores"][2:]
    assert np.isnan(runs_frame([no_positive])["chosen_sensitivity"][0])
    lacking = made_up_record("real", [0.4, 0.3, 0.2, 0.1], [0.3, 0.2, 0.1, 0.1])
    del lacking["validation_scores"]
    assert "threshold" not in runs_frame([lacking])


def test_conditions_are_compared_each_at_its_own_threshold():
    records = [
        made_up_record("real", [0.4, 0.3, 0.2, 0.1], [0.3, 0.2, 0.1, 0.1]),
        made_up_record("melanet", [0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.8]),
    ]
    row = compare_conditions(records, {"real": "Real", "melanet": "MelaNet"}).iloc[0]
    assert (row["Sensitivity"], row["Sensitivity, chosen"]) == ("+100.00", "+50.00")
    assert (row["Specificity"], row["Specificity, chosen"]) == ("-100.00", "-50.00")
    squares = (0.01 + 0.04 + 0.49 + 0.64) / 4, (0.49 + 0.64 + 0.01 + 0.01) / 4
    assert row["Brier"].startswith(f"{100 * (squares[0] - squares[1]):+.2f} (")
    assert {"p, AUC", "p, sensitivity, chosen"} <= set(row.index)


def test_settings_that_were_added_later_are_hashed_only_where_they_are_used(dermoscopy, tmp_path):
    plain = Condition("real", "Real")
    assert plain.is_plain
    assert "balance" not in hashed_settings(plain)
    assert hashed_settings(dataclasses.replace(plain, balance="repeat"))["balance"] == "repeat"
    table_2_1 = plan(TABLE_2_1, dermoscopy, tmp_path)["vgg_gap"]
    equal = plan(TABLE_2_1, dermoscopy, tmp_path, "--equal-steps")["vgg_gap"]
    assert not {"choose_threshold", "equal_steps"} & set(hashed_settings(table_2_1.settings))
    assert table_2_1.key != equal.key
    trials = plan(TABLE, dermoscopy, tmp_path, "--conditions", *WITHOUT_SMOTE)
    assert len({trial.key for trial in trials.values()}) == 4


def test_smote_and_the_real_images_alone_are_one_shard(dermoscopy, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.classification.balancing.load_smote", lambda: None)
    trials = list(plan(TABLE, dermoscopy, tmp_path).values())
    shards = [{t.condition.name for t in take_shard(trials, (n, 4))} for n in range(1, 5)]
    assert {"real", "smote"} in shards
    plain = next(trial for trial in trials if trial.condition.is_plain)
    assert plain.key == plan(TABLE, dermoscopy, tmp_path, "--conditions", "real")["real"].key
