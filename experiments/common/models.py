"""Trained models as `.keras` files."""

import warnings
import zipfile
from pathlib import Path

import keras

from melanet.data import InputError
from melanet.data.writing import atomic_write


def load_model(path: Path) -> keras.Model:
    """Loads a model from its `.keras` file. Nothing in it is executed: Lambda layers are refused.

    Raises:
        InputError: If the file is not one, or holds what is not safe to load.
    """
    if not zipfile.is_zipfile(path):  # Keras also reads older formats
        raise InputError(f"{path}: cannot be loaded, it is not a .keras file; remove it")
    try:
        with warnings.catch_warnings(action="ignore"):  # Keras also raises if something is missing
            model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # a damaged file makes its readers raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be loaded ({reason}); remove it") from None
    if not isinstance(model, keras.Model):
        raise InputError(f"{path}: holds a {type(model).__name__}, not a model; remove it")
    return model


def save_model(model: keras.Model, path: Path, **arguments) -> None:
    """Saves a Keras model whole or not at all."""
    atomic_write(path, lambda file: model.save(file, **arguments))
