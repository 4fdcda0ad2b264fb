"""The short form of `python -m tests.soak`: some jobs are killed once, or meet a full disk."""

import pytest

from tests import soak


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    soak.make_inputs(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "cyclegan", "segmentation, 2 hosts"])
def test_a_killed_job_resumes_and_ends_as_if_it_had_not_been(name, inputs, tmp_path):
    report = soak.soak(name, inputs, tmp_path, kills=1, seed=0)
    assert report.findings == []
    assert report.kills == 1
    assert report.ends >= 1  # a fast job may end once before the kill reaches it
    assert report.files > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "cyclegan"])
def test_ctrl_c_and_a_full_disk_are_one_line_and_the_job_resumes(name, inputs, tmp_path):
    assert soak.Run(name, inputs, tmp_path / "whole").wait(soak.PATIENCE) == [0]
    assert soak.interrupt(name, inputs, tmp_path) == []
    if (found := soak.fill_disk(name, inputs, tmp_path)) is None:
        pytest.skip("this machine does not let us mount a small disk")
    assert found == []


def test_a_difference_of_one_digit_is_found(tmp_path):
    for folder, word, seconds in (("a", "1", 3), ("b", "1", 4), ("c", "2", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "r.json").write_text(f'{{"loss": {word}, "seconds": {seconds}}}')
        (tmp_path / folder / "t.csv").write_text(f"loss,seconds\n{word},{seconds}\n")
    a, b, c = (dict(soak.contents(tmp_path / folder)) for folder in "abc")
    assert a == b
    assert set(a) == {"r.json", "t.csv"}
    assert all(a[file] != c[file] for file in a)
