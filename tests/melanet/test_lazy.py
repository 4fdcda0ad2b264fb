"""The packages are light to import, and saved models load without `custom_objects`."""

import importlib
import subprocess
import sys

import keras
import pytest

import melanet
import sharpunet
from melanet import lazy, metrics


def run_python(code, *args):
    result = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True)
    assert result.returncode == 0, result.stderr.decode()


@pytest.mark.parametrize("module", ["melanet", "sharpunet", "melanet.data", "sharpunet.data"])
def test_importing_a_package_loads_nothing_heavy(module):
    heavy = {"keras", "tensorflow", "pandas", "sklearn", "matplotlib"}
    run_python(f"import sys, {module}; assert not {heavy} & set(sys.modules)")


def test_a_lazy_mapping_loads_its_values_once_and_for_a_value_only():
    loads = []
    mapping = lazy.LazyMapping(["a", "b"], lambda: loads.append(1) or {"a": 1, "b": 2, "c": 3})
    assert list(mapping) == ["a", "b"]
    assert len(mapping) == 2
    assert "a" in mapping
    assert "c" not in mapping
    assert not loads
    assert (mapping["a"], mapping["b"], loads) == (1, 2, [1])
    with pytest.raises(KeyError):
        mapping["c"]


@pytest.mark.parametrize("package", [melanet, sharpunet])
def test_every_exported_name_can_be_imported(package):
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_every_metric_can_be_imported_from_melanet():
    public = {
        name
        for name, value in vars(metrics).items()
        if getattr(value, "__module__", "") == metrics.__name__ and not name.startswith("_")
    }
    assert public >= {"sensitivity", "negative_predictive_value", "auc"}
    assert public <= set(melanet.__all__)


@pytest.mark.parametrize("imports", ["import keras, melanet", "import melanet, keras"])
def test_a_saved_model_loads_without_custom_objects_in_either_order_of_imports(imports, tmp_path):
    images = keras.Input((16, 16, 3))
    classifier = keras.Sequential([images, melanet.classifiers.ReverseChannels()])
    classifier.compile("sgd", melanet.focal_loss(variant="released"))
    classifier.save(tmp_path / "classifier.keras")
    gan = melanet.build_cyclegan((16, 16, 1), generator_filters=2, discriminator_filters=2)
    gan.save(tmp_path / "gan.keras")
    star = melanet.build_stargan((16, 16, 1), "abc", generator_filters=2, discriminator_filters=2)
    star.save(tmp_path / "star.keras")
    code = "import sys; [keras.saving.load_model(path) for path in sys.argv[1:]]"
    run_python(f"{imports}; {code}", *tmp_path.glob("*.keras"))


@pytest.mark.parametrize("module", ["adversarial", "distribution", "losses", "optimizers"])
def test_a_module_that_imports_keras_can_be_imported_first(module):
    there = "{'melanet.cyclegan', 'melanet.stargan'} <= set(sys.modules)"
    run_python(f"import melanet.{module}, sys; assert {there}")


@pytest.mark.parametrize(("backend", "imported"), [("tensorflow", True), ("jax", False)])
def test_a_module_bound_to_a_backend_is_imported_only_there(backend, imported, monkeypatch):
    names = []
    monkeypatch.setattr(keras.config, "backend", lambda: backend)
    monkeypatch.setattr(importlib, "import_module", names.append)
    lazy.import_with_keras("melanet.cyclegan", backend="tensorflow")
    assert names == ["melanet.cyclegan"] * imported
