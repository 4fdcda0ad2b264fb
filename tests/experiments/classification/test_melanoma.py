"""Table 2.1, from a dataset to the page."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.classification.comparisons import COMPARISON_NOTE, compare_conditions
from experiments.classification.protocols import MELANOMA_PROTOCOLS
from experiments.classification.report import (
    add_published_rows,
    list_constant_runs,
    page_title,
    runs_frame,
    summarise,
)
from experiments.classification.splits import split_images
from experiments.classification.synthesis import CycleGANConfig
from experiments.classification.table import cyclegan_config
from experiments.classification.trial import ClassifierSettings
from experiments.common.records import CODE_VERSIONS, write_record
from experiments.common.report import SECTION_FILE
from experiments.common.runs import read_run
from experiments.common.table import parse, run_table
from experiments.table_2_1 import TABLE
from melanet.classifiers import vgg_gap
from melanet.cyclegan import build_cyclegan
from melanet.data import DatasetInfo, open_dataset
from melanet.losses import focal_loss
from melanet.saving import save_model
from melanet.trees import BaggedTrees
from tests.experiments.example_records import write_run_file

SMALL = ["--dataset", "phantom", "--weights", "none", "--epochs", "1", "--gan-epochs", "1",
         "--gan-filters", "4", "4", "--image-size", "32", "32",
         "--precision", "float32"]  # fmt: skip


def words(dermoscopy, out, *more):
    return ["--data", str(dermoscopy.folder.parent), "--out", str(out), *SMALL, *more]


def plan(dermoscopy, out, *more):
    return TABLE.plan([dermoscopy], parse(TABLE, words(dermoscopy, out, *more)))


def read_records(out):
    records = [json.loads(path.read_text()) for path in (out / "records").iterdir()]
    return {record["condition"]: record for record in records}


@pytest.mark.slow
def test_all_four_conditions_go_from_a_dataset_to_the_page(dermoscopy, tmp_path):
    out = tmp_path / "out"
    assert run_table(TABLE, words(dermoscopy, out)) == 0
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
        assert record["optimizer"] == "Adam 0.0001"  # not the thesis's, and the record says so
        assert record["weights"] is None
        assert [score["positive"] for score in record["scores"]] == [True] + [False] * 4
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 6  # 2.3, 2.4, 2.6, 2.7, 2.16; differences
    markdown = (out / "table.md").read_text()
    assert "84.46 (the NPV)" in markdown
    assert "26.67" in markdown
    assert len(pd.read_csv(out / "table.csv")) == 4
    [synthetic_folder] = (out / "sets").glob("synthetic-*")
    synthetic = open_dataset(synthetic_folder)
    assert set(synthetic.metadata["source"]) == {"synthetic"}
    assert len(synthetic.metadata) == 16
    assert np.isfinite(records["melanet"]["synthetic"][0]["seconds"])
    made = (path for path in out.rglob("*.json") if path.name != SECTION_FILE)
    stamps = {path: path.stat().st_mtime_ns for path in made}
    assert run_table(TABLE, words(dermoscopy, out)) == 0  # everything is done already
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    write_run_file(out, f"python -m experiments.table_2_1 --data DIR {' '.join(SMALL)}")
    run = read_run(out)
    [published] = run.commands
    assert (len(published.records), published.missing) == (4, [])
    assert len(published.conclusions.comparisons) == 5
    assert run.hours > 0


def test_the_options_alone_tell_the_titles_of_the_trials(dermoscopy, tmp_path):
    conditions = ["--conditions", "melanet", "vgg_gap", "--repeats", "2", "--seed", "3"]
    arguments = words(dermoscopy, tmp_path, *conditions)
    titles = [trial.title for trial in plan(dermoscopy, tmp_path, *conditions)]
    assert titles == TABLE.trial_titles(parse(TABLE, arguments))
    assert titles[0] == "phantom-vgg_gap-vgg_gap-s3"


@pytest.mark.slow
def test_saved_models_are_explained_on_the_page(dermoscopy, tmp_path):
    out = tmp_path / "out"
    more = ["--conditions", "vgg_gap", "melanet", "--save-models", "--tensorboard"]
    assert run_table(TABLE, words(dermoscopy, out, *more)) == 0
    drawn = {path.stem for path in (out / "figures").glob("*.png")}
    assert drawn >= {"figure_2_10", "figure_predictions"}
    assert drawn & {"figure_2_8", "figure_2_9"}  # the one malignant test image is either
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") == len(drawn)
    assert "ours: " in page
    assert "synthesised found; F " in page
    keys = {path.stem for path in (out / "records").iterdir()}
    gans = {f"gan-{path.stem}" for path in (out / "gans").iterdir()}
    assert {path.name for path in (out / "tensorboard").iterdir()} == keys | gans


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["released", "clean"])
def test_other_protocols_validate_and_translate_training_images_only(
    protocol, dermoscopy, tmp_path
):
    out = tmp_path / "out"
    more = ["--protocol", protocol, "--conditions", "melanet"]
    assert run_table(TABLE, words(dermoscopy, out, *more)) == 0
    record = read_records(out)["melanet"]
    assert record["protocol"] == protocol
    assert "val_loss" in record["history"]
    split = split_images(dermoscopy, MELANOMA_PROTOCOLS[protocol], seed=0)
    synthetic = open_dataset(next((out / "sets").iterdir()))
    benign = set(dermoscopy.ids(label="benign"))
    assert set(synthetic.metadata["parent"]) == benign & set(split.train)
    if protocol == "clean":
        assert not set(synthetic.metadata["parent"]) & set(split.validation)
        # Another classifier uses the same synthetic images, and does not train the CycleGAN again.
        before = {path: path.stat().st_mtime_ns for path in (out / "gans").iterdir()}
        again = words(dermoscopy, out, *more, "--epochs", "2", "--save-models")
        assert run_table(TABLE, again) == 0
        assert {path: path.stat().st_mtime_ns for path in (out / "gans").iterdir()} == before
        assert [path.name for path in (out / "sets").iterdir()] == [synthetic.folder.name]


OWN_MODEL = """
def my_net(input_shape, classes):
    inputs = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, strides=4)(inputs))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))

