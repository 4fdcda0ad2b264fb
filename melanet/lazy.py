"""Imports that wait until they are needed, so that a package is light to import."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import wrapt


def attributes(module: str, exports: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Makes a module's `__getattr__` (PEP 562), which imports an attribute on first use.

    Args:
        module: `__name__` of the module that exports.
        exports: Names of attributes by the module that defines them.

    Example:
        >>> from melanet import lazy
        >>> lazy.attributes("melanet", {"math": ["sqrt"]})("sqrt")(9.0)
        3.0
    """
    homes = {name: home for home, names in exports.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[module], name, value)
        return value

    return __getattr__


def import_with_keras(*modules: str) -> None:
    """Imports modules as soon as Keras is imported, or now if it is already.

    Modules that register serialisable classes must be there before Keras loads a saved model.

    Args:
        *modules: Their names.

    Example:
        >>> from melanet import lazy
        >>> lazy.import_with_keras("melanet.losses")
    """

    @wrapt.when_imported("keras")
    def import_all(_: Any) -> None:
        for module in modules:
            importlib.import_module(module)
