import dataclasses
import gc
import json
import os
import socket
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest

from experiments import trial
from experiments.segmentation import Settings, Trial, run_trial
from experiments.trial import seed_everything
from sharpunet import jaccard
from sharpunet.data import InputError, load_dataset
from sharpunet.splits import splits


def make_trial(dataset, model="sharp_unet", protocol="thesis", **settings):
    fields = {
        "protocol": protocol,
        "epochs": 2,
        "batch_size": 4,
        "image_size": (16, 16),
        "precision": "float32",
        **settings,
    }
    split = next(splits(dataset.metadata, protocol, folds=3, repeats=1))
    return Trial(dataset, model, split, Settings(**fields))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished trial: the trial, its record and the results folder."""
    from melanet.data import DatasetInfo, write_dataset
    from sharpunet.data import phantom

    folder = tmp_path_factory.mktemp("trial")
    info = DatasetInfo("phantom", "Phantom", image_size=(32, 32), channels=1)
    dataset = write_dataset(folder / "prepared", info, phantom.read(count=10, size=32))
    made = make_trial(dataset)
    return made, run_trial(made, folder), folder


def test_the_record_says_how_the_result_was_made(finished):
    made, record, folder = finished
    assert json.loads(made.record_path(folder).read_text()) == json.loads(json.dumps(record))
    assert record["dataset"]["metadata_sha256"] == made.dataset.fingerprint
    assert record["parameters"] == {"trainable": 7_759_521, "frozen": 4320}
    assert record["images"] == {"train": 5, "validation": 1, "test": 4}
    assert record["epochs_run"] == len(record["history"]["val_jaccard"]) == 2
    assert record["versions"]["keras"] == keras.__version__
    expected = {"fold", "repeat", "model", "protocol", "precision", "seed", "git", "best_epoch"}
    assert expected | {"seconds", "learning_rate", "patience", "hardware"} <= set(record)


def test_scores_are_of_the_test_images_and_of_the_saved_predictions(finished):
    from PIL import Image

    made, record, folder = finished
    assert [score["id"] for score in record["scores"]] == list(made.split.test)
    dataset = load_dataset(made.dataset, made.split.test, image_size=(16, 16))
    truth = np.concatenate([masks for _, masks in dataset.as_numpy_iterator()])
    files = [folder / "predictions" / made.key / f"{id}.png" for id in made.split.test]
    predicted = np.stack([np.asarray(Image.open(file)) for file in files])[..., None] / 255
    np.testing.assert_allclose(
        jaccard(truth, predicted, average=None)[:, 0],
        [score["jaccard"] for score in record["scores"]],
        atol=1e-5,
    )


def test_the_best_epoch_is_that_of_the_validation_loss(finished):
    _, record, _ = finished
    assert record["best_epoch"] == 1 + int(np.argmin(record["history"]["val_loss"]))


def test_a_trial_gives_the_same_result_after_another_one(finished, tmp_path):
    made, record, _ = finished
    run_trial(make_trial(made.dataset, "unet", epochs=1), tmp_path)
    again = run_trial(made, tmp_path)
    for part in ("history", "scores"):
        assert again[part] == record[part]


@pytest.mark.parametrize(
    "change",
    [{"epochs": 3}, {"batch_size": 2}, {"image_size": (32, 32)}, {"precision": "mixed_bfloat16"}],
)
def test_the_key_changes_with_every_setting(finished, change):
    made = finished[0]
    assert make_trial(made.dataset, **change).key != made.key
    assert make_trial(made.dataset).key == made.key


def test_the_key_changes_with_the_split_and_with_how_images_are_resized(finished):
    made = finished[0]
    other = next(splits(made.dataset.metadata, "thesis", folds=2, repeats=1))
    assert dataclasses.replace(made, split=other).key != made.key
    described = dataclasses.replace(made.dataset.info, keep_aspect_ratio=True)
    padded = dataclasses.replace(made.dataset, info=described)
    assert dataclasses.replace(made, dataset=padded).key != made.key


def test_the_key_does_not_change_with_the_devices_that_share_the_work(finished):
    made = finished[0]
    for name, value in (("distribute", "mirrored"), ("precision", "mixed_float16")):
        changed = dataclasses.replace(made.settings, **{name: value})
        other = dataclasses.replace(made, settings=changed)
        assert (other.key == made.key) == (name == "distribute")


def test_a_training_that_diverged_is_no_result(small_phantom, tmp_path, monkeypatch):
    predicted = np.full((5, 32, 32, 1), np.nan, "float32")
    monkeypatch.setattr(keras.Model, "predict", lambda *_, **__: predicted)
    with pytest.raises(InputError, match="the training diverged; try --precision float32"):
        run_trial(make_trial(small_phantom), tmp_path)
    assert not (tmp_path / "records").exists()


def test_plain_and_sharp_share_seed_and_split(finished):
    made = finished[0]
    plain = make_trial(made.dataset, "unet")
    assert (plain.seed, plain.split) == (made.seed, made.split)
    assert plain.key != made.key


def test_a_record_is_never_half_written(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    trial.write_record(path, {"key": "record", "first": 1})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match=r"record\.json: cannot be written \(disk full\)"):
        trial.write_record(path, {"second": 2})
    assert trial.read_record(path)["first"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_what_a_killed_writer_left_is_removed_and_what_others_write_is_not(tmp_path):
    path, prefix = tmp_path / "r.json", f".r.json.{socket.gethostname()}."
    writes = "from experiments.trial import *; from ??sharpunet.data.dataset import replacing\n"
    writes += f"with replacing({str(path)!r}) as whole:\n    whole.touch(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", writes], capture_output=True).returncode == -9
    [left] = tmp_path.iterdir()
    assert left.name.startswith(prefix)
    others = [tmp_path / f"{prefix}{os.getppid()}", tmp_path / ".r.json.another-host.1"]
    for folder in others:
        folder.mkdir()
    trial.write_record(path, {"key": "r"})
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"key": "other"}'])
def test_what_is_no_record_is_named(content, tmp_path):
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(InputError, match=r"record\.json: not (a|the) result record"):
        trial.read_record(tmp_path / "record.json")


def test_precision_is_as_asked_and_the_policy_is_restored():
    assert trial.resolve_precision("mixed_float16") == "mixed_float16"
    assert trial.resolve_precision("auto") in trial.PRECISIONS[1:]
    with trial.precision_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


def test_a_new_trial_lets_the_memory_of_the_one_before_go():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
    held = weakref.ref(model.weights[0].value.handle)
    del model
    gc.collect()
    assert held() is not None  # TensorFlow still holds it; if not, this test and its cure can go
    seed_everything(0, deterministic=False)
    gc.collect()
    assert held() is None


class Killed(BaseException):
    """Ends a run in its midst, as a signal does."""


def test_a_killed_trial_goes_on_and_gives_the_same_record(small_phantom, tmp_path, monkeypatch):
    whole = run_trial(make_trial(small_phantom, epochs=3), tmp_path / "whole")
    monkeypatch.setattr("melanet.checkpoint.SHARE", 1e9)
    out = tmp_path / "killed"
    killing = make_trial(small_phantom, epochs=3)
    on_epoch_begin = trial.EpochBar.on_epoch_begin

    def kill(self, epoch, logs=None):
        if epoch == 2:
            raise Killed
        on_epoch_begin(self, epoch, logs)

    monkeypatch.setattr(trial.EpochBar, "on_epoch_begin", kill)
    with pytest.raises(Killed):
        run_trial(killing, out)
    assert list((out / "checkpoints").iterdir())
    begun = []
    monkeypatch.setattr(
        trial.EpochBar,
        "on_epoch_begin",
        lambda self, e, _=None: on_epoch_begin(self, e) or begun.append(e),
    )
    again = run_trial(make_trial(small_phantom, epochs=3), out)
    assert begun == [2]
    for name in ("scores", "history", "best_epoch", "epochs_run"):
        assert again[name] == whole[name]
    assert not list((out / "checkpoints").iterdir())
