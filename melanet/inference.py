"""Predictions of a saved model for new images, in their own sizes."""

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import keras
import numpy as np
from PIL import Image

from melanet.console import progress_bar
from melanet.data.dataset import METADATA_FILE
from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.data.files import atomic_write
from melanet.data.loading import prepare_image
from melanet.data.new_images import find_images, read_new_image
from melanet.saving import ModelInfo, check_threshold, load_model, read_model_info, to_float32

PREDICTIONS_FILE = "predictions.csv"
#: Which images are done, so that an interrupted run resumes.
PROGRESS_FILE = ".progress.jsonl"
HEAT = 0.4  # share of the heat map in an overlay

Images = str | Path | Sequence[str | Path]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What `predict` has done.

    Attributes:
        table: The CSV file, one row per image.
        count: Images that were predicted, earlier runs included.
        refused: Images that could not be read: the reason, by name.
        unit: What they are: `"image"` or `"volume"`.

    Example:
        >>> from pathlib import Path
        >>> from melanet.inference import Predictions
        >>> Predictions(Path("out/predictions.csv"), 3, {}).count
        3
    """

    table: Path
    count: int
    refused: dict[str, str]
    unit: str = "image"


#: From the model, its info, a batch, the original images, and the names to one row per image; it
#: writes the files of each image too.
BatchWriter = Callable[[keras.Model, ModelInfo, np.ndarray, list[np.ndarray], list[str]], list]


def predict(
    model_path: str | Path,
    images: Images,
    out: str | Path,
    *,
    batch_size: int = 16,
    threshold: float | None = None,
    info: ModelInfo | None = None,
) -> Predictions:
    """Classifies new images with a saved classifier, and shows where the evidence is.

    `out` gets `predictions.csv`, with the predicted class and the probability of each, and
    `grad_cam/NAME.png`, the image in its own size under the heat map of the predicted class. One
    batch is in memory at a time. Interrupted runs resume.

    Args:
        model_path: A `.keras` file.
        images: A folder or files: PNG, JPEG, TIFF, BMP, GIF or DICOM.
        out: Folder of the results.
        batch_size: Images per batch.
        threshold: Of two classes, the last one is predicted from this probability on; the model's
            own if None. Of more, the most probable one is.
        info: What the model needs; what its file says if None.

    Raises:
        InputError: If the model or all images cannot be read, or `out` holds other predictions.

    Example:
        >>> from PIL import Image
        >>> from melanet import ModelInfo, save_model, vgg_gap
        >>> from melanet.inference import predict
        >>> info = ModelInfo("classification", (32, 32), 3, ("benign", "malignant"))
        >>> save_model(vgg_gap((32, 32, 3), weights=None), "vgg.keras", info)
        >>> Image.new("RGB", (40, 30)).save("lesion.png")
        >>> predict("vgg.keras", "lesion.png", "predicted").count
        1
    """
    return run_predictions(
        "classification",
        model_path,
        images,
        Path(out),
        lambda *batch: _classify(Path(out), *batch),
        folders=("grad_cam",),
        batch_size=batch_size,
        threshold=threshold,
        info=info,
    )


def run_predictions(
    task: Literal["segmentation", "classification"],
    model_path: str | Path,
    images: Images,
    out: Path,
    write_batch: BatchWriter,
    *,
    folders: Sequence[str],
    batch_size: int,
    threshold: float | None,
    info: ModelInfo | None,
) -> Predictions:
    """Predicts batch by batch; what tasks share. See `predict` for arguments and errors.

    Args:
        task: What the model must be made for.
        write_batch: Predicts a batch and writes its files; returns a row per image.
        folders: Folders of `out` in which it writes `NAME.png`.

    Example:
        >>> from pathlib import Path
        >>> from melanet.inference import run_predictions
        >>> options = {"folders": [], "batch_size": 1, "threshold": None, "info": None}
        >>> run_predictions("segmentation", "no.keras", ".", Path("out"), print, **options)
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: no.keras: no such file
    """
    info = model_info(task, model_path, info, threshold)
    model = to_float32(load_model(model_path))
    check_model(model, info, model_path)
    return predict_batches(
        model, info, model_path, images, out, write_batch, folders=folders, batch_size=batch_size
    )


def predict_batches(
    model: keras.Model,
    info: ModelInfo,
    model_path: str | Path,
    images: Images,
    out: Path,
    write_batch: BatchWriter,
    *,
    folders: Sequence[str],
    batch_size: int,
    table_file: str = PREDICTIONS_FILE,
) -> Predictions:
    """Gives new images to a model, one batch after the other. Interrupted runs resume.

    An image is predicted again if it has changed, or if one of its files is gone.

    Args:
        model: The model.
        info: How images are read for it.
        model_path: Its file.
        images: A folder or files.
        out: Folder of the results.
        write_batch: Predicts a batch and writes its files; returns a row per image.
        folders: Folders of `out` in which it writes `NAME.png`.
        batch_size: Images per batch.
        table_file: Name of the table of all rows.

    Raises:
        InputError: If all images cannot be read, or `out` holds other results.

    Example:
        >>> from pathlib import Path
        >>> import keras
        >>> from PIL import Image
        >>> from melanet import ModelInfo, save_model
        >>> from melanet.inference import predict_batches
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
        >>> save_model(model, "unet.keras")
        >>> Image.new("L", (8, 8)).save("scan.png")
        >>> def mean(model, info, batch, originals, names):
        ...     return [{"mean": float(image.mean())} for image in batch]
        >>> info = ModelInfo("segmentation", (8, 8), 1)
        >>> predict_batches(
        ...     model, info, "unet.keras", "scan.png", Path("out"), mean, folders=[], batch_size=1
        ... ).count
        1
    """
    found = find_images(images)

    def predict_some(names: Sequence[str], refused: dict[str, str]) -> dict[str, dict[str, Any]]:
        batch, originals, read = _read(names, found, info, refused)
        rows = write_batch(model, info, batch, originals, read) if read else []
        return dict(zip(read, rows, strict=True))

    return predict_files(
        found,
        images,
        out,
        settings_hash(model_path, info),
        predict_some,
        written=[(folder, ".png") for folder in folders],
        batch_size=batch_size,
        table_file=table_file,
    )


def predict_files(
    found: Mapping[str, Path],
    given: Images,
    out: Path,
    settings: str,
    predict_some: Callable[[Sequence[str], dict[str, str]], dict[str, dict[str, Any]]],
    *,
    written: Sequence[tuple[str, str]],
    batch_size: int = 1,
    unit: str = "image",
    table_file: str = PREDICTIONS_FILE,
) -> Predictions:
    """Predicts files, a batch after the other, and writes the table. Interrupted runs resume.

    A file is predicted again if it has changed, or if one of those written for it is gone.

    Args:
        found: The files by name.
        given: What the user gave, in which `out` must not lie.
        out: Folder of the results.
        settings: Hash of all that changes predictions.
        predict_some: Predicts files by their names and writes what belongs to each; returns a row
            for each. To a dict it adds the reason why a file cannot be read.
        written: Folder of `out` and suffix of each file that is written for a name.
        batch_size: Files per batch.
        unit: What a file is, for the progress bar.
        table_file: Name of the table of all rows.

    Raises:
        InputError: If `out` holds other results or lies among the files.

    Example:
        >>> from pathlib import Path
        >>> from melanet.inference import predict_files
        >>> found = {"a": Path("a.txt")}
        >>> found["a"].write_text("one two")
        7
        >>> def words(names, refused):
        ...     return {name: {"words": 2} for name in names}
        >>> predict_files(found, "a.txt", Path("counted"), "", words, written=[]).count
        1
    """
    _check_out(out, given)
    progress = _Progress(out, settings, written)
    waiting = [name for name in found if not progress.is_done(name, found[name])]
    refused: dict[str, str] = {}
    with progress_bar(total=len(found), initial=len(found) - len(waiting), unit=unit) as bar:
        for at in range(0, len(waiting), batch_size):
            names = waiting[at : at + batch_size]
            progress.add(found, predict_some(names, refused))
            bar.update(len(names))
    rows = [progress.rows[name] for name in found if name not in refused]
    table = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic_write(out / table_file, table.getvalue())
    return Predictions(out / table_file, len(rows), refused, unit)


def model_info(
    task: str, path: str | Path, info: ModelInfo | None, threshold: float | None
) -> ModelInfo:
    """What a saved model needs, checked for a task.

    Args:
        task: What the model must be made for.
        path: A `.keras` file.
        info: What the model needs; what its file says if None.
        threshold: Another threshold than its own, if not None.

    Raises:
        InputError: If the file does not say it, or the model is made for something else.

    Example:
        >>> from melanet import ModelInfo
        >>> from melanet.inference import model_info
        >>> info = ModelInfo("classification", (64, 64), 3, ("benign", "malignant"))
        >>> model_info("classification", "vgg.keras", info, 0.2).threshold
        0.2
    """
    info = info or read_model_info(path)
    if info is None:
        raise InputError(
            f"{path}: does not say what it needs (model_info.json); save it with "
            "melanet.save_model(model, path, info), or give info"
        )
    if info.task != task:
        program = {"segmentation": "sharpunet", "classification": "melanet"}[info.task]
        raise InputError(f"{path}: is a model for {info.task}; python -m {program} takes it")
    if threshold is None:
        return info
    check_threshold(threshold)
    return dataclasses.replace(info, threshold=threshold)


def check_model(model: keras.Model, info: ModelInfo, path: str | Path) -> None:
    """Checks that a model takes and gives what its file says.

    Raises:
        InputError: If it does not.

    Example:
        >>> import keras
        >>> from melanet import ModelInfo
        >>> from melanet.inference import check_model
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
        >>> check_model(model, ModelInfo("segmentation", (8, 8), 1), "unet.keras")
    """
    takes = (*info.image_size, info.channels)
    given: Any = getattr(model, "input_shape", None)
    whole = isinstance(given, tuple) and len(given) == len(takes) + 1
    sides: tuple[Any, ...] = tuple(given)[1:] if whole else (0,) * len(takes)
    if any(side not in (None, n) for side, n in zip(sides, takes, strict=True)):
        raise InputError(f"{path}: takes {given}, which is not {takes}, as it says; save it anew")
    classes, names = model.output_shape[-1], len(info.class_names)
    if names != classes and not (info.task == "segmentation" and classes == 1 and names == 0):
        raise InputError(f"{path}: has {classes} outputs but {names} class names; save it anew")


def _check_out(out: Path, images: Images) -> None:
    """Predictions must not lie among the images, which the next run would take for new ones."""
    given = [images] if isinstance(images, str | Path) else images
    for folder in (Path(each).resolve() for each in given if Path(each).is_dir()):
        if out.resolve().is_relative_to(folder):
            raise InputError(f"{out}: lies in the folder of the images; choose one outside of it")
    if (out / METADATA_FILE).exists():
        raise InputError(f"{out}: holds a dataset; choose another folder for the predictions")


def settings_hash(path: str | Path, info: ModelInfo) -> str:
    """Hash of the model and of all that changes predictions.

    Args:
        path: The model's file.
        info: What it needs.

    Example:
        >>> import keras
        >>> from melanet import ModelInfo
        >>> from melanet.inference import settings_hash
        >>> keras.Sequential([keras.Input((8, 8, 1))]).save("identity.keras")
        >>> len(settings_hash("identity.keras", ModelInfo("segmentation", (8, 8), 1)))
        64
    """
    with os_errors_as_input_errors("read", path), Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    settings = [(key, str(value)) for key, value in vars(info).items() if key != "spacing" or value]
    digest.update(repr(sorted(settings)).encode())
    return digest.hexdigest()


class _Progress:
    """Rows of the images that are done, one line each, in the order in which they were done."""

    def __init__(self, out: Path, settings: str, written: Sequence[tuple[str, str]]):
        self._file = out / PROGRESS_FILE
        self._written = [(out / folder, suffix) for folder, suffix in written]
        self.rows: dict[str, dict[str, Any]] = {}
        self._stamps: dict[str, list[int]] = {}
        lines = []
        if self._file.is_file():
            with os_errors_as_input_errors("read", self._file):
                lines = self._file.read_text(errors="replace").splitlines()
        if lines and json.dumps(settings) != lines[0]:
            raise InputError(
                f"{out}: holds predictions of another model or threshold; empty it, "
                "or choose another --out"
            )
        for line in lines[1:]:
            try:
                name, stamp, row = json.loads(line)
            except ValueError:  # the line that a killed run was writing
                continue
            self.rows[name], self._stamps[name] = row, stamp
        if not lines:
            atomic_write(self._file, json.dumps(settings) + "\n")

    def is_done(self, name: str, path: Path) -> bool:
        files = [folder / f"{name}{suffix}" for folder, suffix in self._written]
        return self._stamps.get(name) == _stamp(path) and all(file.is_file() for file in files)

    def add(self, files: Mapping[str, Path], rows: Mapping[str, dict[str, Any]]) -> None:
        with os_errors_as_input_errors("write", self._file), self._file.open("a") as file:
            for name, row in rows.items():
                self.rows[name] = {"name": name, "file": files[name].name, **row}
                # A line break first: the last line may be cut off.
                file.write("\n" + json.dumps([name, _stamp(files[name]), self.rows[name]]))


def _stamp(path: Path) -> list[int]:
    with os_errors_as_input_errors("read", path):
        stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _read(
    names: Sequence[str], found: dict[str, Path], info: ModelInfo, refused: dict[str, str]
) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
    """A batch, the originals and the names of those images that can be read."""
    prepared, originals, read = [], [], []
    for name in names:
        try:
            pixels = read_new_image(found[name], info.channels)
            if min(original_region(pixels.shape[:2], info)[2:]) < 1:
                raise InputError(f"{found[name]}: is too long and thin to resize")
            prepared.append(prepare_image(pixels, info))
        except InputError as error:
            refused[name] = str(error)
            continue
        originals.append(pixels)
        read.append(name)
    return np.array(prepared), originals, read


def original_region(size: tuple[int, ...], info: ModelInfo) -> tuple[int, int, int, int]:
    """Where an image lies in the model's input: top, left, height and width, in pixels.

    Args:
        size: `(height, width)` of the original.
        info: What the model needs.

    Example:
        >>> from melanet import ModelInfo
        >>> from melanet.inference import original_region
        >>> info = ModelInfo("segmentation", (64, 64), 1, keep_aspect_ratio=True)
        >>> original_region((50, 100), info)
        (16, 0, 32, 64)
    """
    rows, columns = info.image_size
    if not info.keep_aspect_ratio:
        return 0, 0, rows, columns
    # In float32 and rounded down, as tf.image.resize_with_pad does.
    height, width = np.float32(size[0]), np.float32(size[1])
    target_height, target_width = np.float32(rows), np.float32(columns)
    ratio = max(height / target_height, width / target_width)
    top, left = (target_height - height / ratio) / 2, (target_width - width / ratio) / 2
    sides = int(np.floor(height / ratio)), int(np.floor(width / ratio))
    return max(0, int(np.floor(top))), max(0, int(np.floor(left))), *sides


def to_original(plane: np.ndarray, size: tuple[int, ...], info: ModelInfo) -> np.ndarray:
    """Brings a map of a model's size to an image's own: margins off, then bilinear.

    Args:
        plane: float32 `info.image_size`.
        size: `(height, width)` of the original.
        info: What the model needs.

    Returns:
        float32 `size`.

    Example:
        >>> import numpy as np
        >>> from melanet import ModelInfo
        >>> from melanet.inference import to_original
        >>> info = ModelInfo("segmentation", (8, 8), 1)
        >>> to_original(np.ones((8, 8), "float32"), (5, 7), info).shape
        (5, 7)
    """
    top, left, height, width = original_region(size, info)
    inner = np.ascontiguousarray(plane[top : top + height, left : left + width], "float32")
    return cv2.resize(inner, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def checked_outputs(model: keras.Model, batch: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Probabilities of a batch.

    Raises:
        InputError: If one is not a finite number.

    Example:
        >>> import keras, numpy as np
        >>> from melanet.inference import checked_outputs
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
        >>> checked_outputs(model, np.zeros((1, 2)), ["a"]).tolist()
        [[0.5, 0.5]]
    """
    outputs = np.asarray(model.predict_on_batch(batch), "float32")
    for name, output in zip(names, outputs, strict=True):
        if not np.isfinite(output).all():
            raise InputError(f"{name}: the model's output is not finite; train the model anew")
    return outputs


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes an image whole or not at all.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from melanet.inference import write_png
        >>> write_png(Path("mask.png"), np.zeros((4, 4), "uint8"))
    """
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, format="png")
    atomic_write(path, png.getvalue())


def predicted_classes(outputs: np.ndarray, threshold: float) -> np.ndarray:
    """The class of each image: of two, the last one from the threshold on; else the likeliest.

    Args:
        outputs: Probabilities, `(images, classes)`.
        threshold: A probability.

    Example:
        >>> import numpy as np
        >>> from melanet.inference import predicted_classes
        >>> predicted_classes(np.array([[0.7, 0.3], [0.9, 0.1]]), 0.2).tolist()
        [1, 0]
    """
    if outputs.shape[1] == 2:
        return (outputs[:, 1] >= threshold).astype(int)
    return outputs.argmax(axis=-1)


def heat_overlay(original: np.ndarray, heat: np.ndarray, info: ModelInfo) -> np.ndarray:
    """An image in its own size under a heat map, such as of `melanet.grad_cam`.

    Args:
        original: uint8 `(height, width, channels)`.
        heat: `info.image_size`, in [0, 1].
        info: What the model needs.

    Returns:
        uint8 `(height, width, 3)`.

    Example:
        >>> import numpy as np
        >>> from melanet import ModelInfo
        >>> from melanet.inference import heat_overlay
        >>> info = ModelInfo("classification", (8, 8), 3, ("benign", "malignant"))
        >>> heat_overlay(np.zeros((5, 7, 3), "uint8"), np.ones((8, 8)), info).shape
        (5, 7, 3)
    """
    plane = np.round(255 * to_original(heat, original.shape[:2], info)).astype("uint8")
    colours = cv2.applyColorMap(plane, cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
    return np.round((1 - HEAT) * original + HEAT * colours).astype("uint8")


def _classify(
    out: Path,
    model: keras.Model,
    info: ModelInfo,
    batch: np.ndarray,
    originals: list[np.ndarray],
    names: list[str],
) -> list[dict[str, Any]]:
    from melanet.explain import grad_cam

    outputs = checked_outputs(model, batch, names)
    chosen = predicted_classes(outputs, info.threshold)
    maps = grad_cam(model, batch, class_index=chosen)
    rows = []
    for name, original, output, index, heat in zip(
        names, originals, outputs, chosen, maps, strict=True
    ):
        write_png(out / "grad_cam" / f"{name}.png", heat_overlay(original, heat, info))
        values = [round(float(value), 6) for value in output]
        shares = dict(zip(map("probability_{}".format, info.class_names), values, strict=True))
        rows.append({"predicted": info.class_names[index], **shares})
    return rows
