import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.common.published import DATASET_TITLES
from experiments.common.runs import read_run
from experiments.common.table import parse, run_table
from experiments.table_3_1 import TABLE
from melanet.saving import load_model, read_model_info
from sharpunet import sharp_unet, unet
from tests.conftest import write_dsb2018
from tests.experiments.example_records import write_run_file

pytestmark = pytest.mark.filterwarnings("ignore:.*images found:UserWarning")
#: Table 3.1 with two-level networks of four filters.
SMALL_TABLE = dataclasses.replace(
    TABLE,
    builders={build.__name__: partial(build, filters=(4, 4)) for build in (unet, sharp_unet)},
)
SMALL = ["--image-size", "16", "16", "--folds", "2", "--repeats", "1", "--epochs", "1",
         "--batch-size", "4", "--precision", "float32"]  # fmt: skip
VOLATILE = ("seconds", "git")


def read_records(out):
    found = {}
    for path in sorted((out / "records").glob("*.json")):
        record = json.loads(path.read_text())
        found[path.name] = {k: v for k, v in record.items() if k not in VOLATILE}
    return found


def words(small_phantom, out, *more):
    return ["--data", str(small_phantom.folder.parent), "--datasets", small_phantom.folder.name,
            "--out", str(out), *SMALL, *more]  # fmt: skip


def test_the_defaults_are_the_thesis_s(capsys, isbi2012, tmp_path):
    arguments = ["--data", str(tmp_path), "--datasets", "isbi2012", "--dry-run", "--prepared",
                 str(tmp_path / "prepared"), "--out", str(tmp_path / "out")]  # fmt: skip
    assert run_table(TABLE, arguments) == 0
    printed = capsys.readouterr().out
    assert "50 trials, 50 to do" in printed  # 2 models x 5 folds x 5 repeats
    assert printed.count("isbi2012-sharp_unet-") == 25
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_dataset_goes_from_official_files_to_the_page(
    isbi2012, dsb2018, isic2018, cvc_clinicdb, covid_ct, lung, tmp_path, capsys
):
    write_dsb2018(dsb2018, {f"{index:064x}": (40, 48) for index in range(4)})
    for path in isic2018.rglob("ISIC_0000002*"):  # two folds need four images
        shutil.copy(path, path.with_name(path.name.replace("2", "3", 1)))
    out = tmp_path / "out"
    arguments = ["--data", str(tmp_path), "--out", str(out),
                 "--prepared", str(tmp_path / "prepared"), *SMALL]  # fmt: skip
    assert run_table(SMALL_TABLE, arguments) == 0
    assert len(read_records(out)) == 24
    table = pd.read_csv(out / "table.csv")
    assert list(dict.fromkeys(table["dataset"])) == list(DATASET_TITLES)
    assert set(table["runs"]) == {2}
    assert np.isfinite(table["jaccard_mean"]).all()
    assert list(pd.read_csv(out / "comparison.csv")["Pair"]) == ["Sharp U-Net less U-Net"] * 6
    markdown = (out / "table.md").read_text()
    assert "83.95 ± 3.47" in markdown  # the thesis's own, beside ours
    page = (out / "index.html").read_text()
    assert page.count("data:image/png;base64,") >= 8  # curves, folds, and cases of six datasets
    assert "Is the difference real?" in page
    assert "http" not in page.replace("http-equiv", "")
    assert r"\begin{tabular}" in (out / "table.tex").read_text()
    assert "thesis: k folds" in page
    assert "Open" in capsys.readouterr().out


@pytest.mark.parametrize("protocol", ["thesis", "released", "clean"])
def test_the_options_alone_tell_the_titles_of_the_trials(protocol, small_phantom, tmp_path):
    arguments = words(small_phantom, tmp_path, "--protocol", protocol, "--repeats", "2")
    options = parse(SMALL_TABLE, arguments)
    titles = [trial.title for trial in SMALL_TABLE.plan([small_phantom], options)]
    assert titles == SMALL_TABLE.trial_titles(options)
    assert len(set(titles)) == (4 if protocol == "released" else 8)


def test_missing_datasets_are_named_and_left_out(isbi2012, tmp_path, capsys):
    arguments = ["--data", str(tmp_path), "--prepared", str(tmp_path / "prepared"), "--dry-run"]
    assert run_table(TABLE, arguments) == 0
    printed = capsys.readouterr().out
    assert "has no folder cvc_clinicdb, covid_ct, isic2018, dsb2018, lung: left out" in printed
    assert "50 trials" in printed
    assert run_table(TABLE, ["--data", str(isbi2012), *arguments[2:]]) == 2
    assert "has none of the folders" in capsys.readouterr().err


