import json

import keras
import numpy as np
import pandas as pd
import pytest

from experiments.classification import patient_groups, split_images
from experiments.classification_table import cyclegan_config, runs_frame
from experiments.published import TABLE_2_1, audit_table_2_1
from experiments.synthesis import CycleGANConfig
from experiments.table_2_1 import CONDITIONS, main, parse, plan
from experiments.trial import write_record
from melanet.classifiers import vgg_gap
from melanet.data import InputError, open_dataset

SMALL = ["--dataset", "phantom", "--weights", "none", "--epochs", "1", "--gan-epochs", "1",
         "--image-size", "32", "32", "--precision", "float32"]  # fmt: skip


def words(dermoscopy, out, *more):
    return ["--data", str(dermoscopy.folder.parent), "--out", str(out), *SMALL, *more]


def read_records(out):
    return {r["condition"]: r for r in map(json.loads, map(_text, (out / "records").iterdir()))}


def _text(path):
    return path.read_text()


@pytest.mark.slow
def test_all_four_conditions_from_a_prepared_set_to_the_report(dermoscopy, tmp_path):
    out = tmp_path / "out"
    assert main(words(dermoscopy, out)) == 0
    records = read_records(out)
    counts = {name: record["training_images"] for name, record in records.items()}
    assert counts == {
        "vgg_gap": {"benign": 16, "malignant": 4},
        "augment_5x": {"benign": 96, "malignant": 24},
        "augment_10x": {"benign": 176, "malignant": 44},
        "melanet": {"benign": 16, "malignant": 20},
    }
    for record in records.values():
        assert record["images"] == {"train": 20, "validation": 0, "test": 5}
        assert record["optimizer"] == "Adam 0.0001"  # not the thesis's, and it is said
        assert record["weights"] is None
        assert [score["positive"] for score in record["scores"]] == [True] + [False] * 4
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 4  # figures 2.4, 2.6, 2.7 and 2.16
    markdown = (out / "table.md").read_text()
    assert "84.46 (the NPV)" in markdown
    assert "26.67" in markdown
    assert len(pd.read_csv(out / "table.csv")) == 4
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    assert main(words(dermoscopy, out)) == 0  # all is done already
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["released", "clean"])
def test_the_other_protocols_run(protocol, dermoscopy, tmp_path):
    out = tmp_path / "out"
    assert main(words(dermoscopy, out, "--protocol", protocol, "--conditions", "melanet")) == 0
    record = read_records(out)["melanet"]
    assert record["protocol"] == protocol
    assert "val_loss" in record["history"]
    split = split_images(dermoscopy, protocol, seed=0)
    synthetic = open_dataset(next((out / "sets").iterdir()))
    benign = dermoscopy.metadata.set_index("id")["label"] == "benign"
    assert set(synthetic.metadata["parent"]) == {id for id in split.train if benign[id]}
    if protocol == "clean":
        assert not set(synthetic.metadata["parent"]) & set(split.validation)


def test_an_official_split_is_kept_and_clean_takes_its_validation_from_training(dermoscopy):
    official = set(dermoscopy.metadata["id"][dermoscopy.metadata["split"] == "test"])
    for protocol in ("thesis", "released", "clean"):
        split = split_images(dermoscopy, protocol, seed=0)
        assert set(split.test) == official
        assert not set(split.train) & official
        if protocol == "released":
            assert split.validation == split.test
        else:
            assert not set(split.validation) & (set(split.train) | official)
        assert bool(split.validation) == (protocol != "thesis")


