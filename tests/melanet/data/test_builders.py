"""From official files to a dataset: `DatasetBuilder.build` and the command."""

import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from melanet.data import BUILDERS, InputError, builders, open_dataset, prepare
from sharpunet.data import BUILDERS as SEGMENTATION_BUILDERS
from sharpunet.data import prepare as prepare_masks
from tests.conftest import save_png, square_mask

pytestmark = pytest.mark.filterwarnings("ignore:.*images found:UserWarning")


def test_preparing_again_opens_what_is_there(own_images, tmp_path):
    first = prepare_masks("mine", own_images, tmp_path / "prepared")
    table = tmp_path / "prepared/metadata.csv"
    stamp = table.stat().st_mtime_ns
    again = prepare_masks("mine", own_images, tmp_path / "prepared")
    assert again.fingerprint == first.fingerprint
    assert table.stat().st_mtime_ns == stamp


def test_the_fingerprint_changes_with_the_pixels(own_images, tmp_path):
    before = prepare_masks("mine", own_images, tmp_path / "before").fingerprint
    image = own_images / "images/case-0.png"
    changed = np.asarray(Image.open(image)).copy()
    changed[0, 0] ^= 1
    Image.fromarray(changed).save(image)
    assert prepare_masks("mine", own_images, tmp_path / "after").fingerprint != before


def test_a_dataset_of_other_files_is_not_taken_for_it(own_images, tmp_path):
    prepare_masks("mine", own_images, tmp_path / "prepared")
    with pytest.raises(InputError, match="holds the dataset 'mine'"):
        prepare("phantom", own_images, tmp_path / "prepared")


def edit_in_place(path):
    """Changes a byte that the pixels do not depend on; the size of the file stays the same."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the checksum of the last chunk, which is empty
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["images/case-1.png", "masks/case-2.png"])
def test_own_files_that_were_edited_in_place_are_noticed(file, own_images, tmp_path):
    first = prepare_masks("mine", own_images, tmp_path / "prepared")
    edit_in_place(own_images / file)
    again = prepare_masks("mine", own_images, tmp_path / "prepared")
    assert again.info.source_fingerprint != first.info.source_fingerprint


def test_official_files_are_hashed_once_and_the_download_stays_as_it_is(
    own_images, tmp_path, monkeypatch
):
    before = sorted(own_images.rglob("*"))
    prepare_masks("mine", own_images, tmp_path / "prepared")
    hashed = []
    monkeypatch.setattr(builders, "_sha256", lambda path: hashed.append(path) or "")
    prepare_masks("mine", own_images, tmp_path / "prepared")
    assert not hashed
    assert sorted(own_images.rglob("*")) == before
    (own_images / "images/case-1.png").touch()
    prepare_masks("mine", own_images, tmp_path / "prepared")  # anew, as the patched hash says
    assert [path.name for path in hashed] == ["case-1.png"]


def test_files_that_were_copied_with_other_times_are_the_same(own_images, tmp_path):
    first = prepare_masks("mine", own_images, tmp_path / "prepared")
    shutil.copytree(own_images, tmp_path / "copy", copy_function=shutil.copyfile)
    again = prepare_masks("mine", tmp_path / "copy", tmp_path / "prepared")
    assert again.fingerprint == first.fingerprint


def test_what_is_not_read_of_a_download_does_not_count(isbi2012, tmp_path):
    first = prepare_masks("isbi2012", isbi2012, isbi2012 / "prepared")
    (isbi2012 / "test-volume.tif").write_bytes(b"not read")
    again = prepare_masks("isbi2012", isbi2012, isbi2012 / "prepared")
    assert again.fingerprint == first.fingerprint


def test_hidden_files_do_not_count(own_images, tmp_path):
    first = prepare_masks("mine", own_images, tmp_path / "prepared")
    (own_images / ".DS_Store").write_text("")
    (own_images / ".git").mkdir()
    (own_images / ".git/FETCH_HEAD").write_text("0123")
    again = prepare_masks("mine", own_images, tmp_path / "prepared")
    assert again.fingerprint == first.fingerprint


@pytest.mark.parametrize("name", ["phantom", "phantom_normal", "phantom_pneumonia"])
def test_phantoms_need_no_download_and_are_always_the_same(name, tmp_path):
    first, second = (prepare(name, tmp_path / "nowhere", tmp_path / part) for part in "ab")
    assert first.fingerprint == second.fingerprint


def test_a_phantom_of_another_version_is_not_taken_for_it(tmp_path):
    path = prepare("phantom", ".", tmp_path / "prepared").folder / "dataset.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "source_fingerprint": "before"}))
    with pytest.raises(InputError, match="another version of the generator"):
        prepare("phantom", ".", tmp_path / "prepared")


def test_a_dataset_outlives_its_download(isbi2012, tmp_path):
    first = prepare_masks("isbi2012", isbi2012, tmp_path / "prepared")
    shutil.rmtree(isbi2012)
    again = prepare_masks("isbi2012", isbi2012, tmp_path / "prepared")
    assert again.fingerprint == first.fingerprint


def test_another_count_than_the_published_is_a_warning(isbi2012, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepare_masks("isbi2012", isbi2012, tmp_path / "prepared")
    assert "12 images found, 30 are published" in str(caught[0].message)


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="'ham10000' is not a known dataset"):
        prepare("ham10000", tmp_path, tmp_path / "prepared")


@pytest.mark.parametrize("builder", [*BUILDERS.values(), *SEGMENTATION_BUILDERS.values()])
def test_every_builder_says_where_its_files_are_found(builder):
    assert builder.generated or "http" in builder.instructions


def run(package, *words):
    command = [sys.executable, "-m", f"{package}.data", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_prepares_a_dataset(tmp_path):
    done = run("melanet", "phantom", "--prepared", tmp_path / "prepared")
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path}/prepared: 225 images of Phantom\n"
    assert open_dataset(tmp_path / "prepared").info.name == "phantom"


def test_the_command_ends_with_code_2_and_no_traceback(own_images, tmp_path):
    (own_images / "images/case-0.png").write_bytes(b"\x89PNG")
    done = run("sharpunet", "mine", "--download", own_images, "--prepared", tmp_path / "prepared")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "prepared").exists()


def test_a_mask_may_be_added_after_the_first_try(own_images, tmp_path):
    save_png(own_images / "images/case-3.png", np.zeros((40, 48, 3)))
    with pytest.raises(InputError, match=r"case-3\.png: the image has no mask"):
        prepare_masks("mine", own_images, tmp_path / "prepared")
    save_png(own_images / "masks/case-3.png", square_mask())
    assert len(prepare_masks("mine", own_images, tmp_path / "prepared").ids()) == 4