def test_clean_without_groups_says_that_it_is_thesis_and_how_to_give_groups(
    own_images, tmp_path, capsys
):
    for kind in ("images", "masks"):
        for index in range(3):
            picture = np.asarray(Image.open(own_images / kind / f"case-{index}.png"))
            Image.fromarray(picture[::-1]).save(own_images / kind / f"case_{index}_L.png")
            (own_images / kind / f"case-{index}.png").rename(
                own_images / kind / f"case_{index}_R.png"
            )
    arguments = ["--data", str(tmp_path), "--protocol", "clean", "--dry-run", "--folds", "2",
                 "--prepared", str(tmp_path / "prepared")]  # fmt: skip
    assert run_table(TABLE, arguments) == 0
    printed = capsys.readouterr()
    assert "found images of your own in own" in printed.out
    assert "warning: own: no groups" in printed.err
    assert "--group-by REGEX" in printed.err
    [dataset] = TABLE.prepare(options_of(arguments, "--group-by", "(.+)_[LR]"))
    assert list(dataset.metadata["group"]) == [f"case_{index // 2}" for index in range(6)]
    assert "no groups" not in capsys.readouterr().err


def test_copies_of_own_pictures_are_one_group_in_clean(own_images, tmp_path):
    for kind in ("images", "masks"):
        shutil.copy(own_images / kind / "case-0.png", own_images / kind / "again.png")
    arguments = ["--data", str(tmp_path), "--protocol", "clean", "--dry-run",
                 "--prepared", str(tmp_path / "prepared")]  # fmt: skip
    [dataset] = TABLE.prepare(options_of(arguments))
    groups = dict(zip(dataset.metadata["id"], dataset.metadata["group"], strict=True))
    assert groups["again"] == groups["case-0"]
    assert len(set(groups.values())) == 3


def options_of(arguments, *more):
    return parse(TABLE, [*arguments, *more])


OWN_MODEL = """
def my_net(input_shape, classes):
    inputs = keras.Input(input_shape)
    x = layers.Conv2D({filters}, 3, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, layers.Conv2D(classes, 1, activation="sigmoid")(x))

my_net.title = "My $net_1"
"""


def test_a_model_of_one_s_own_goes_to_the_page_under_its_title(
    small_phantom, write_module, tmp_path
):
    name = write_module(OWN_MODEL.format(filters=2)) + ":my_net"
    out = tmp_path / "out"
    assert run_table(SMALL_TABLE, words(small_phantom, out, "--models", "sharp_unet", name)) == 0
    records = read_records(out)
    assert sum(record["model"] == name for record in records.values()) == 2
    assert sum(f"phantom-{name.replace(':', '.')}-r0-f0-" in path for path in records) == 1
    assert list(pd.read_csv(out / "table.csv")["model"]) == ["sharp_unet", "My $net_1"]
    pairs = ["My $net_1 less Sharp U-Net"]  # the first one is the baseline
    assert list(pd.read_csv(out / "comparison.csv")["Pair"]) == pairs
    assert r"My \$net\_1 less Sharp U-Net" in (out / "comparison.tex").read_text()
    assert r"My \$net\_1 Jaccard" in (out / "table.tex").read_text()


def test_another_model_under_the_same_settings_is_another_trial(
    small_phantom, write_module, tmp_path
):
    keys = []
    for filters in (2, 2, 3):
        name = write_module(OWN_MODEL.format(filters=filters)) + ":my_net"
        options = parse(TABLE, words(small_phantom, tmp_path, "--models", name))
        keys.append(TABLE.plan([small_phantom], options)[0].key[-8:])
    assert keys[0] == keys[1] != keys[2]


def test_a_model_of_one_s_own_that_cannot_be_built_stops_the_table(
    small_phantom, write_module, tmp_path, capsys
):
    name = write_module("def my_net(shape, classes): raise OSError('no disk')") + ":my_net"
    assert run_table(TABLE, words(small_phantom, tmp_path / "out", "--models", name)) == 2
    assert capsys.readouterr().err == (
        f"error: --models {name}: called with (16, 16, 1) and 1, it raises OSError: no disk\n"
    )
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        run_table(TABLE, words(small_phantom, tmp_path / "out", "--models", "nowhere:net"))
    assert "there is no module nowhere in" in capsys.readouterr().err


