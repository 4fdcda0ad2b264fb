"""The short form of `python -m tests.fuzz`: a few mutated files for every reader."""

import pytest

from tests.fuzz import LOADERS, mutated, outcome

RUNS = 30
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "x.trees")) for name in LOADERS]


@pytest.mark.parametrize("name", NAMES)
def test_a_mutated_file_is_read_or_named_in_an_error(name, tmp_path):
    loader = LOADERS[name]
    path = loader.make(tmp_path)
    whole = path.read_bytes()
    assert outcome(loader, path, tmp_path) == "good"
    found = []
    for run in range(max(2, round(RUNS * loader.share))):
        path.write_bytes(mutated(loader, whole, 1, run))
        found.append(outcome(loader, path, tmp_path))
    assert set(found) <= {"good", "refused"}
