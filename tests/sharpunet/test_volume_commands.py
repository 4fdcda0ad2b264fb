"""`python -m sharpunet` on volumes: trained, scored, and segmented on their own grids."""

import json

import keras
import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet.command import run
from melanet.data import InputError
from melanet.saving import ModelInfo, read_model_info, save_model
from sharpunet.data import prepare
from sharpunet.evaluation import evaluate_model
from sharpunet.fitting import train_model
from sharpunet.inference import predict

WINDOW = (8, 16, 16)
#: Columns lead to the left, rows to the front, slices down, and the axes are in another order.
TURNED = np.array([[0, -1, 0, 7], [0, 0, 1, -3], [-2, 0, 0, 50], [0, 0, 0, 1.0]])


def bright_voxels(path, classes=1, spacing=()):
    """A network that needs no training: bright is foreground; of several classes, the last."""
    weights = np.zeros((1, 1, 1, 1, classes), "float32")
    weights[..., -1] = 1000
    bias = np.zeros(classes, "float32")
    bias[-1] = -500
    layer = keras.layers.Conv3D(classes, 1, activation="softmax" if classes > 1 else "sigmoid")
    model = keras.Sequential([keras.Input((*WINDOW, 1)), layer])
    model.set_weights([weights, bias])
    names = ("background", "bright") if classes > 1 else ()
    save_model(model, path, ModelInfo("segmentation", WINDOW, 1, names, spacing=spacing))
    return path


