"""A dataset, a model and a table can be added from outside the packages, in few lines."""

import ast
from pathlib import Path

import pandas as pd
import pytest

from tests import extension_example


def lines_of_code(path: Path) -> int:
    """Lines of a module that are not blank, comments or docstrings."""
    lines = path.read_text().splitlines()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def test_a_dataset_a_model_and_a_table_take_fewer_than_40_lines():
    assert lines_of_code(Path(extension_example.__file__)) < 40


@pytest.mark.slow
def test_they_run_from_images_to_the_page(tmp_path, capsys):
    out = tmp_path / "out"
    small = ["--folds", "2", "--repeats", "1", "--epochs", "1", "--precision", "float32"]
    assert extension_example.run(tmp_path, out, *small) == 0
    table = pd.read_csv(out / "table.csv")
    assert list(table["dataset"]) == ["discs", "discs"]
    assert list(table["model"]) == ["unet", "shallow_net"]
    assert list(table["runs"]) == [2, 2]
    page = (out / "index.html").read_text()
    assert "A shallow network on discs" in page
    assert "shallow_net less U-Net" in page
    assert f"Open {out / 'index.html'}" in capsys.readouterr().out
