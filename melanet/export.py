"""Saved models in formats of other programs, checked against Keras's outputs."""

import contextlib
import importlib.util
import io
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.saving import load_model, read_model_info, to_float32

#: Keras's name of each format, and the suffix of its files; SavedModel is a folder.
FORMATS = {
    "onnx": ("onnx", ".onnx"),
    "tflite": ("litert", ".tflite"),
    "saved_model": ("tf_saved_model", ""),
}
#: Packages that a format needs beside those of this one.
PACKAGES = {"onnx": ("onnx", "tf2onnx", "onnxruntime")}
#: Largest difference of an output from Keras's, as a share of the largest output.
TOLERANCE = 1e-3
DEFAULT_SIDE = 64  # pixels per side of the images that are tried, where a model takes any
Runner = Callable[[np.ndarray], np.ndarray]


def export_model(model_path: str | Path, out: str | Path, *, format: str) -> Path:
    """Exports a saved model, and checks that the exported one computes the same.

    Both predict two random images. The file is written only if the outputs agree.

    Args:
        model_path: A `.keras` file.
        out: The file, or the folder of a SavedModel. It must not exist.
        format: `"onnx"`, `"tflite"` or `"saved_model"`.

    Returns:
        `out`.

    Raises:
        InputError: If the model cannot be read, a package for the format is missing, the model
            cannot be converted, or the outputs differ.

    Example:
        >>> import keras
        >>> from melanet import export_model, save_model
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3)])
        >>> save_model(model, "unet.keras")
        >>> export_model("unet.keras", "unet", format="saved_model").is_dir()
        True
    """
    out = Path(out)
    if format not in FORMATS:
        raise InputError(f"--format {format}: is unknown; choose from {', '.join(FORMATS)}")
    suffix = FORMATS[format][1]
    if suffix and out.suffix != suffix:
        raise InputError(f"{out}: is not the name of a {format} file; let it end in {suffix}")
    if out.exists():
        raise InputError(f"{out}: exists already; remove it or choose another name")
    _check_packages(format)
    model = to_float32(load_model(model_path))
    images = _random_images(model, model_path)
    expected = np.asarray(model(images, training=False))
    with os_errors_as_input_errors("write", out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            written = Path(folder) / f"model{suffix}"
            found = _export(model, model_path, written, images, format)
            _check_equal(found, expected, model_path, format)
            os.replace(written, out)
    return out


def _check_packages(format: str) -> None:
    names = PACKAGES.get(format, ())
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--format {format}: needs packages that are not installed; "
            f"pip install {' '.join(missing)}"
        )


def _export(
    model: keras.Model, path: str | Path, written: Path, images: np.ndarray, format: str
) -> np.ndarray:
    """Writes a model in a format, and computes its outputs there."""
    quiet = io.StringIO()  # for the converters' own words
    try:
        with contextlib.redirect_stdout(quiet), warnings.catch_warnings(action="ignore"):
            model.export(written, format=FORMATS[format][0], verbose=False)
            return RUNNERS[format](written)(images)
    except OSError:  # such as a full disk
        raise
    except Exception as error:  # converters raise anything
        raise InputError(
            f"{path}: cannot be converted to {format} ({_first_line(error)}); choose another format"
        ) from None


def _random_images(model: keras.Model, path: str | Path) -> np.ndarray:
    shape, made = (getattr(model, name, None) for name in ("input_shape", "output_shape"))
    if not (isinstance(shape, tuple) and len(shape) == 4 and isinstance(made, tuple)):
        raise InputError(
            f"{path}: does not take one image and give one output; only such models are exported"
        )
    info = read_model_info(path)
    height, width = info.image_size if info else (DEFAULT_SIDE, DEFAULT_SIDE)
    size = (shape[1] or height, shape[2] or width, shape[3])
    return np.random.default_rng(0).random((2, *size), "float32")


def _check_equal(found: np.ndarray, expected: np.ndarray, path: str | Path, format: str) -> None:
    same = found.shape == expected.shape and np.isfinite(found).all()
    most = np.abs(found - expected).max() if same else np.inf
    if not most <= TOLERANCE * max(1.0, np.abs(expected).max()):
        raise InputError(
            f"{path}: as {format} it computes something else than in Keras (by up to {most:.2g}); "
            "choose another format"
        )


def _run_saved_model(path: Path) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda images: np.asarray(loaded.serve(images))


def _run_tflite(path: Path) -> Runner:
    import tensorflow as tf

    plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # they write
    interpreter = tf.lite.Interpreter(
        model_content=path.read_bytes(), experimental_op_resolver_type=plain
    )
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return run


def _run_onnx(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes())
    return lambda images: session.run(None, {session.get_inputs()[0].name: images})[0]


RUNNERS: Mapping[str, Callable[[Path], Runner]] = {
    "onnx": _run_onnx,
    "tflite": _run_tflite,
    "saved_model": _run_saved_model,
}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
