"""Your own models in the tables: `--models MODULE:FUNCTION`, from the current folder."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from melanet import lazy
from melanet.data import InputError

if TYPE_CHECKING:
    import keras
else:
    keras = lazy.module("keras")

Builder = Callable[..., "keras.Model"]
HELP = "or MODULE:FUNCTION, a function of your own in MODULE.py of the current folder"


def is_own(name: str) -> bool:
    """Whether a name of `--models` is `MODULE:FUNCTION`."""
    return ":" in name


def model_name(known: Collection[str]) -> Callable[[str], str]:
    """An argparse type: one of the names `known`, or `MODULE:FUNCTION` that can be imported."""

    def name(text: str) -> str:
        if not is_own(text) and text not in known:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(known)}, {HELP}")
        if is_own(text):
            try:
                load_builder(text)
            except InputError as error:
                raise argparse.ArgumentTypeError(str(error)) from None
        return text

    return name


def find_builder(name: str, known: Mapping[str, Builder]) -> Builder:
    """The builder of a name that `model_name` accepts."""
    return load_builder(name) if is_own(name) else known[name]


def load_builder(name: str) -> Builder:
    """Imports the function that `MODULE:FUNCTION` names.

    Raises:
        InputError: If there is no such module or function, or the import raises an error.
    """
    module_name, _, function_name = name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), function_name]):
        raise InputError(f"{name!r} is not MODULE:FUNCTION, as my_module:my_unet is")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the file may be younger than the last import
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(f"{name}: importing {module_name} fails: {_reason(error)}") from None
        raise InputError(
            f"{name}: there is no module {error.name} in {folder}; run the command where it is"
        ) from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{name}: importing {module_name} fails: {_reason(error)}") from None
    build = getattr(module, function_name, None)
    if not callable(build):
        raise InputError(f"{name}: {module_name} has no function {function_name}")
    return build


def accepted(build: Builder, **options: Any) -> dict[str, Any]:
    """Those of the options that a builder has parameters for."""
    parameters = inspect.signature(build).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return options
    return {name: value for name, value in options.items() if name in parameters}


def check_model(
    name: str,
    build: Builder,
    input_shape: tuple[int, ...],
    classes: int,
    output_shape: tuple[int, ...],
    **options: Any,
) -> keras.Model:
    """Builds a model of one's own and predicts an image: mistakes are reported before the training.

    Args:
        name: `MODULE:FUNCTION`.
        build: Its builder.
        input_shape: Height, width and channels.
        classes: Number of classes, which the builder is given.
        output_shape: What the model must return for each image.
        options: Keyword arguments of the builder.

    Returns:
        The model.

    Raises:
        InputError: If the builder raises an error or returns anything but a `keras.Model`, or the
            model cannot be trained in a table.
    """
    failed = f"--models {name}"
    try:
        model = build(input_shape, classes, **options)
    except Exception as error:
        raise InputError(f"{failed}: {_call(input_shape, classes)}{_reason(error)}") from None
    if not isinstance(model, keras.Model):
        raise InputError(f"{failed}: returns {type(model).__name__}, not a keras.Model")
    if not getattr(model, "outputs", None):
        raise InputError(f"{failed}: return a keras.Model(inputs, outputs), not a class's own call")
    image = np.random.default_rng(0).random((1, *input_shape), "float32")
    try:
        json.dumps(model.get_config())  # it is part of a trial's name
        output = model(image, training=False)
        values = keras.ops.convert_to_numpy(keras.ops.cast(output, "float32"))
    except Exception as error:
        raise InputError(f"{failed}: cannot predict an image: {_reason(error)}") from None
    if values.shape[1:] != output_shape:
        raise InputError(
            f"{failed}: returns {values.shape[1:]} for an image of {input_shape}; "
            f"{output_shape} is expected"
        )
    if not (values.min() >= 0 and values.max() <= 1):
        raise InputError(
            f"{failed}: returns values from {values.min():.3g} to {values.max():.3g}; end it with "
            "a sigmoid or softmax"
        )
    return model


def display_names(names: Iterable[str], titles: Mapping[str, str]) -> dict[str, str]:
    """Names of models for a reader: of one's own the function's `title`, else its name.

    A name that another model has already gives way to `MODULE:FUNCTION`.

    Args:
        names: Those of `--models`.
        titles: Titles of the models that need none of their own, by name.

    Raises:
        InputError: If a function's `title` is not text of one line.
    """
    names = list(dict.fromkeys(names))
    found = {name: name for name in names}
    taken = {*titles, *titles.values(), *names}
    for name in filter(is_own, names):
        title = getattr(load_builder(name), "title", name.partition(":")[2])
        if not isinstance(title, str) or not title.strip() or not title.isprintable():
            raise InputError(f"--models {name}: its title {title!r} is not a line of text")
        found[name] = name if title in taken else title
        taken.add(title)
    return found


def rename_models(
    records: Collection[dict[str, Any]], names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Copies of records with the names of models for a reader."""
    return [{**record, "model": names[record["model"]]} for record in records]


def file_part(name: str) -> str:
    """The name of a model as a part of a file's name on every system."""
    return re.sub(r"[^\w.-]", ".", name)


def _call(input_shape: tuple[int, ...], classes: int) -> str:
    return f"called with {input_shape} and {classes}, it raises "


def _reason(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
