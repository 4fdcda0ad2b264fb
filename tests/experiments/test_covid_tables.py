import json
import math
import os

import pandas as pd
import pytest

from experiments import figure_2_15
from experiments.classification import BAGGED_TREES, split_images
from experiments.covid_table import add_published_rows, parse, plan, run_table
from experiments.figure_umap import read_features
from experiments.published import (
    COVID_CONDITIONS,
    COVID_MODELS,
    TABLE_2_2,
    TABLE_2_3,
    audit_skews,
)
from experiments.table_2_2 import TABLE as NORMAL
from experiments.table_2_3 import TABLE as PNEUMONIA
from experiments.trial import write_record
from melanet.data import InputError, open_dataset
from tests.conftest import write_xrays

SMALL = ["--weights", "none", "--epochs", "1", "--gan-epochs", "1", "--gan-filters", "4", "4",
         "--image-size", "32", "32", "--precision", "float32",
         "--datasets", "phantom_normal", "phantom_pneumonia"]  # fmt: skip


@pytest.fixture(scope="module")
def xrays(tmp_path_factory):
    """Both small prepared phantoms of chest X-rays, below one folder."""
    return write_xrays(tmp_path_factory.mktemp("xrays"))


def words(xrays, out, *more):
    return ["--data", str(xrays[0].folder.parent), "--out", str(out), *SMALL, *more]


def of_label(dataset, ids, label):
    labels = dataset.metadata.set_index("id")["label"]
    return [id for id in ids if labels[id] == label]


@pytest.mark.slow
def test_all_conditions_from_prepared_sets_to_the_report(xrays, tmp_path):
    out = tmp_path / "out"
    trees = ["--models", BAGGED_TREES, "--conditions", "both", "--save-models"]
    assert run_table(NORMAL, words(xrays, out, *trees)) == 0
    assert run_table(NORMAL, words(xrays, out, "--models", "vgg_gap", "--save-models")) == 0
    records = [json.loads(path.read_text()) for path in (out / "records").iterdir()]
    split, other = (
        split_images(one, "thesis", 0, split_jointly_with=[two])
        for one, two in (xrays, reversed(xrays))
    )
    negatives = len(of_label(xrays[0], split.train, "normal"))
    positives = len(of_label(xrays[0], split.train, "covid19"))
    pneumonia = len(of_label(xrays[1], other.train, "pneumonia"))
    sizes = {
        "real": positives,
        "own": positives + negatives,
        "both": positives + negatives + pneumonia,
        "synthetic": negatives,
    }
    assert sorted(r["condition"] for r in records) == sorted(["both", *sizes])
    tested = {tuple(score["id"] for score in record["scores"]) for record in records}
    assert tested == {split.test}  # one test set, without a synthetic image
    for record in records:
        assert record["training_images"] == {
            "normal": negatives,
            "covid19": sizes[record["condition"]],
        }
        assert record["loss"] == "cross_entropy"
        features = read_features(out / "features" / f"{record['key']}.npz")
        assert len(features) == negatives + sizes[record["condition"]] + len(split.test)
    kept = {path.name.rsplit(".", 1)[0] for path in (out / "models").iterdir()}
    assert kept == {record["key"] for record in records}
    table = out / "table_2_2"
    assert (table / "index.html").read_text().count("data:image/png;base64,") == 1 + 4 + 1 + 2
    assert len(pd.read_csv(table / "table.csv")) == 4
    assert "54.34" in (table / "table.md").read_text()
    assert len(list((out / "gans").glob("*.keras"))) == 2  # one a task, whatever classifies
    assert figure_2_15.main(["--out", str(out)]) == 0
    assert (out / "figures/figure_2_15.png").is_file()


