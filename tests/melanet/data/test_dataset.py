import dataclasses
import json
import shutil
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet.data import write_dataset
from melanet.data.dataset import COLUMNS
from sharpunet.data import BUILDERS, InputError, find_builder, open_dataset, prepare
from sharpunet.data.__main__ import main
from sharpunet.data.phantom import generate
from tests.conftest import square_mask, write_dsb2018, write_isbi2012

pytestmark = pytest.mark.filterwarnings("ignore:.*images found:UserWarning")


def png(path):
    return np.asarray(Image.open(path))


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_isbi2012_is_one_image_a_slice_with_the_cells_as_foreground(isbi2012, tmp_path):
    dataset = prepare("isbi2012", isbi2012, tmp_path / "prepared")
    assert len(dataset.metadata) == 12
    assert list(dataset.metadata) == COLUMNS
    first = dataset.metadata.iloc[0]
    np.testing.assert_array_equal(
        png(dataset.folder / first["mask_file_name"]), square_mask(64, 64)
    )
    assert png(dataset.folder / first["file_name"]).shape == (64, 64)


def test_isbi2012_groups_are_blocks_of_neighbouring_slices(isbi2012, tmp_path):
    metadata = prepare("isbi2012", isbi2012, tmp_path / "prepared").metadata
    assert list(metadata["group"]) == ["block-0"] * 6 + ["block-1"] * 6


def test_dsb2018_merges_the_nuclei_of_an_image_and_drops_transparency(dsb2018, tmp_path):
    dataset = prepare("dsb2018", dsb2018, tmp_path / "prepared")
    row = dataset.metadata.iloc[0]
    expected = np.zeros((40, 48), "uint8")
    expected[5:15, 10:20] = expected[20:30, 10:20] = 255
    np.testing.assert_array_equal(png(dataset.folder / row["mask_file_name"]), expected)
    assert png(dataset.folder / row["file_name"]).shape == (40, 48, 3)


def test_own_images_need_only_two_folders(own_images, tmp_path):
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    assert list(dataset.metadata["id"]) == ["case-0", "case-1", "case-2"]
    assert dataset.info.title == "mine"


def test_the_phantom_is_the_same_for_the_same_seed_and_needs_no_folder(tmp_path):
    first = prepare("phantom", tmp_path / "nowhere", tmp_path / "first")
    second = prepare("phantom", tmp_path / "nowhere", tmp_path / "second")
    assert first.fingerprint == second.fingerprint
    assert not np.array_equal(generate(0, seed=1)[0], generate(0, seed=2)[0])


def test_a_threshold_does_not_solve_the_phantom():
    for index in range(6):
        image, mask = generate(index, size=64)
        inside = mask > 0
        best = max(
            np.sum((image > t) & inside) / np.sum((image > t) | inside) for t in range(0, 255, 5)
        )
        assert best < 0.65


def test_what_was_prepared_from_something_else_is_not_taken_for_it(own_images, tmp_path):
    prepare("mine", own_images, tmp_path / "prepared")
    with pytest.raises(InputError, match="holds the set 'mine'"):
        prepare("phantom", own_images, tmp_path / "prepared")
    for kind in ("images", "masks"):
        (own_images / kind / "case-2.png").unlink()
    with pytest.raises(InputError, match="prepared from other files"):
        prepare("mine", own_images, tmp_path / "prepared")


def test_a_phantom_of_another_version_is_not_taken_for_it(tmp_path):
    first = prepare("phantom", ".", tmp_path / "prepared").folder / "dataset.json"
    info = json.loads(first.read_text())
    first.write_text(json.dumps({**info, "origin": "before"}))
    with pytest.raises(InputError, match="another version of the generator"):
        prepare("phantom", ".", tmp_path / "prepared")


def test_a_prepared_set_outlives_its_download(tmp_path):
    first = prepare("isbi2012", write_isbi2012(tmp_path / "isbi"), tmp_path / "prepared")
    shutil.rmtree(tmp_path / "isbi")
    assert (
        prepare("isbi2012", tmp_path / "isbi", tmp_path / "prepared").fingerprint
        == first.fingerprint
    )


