"""Every public function and class of the packages has an example in its docstring that runs."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import melanet
import sharpunet

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = [
    info.name
    for package in (melanet, sharpunet)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not info.name.endswith("__main__")
]


def public_objects(module):
    """Functions and classes that a module defines, by name."""
    return {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and getattr(thing, "__module__", None) == module.__name__
        and (inspect.isfunction(thing) or inspect.isclass(thing))
    }


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_and_class_has_an_example_that_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(optionflags=FLAGS)
    without, output = [], []
    for label, thing in public_objects(importlib.import_module(name)).items():
        (found,) = finder.find(thing, label, globs={}) or [
            doctest.DocTest([], {}, label, "", 0, "")
        ]
        if not found.examples:
            without.append(label)
        runner.run(found, out=output.append)
    assert not without
    assert not runner.failures, "".join(output)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_has_types_in_its_signature(name):
    for label, thing in public_objects(importlib.import_module(name)).items():
        if inspect.isfunction(thing):
            signature = inspect.signature(thing)
            missing = [p for p, v in signature.parameters.items() if v.annotation is v.empty]
            assert not missing, f"{label}: {missing} have no type"
            assert signature.return_annotation is not signature.empty, f"{label}: no return type"
