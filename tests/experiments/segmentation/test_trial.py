import dataclasses
import json
from functools import partial

import keras
import numpy as np
import pytest
from PIL import Image

from experiments.segmentation.trial import SegmentationSettings, SegmentationTrial
from melanet import training
from melanet.data import DatasetInfo, write_dataset
from sharpunet import jaccard, sharp_unet, unet
from sharpunet.data import InputError, load_dataset, phantom
from sharpunet.splits import splits

SMALL = {build.__name__: partial(build, filters=(4, 4)) for build in (unet, sharp_unet)}


def make_trial(dataset, model="sharp_unet", protocol="thesis", **settings):
    settings = SegmentationSettings(
        **{
            "protocol": protocol,
            "epochs": 2,
            "batch_size": 4,
            "image_size": (16, 16),
            "precision": "float32",
            **settings,
        }
    )
    split = next(splits(dataset.metadata, protocol, folds=3, repeats=1))
    return SegmentationTrial(dataset, model, split, settings, SMALL[model])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished trial: the trial, its record and the results folder."""
    folder = tmp_path_factory.mktemp("trial")
    info = DatasetInfo("phantom", "Phantom", image_size=(32, 32), channels=1)
    dataset = write_dataset(folder / "prepared", info, phantom.read(count=10, size=32))
    trial = make_trial(dataset, epochs=3)
    return trial, trial.run(folder), folder


def test_the_record_says_how_the_result_was_made(finished):
    trial, record, folder = finished
    assert json.loads(trial.record_path(folder).read_text()) == json.loads(json.dumps(record))
    assert record["dataset"]["metadata_sha256"] == trial.dataset.fingerprint
    weights = trial.build_model().trainable_weights
    sharp_kernels = 9 * 4  # a fixed 3 x 3 kernel per channel of the skip connection
    assert record["parameters"] == {
        "trainable": sum(np.prod(weight.shape) for weight in weights),
        "frozen": sharp_kernels,
    }
    assert record["images"] == {"train": 5, "validation": 1, "test": 4}
    assert record["epochs_run"] == len(record["history"]["val_jaccard"]) == 3
    assert record["versions"]["keras"] == keras.__version__
    expected = {"fold", "repeat", "model", "protocol", "precision", "seed", "git", "best_epoch"}
    assert expected | {"seconds", "learning_rate", "patience", "hardware"} <= set(record)


def test_scores_are_those_of_the_saved_predictions_of_the_test_images(finished):
    trial, record, folder = finished
    assert [score["id"] for score in record["scores"]] == list(trial.split.test)
    batches = load_dataset((trial.dataset, trial.split.test), image_size=(16, 16))
    truth = np.concatenate([masks for _, masks in batches.as_numpy_iterator()])
    files = [folder / "predictions" / trial.key / f"{id}.png" for id in trial.split.test]
    predicted = np.stack([np.asarray(Image.open(file)) for file in files])[..., None] / 255
    np.testing.assert_allclose(
        jaccard(truth, predicted, average=None)[:, 0],
        [score["jaccard"] for score in record["scores"]],
        atol=1e-5,
    )


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(finished):
    _, record, _ = finished
    assert record["best_epoch"] == 1 + int(np.argmin(record["history"]["val_loss"]))


@pytest.mark.parametrize(
    "change",
    [{"epochs": 4}, {"batch_size": 2}, {"image_size": (32, 32)}, {"precision": "mixed_bfloat16"}],
)
def test_the_key_changes_with_every_setting(finished, change):
    trial = finished[0]
    assert make_trial(trial.dataset, **{"epochs": 3, **change}).key != trial.key
    assert make_trial(trial.dataset, epochs=3).key == trial.key


def test_the_key_changes_with_the_split_and_with_how_images_are_resized(finished):
    trial = finished[0]
    other = next(splits(trial.dataset.metadata, "thesis", folds=2, repeats=1))
    assert dataclasses.replace(trial, split=other).key != trial.key
    info = dataclasses.replace(trial.dataset.info, keep_aspect_ratio=True)
    padded = dataclasses.replace(trial.dataset, info=info)
    assert dataclasses.replace(trial, dataset=padded).key != trial.key


def test_the_key_changes_with_the_model_behind_the_same_name(finished):
    trial = finished[0]
    edited = dataclasses.replace(trial, build=partial(sharp_unet, filters=(4, 5)))
    assert edited.key != trial.key
    assert dataclasses.replace(trial, build=partial(sharp_unet, filters=(4, 4))).key == trial.key


def test_the_key_does_not_change_with_the_devices_that_share_the_work(finished):
    trial = finished[0]
    for name, value in (("distribute", "mirrored"), ("precision", "mixed_float16")):
        changed = dataclasses.replace(trial.settings, **{name: value})
        other = dataclasses.replace(trial, settings=changed)
        assert (other.key == trial.key) == (name == "distribute")


def test_plain_and_sharp_share_seed_and_split(finished):
    trial = finished[0]
    plain = make_trial(trial.dataset, "unet", epochs=3)
    assert (plain.seed, plain.split) == (trial.seed, trial.split)
    assert plain.key != trial.key


def test_a_diverged_training_leaves_no_record(finished, tmp_path, monkeypatch):
    predicted = np.full((4, 16, 16, 1), np.nan, "float32")
    monkeypatch.setattr(keras.Model, "predict", lambda *_, **__: predicted)
    with pytest.raises(InputError, match="the training diverged; try --precision float32"):
        make_trial(finished[0].dataset, epochs=1).run(tmp_path)
    assert not (tmp_path / "records").exists()


class Killed(BaseException):
    """Ends a run in its midst, as a signal does."""


def test_a_killed_trial_resumes_after_another_one_and_gives_the_same_record(
    finished, tmp_path, monkeypatch
):
    trial, whole, _ = finished
    monkeypatch.setattr("melanet.checkpoint.MAX_SAVING_SHARE", 1e9)  # save after every epoch
    on_epoch_begin, begun = training.EpochBar.on_epoch_begin, []

    def kill_in_third_epoch(self, epoch, logs=None):
        if epoch == 2 and begun == [0, 1]:
            raise Killed
        begun.append(epoch)
        on_epoch_begin(self, epoch, logs)

    monkeypatch.setattr(training.EpochBar, "on_epoch_begin", kill_in_third_epoch)
    with pytest.raises(Killed):
        trial.run(tmp_path)
    assert list((tmp_path / "checkpoints").iterdir())
    make_trial(trial.dataset, "unet", epochs=1).run(tmp_path)  # results depend on no earlier trial
    begun.clear()
    resumed = trial.run(tmp_path)
    assert begun == [2]
    for name in ("scores", "history", "best_epoch", "epochs_run"):
        assert resumed[name] == whole[name]
    assert not list((tmp_path / "checkpoints").iterdir())