def test_two_that_prepare_the_same_set_at_once_both_get_it(own_images, tmp_path):
    target = tmp_path / "prepared"
    source = find_builder("mine", own_images)
    items = source.read(own_images)
    reading, asked = threading.Event(), []

    def slowly():
        reading.set()
        time.sleep(0.2)
        asked.append(1)
        return items[0].image()

    racing = [dataclasses.replace(items[0], image=slowly), *items[1:]]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(write_dataset, target, source.info, racing)
        reading.wait()
        second = pool.submit(write_dataset, target, source.info, racing)
        assert first.result().fingerprint == second.result().fingerprint
    assert len(asked) == 1  # the second waited and opened what the first wrote
    assert not list(tmp_path.glob(".*"))


def test_a_place_that_cannot_be_written_is_named(own_images, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/prepared: cannot be written"):
        prepare("mine", own_images, tmp_path / "file/prepared")


def test_the_digest_changes_with_the_pixels(own_images, tmp_path):
    before = prepare("mine", own_images, tmp_path / "before").fingerprint
    image = own_images / "images/case-0.png"
    changed = png(image).copy()
    changed[0, 0] ^= 1
    Image.fromarray(changed).save(image)
    assert prepare("mine", own_images, tmp_path / "after").fingerprint != before


def test_preparing_again_opens_what_is_there(own_images, tmp_path):
    first = prepare("mine", own_images, tmp_path / "prepared")
    stamp = (tmp_path / "prepared/metadata.csv").stat().st_mtime_ns
    assert prepare("mine", own_images, tmp_path / "prepared").fingerprint == first.fingerprint
    assert (tmp_path / "prepared/metadata.csv").stat().st_mtime_ns == stamp


def test_a_count_that_differs_from_the_published_one_is_a_warning(isbi2012, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepare("isbi2012", isbi2012, tmp_path / "prepared")
    assert "12 images found, 30 are published" in str(caught[0].message)


class Killed(BaseException):
    """Ends a run in its midst, as a signal does."""


@pytest.mark.parametrize(("cut", "first"), [(0, 2), (9, 1), (10_000, 0)])
def test_what_a_killed_run_left_is_gone_on_with(cut, first, own_images, tmp_path):
    whole = prepare("mine", own_images, tmp_path / "whole")
    source = find_builder("mine", own_images)
    info = whole.info
    asked = []

    def items(killed_at):
        def read(number, item):
            if number == killed_at:
                raise Killed
            asked.append(number)
            return item.image()

        return [
            dataclasses.replace(item, image=partial(read, number, item))
            for number, item in enumerate(source.read(own_images))
        ]

    with pytest.raises(Killed):
        write_dataset(tmp_path / "prepared", info, items(killed_at=2))
    metadata = tmp_path / ".prepared.partial/metadata.csv"
    written = metadata.read_text()
    metadata.write_text(written[: max(0, len(written) - cut)])  # the last line may be cut off
    asked.clear()
    assert write_dataset(tmp_path / "prepared", info, items(None)).fingerprint == whole.fingerprint
    assert asked == list(range(first, 3))
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_or_foreign_left_over_is_made_anew(own_images, tmp_path):
    whole = prepare("mine", own_images, tmp_path / "whole")
    left = tmp_path / ".prepared.partial"
    for spoil in (
        lambda: (left / "images/case-0.png").write_bytes(b""),
        lambda: (left / "dataset.json").write_text("{}"),
    ):
        shutil.copytree(tmp_path / "whole", left)
        spoil()
        assert prepare("mine", own_images, tmp_path / "prepared").fingerprint == whole.fingerprint
        shutil.rmtree(tmp_path / "prepared")


def test_every_source_says_where_its_files_are_found():
    for source in BUILDERS.values():
        assert source.generated or "http" in source.download


def truncate(path, keep=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def overwrite_mask(array, name="case-1.png"):
    def spoil(folder):
        Image.fromarray(np.asarray(array, "uint8")).save(folder / "masks" / name)

    return spoil


def remove_all(folder):
    for path in [*folder.glob("images/*"), *folder.glob("masks/*")]:
        path.unlink()


OWN_CASES = {
    "an image without its mask": (
        lambda f: (f / "masks/case-1.png").unlink(),
        "images/case-1.png",
        "has no mask",
    ),
    "a mask without its image": (
        lambda f: (f / "images/case-1.png").unlink(),
        "masks/case-1.png",
        "has no image",
    ),
    "sizes that differ": (overwrite_mask(square_mask(41, 48)), "masks/case-1.png", "48x41 differs"),
    "a mask with one value": (overwrite_mask(np.zeros((40, 48))), "masks/case-1.png", "one value"),
    "a mask that is not binary": (
        overwrite_mask(np.arange(40 * 48).reshape(40, 48) % 256),
        "masks/case-1.png",
        "not binary: it holds 256 values",
    ),
    "a mask in colour": (
        overwrite_mask(np.random.default_rng(0).integers(0, 256, (40, 48, 3))),
        "masks/case-1.png",
        "in colour",
    ),
    "an empty set": (remove_all, "prepared", "nothing to prepare"),
    "two files of one name": (
        lambda f: truncate(f / "images/case-1.png").with_suffix(".jpg").write_bytes(b""),
        "images/case-1.png",
        "same name",
    ),
    "an image too thin to resize": (
        lambda f: Image.fromarray(np.zeros((2, 90), "uint8")).save(f / "images/case-1.png"),
        "images/case-1.png",
        "90x2 is too long",
    ),
    "no folder of masks": (lambda f: (f / "masks").rename(f / "labels"), "masks", "no such folder"),
}


def assert_one_line_and_nothing_written(capsys, tmp_path, arguments, file, reason):
    before = files_below(tmp_path)
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert file in lines[0]
    assert reason in lines[0]
    assert files_below(tmp_path) == before
    assert not list(tmp_path.rglob(".*partial*"))


@pytest.mark.parametrize("case", OWN_CASES)
def test_bad_own_images(case, own_images, tmp_path, capsys):
    spoil, file, reason = OWN_CASES[case]
    spoil(own_images)
    arguments = ["mine", "--download", str(own_images), "--prepared", str(tmp_path / "prepared")]
    assert_one_line_and_nothing_written(capsys, tmp_path, arguments, file, reason)


def flip_byte(path, at=0.5):
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("at", [0.2, 0.25, 0.3, 0.35, 0.4])
def test_a_damaged_entry_of_a_zip(at, dsb2018, tmp_path, capsys):
    flip_byte(dsb2018 / "stage1_train.zip", at)
    arguments = ["dsb2018", "--download", str(dsb2018), "--prepared", str(tmp_path / "p")]
    assert_one_line_and_nothing_written(capsys, tmp_path, arguments, "stage1_train.zip", "")


DSB_CASES = {
    "an image without masks": ([("b/images/b.png", b"")], "b/images/b.png", "has no mask"),
    "masks without an image": ([("b/masks/1.png", b"")], "b/masks/1.png", "has no image"),
    "a broken image in the zip": (
        [("b/images/b.png", b"\x89PNG"), ("b/masks/1.png", b"")],
        "b/images/b.png",
        "cannot be read as an image",
    ),
}


@pytest.mark.parametrize("case", DSB_CASES)
def test_bad_zip_entries(case, tmp_path, capsys):
    entries, file, reason = DSB_CASES[case]
    write_dsb2018(tmp_path / "dsb", {"a": (40, 48)}, entries)
    arguments = ["dsb2018", "--download", str(tmp_path / "dsb"), "--prepared", str(tmp_path / "p")]
    assert_one_line_and_nothing_written(capsys, tmp_path, arguments, file, reason)


@pytest.mark.parametrize("keep", [0, 0.001, 0.5, 0.9])
@pytest.mark.parametrize("names", [["train-volume.tif"], ["train-volume.tif", "train-labels.tif"]])
def test_truncated_stacks(names, keep, isbi2012, tmp_path, capsys):
    for name in names:
        truncate(isbi2012 / name, keep)
    arguments = ["isbi2012", "--download", str(isbi2012), "--prepared", str(tmp_path / "p")]
    assert_one_line_and_nothing_written(capsys, tmp_path, arguments, names[0], "cannot be read")


@pytest.mark.parametrize("name", ["isbi2012", "dsb2018", "unknown"])
def test_a_missing_folder(name, tmp_path, capsys):
    arguments = [name, "--download", str(tmp_path / "no"), "--prepared", str(tmp_path / "p")]
    assert_one_line_and_nothing_written(capsys, tmp_path, arguments, str(tmp_path / "no"), "")


def test_what_stands_in_the_place_is_left_alone(own_images, tmp_path, capsys):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/thesis.doc").write_text("years of work")
    arguments = ["mine", "--download", str(own_images), "--prepared", str(tmp_path / "taken")]
    assert_one_line_and_nothing_written(capsys, tmp_path, arguments, "taken", "choose another")


def test_the_command_line_ends_with_code_2_and_no_traceback(own_images, tmp_path):
    truncate(own_images / "images/case-0.png")
    words = ["mine", "--download", own_images, "--prepared", tmp_path / "prepared"]
    done = subprocess.run(
        [sys.executable, "-m", "sharpunet.data", *words], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


def edit_description(folder, **fields):
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_damaged_png_of_a_prepared_set_is_found_before_training(own_images, tmp_path):
    dataset = prepare("mine", own_images, tmp_path / "prepared")
    dataset.verify()
    flip_byte(dataset.folder / "images/case-1.png")
    with pytest.raises(InputError, match=r"case-1\.png: is damaged"):
        dataset.verify()


PREPARED_CASES = {
    "no manifest": (lambda f: (f / "metadata.csv").unlink(), "metadata.csv"),
    "no description": (lambda f: (f / "dataset.json").unlink(), "dataset.json"),
    "a broken description": (lambda f: (f / "dataset.json").write_text("{"), "cannot read"),
    "a field too many": (
        lambda f: (f / "dataset.json").write_text(json.dumps({"image_size": [1, 1], "x": 1})),
        "cannot read",
    ),
    "a number out of its range": (
        lambda f: edit_description(f, channels="three"),
        "channels must be 1 or 3",
    ),
    "a file that is gone": (lambda f: (f / "masks/case-1.png").unlink(), "masks/case-1.png"),
    "a missing column": (
        lambda f: pd.read_csv(f / "metadata.csv").drop(columns="group").to_csv(f / "metadata.csv"),
        "'group' is missing",
    ),
    "no rows": (
        lambda f: pd.read_csv(f / "metadata.csv").head(0).to_csv(f / "metadata.csv", index=False),
        "lists no image",
    ),
    "an id twice": (
        lambda f: pd.concat([pd.read_csv(f / "metadata.csv")] * 2).to_csv(f / "metadata.csv"),
        "twice",
    ),
}


@pytest.mark.parametrize("case", PREPARED_CASES)
def test_a_damaged_prepared_set_is_named(case, own_images, tmp_path):
    spoil, reason = PREPARED_CASES[case]
    prepare("mine", own_images, tmp_path / "prepared")
    spoil(tmp_path / "prepared")
    with pytest.raises(ValueError, match=reason):
        open_dataset(tmp_path / "prepared")


def test_real_isbi2012(real_data, tmp_path):
    dataset = prepare("isbi2012", real_data / "isbi2012", tmp_path / "prepared")
    assert len(dataset.metadata) == 30
    mask = png(dataset.folder / dataset.metadata["mask_file_name"].iloc[0])
    assert mask.shape == (512, 512)
    assert 0.7 < (mask == 255).mean() < 0.9  # cells fill most of the tissue


def test_real_dsb2018(real_data, tmp_path):
    dataset = prepare("dsb2018", real_data / "dsb2018", tmp_path / "prepared")
    assert len(dataset.metadata) == 101