def test_a_printed_cell_that_contradicts_itself_is_marked():
    summary = pd.DataFrame([{"model": "vgg_gap", "condition": "own", "skew_mean": 1.0}])
    for column in ("sensitivity", "false_negatives", "specificity", "auc"):
        summary[[f"{column}_mean", f"{column}_sd"]] = 1.0
    thesis = add_published_rows(PNEUMONIA, summary).iloc[1]
    assert thesis["Sensitivity"] == "29.50 (!) its FN gives 47.83"
    assert thesis["FN"] == "24 of 46"


def test_nobody_who_is_tested_is_trained_with_in_either_set(xrays):
    for protocol in ("thesis", "clean"):
        splits = [
            split_images(one, protocol, 0, split_jointly_with=[two])
            for one, two in (xrays, reversed(xrays))
        ]
        groups = [dataset.metadata.set_index("id")["group"] for dataset in xrays]
        tested, seen = set(), set()
        for split, group in zip(splits, groups, strict=True):
            tested |= set(group[list(split.test)])
            seen |= set(group[[*split.train, *split.validation]])
            assert not set(group[list(split.train)]) & set(group[list(split.validation)])
        assert not tested & seen
        positive = [
            of_label(dataset, split.test, "covid19")
            for dataset, split in zip(xrays, splits, strict=True)
        ]
        assert positive[0] == positive[1] != []


def test_synthetic_sets_are_made_of_training_images_alone(xrays, tmp_path):
    trials = plan(xrays, parse(NORMAL, words(xrays, tmp_path, "--models", "vgg_gap")))
    both = next(trial for trial in trials if trial.condition.name == "both")
    assert [s.dataset.info.name for s in both.synthetic_stages] == [
        "phantom_normal",
        "phantom_pneumonia",
    ]
    for synthesis in both.synthetic_stages:
        assert not set(synthesis.train) & set(both.split.test)
    reverse = ["--datasets", "phantom_pneumonia", "phantom_normal", "--models", "vgg_gap"]
    options = parse(PNEUMONIA, words(xrays, tmp_path, *reverse))
    other = plan(xrays[::-1], options)
    shared = {s.key for trial in trials for s in trial.synthetic_stages}
    assert shared == {
        s.key for trial in other for s in trial.synthetic_stages
    }  # trained once for both


def test_the_printed_skews_hold_with_4122_pneumonia_images_and_not_with_4758():
    assert all(finding.holds for finding in audit_skews().values())
    failing = {place for place, found in audit_skews(4758).items() if not found.holds}
    assert failing == {
        ("table 2.2", "both"),
        ("table 2.3", "real"),
        ("table 2.3", "own"),
        ("table 2.3", "both"),
    }


def test_the_printed_cells_that_contradict_their_own_false_negatives():
    contradicting = {
        (name, *place): cell.sensitivity
        for name, table in (("2.2", TABLE_2_2), ("2.3", TABLE_2_3))
        for place, cell in table.items()
        if not cell.holds
    }
    assert contradicting == {
        ("2.2", "densenet121_gap", "both"): 34.78,
        ("2.3", "vgg_gap", "own"): 47.83,
        ("2.3", "densenet121_gap", "both"): 30.43,
    }
    for table in (TABLE_2_2, TABLE_2_3):
        assert set(table) == {(m, c) for m in COVID_MODELS for c in COVID_CONDITIONS}
        assert all(math.isnan(table[model, "synthetic"].skew) for model in COVID_MODELS)


def test_the_trees_are_part_of_the_table_and_take_no_weights_file(xrays, tmp_path, capsys):
    (tmp_path / "some.h5").write_bytes(b"no weights")
    more = ["--models", BAGGED_TREES, "--weights", str(tmp_path / "some.h5")]
    assert run_table(NORMAL, words(xrays, tmp_path / "out", *more)) == 2
    assert "--weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--datasets", "phantom_normal", "chexpert"], "'chexpert' is no known dataset"),
        (["--image-size", "40", "32"], "multiples of 16"),
    ],
)
def test_bad_input_is_one_line_and_code_2(change, reason, xrays, tmp_path, capsys):
    assert run_table(NORMAL, words(xrays, tmp_path / "out", *change)) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert reason in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_of_features_is_named(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"not one")
    with pytest.raises(InputError, match=r"x\.npz: not a file of features"):
        read_features(tmp_path / "x.npz")


