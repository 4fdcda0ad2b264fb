"""Tables 2.2 and 2.3, from datasets to the page, and figure 2.15."""

import dataclasses
import json
import os

import pandas as pd
import pytest

from experiments import figure_2_15
from experiments.classification.features import read_features
from experiments.classification.page_settings import describe_split
from experiments.classification.protocols import COVID_PROTOCOLS
from experiments.classification.report import add_published_rows
from experiments.classification.saved import REQUIRED_FIELDS
from experiments.classification.splits import split_images
from experiments.classification.trial import BAGGED_TREES
from experiments.common.records import write_record
from experiments.common.runs import read_run
from experiments.common.table import parse, run_table
from experiments.table_2_2 import TABLE as NORMAL
from experiments.table_2_3 import TABLE as PNEUMONIA
from melanet.data import InputError, open_dataset
from tests.experiments.example_records import write_run_file

SMALL = ["--weights", "none", "--epochs", "1", "--gan-epochs", "1", "--gan-filters", "4", "4",
         "--image-size", "32", "32", "--precision", "float32",
         "--datasets", "phantom_normal", "phantom_pneumonia"]  # fmt: skip


def words(xrays, out, *more):
    return ["--data", str(xrays[0].folder.parent), "--out", str(out), *SMALL, *more]


def plan(table, datasets, out, *more):
    return table.plan(datasets, parse(table, words(datasets, out, "--models", "vgg_gap", *more)))


def count(dataset, ids, label):
    return dataset.values("label", ids).count(label)


@pytest.mark.slow
def test_all_conditions_go_from_datasets_to_the_page(xrays, tmp_path):
    out = tmp_path / "out"
    trees = ["--models", BAGGED_TREES, "--conditions", "both", "--save-models"]
    assert run_table(NORMAL, words(xrays, out, *trees)) == 0
    assert run_table(NORMAL, words(xrays, out, "--model", "vgg_gap", "--save-models")) == 0
    records = [json.loads(path.read_text()) for path in (out / "records").iterdir()]
    split, other = (
        split_images(one, COVID_PROTOCOLS["thesis"], 0, split_jointly_with=[two])
        for one, two in (xrays, reversed(xrays))
    )
    negatives = count(xrays[0], split.train, "normal")
    positives = count(xrays[0], split.train, "covid19")
    pneumonia = count(xrays[1], other.train, "pneumonia")
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
    saved = {path.name.rsplit(".", 1)[0] for path in (out / "models").iterdir()}
    assert saved == {record["key"] for record in records}
    covid = f"python -m experiments.table_2_2 --data DIR {' '.join(SMALL)}"
    write_run_file(out, f"{covid} {' '.join(trees[:-1])}", f"{covid} --models vgg_gap")
    trees_run, published = read_run(out).commands
    assert (len(trees_run.records), len(published.records), published.missing) == (1, 4, [])
    assert len(published.conclusions.comparisons) == 7
    table = out / "table_2_2"
    assert (table / "index.html").read_text().count("data:image/png;base64,") == 1 + 4 + 1 + 2 + 1
    assert len(pd.read_csv(table / "table.csv")) == 4
    assert "54.34" in (table / "table.md").read_text()
    generators = list((out / "gans").glob("*.keras"))
    assert len(generators) == 2  # one per task, shared by the classifiers
    for path in generators:
        notes = json.loads(path.with_suffix(".json").read_text())
        synthetic = open_dataset(out / "sets" / f"synthetic-{path.stem}")
        assert set(synthetic.metadata["label"]) == {"covid19"}
        assert set(synthetic.metadata["parent"]) <= set(notes["train"])
        assert not set(notes["train"]) & {*split.test, *other.test}
    assert figure_2_15.main(["--out", str(out)]) == 0
    assert (out / "figures/figure_2_15.png").is_file()


@pytest.fixture
def summary():
    """A summary of one model and condition whose metrics are all 1."""
    table = pd.DataFrame([{"model": "vgg_gap", "condition": "own", "skew_mean": 1.0}])
    for column in ("sensitivity", "false_negatives", "specificity", "auc"):
        table[[f"{column}_mean", f"{column}_sd"]] = 1.0
    return table


def test_a_printed_sensitivity_that_contradicts_its_own_fn_is_marked(summary):
    thesis = add_published_rows(PNEUMONIA, summary).iloc[1]
    assert thesis["Sensitivity"] == "29.50 (!) its FN gives 47.83"
    assert thesis["FN"] == "24 of 46"


def test_a_printed_skew_that_contradicts_section_2_2_4_is_marked(summary):
    summary["condition"] = "real"
    assert add_published_rows(NORMAL, summary)["Skew"][1] == "91.87"
    assert add_published_rows(PNEUMONIA, summary)["Skew"][1] == "22.9 (!) section 2.2.4 gives 26.43"


