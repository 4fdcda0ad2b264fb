"""Imports that wait until they are needed, so that a package is light to import."""

import functools
import importlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import wrapt


def attributes(module: str, exports: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Makes a module's `__getattr__` (PEP 562), which imports an attribute on first use.

    Args:
        module: `__name__` of the package that exports the attributes.
        exports: Names of attributes by the module that defines them.

    Returns:
        The `__getattr__` to assign in the package. Unknown names raise AttributeError.

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


class _LazyModule(types.ModuleType):
    """Stands for a module of its name, which each look-up of an attribute imports."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def module(name: str) -> Any:
    """A module that is imported when one of its attributes is first used.

    Type checkers need the plain import beside it, under `if TYPE_CHECKING`. Annotations that name
    the module need `from __future__ import annotations`, because their evaluation would import it.

    Args:
        name: The module's full name.

    Example:
        >>> from melanet import lazy
        >>> math = lazy.module("math")
        >>> math.sqrt(9.0)
        3.0
    """
    return _LazyModule(name)


class LazyMapping(Mapping[str, Any]):
    """A mapping whose keys are known before its values can be imported.

    Args:
        names: The keys, in order.
        load: Imports the values: a mapping of the same keys.

    Example:
        >>> from melanet import lazy
        >>> roots = lazy.LazyMapping(["sqrt"], lambda: vars(__import__("math")))
        >>> list(roots), roots["sqrt"](9.0)
        (['sqrt'], 3.0)
    """

    def __init__(self, names: Iterable[str], load: Callable[[], Mapping[str, Any]]):
        self._names, self._load = tuple(names), functools.cache(load)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._load()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


_pending: list[str] = []


def import_with_keras(*modules: str, backend: str | None = None) -> None:
    """Imports modules as soon as Keras is imported, or now if it already is.

    Keras loads a saved model without `custom_objects` only if the classes are registered before.
    Keras may be imported by a module of the package itself, which is half imported then. The
    modules listed here refer to such a one as a module (`from melanet import losses`); a module
    whose names they need as they are imported calls `import_pending` in its last line.

    Args:
        *modules: Names of the modules that register serialisable classes.
        backend: The only Keras backend on which to import them; any if None.

    Example:
        >>> from melanet import lazy
        >>> lazy.import_with_keras("melanet.losses")
        >>> lazy.import_with_keras("melanet.cyclegan", backend="tensorflow")
    """

    @wrapt.when_imported("keras")
    def import_all(keras: Any) -> None:
        if backend in (None, keras.config.backend()):
            _pending.extend(modules)
            import_pending()


def import_pending() -> None:
    """Imports the modules of `import_with_keras` that waited for one that was half imported.

    Example:
        >>> from melanet import lazy
        >>> lazy.import_pending()
    """
    waiting, _pending[:] = list(_pending), []
    for module in waiting:
        try:
            importlib.import_module(module)
        except ImportError as error:
            if not _is_half_imported(error.name):
                raise
            _pending.append(module)


def _is_half_imported(name: str | None) -> bool:
    return getattr(getattr(sys.modules.get(name or ""), "__spec__", None), "_initializing", False)
