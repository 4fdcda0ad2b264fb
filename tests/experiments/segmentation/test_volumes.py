"""The table of volumes, from files to the page."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from experiments.common.table import parse, run_table
from experiments.table_3d import TABLE
from sharpunet import dice
from sharpunet.data import open_dataset
from sharpunet.data.volumes import read_volume, volume_slices

SMALL = ["--folds", "2", "--epochs", "2", "--patches", "1", "--precision", "float32"]
SIZE = ["--image-size", "8", "8", "16"]


def words(folder, *more):
    out = ["--out", str(folder / "out"), "--prepared", str(folder / "prepared")]
    return [*SMALL, *SIZE, *out, *more]


@pytest.fixture
def anatomy(tmp_path):
    """Volumes of one head of nibabel's own test data, with what is bright as the object."""
    source = Path(nibabel.__file__).parent / "tests/data/anatomical.nii"
    image = nibabel.load(source)
    values = image.get_fdata()
    for name in ("images", "masks"):
        (tmp_path / "heads" / name).mkdir(parents=True)
    for index in range(4):
        shutil.copy(source, tmp_path / f"heads/images/head{index}.nii")
        bright = (values > np.percentile(values, 80)).astype("uint8")
        path = tmp_path / f"heads/masks/head{index}_seg.nii.gz"
        nibabel.save(nibabel.Nifti1Image(bright, image.affine), path)
    return tmp_path


@pytest.mark.slow
def test_real_volumes_go_from_nifti_files_to_the_page(anatomy):
    data = ["--data", str(anatomy), "--datasets", "heads"]
    assert run_table(TABLE, words(anatomy, *data)) == 0
    records = [json.loads(path.read_text()) for path in (anatomy / "out/records").iterdir()]
    assert len(records) == 4  # two models, two folds
    dataset = open_dataset(anatomy / "prepared/heads")
    slices = volume_slices(dataset.ids())
    for record in records:
        assert record["image_size"] == [8, 8, 16]
        for score in record["scores"]:
            folder = anatomy / "out/predictions" / record["key"]
            ids = slices[score["id"]]
            found = np.stack([np.asarray(Image.open(folder / f"{id}.png")) for id in ids]) / 255
            truth = read_volume(dataset, ids).targets(1)
            expected = dice(truth[None], found[None, ..., None])
            assert score["dice"] == pytest.approx(expected, abs=0.01)  # PNGs have 8 bits
            [distance] = score["surface_distance_mm"]
            assert distance is None or distance >= 0
    split = [record["scores"] for record in records if record["model"] == "unet3d"]
    tested = [score["id"] for scores in split for score in scores]
    assert sorted(tested) == sorted(slices)  # every volume once
    page = (anatomy / "out/index.html").read_text()
    assert "three planes through the hardest test volumes" in page
    before = {path: path.read_bytes() for path in (anatomy / "out/records").iterdir()}
    assert run_table(TABLE, words(anatomy, *data)) == 0  # nothing is trained again
    assert before == {path: path.read_bytes() for path in (anatomy / "out/records").iterdir()}


def test_it_needs_no_data_for_its_phantom(tmp_path):
    options = parse(TABLE, words(tmp_path))
    [dataset] = TABLE.prepare(options)
    trials = TABLE.plan([dataset], options)
    assert [trial.title for trial in trials] == TABLE.trial_titles(options)
    for trial in trials:
        parts = [
            {id.rpartition("-")[0] for id in ids}
            for ids in (trial.split.train, trial.split.validation, trial.split.test)
        ]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 12


def test_sizes_and_images_that_do_not_suit_are_named(tmp_path, capsys):
    wrong = [*words(tmp_path), "--image-size", "12", "16", "16"]
    assert run_table(TABLE, wrong) == 2
    assert "--image-size: depth, height and width must be multiples of 8" in capsys.readouterr().err
    images = words(tmp_path, "--datasets", "polyps", "--data", str(tmp_path))
    for name in ("images", "masks"):
        (tmp_path / "polyps" / name).mkdir(parents=True)
        Image.fromarray(np.eye(32, dtype="uint8") * 255).save(tmp_path / "polyps" / name / "a.png")
    assert run_table(TABLE, images) == 2
    assert "polyps: holds images, not slices of volumes" in capsys.readouterr().err
