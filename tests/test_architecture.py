"""The rules that keep the house easy to change."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [path for name in ("melanet", "sharpunet") for path in (ROOT / name).rglob("*.py")]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_packages_are_siblings(path):
    package = path.relative_to(ROOT).parts[0]
    other = {"melanet": "sharpunet", "sharpunet": "melanet"}[package]
    assert not {other, "experiments"} & set(imported(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_models_layers_and_metrics_run_on_any_backend(path):
    # Keras has no gradient and no distribution that are common to its backends: TensorFlow's.
    bound = ("cyclegan.py", "distribution.py", "explain.py")
    if path.parent.name != "data" and path.name not in bound:
        assert "tensorflow" not in set(imported(path))


@pytest.mark.parametrize(
    "shared", ["data/prepared.py", "data/sources.py", "data/stream.py", "data/__main__.py"]
)
def test_what_stands_in_both_packages_is_the_same(shared):
    assert (ROOT / "melanet" / shared).read_bytes() == (ROOT / "sharpunet" / shared).read_bytes()