my_net.title = "My $net_1"

def no_pooling(input_shape, classes):
    inputs = keras.Input(input_shape)
    x = layers.Dense(classes, activation="softmax")(inputs)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
"""


def test_a_model_of_one_s_own_goes_to_the_page_under_its_title(dermoscopy, write_module, tmp_path):
    module = write_module(OWN_MODEL)
    arguments = words(dermoscopy, tmp_path / "out", "--models", f"{module}:my_net",
                      "--conditions", "vgg_gap", "augment_5x", "--protocol", "clean")  # fmt: skip
    assert run_table(TABLE, arguments) == 0
    for record in read_records(tmp_path / "out").values():
        assert record["model"] == f"{module}:my_net"
        assert record["key"].startswith(f"phantom-{module}.my_net-")
        assert (record["weights"], record["preprocessing"]) == (None, "none")  # it takes neither
    assert set(pd.read_csv(tmp_path / "out/table.csv")["model"]) == {"My $net_1"}
    latex = (tmp_path / "out/table.tex").read_text()
    assert r"My \$net\_1" in latex
    assert "thesis" not in latex  # its numbers are VGG-GAP's


def test_a_model_of_one_s_own_without_features_is_refused(
    dermoscopy, write_module, tmp_path, capsys
):
    name = f"{write_module(OWN_MODEL)}:no_pooling"
    assert run_table(TABLE, words(dermoscopy, tmp_path / "out", "--models", name)) == 2
    assert f"error: --models {name}: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_another_weights_file_is_another_trial(dermoscopy, tmp_path):
    path, keys = tmp_path / "vgg.weights.h5", []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        vgg_gap((32, 32, 3), weights=None).save_weights(path)
        keys.append(plan(dermoscopy, tmp_path, "--weights", str(path))[0].key)
    assert keys[0] != keys[1]


def test_a_dataset_of_three_classes_is_an_error(dermoscopy, tmp_path, capsys):
    path = dermoscopy.folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "labels": ["a", "b", "c"]}))
    metadata = pd.read_csv(dermoscopy.folder / "metadata.csv")
    metadata["label"] = "a"
    metadata.to_csv(dermoscopy.folder / "metadata.csv", index=False)
    assert run_table(TABLE, words(dermoscopy, tmp_path / "out")) == 2
    assert "has 3 classes; two are expected" in capsys.readouterr().err


def test_an_error_names_a_damaged_cyclegan(dermoscopy, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = words(dermoscopy, out, "--conditions", "melanet")
    [trial] = plan(dermoscopy, out, "--conditions", "melanet")
    path = trial.synthetic_stages[0].generator_path(out)
    path.parent.mkdir(parents=True)
    path.write_text("not one")
    write_record(path.with_suffix(".json"), {"key": path.stem, "seconds": 1})
    assert run_table(TABLE, arguments) == 2
    assert f"{path.name}: cannot be loaded" in capsys.readouterr().err


def test_an_error_names_a_field_that_a_cyclegan_s_record_lacks(dermoscopy, tmp_path, capsys):
    [trial] = plan(dermoscopy, tmp_path, "--conditions", "melanet")
    path = trial.synthetic_stages[0].generator_path(tmp_path)
    gan = build_cyclegan((32, 32, 3), generator_filters=4, discriminator_filters=4)
    save_model(gan, path)
    write_record(path.with_suffix(".json"), {"key": path.stem, "seconds": 1})
    assert run_table(TABLE, words(dermoscopy, tmp_path, "--conditions", "melanet")) == 2
    assert f"{path.stem}.json: lacks the field 'set'" in capsys.readouterr().err


def test_a_changed_synthetic_image_is_never_trained_with(dermoscopy, tmp_path, capsys):
    arguments = words(dermoscopy, tmp_path, "--conditions", "melanet")
    [trial] = plan(dermoscopy, tmp_path, "--conditions", "melanet")
    synthetic, _ = trial.synthetic_stages[0].run(tmp_path)
    path = synthetic.paths(synthetic.ids())[0]
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    assert run_table(TABLE, arguments) == 2
    assert "was changed after the dataset was prepared" in capsys.readouterr().err


def test_another_optimizer_another_loss_and_other_trees_are_other_trials(
    dermoscopy, tmp_path, monkeypatch
):
    key = plan(dermoscopy, tmp_path, "--conditions", "vgg_gap")[0].key
    patches = [
        (ClassifierSettings, "optimizer", ("Adam", 1e-3)),
        (ClassifierSettings, "loss_function", lambda *_: focal_loss(gamma=1.0)),
    ]
    for owner, name, value in patches:
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, value)
            assert plan(dermoscopy, tmp_path, "--conditions", "vgg_gap")[0].key != key
    few, many = (BaggedTrees((32, 32, 3), weights=None, trees=n).get_config() for n in (3, 10))
    assert few["trees"] != many["trees"]
    assert few["network"] is not None
    json.dumps(few)


def test_another_version_of_the_code_augments_anew(dermoscopy, tmp_path, monkeypatch):
    [trial] = plan(dermoscopy, tmp_path, "--conditions", "augment_5x")
    before = trial.shared_artifacts
    monkeypatch.setitem(CODE_VERSIONS, "classification", 999)
    assert trial.shared_artifacts != before


def made_up_record(scores, seed=0, condition="vgg_gap"):
    """A record of positive "a" and "b" and negative "c", of patients of their own."""
    rows = zip("abc", (True, True, False), scores, strict=True)
    return {
        "model": "vgg_gap",
        "condition": condition,
        "seed": seed,
        "epochs_run": 1,
        "best_epoch": 1,
        "seconds": 1,
        "dataset": {"labels": ["benign", "malignant"]},
        "training_images": {"benign": 6, "malignant": 4},
        "scores": [
            {"id": id, "group": id, "positive": positive, "score": score}
            for id, positive, score in rows
        ],
    }


def test_metrics_are_of_the_positive_class():
    row = runs_frame([made_up_record([0.9, 0.1, 0.2])]).iloc[0]
    assert row["skew"] == 1.5
    assert row["sensitivity"] == 50
    assert row["specificity"] == 100
    assert row["false_negatives"] == 1
    assert row["npv"] == 50
    assert row["auc"] == 50


def test_one_seed_shows_exact_intervals_and_several_their_deviation():
    records = [made_up_record([0.9, 0.8, 0.2], seed) for seed in (0, 1)]
    shown = []
    for some in (records[:1], records):
        summary = summarise(runs_frame(some), list(TABLE.metrics))
        shown.append(add_published_rows(TABLE, summary).iloc[0])
    # 2 of 2 by Clopper and Pearson: from the square root of 0.025; 1 of 1: from 0.025.
    assert shown[0]["Sensitivity"] == "100.00 (15.8–100.0)"
    assert shown[0]["Specificity"] == "100.00 (2.5–100.0)"
    assert shown[1]["Sensitivity"] == "100.00 ± 0.00"


def test_trainings_that_call_all_images_one_class_are_listed():
    names = ("vgg_gap", "melanet")
    some = [made_up_record(scores, 0, name) for scores, name in zip(
        ([0.1, 0.2, 0.3], [0.9, 0.1, 0.2]), names, strict=True)]  # fmt: skip
    runs = runs_frame(some)
    assert list(runs["learned"]) == [False, True]
    text = list_constant_runs(runs, TABLE.titles)
    assert text == " Trainings that never left a constant prediction: VGG-GAP (1)."
    assert list_constant_runs(runs[1:], TABLE.titles) == ""


def test_the_title_names_a_dataset_of_ones_own():
    titles = []
    for name in ("isic2016", "moles"):
        info = DatasetInfo(name, name, (64, 64), 3, labels=("mole", "melanoma"))
        titles.append(page_title(TABLE, info))
    assert titles == [TABLE.title, "Table 2.1 on moles: mole vs. melanoma"]


def test_every_seed_is_compared_and_the_page_says_so():
    names = ("vgg_gap", "melanet")
    records = [made_up_record([0.9, 0.8, 0.2], s, name) for s in (0, 1) for name in names]
    titles = {"vgg_gap": "VGG-GAP", "melanet": "MelaNet"}
    both = compare_conditions(records, titles)
    assert list(both["Seed"]) == ["0", "1"]
    assert set(both["Pair"]) == {"MelaNet less VGG-GAP"}
    assert "Seed" not in compare_conditions(records[:2], titles)
    assert "one row per seed" in COMPARISON_NOTE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--datasets", "ham10000"], "'ham10000' is not a known dataset"),
        (["--image-size", "40", "32"], "multiples of 16"),
        (["--weights", "missing.h5"], "no such file: missing.h5"),
    ],
)
def test_bad_input_is_one_line_and_code_2(change, reason, dermoscopy, tmp_path, capsys):
    assert run_table(TABLE, words(dermoscopy, tmp_path / "out", *change)) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert reason in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_unsuitable_or_unavailable_weights_are_reported_first(
    dermoscopy, tmp_path, capsys, monkeypatch
):
    path = tmp_path / "small.weights.h5"
    vgg_gap((32, 32, 3), 5, weights=None).save_weights(path)
    assert run_table(TABLE, words(dermoscopy, tmp_path / "out", "--weights", str(path))) == 2
    assert "does not fit vgg_gap" in capsys.readouterr().err

    def offline(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.applications.VGG16", offline)
    assert run_table(TABLE, words(dermoscopy, tmp_path / "out", "--weights", "imagenet")) == 2
    assert "cannot be downloaded (URL fetch failure); give a" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_protocol_configures_the_cyclegan_unless_an_option_says_otherwise():
    def config(*more, protocol="thesis"):
        options = parse(TABLE, ["--data", ".", *more])
        return cyclegan_config(MELANOMA_PROTOCOLS[protocol].cyclegan, options)

    assert config() == CycleGANConfig(epochs=500)  # log loss, no identity loss
    assert config("--gan-epochs", "1", protocol="released") == CycleGANConfig(
        epochs=1,
        adversarial_loss="least_squares",
        identity_weight=1,
        flip=True,
        norm="layer",
        update_order="discriminators_first",
        redraw=True,
    )
    options = ["--gan-filters", "8", "4", "--gan-rates", "1e-3", "1e-4",
               "--adversarial-loss", "least_squares", "--identity-weight", "0.5"]  # fmt: skip
    assert config(*options) == CycleGANConfig(
        filters=(8, 4),
        rates=(1e-3, 1e-4),
        adversarial_loss="least_squares",
        identity_weight=0.5,
    )
    assert config("--identity-weight", "0", protocol="released").identity_weight == 0


def test_the_cyclegan_s_configuration_is_part_of_its_key_and_of_its_classifier_s(
    dermoscopy, tmp_path
):
    more = ["--conditions", "vgg_gap", "melanet"]
    first = plan(dermoscopy, tmp_path, *more)
    other = plan(dermoscopy, tmp_path, *more, "--gan-filters", "8", "4")
    assert first[0].key == other[0].key
    assert first[1].key != other[1].key
    assert first[1].synthetic_stages[0].key != other[1].synthetic_stages[0].key


@pytest.mark.parametrize(
    "change", [("--gan-rates", "0", "1"), ("--gan-rates", "nan", "1"), ("--identity-weight", "-1")]
)
def test_an_impossible_number_is_an_error(change, dermoscopy, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_table(TABLE, words(dermoscopy, tmp_path / "out", *change))
    assert stopped.value.code == 2
    assert change[0] in capsys.readouterr().err


def test_a_dry_run_lists_the_trials(dermoscopy, tmp_path, capsys):
    arguments = words(dermoscopy, tmp_path / "out", "--dry-run", "--repeats", "3")
    assert run_table(TABLE, arguments) == 0
    assert "12 trials, 12 to do" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
