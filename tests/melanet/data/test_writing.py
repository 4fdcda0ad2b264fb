"""Writing that an interruption cannot damage."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from melanet.data import DatasetInfo, InputError, Sample, open_dataset, write_dataset
from melanet.data.writing import atomic_write, file_lock, remove_file
from sharpunet.data import phantom

INFO = DatasetInfo("cells", "Cells", image_size=(32, 32), channels=1)


def samples(count=4):
    return phantom.read(count=count, size=32)


class Killed(BaseException):
    """Ends a run anywhere, as a signal does."""


def test_atomic_write_takes_text_bytes_and_functions(tmp_path):
    path = tmp_path / "new/file"
    for content in ("text", b"text", lambda file: file.write_text("text")):
        atomic_write(path, content)
        assert path.read_text() == "text"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    def fail(file):
        file.write_text("half")
        raise Killed

    atomic_write(tmp_path / "file", "before")
    with pytest.raises(Killed):
        atomic_write(tmp_path / "file", fail)
    assert (tmp_path / "file").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def kill_in_the_midst_of_a_write(path):
    """Runs `atomic_write` in a process that is killed when half of the file is written."""
    code = (
        "import sys, time\n"
        "from melanet.data.writing import atomic_write\n"
        "def write(path):\n"
        "    path.write_text('half')\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
        "atomic_write(sys.argv[1], write)\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("next_action", [lambda path: atomic_write(path, "after"), remove_file])
def test_what_a_killed_write_leaves_is_removed_by_the_next_or_with_the_file(next_action, tmp_path):
    path = tmp_path / "weights.keras"
    atomic_write(path, "before")
    kill_in_the_midst_of_a_write(path)
    assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) > 1
    next_action(path)
    left = [file.name for file in tmp_path.iterdir()]
    assert left == (["weights.keras"] if path.exists() else [])
    assert not path.exists() or path.read_text() == "after"


def test_many_writers_of_one_file_do_not_harm_each_other(tmp_path):
    texts = [str(number) * 10_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(atomic_write, tmp_path / "file"), texts))
    assert (tmp_path / "file").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_is_held_by_one_at_a_time_and_waiters_say_so(tmp_path, capsys):
    inside, most = [], []

    def work(_):
        with file_lock(tmp_path / "lock", waiting="waiting ..."):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert set(most) == {1}
    assert "waiting ..." in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_two_that_write_the_same_dataset_at_once_both_get_it(tmp_path):
    reading, asked = threading.Event(), []
    first_sample, *others = samples()

    def slowly():
        reading.set()
        time.sleep(0.2)
        asked.append(1)
        return first_sample.image()

    racing = [dataclasses.replace(first_sample, image=slowly), *others]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(write_dataset, tmp_path / "cells", INFO, racing)
        reading.wait()
        second = pool.submit(write_dataset, tmp_path / "cells", INFO, racing)
        assert first.result().fingerprint == second.result().fingerprint
    assert len(asked) == 1  # the second waited and opened what the first wrote
    assert not list(tmp_path.glob(".*"))


def interrupt(folder, at):
    """Writes a dataset until image number `at`; returns a function that resumes it.

    That function returns the dataset and the numbers of the images that it has read.
    """
    asked = []

    def watched(killed_at):
        def read(number, sample):
            if number == killed_at:
                raise Killed
            asked.append(number)
            return sample.image()

        return [
            dataclasses.replace(sample, image=partial(read, number, sample))
            for number, sample in enumerate(samples())
        ]

    with pytest.raises(Killed):
        write_dataset(folder, INFO, watched(at))
    asked.clear()
    return lambda: (write_dataset(folder, INFO, watched(None)), asked)


@pytest.mark.parametrize(("cut", "first"), [(0, 2), (9, 1), (10_000, 0)])
def test_interrupted_runs_resume_and_end_with_the_same_bits(cut, first, tmp_path):
    whole = write_dataset(tmp_path / "whole", INFO, samples())
    resume = interrupt(tmp_path / "cells", at=2)
    assert not (tmp_path / "cells").exists()
    table = tmp_path / ".cells.partial/metadata.csv"
    written = table.read_text()
    table.write_text(written[: max(0, len(written) - cut)])  # the last line may be cut off
    dataset, asked = resume()
    assert asked == list(range(first, 4))
    assert not list(tmp_path.glob(".*"))
    for path in whole.folder.rglob("*.*"):
        relative = path.relative_to(whole.folder)
        assert (dataset.folder / relative).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("at", range(4))
def test_a_run_that_was_killed_anywhere_resumes(at, tmp_path):
    whole = write_dataset(tmp_path / "whole", INFO, samples())
    dataset, asked = interrupt(tmp_path / "cells", at)()
    assert dataset.fingerprint == whole.fingerprint
    assert asked == list(range(at, 4))


def test_damaged_or_foreign_leftovers_are_made_anew(tmp_path):
    whole = write_dataset(tmp_path / "whole", INFO, samples())
    left = tmp_path / ".cells.partial"
    for spoil in (
        lambda: (left / "images/phantom-000.png").write_bytes(b""),
        lambda: (left / "masks/phantom-001.png").unlink(),
        lambda: (left / "dataset.json").write_text("{}"),
        lambda: (left / "metadata.csv").write_bytes(bytes(100)),
        lambda: (left / "metadata.csv").unlink(),
    ):
        shutil.copytree(whole.folder, left)
        spoil()
        dataset = write_dataset(tmp_path / "cells", INFO, samples())
        assert dataset.fingerprint == whole.fingerprint
        dataset.verify()
        shutil.rmtree(tmp_path / "cells")


def one(image=None, mask=None, **fields):
    image = np.zeros((16, 16), "uint8") if image is None else image
    if mask is None:
        mask = np.eye(16)
    values = {"id": "a", "group": "a", "image_name": "a.jpg", "mask_name": "a.png", **fields}
    return Sample(image=lambda: image, mask=lambda: mask, **values)


def unreadable():
    raise InputError("a.jpg: cannot be read")


BAD = {
    "no samples": ([], "nothing to prepare"),
    "an invalid id": ([one(id="a b")], "a.jpg: its id 'a b' may hold only"),
    "a long id": ([one(id="a" * 201)], "200 at most"),
    "ids that differ by case": ([one(), one(id="A")], "'A' occurs twice, ignoring case"),
    "an unreadable image": ([one(), dataclasses.replace(one(id="b"), image=unreadable)], "a.jpg"),
    "sizes that differ": ([one(mask=np.eye(16, 17))], r"a\.png: its size 17x16 differs .*16x16"),
    "a mask in colour": ([one(mask=np.zeros((16, 16, 3)))], "a mask has one channel"),
    "a mask that is not binary": ([one(mask=np.eye(16) * 7)], r"holds 2 values \(0.* to 7"),
    "an empty mask": ([one(mask=np.zeros((16, 16)))], "nothing is outlined"),
    "a thin image": ([one(np.zeros((8, 200), "uint8"))], "200x8 is too long"),
    "a small image": ([one(np.zeros((7, 9), "uint8"))], "9x7 is too small"),
    "an unknown label": ([dataclasses.replace(one(label="x"), mask=None)], "its label 'x'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_leaves_nothing(case, tmp_path):
    bad, reason = BAD[case]
    with pytest.raises(InputError, match=reason):
        write_dataset(tmp_path / "cells", INFO, bad)
    assert not list(tmp_path.iterdir())


def test_class_indices_are_checked(tmp_path):
    info = dataclasses.replace(INFO, classes=3)
    mask = np.arange(256).reshape(16, 16) % 3
    write_dataset(tmp_path / "good", info, [one(mask=mask)])
    for wrong in (mask + 1, mask - 1):
        with pytest.raises(InputError, match="3 classes are 0 to 2"):
            write_dataset(tmp_path / "bad", info, [one(mask=wrong)])


def test_empty_masks_may_be_allowed(tmp_path):
    empty = [one(mask=np.zeros((16, 16)))]
    assert write_dataset(tmp_path / "cells", INFO, empty, allow_empty_masks=True).ids() == ["a"]


def test_what_is_in_the_place_is_left_alone(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/thesis.doc").write_text("years of work")
    with pytest.raises(InputError, match="nothing was changed"):
        write_dataset(tmp_path / "taken", INFO, samples())
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.doc"]
    (tmp_path / "empty").mkdir()
    assert len(write_dataset(tmp_path / "empty", INFO, samples()).ids()) == 4


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: is a file, not a folder"):
        write_dataset(tmp_path / "file/cells", INFO, samples())


def test_the_current_folder_may_be_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_dataset(Path("cells"), INFO, samples()).fingerprint
    assert open_dataset("cells").ids()[0] == "phantom-000"
    assert os.listdir() == ["cells"]