def save_scan(path, shape=(12, 20, 30), affine=TURNED):
    """A scan of which one box is bright, nearer to the start of every axis; returns the box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    box = np.zeros(shape, bool)
    box[tuple(slice(side // 6, side // 2) for side in shape)] = True
    noise = np.random.default_rng(shape).integers(0, 50, shape)  # or slices would be copies
    values = 700 * box - 200 + noise
    scan = nibabel.Nifti1Image(values.astype("int16"), affine)
    scan.header["cal_max"] = 500
    nibabel.save(scan, path)
    return box


def save_pairs(folder, count=5, affine=TURNED):
    for index in range(count):
        name = f"case{index}.nii.gz"
        box = save_scan(folder / "images" / name, (8 + index, 18, 20), affine)
        (folder / "masks").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(box.astype("uint8"), affine), folder / "masks" / name)
    return folder


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1, -1, 3, 1]), TURNED])
def test_a_mask_lies_on_the_grid_of_its_volume(tmp_path, affine, classes):
    box = save_scan(tmp_path / "scans/a.b.nii.gz", affine=affine)
    model = bright_voxels(tmp_path / "m.keras", classes)
    done = predict(model, tmp_path / "scans", tmp_path / "out")
    mask = nibabel.load(tmp_path / "out/masks/a.b.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), box)
    np.testing.assert_array_equal(mask.affine, affine)
    assert mask.get_data_dtype() == np.uint8
    assert mask.header["cal_max"] == 0
    (row,) = pd.read_csv(done.table).to_dict("records")
    title = "bright" if classes > 1 else "foreground"
    assert row["name"] == "a.b"
    assert row[f"share_{title}"] == pytest.approx(box.mean(), abs=1e-6)
    millilitres = box.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert row[f"ml_{title}"] == pytest.approx(millilitres, abs=1e-3)
    assert Image.open(tmp_path / "out/overlays/a.b.png").mode == "RGB"


def test_a_volume_is_resampled_to_the_spacing_of_the_model_and_back(tmp_path):
    box = save_scan(tmp_path / "a.nii.gz", (24, 24, 24), np.eye(4))
    predict(bright_voxels(tmp_path / "m.keras", spacing=(3, 3, 1)), tmp_path / "a.nii.gz",
            tmp_path / "out")  # fmt: skip
    found = np.asarray(nibabel.load(tmp_path / "out/masks/a.nii.gz").dataobj) > 0
    assert 0.5 < (found & box).sum() / (found | box).sum() < 1


def test_predictions_resume_and_bad_volumes_are_named(tmp_path, capsys):
    scans, out = tmp_path / "scans", tmp_path / "out"
    save_scan(scans / "a.nii.gz")
    save_scan(scans / "b.nii")
    model = bright_voxels(tmp_path / "m.keras")
    command = ["predict", str(model), str(scans), "--out", str(out)]
    assert run("sharpunet", command) == 0
    first = (out / "masks/a.nii.gz").stat().st_mtime_ns
    (out / "masks/b.nii.gz").unlink()
    (scans / "c.nii.gz").write_bytes(b"no volume")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), "int16"), np.eye(4)), scans / "d.nii")
    unsaid = nibabel.Nifti1Image(np.zeros((4, 4, 4), "int16"), None)
    nibabel.save(unsaid, scans / "e.nii")
    capsys.readouterr()
    assert run("sharpunet", command) == 2
    said = capsys.readouterr().err
    for words in ("c.nii.gz: cannot be read as NIfTI", "d.nii: has shape (4, 4, 4, 2)",
                  "e.nii: does not say where its axes lead to"):  # fmt: skip
        assert words in said
    assert (out / "masks/a.nii.gz").stat().st_mtime_ns == first
    assert (out / "masks/b.nii.gz").exists()
    assert pd.read_csv(out / "predictions.csv")["name"].tolist() == ["a", "b"]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_constant_volume_and_nifti_2_are_taken(tmp_path):
    flat, other = tmp_path / "flat.nii", tmp_path / "other.nii"
    nibabel.save(nibabel.Nifti1Image(np.full((9, 9, 9), 40, "int16"), np.eye(4)), flat)
    nibabel.save(nibabel.Nifti2Image(np.eye(9)[None] * np.ones((9, 1, 1)), TURNED), other)
    predict(bright_voxels(tmp_path / "m.keras"), [flat, other], tmp_path / "out")
    assert not np.asarray(nibabel.load(tmp_path / "out/masks/flat.nii.gz").dataobj).any()
    mask = nibabel.load(tmp_path / "out/masks/other.nii.gz")
    assert isinstance(mask, nibabel.Nifti2Image)
    np.testing.assert_array_equal(mask.dataobj[4], np.eye(9))


def test_a_volume_of_another_format_is_named(tmp_path):
    path = tmp_path / "brain.mgz"
    nibabel.save(nibabel.MGHImage(np.zeros((8, 8, 8), "uint8"), np.eye(4)), path)
    done = predict(bright_voxels(tmp_path / "m.keras"), path, tmp_path / "out")
    assert list(done.refused.values()) == [f"{path}: is MGHImage, not NIfTI; convert it"]


def test_a_network_is_trained_on_patches_and_tested_on_whole_volumes(tmp_path, capsys):
    folder, out = save_pairs(tmp_path / "own"), tmp_path / "out"
    words = [str(folder), "--model", "sharp_unet3d", "--patch-size", "8", "8", "8", "--epochs", "2"]
    assert run("sharpunet", ["train", *words, "--out", str(out)]) == 0
    assert "1 volumes in 1 groups" in capsys.readouterr().out
    info = read_model_info(out / "model.keras")
    assert info.image_size == (8, 8, 8)
    assert info.spacing == (2, 1, 1)
    scores = json.loads((out / "scores.json").read_text())
    assert scores["volumes"] == 1
    assert set(scores["scores"]) == {"jaccard", "dice"}
    trained = (out / "model.keras").read_bytes()
    assert run("sharpunet", ["train", *words, "--out", str(out)]) == 0  # it is there already
    assert (out / "model.keras").read_bytes() == trained
    scans = str(folder / "images")
    assert run("sharpunet", ["predict", str(out / "model.keras"), scans, "--out",
                             str(tmp_path / "predicted")]) == 0  # fmt: skip
    assert len(list((tmp_path / "predicted/masks").glob("*.nii.gz"))) == 5


def test_volumes_are_scored_on_their_own_grids_whatever_the_spacing_of_the_model(tmp_path):
    folder = save_pairs(tmp_path / "own")
    same = evaluate_model(bright_voxels(tmp_path / "m.keras"), folder, tmp_path / "same")
    assert same.scores["dice"].value == 1
    assert len(same.images) == 5
    coarse = bright_voxels(tmp_path / "coarse.keras", spacing=(2, 2, 2))
    other = evaluate_model(coarse, folder, tmp_path / "other")
    assert 0.7 < other.scores["dice"].value < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": (64, 64)}, "--image-size: is of images; sharp_unet3d takes --patch-size"),
        ({"patch_size": (8, 8, 9)}, r"--patch-size: depth, height and width must be multiples of"),
        ({"patch_size": (8, 8, 8), "model": "unet"}, "--patch-size: is of volumes, for --model"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, options, message):
    folder = prepare("phantom3d", ".", tmp_path / "phantom3d").folder
    with pytest.raises(InputError, match=message):
        train_model(folder, tmp_path / "out", **{"model": "sharp_unet3d", **options})
    assert not (tmp_path / "out").exists()


def test_images_and_networks_of_volumes_refuse_each_other(tmp_path):
    images = prepare("phantom", ".", tmp_path / "phantom").folder
    with pytest.raises(InputError, match="phantom: holds images, not slices of volumes"):
        train_model(images, tmp_path / "out", model="unet3d")
    model = bright_voxels(tmp_path / "m.keras")
    with pytest.raises(InputError, match="phantom: holds images, not slices of volumes"):
        evaluate_model(model, images, tmp_path / "out")
    with pytest.raises(InputError, match=r"no image was found; give files .*\.nii"):
        predict(model, images, tmp_path / "out")


@pytest.mark.parametrize("sides", [(0, 1, 1), (1, 1), (np.inf, 1, 1), ("a", 1, 1)])
def test_spacings_that_cannot_be_are_refused(sides):
    with pytest.raises(ValueError, match="`spacing` must be three lengths above 0"):
        ModelInfo("segmentation", WINDOW, 1, spacing=sides)
    with pytest.raises(ValueError, match="of images, empty"):
        ModelInfo("segmentation", (8, 8), 1, spacing=(1, 1, 1))
    with pytest.raises(ValueError, match="must be 2 whole numbers"):
        ModelInfo("classification", WINDOW, 1)