@pytest.mark.parametrize("protocol", ["thesis", "clean"])
def test_patients_stay_on_one_side_where_groups_are_known(protocol, dermoscopy):
    metadata = dermoscopy.metadata
    metadata["split"] = ""
    metadata["group"] = [f"patient-{index // 2}" for index in range(len(metadata))]
    split = split_images(dermoscopy, protocol, seed=0)
    group = metadata.set_index("id")["group"]
    parts = [set(group[list(part)]) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 13


def test_another_weights_file_is_another_trial(dermoscopy, tmp_path):
    keys = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        vgg_gap((32, 32, 3), weights=None).save_weights(tmp_path / "vgg.weights.h5")
        arguments = words(dermoscopy, tmp_path, "--weights", str(tmp_path / "vgg.weights.h5"))
        keys.append(plan(dermoscopy, parse(arguments))[0].key)
    assert keys[0] != keys[1]


def test_a_set_of_three_classes_is_named(dermoscopy, tmp_path, capsys):
    path = dermoscopy.folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": ["a", "b", "c"]}))
    metadata = pd.read_csv(dermoscopy.folder / "metadata.csv")
    metadata["label"] = "a"
    metadata.to_csv(dermoscopy.folder / "metadata.csv", index=False)
    assert main(words(dermoscopy, tmp_path / "out")) == 2
    assert "has 3 classes; two are expected" in capsys.readouterr().err


def test_a_damaged_cyclegan_is_named(dermoscopy, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = words(dermoscopy, out, "--conditions", "melanet")
    [trial] = plan(dermoscopy, parse(arguments))
    path = trial.synthetic_stages[0].generator_path(out)
    path.parent.mkdir(parents=True)
    path.write_text("not one")
    write_record(path.with_suffix(".json"), {"key": path.stem, "seconds": 1})
    assert main(arguments) == 2
    assert "cannot be loaded" in capsys.readouterr().err


def test_without_one_a_stratified_split_by_seed(dermoscopy):
    metadata = dermoscopy.metadata
    metadata["split"] = ""
    split = split_images(dermoscopy, "thesis", seed=1)
    positives = metadata.set_index("id")["label"] == "malignant"
    assert positives[list(split.test)].sum() == 1
    assert positives[list(split.train)].sum() == 4
    assert split == split_images(dermoscopy, "thesis", seed=1)
    assert split != split_images(dermoscopy, "thesis", seed=2)
    metadata.drop(metadata.index[positives.to_numpy()][1:], inplace=True)
    with pytest.raises(InputError, match="cannot be split"):
        split_images(dermoscopy, "thesis", seed=1)


def test_copies_of_a_picture_stay_on_one_side(dermoscopy):
    metadata = dermoscopy.metadata
    metadata["split"] = ""
    benign = metadata.index[metadata["label"] == "benign"]
    assert len(set(patient_groups(metadata))) == len(metadata)
    # Two pairs of copies, and a patient who has one of each.
    metadata.loc[benign[1], "sha256"] = metadata["sha256"][benign[0]]
    metadata.loc[benign[3], "sha256"] = metadata["sha256"][benign[2]]
    metadata.loc[benign[3], "group"] = metadata["group"][benign[1]]
    assert len(set(patient_groups(metadata)[benign[:4]])) == 1
    assert len(set(patient_groups(metadata))) == len(metadata) - 3
    joined = set(metadata["id"][benign[:4]])
    for seed in range(10):
        split = split_images(dermoscopy, "clean", seed)
        assert sum(joined <= set(part) for part in (split.train, split.validation, split.test)) == 1


def test_the_audit_finds_one_number_of_true_negatives_for_every_row():
    audit = audit_table_2_1()
    assert {name: found.true_negatives for name, found in audit.items()} == {
        "vgg_gap": 299, "augment_5x": 297, "augment_10x": 291, "melanet": 245,
    }  # fmt: skip
    sensitivities = [audit[name].sensitivity for name in TABLE_2_1]
    assert sensitivities == [26.67, 32.0, 37.33, 70.67]
    assert audit["melanet"].specificity == 80.59
    assert set(CONDITIONS) == set(TABLE_2_1)


def test_metrics_are_of_the_positive_class():
    scores = [
        {"id": "a", "positive": True, "score": 0.9},
        {"id": "b", "positive": True, "score": 0.1},
        {"id": "c", "positive": False, "score": 0.2},
    ]
    common = {"model": "vgg_gap", "condition": "vgg_gap", "seed": 0, "epochs_run": 1}
    common |= {"best_epoch": 1, "seconds": 1, "dataset": {"labels": ["benign", "malignant"]}}
    common["training_images"] = {"benign": 6, "malignant": 4}
    row = runs_frame([{**common, "scores": scores}]).iloc[0]
    assert row["skew"] == 1.5
    assert row["sensitivity"] == 50
    assert row["specificity"] == 100
    assert row["false_negatives"] == 1
    assert row["npv"] == 50
    assert row["auc"] == 50


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--dataset", "ham10000"], "'ham10000' is no known dataset"),
        (["--image-size", "40", "32"], "multiples of 16"),
        (["--weights", "missing.h5"], "no such file: missing.h5"),
    ],
)
def test_bad_input_is_one_line_and_code_2(change, reason, dermoscopy, tmp_path, capsys):
    assert main(words(dermoscopy, tmp_path / "out", *change)) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert reason in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_or_do_not_come_are_said_first(
    dermoscopy, tmp_path, capsys, monkeypatch
):
    path = tmp_path / "small.weights.h5"
    vgg_gap((32, 32, 3), 5, weights=None).save_weights(path)
    assert main(words(dermoscopy, tmp_path / "out", "--weights", str(path))) == 2
    assert "does not fit vgg_gap" in capsys.readouterr().err

    def offline(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.applications.VGG16", offline)
    assert main(words(dermoscopy, tmp_path / "out", "--weights", "imagenet")) == 2
    assert "cannot be downloaded (URL fetch failure); give a" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_cyclegan_is_the_protocol_s_but_where_an_option_says_otherwise(dermoscopy, tmp_path):
    def translation(*more):
        return cyclegan_config(parse(words(dermoscopy, tmp_path, *more)))

    assert translation() == CycleGANConfig(epochs=1)  # log loss, no identity loss
    assert translation("--protocol", "released") == CycleGANConfig(
        epochs=1, adversarial_loss="least_squares", identity_weight=1, flip=True
    )
    config = translation("--gan-filters", "8", "4", "--gan-rates", "1e-3", "1e-4",
                       "--adversarial-loss", "least_squares", "--identity-weight", "5")  # fmt: skip
    assert config == CycleGANConfig(
        epochs=1,
        filters=(8, 4),
        rates=(1e-3, 1e-4),
        adversarial_loss="least_squares",
        identity_weight=5,
    )


def test_how_the_cyclegan_is_trained_is_part_of_its_name_and_its_classifier_s(dermoscopy, tmp_path):
    more = ["--conditions", "vgg_gap", "melanet"]
    first = plan(dermoscopy, parse(words(dermoscopy, tmp_path, *more)))
    other = plan(dermoscopy, parse(words(dermoscopy, tmp_path, *more, "--gan-filters", "8", "4")))
    assert first[0].key == other[0].key
    assert first[1].key != other[1].key
    assert first[1].synthetic_stages[0].key != other[1].synthetic_stages[0].key


@pytest.mark.parametrize(
    "change", [("--gan-rates", "0", "1"), ("--gan-rates", "nan", "1"), ("--identity-weight", "-1")]
)
def test_an_impossible_number_is_named(change, dermoscopy, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words(dermoscopy, tmp_path / "out", *change))
    assert stopped.value.code == 2
    assert change[0] in capsys.readouterr().err


def test_dry_run_lists_the_trials(dermoscopy, tmp_path, capsys):
    assert main(words(dermoscopy, tmp_path / "out", "--dry-run", "--repeats", "3")) == 0
    assert "12 trials, 12 to do" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_the_synthetic_set_can_be_used_years_later(dermoscopy, tmp_path):
    out = tmp_path / "out"
    assert main(words(dermoscopy, out, "--conditions", "melanet")) == 0
    folder = next((out / "sets").iterdir())
    synthetic = open_dataset(folder)
    assert set(synthetic.metadata["source"]) == {"synthetic"}
    assert len(synthetic.metadata) == 16
    next((out / "records").iterdir()).unlink()
    assert main(words(dermoscopy, out, "--conditions", "melanet", "--epochs", "2")) == 0
    assert [path.name for path in (out / "sets").iterdir()] == [folder.name]
    assert np.isfinite(read_records(out)["melanet"]["synthetic"][0]["seconds"])
