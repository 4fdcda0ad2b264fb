"""The notebooks run, and show what their code makes."""

import re
from pathlib import Path

import nbformat
import pytest

from notebooks.__main__ import FOLDER, code_hash, run

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: What a training takes long for; its number changes nothing that a cell needs.
EPOCHS = re.compile(r"\b(EPOCHS = |epochs=)\d+")
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@notebooks
def test_stored_outputs_are_of_its_code(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.get("code_sha256") == code_hash(notebook), (
        f"run it again: python -m notebooks {path.stem}"
    )
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) >= 4


@notebooks
def test_stored_outputs_are_small_and_show_no_log(path):
    assert path.stat().st_size < 1_000_000
    for output in outputs(nbformat.read(path, as_version=4)):
        assert output.get("name") != "stderr"
        assert output.output_type != "error"


def test_own_data_takes_less_than_40_lines():
    cells = nbformat.read(FOLDER / "your_own_data.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert len([line for line in "\n".join(code).splitlines() if line.strip()]) < 40


@pytest.mark.slow
@notebooks
def test_it_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    """With short trainings: what they make is stored in the notebook."""
    monkeypatch.delenv("MPLBACKEND", raising=False)  # so that the kernel shows figures inline
    # This checkout's packages, not installed ones.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    notebook = nbformat.read(path, as_version=4)
    shortened = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.source, found = EPOCHS.subn(r"\g<1>2", cell.source)
            shortened += found
    assert shortened
    run(notebook, tmp_path)
    pictures = [o for o in outputs(notebook) if "image/png" in o.get("data", {})]
    assert len(pictures) >= 4
