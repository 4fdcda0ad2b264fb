import itertools

import pytest

NUMBERS = itertools.count()
HEAD = "import keras\nfrom keras import layers\n"


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Writes a module of a new name into the current folder; returns the name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(code):
        name = f"own_module_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(HEAD + code)
        return name

    return write