def test_the_thesis_s_scores_stand_beside_its_own_datasets_only(small_phantom):
    own = dataclasses.replace(
        small_phantom, info=dataclasses.replace(small_phantom.info, name="own")
    )
    assert TABLE._published_beside([own, small_phantom]) == TABLE.published
    assert TABLE._published_beside([own]) == {}


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_records_of_an_uninterrupted_one(
    small_phantom, tmp_path
):
    def arguments(out):
        return words(small_phantom, out, "--epochs", "3")

    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    code = f"import sys; from {__name__} import *; sys.exit(run_table(SMALL_TABLE, sys.argv[1:]))"
    for kill, wanted in enumerate((1, 3)):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments(interrupted)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while len(read_records(interrupted)) < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5 * kill)  # once between two trials, once within one
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = {path: path.stat().st_mtime_ns for path in (interrupted / "records").glob("*.json")}
    assert len(before) >= 3
    assert not (interrupted / "table.md").exists()
    assert run_table(SMALL_TABLE, arguments(interrupted)) == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert run_table(SMALL_TABLE, arguments(whole)) == 0
    assert read_records(interrupted) == read_records(whole)
    assert (interrupted / "table.md").read_text() == (whole / "table.md").read_text()


def test_a_run_goes_on_from_its_records_alone(small_phantom, tmp_path, monkeypatch, capsys):
    there, here = tmp_path / "there", tmp_path / "here"
    assert run_table(SMALL_TABLE, words(small_phantom, there)) == 0
    shutil.copytree(there / "records", here / "records")
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    monkeypatch.setattr("experiments.segmentation.trial.train", None)  # nothing is trained
    assert run_table(SMALL_TABLE, words(small_phantom, here, "--cache", "none")) == 0
    assert "4 of 4 trials are done already" in capsys.readouterr().out
    assert (here / "table.md").read_text() == (there / "table.md").read_text()
    drawn = {path.stem for path in (here / "figures").glob("*.png")}
    assert drawn == {"differences", "learning-curves", "fold-by-fold"}  # no predictions came along
    command = f"python -m experiments.table_3_1 --data DIR --datasets phantom {' '.join(SMALL)}"
    write_run_file(here, command)
    [published] = read_run(here).commands
    assert (len(published.records), published.missing) == (4, [])
    [comparison] = published.conclusions.comparisons
    assert (
        comparison.place
        == "Phantom: protocol thesis, 16 × 16, random weights, float32, 2 folds × 1"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--datasets", "cvc"], "'cvc' is not a known dataset"),
        (["--image-size", "100", "96"], "multiples of 16"),
        (["--folds", "11"], "10 images are too few for 11 folds"),
        (["--protocol", "clean", "--folds", "11"], "10 groups are too few"),
        (["--loss", "dice", "--distribute", "mirrored"], "--loss dice: is computed over the whole"),
        (["--distribute", "multiworker"], "TF_CONFIG: is not set"),
    ],
)
def test_bad_input_is_one_line_and_code_2(change, reason, small_phantom, tmp_path, capsys):
    assert run_table(TABLE, words(small_phantom, tmp_path / "out", *change)) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert reason in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_unwritable_output_is_reported_before_training(small_phantom, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert run_table(TABLE, words(small_phantom, tmp_path / "file")) == 2
    assert "--out" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("flags", [("--datasets", "--models"), ("--dataset", "--model")])
def test_names_given_twice_run_once(flags, small_phantom, tmp_path, capsys):
    name = small_phantom.folder.name
    more = ["--dry-run", flags[0], name, name, flags[1], "unet", "unet"]
    assert run_table(TABLE, words(small_phantom, tmp_path / "out", *more)) == 0
    assert "2 trials, 2 to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change", [["--seed", "9999999999"], ["--epochs", "0"], ["--models", "vnet"], ["--folds", "1"]]
)
def test_bad_flags_end_with_code_2(change, small_phantom, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        run_table(TABLE, words(small_phantom, tmp_path / "out", *change))
    assert stopped.value.code == 2


def test_saved_models_say_how_to_use_them_and_leave_the_trials_names(
    small_phantom, tmp_path, capsys
):
    out, kept = tmp_path / "out", tmp_path / "kept"
    assert run_table(SMALL_TABLE, words(small_phantom, out, "--models", "unet")) == 0
    assert not (out / "models").exists()
    arguments = ["--models", "unet", "--save-models"]
    assert run_table(SMALL_TABLE, words(small_phantom, kept, *arguments)) == 0
    assert read_records(kept) == read_records(out)
    records = sorted((kept / "records").glob("*.json"))
    models = [kept / "models" / f"{path.stem}.keras" for path in records]
    for record, model in zip(records, models, strict=True):
        said, made = read_model_info(model), json.loads(record.read_text())
        assert said.task == "segmentation"
        assert said.image_size == (16, 16)
        assert said.scaling == "min_max"
        assert said.dataset_fingerprint == made["dataset"]["metadata_sha256"]
        assert said.training["seed"] == made["seed"]
    assert load_model(models[0]).output_shape == (None, 16, 16, 1)
    models[0].unlink()
    capsys.readouterr()
    assert run_table(SMALL_TABLE, words(small_phantom, kept, *arguments)) == 0
    assert "--save-models: 1 of the trials that are done left no model" in capsys.readouterr().out