def test_a_synthetic_set_of_a_table_is_a_prepared_set(xrays, tmp_path):
    trials = plan(xrays, parse(NORMAL, words(xrays, tmp_path, "--models", "vgg_gap")))
    synthesis = trials[-1].synthetic_stages[0]
    synthetic, notes = synthesis.make(tmp_path)
    assert open_dataset(synthesis.folder(tmp_path)).fingerprint == synthetic.fingerprint
    assert notes["train"] == list(synthesis.train)
    assert set(synthetic.metadata["label"]) == {"covid19"}


def test_a_skew_that_section_2_2_4_contradicts_is_marked():
    summary = pd.DataFrame([{"model": "vgg_gap", "condition": "real", "skew_mean": 1.0}])
    for column in ("sensitivity", "false_negatives", "specificity", "auc"):
        summary[[f"{column}_mean", f"{column}_sd"]] = 1.0
    assert add_published_rows(NORMAL, summary)["Skew"][1] == "91.87"
    assert add_published_rows(PNEUMONIA, summary)["Skew"][1] == "22.9 (!) section 2.2.4 gives 26.43"


def test_sets_that_contradict_each_other_are_not_split_as_one(xrays, tmp_path):
    first, second = write_xrays(tmp_path)
    second.metadata.loc[second.metadata["label"] == "covid19", "group"] = "someone-else"
    with pytest.raises(InputError, match=r"the group of .* is another than in"):
        split_images(first, "thesis", 0, split_jointly_with=[second])
    first, second = write_xrays(tmp_path / "again")
    first.metadata.loc[0, "split"] = "test"
    with pytest.raises(InputError, match="has an official split"):
        split_images(first, "thesis", 0, split_jointly_with=[second])


def test_real_negatives_alone_do_not_stop_a_training(xrays, tmp_path):
    arguments = words(xrays, tmp_path, "--protocol", "clean", "--models", "vgg_gap")
    trials = {trial.condition.name: trial for trial in plan(xrays, parse(NORMAL, arguments))}
    real = trials["real"]
    assert of_label(xrays[0], real.split.validation, "covid19")
    watched = {name: trial._callbacks()[0].monitor for name, trial in trials.items()}
    assert watched == {
        "real": "val_loss",
        "own": "val_loss",
        "both": "val_loss",
        "synthetic": "loss",
    }


def test_another_positive_class_is_named_before_anything_is_trained(xrays, dermoscopy, tmp_path):
    sets = [xrays[0], dermoscopy]
    with pytest.raises(InputError, match="translates to malignant, not to covid19"):
        plan(sets, parse(NORMAL, words(xrays, tmp_path)))


def test_figure_2_15_names_what_is_not_there_yet(tmp_path, capsys):
    assert figure_2_15.main(["--out", str(tmp_path)]) == 2
    assert "has no record of vgg_gap; run table_2_2" in capsys.readouterr().err
    record = {"key": "a", "model": "vgg_gap", "seed": 0, "condition": "real"}
    described = {"name": "normal", "title": "Normal", "labels": ["normal", "covid19"]}
    write_record(tmp_path / "records/a.json", record | {"dataset": described})
    write_record(tmp_path / "records/b.json", record | {"dataset": described, "key": "b"})
    write_record(
        tmp_path / "records/c.json", record | {"dataset": described, "key": "c", "seed": 1}
    )
    os.utime(tmp_path / "records/a.json", (1, 1))
    found = figure_2_15.latest_records(tmp_path, "vgg_gap")
    assert [each["key"] for each in found.values()] == ["b"]
    assert figure_2_15.main(["--out", str(tmp_path)]) == 2
    assert "has no record of normal, own; run the table" in capsys.readouterr().err
    assert not (tmp_path / "figures").exists()
