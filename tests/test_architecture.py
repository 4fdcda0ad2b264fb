"""The rules that keep the house easy to change."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [path for name in ("melanet", "sharpunet") for path in (ROOT / name).rglob("*.py")]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


SHARED = (
    "melanet.data",
    "melanet.checkpoint",
    "melanet.command",
    "melanet.console",
    "melanet.distribution",
    "melanet.inference",
    "melanet.lazy",
    "melanet.optimizers",
    "melanet.precision",
    "melanet.saving",
    "melanet.splits",
    "melanet.statistics",
    "melanet.evaluation",
    "melanet.export",
    "melanet.fitting",
    "melanet.training",
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_only_import_across_is_from_sharpunet_to_what_both_share(path):
    package, modules = path.relative_to(ROOT).parts[0], set(imported(path))
    foreign = {"melanet": ("sharpunet", "experiments"), "sharpunet": ("experiments",)}[package]
    assert not [module for module in modules if module.split(".")[0] in foreign]
    if package == "sharpunet":
        across = [module for module in modules if module.split(".")[0] == "melanet"]
        assert all(f"{module}.".startswith(tuple(f"{s}." for s in SHARED)) for module in across)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_models_layers_and_metrics_run_on_any_backend(path):
    # Keras has no gradient and no distribution that are common to its backends: TensorFlow's.
    bound = (
        "adversarial.py",
        "cyclegan.py",
        "distribution.py",
        "explain.py",
        "export.py",
        "optimizers.py",
        "precision.py",
        "stargan.py",
        "training.py",
    )
    if path.parent.name != "data" and path.name not in bound:
        assert not [name for name in imported(path) if name.split(".")[0] == "tensorflow"]