def test_synthetic_images_are_made_from_training_images_alone(xrays, tmp_path):
    trials = plan(NORMAL, xrays, tmp_path)
    both = next(trial for trial in trials if trial.condition.name == "both")
    assert [stage.dataset.info.name for stage in both.synthetic_stages] == [
        "phantom_normal",
        "phantom_pneumonia",
    ]
    for stage in both.synthetic_stages:
        assert not set(stage.train) & set(both.split.test)


def test_both_tables_share_their_cyclegans(xrays, tmp_path):
    keys = [
        {stage.key for trial in trials for stage in trial.synthetic_stages}
        for trials in (
            plan(NORMAL, xrays, tmp_path),
            plan(PNEUMONIA, xrays[::-1], tmp_path),
        )
    ]
    assert keys[0] == keys[1]


def test_the_trees_take_no_weights_file(xrays, tmp_path, capsys):
    (tmp_path / "some.h5").write_bytes(b"no weights")
    more = ["--models", BAGGED_TREES, "--weights", str(tmp_path / "some.h5")]
    assert run_table(NORMAL, words(xrays, tmp_path / "out", *more)) == 2
    assert "--weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--datasets", "phantom_normal", "chexpert"], "'chexpert' is not a known dataset"),
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


def test_an_error_names_a_damaged_file_of_features(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"not one")
    with pytest.raises(InputError, match=r"x\.npz: is no(t a)? file of features"):
        read_features(tmp_path / "x.npz")


def test_validation_without_positives_does_not_stop_a_training(xrays, tmp_path, monkeypatch):
    trials = {t.condition.name: t for t in plan(NORMAL, xrays, tmp_path, "--protocol", "clean")}
    assert count(xrays[0], trials["real"].split.validation, "covid19")

    class Stopped(Exception):
        """Ends a trial before its training."""

    def stop(*_, stopping, validation, **__):
        raise Stopped(stopping.monitor, validation is not None)

    monkeypatch.setattr("experiments.classification.trial.train", stop)
    monkeypatch.setattr(
        "experiments.classification.synthesis.SyntheticSetStage.run",
        lambda *_: (xrays[0], {}),
    )
    watched = {}
    for name, trial in trials.items():
        with pytest.raises(Stopped) as stopped:
            trial.run(tmp_path)
        watched[name] = stopped.value.args
    assert watched == {
        "real": ("val_loss", True),
        "own": ("val_loss", True),
        "both": ("val_loss", True),
        "synthetic": ("loss", False),
    }


def test_another_positive_class_is_an_error_before_anything_is_trained(xrays, dermoscopy, tmp_path):
    with pytest.raises(InputError, match="translates to malignant, not to covid19"):
        plan(NORMAL, [xrays[0], dermoscopy], tmp_path)


def test_figure_2_15_names_the_records_it_lacks(tmp_path, capsys):
    assert figure_2_15.main(["--out", str(tmp_path)]) == 2
    assert "has no record of vgg_gap; run table_2_2" in capsys.readouterr().err
    info = {"name": "normal", "title": "Normal", "labels": ["normal", "covid19"]}
    record = dict.fromkeys(REQUIRED_FIELDS)
    record |= {"model": "vgg_gap", "seed": 0, "condition": "real", "dataset": info}
    for key, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_record(tmp_path / f"records/{key}.json", {"key": key, **record, "seed": seed})
    os.utime(tmp_path / "records/a.json", (1, 1))
    found = figure_2_15.latest_records(tmp_path, "vgg_gap")
    assert [each["key"] for each in found.values()] == ["b"]
    assert figure_2_15.main(["--out", str(tmp_path)]) == 2
    assert "has no record of normal, own; run the table" in capsys.readouterr().err
    assert not (tmp_path / "figures").exists()
    others = {"model": "vgg_gap", "seed": 0, "condition": "own", "protocol": "clean"}
    write_record(tmp_path / "records/d.json", {"key": "d", **record, **others})
    assert figure_2_15.main(["--out", str(tmp_path)]) == 2
    assert "of several settings (protocol: None, clean)" in capsys.readouterr().err
    write_record(tmp_path / "records/d.json", {"key": "d"})
    assert figure_2_15.main(["--out", str(tmp_path)]) == 2
    assert "d.json: lacks the field 'dataset'" in capsys.readouterr().err


def test_the_page_says_how_the_images_are_split(xrays):
    described = {name: describe_split(xrays, p) for name, p in COVID_PROTOCOLS.items()}
    assert described["released"].startswith("80/20 by file order")
    assert described["thesis"].startswith("80/20 by group")
    tables = [each.metadata.assign(split="test") for each in xrays]
    official = [
        dataclasses.replace(each, metadata=table) for each, table in zip(xrays, tables, strict=True)
    ]
    assert describe_split(official, COVID_PROTOCOLS["thesis"]) == "official, all datasets as one"
