import dataclasses
import os
import subprocess
import sys

import pytest

from experiments.common.records import (
    git_state,
    hashed_settings,
    read_record,
    recorded_settings,
    write_record,
)
from melanet.data import InputError


def test_a_record_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_record(path, {"key": "record", "first": 1})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match=r"record\.json: cannot be written \(disk full\)"):
        write_record(path, {"second": 2})
    assert read_record(path)["first"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_the_next_write_removes_what_a_killed_one_left(tmp_path):
    path = tmp_path / "record.json"
    code = (
        "import os; from melanet.data.writing import atomic_write\n"
        f"atomic_write({str(path)!r}, lambda part: (part.touch(), os.kill(os.getpid(), 9)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {".partial-record.json", ".record.json.lock"}
    write_record(path, {"key": "record"})
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"key": "other"}'])
def test_an_error_names_a_file_that_is_not_a_record(content, tmp_path):
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(InputError, match=r"record\.json: is not (a|the) result record"):
        read_record(tmp_path / "record.json")


def test_a_record_says_whether_the_code_had_uncommitted_changes(tmp_path):
    def git(*words):
        user = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *user, *words], check=True, capture_output=True)

    (tmp_path / "melanet").mkdir()
    for name in ("melanet/model.py", "README.md"):
        (tmp_path / name).write_text("1\n")
    git("init")
    git("add", ".")
    git("commit", "--message", "first")
    (tmp_path / "README.md").write_text("2\n")
    committed = git_state(tmp_path)
    assert len(committed["commit"]) == 40
    assert not committed["changed"]
    (tmp_path / "melanet/model.py").write_text("2\n")
    assert git_state(tmp_path) == {**committed, "changed": True}


@dataclasses.dataclass(frozen=True)
class Settings:
    weights: str | None
    weights_sha256: str | None = None
    cache: str = "memory"


def test_a_weights_file_counts_by_its_content_and_leaves_only_its_name_in_a_record():
    here, there = (Settings(f"{folder}/vgg16.h5", "1234") for folder in ("/home/me", "/data"))
    assert hashed_settings(here) == hashed_settings(there) == {"weights_sha256": "1234"}
    assert hashed_settings(here) != hashed_settings(Settings("/home/me/vgg16.h5", "5678"))
    assert recorded_settings(here)["weights"] == "vgg16.h5"
    assert hashed_settings(Settings("imagenet"))["weights"] == "imagenet"
    assert recorded_settings(Settings(None))["weights"] is None
