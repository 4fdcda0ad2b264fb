"""Trained models as `.keras` files that carry what it needs to use them, and their safe loading."""

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import h5py
import keras

from melanet.data.dataset import MAX_SIDE
from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.data.files import atomic_write

#: The entry of a `.keras` file, which is a zip, that holds its `ModelInfo`. Keras ignores it.
INFO_ENTRY = "model_info.json"
MAX_UNPACKED = 4 * 2**30  # bytes; ten times the largest model here
#: How many times a file's own size what it unpacks to may be; weights hardly compress.
MAX_RATIO = 200
MIN_UNPACKED = 16 * 2**20  # bytes that any file may unpack to, however small it is


def _versions() -> dict[str, str]:
    """Versions of the packages that make models; those that are not installed are left out."""
    versions = {}
    for name in ("melanet-sharpunet", "keras", "tensorflow"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What it needs to use a trained model on new images.

    Attributes:
        task: `"segmentation"` or `"classification"`.
        image_size: `(height, width)` that the model takes, in pixels; of volumes
            `(depth, height, width)` of its windows, in voxels (segmentation only).
        channels: 1 or 3.
        class_names: Names of the classes by their index. Classification: the positive one last.
            Segmentation of several classes: the background first; of one, its name or none.
        scaling: How pixels are scaled, as in `melanet.data.load_dataset`.
        keep_aspect_ratio: Whether resizing pads instead of stretching.
        threshold: Probability from which the foreground or the positive class is predicted.
        dataset: Name of the dataset that it was trained on.
        dataset_fingerprint: Fingerprint of that dataset.
        versions: Versions of the packages that made it; those of today by default.
        training: Settings of the training that are worth knowing.
        spacing: Of volumes: millimetres between slices, rows and columns to which they are
            resampled; their own are kept if empty.

    Raises:
        ValueError: If a value has the wrong type or is out of range.

    Example:
        >>> from melanet.saving import ModelInfo
        >>> ModelInfo("classification", (64, 64), 3, ("benign", "malignant")).threshold
        0.5
    """

    task: Literal["segmentation", "classification"]
    image_size: tuple[int, ...]
    channels: int
    class_names: tuple[str, ...] = ()
    scaling: Literal["min_max", "unit", "none"] = "min_max"
    keep_aspect_ratio: bool = False
    threshold: float = 0.5
    dataset: str = ""
    dataset_fingerprint: str = ""
    versions: Mapping[str, str] = dataclasses.field(default_factory=_versions)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    spacing: tuple[float, ...] = ()

    def __post_init__(self):
        for name in ("image_size", "class_names", "spacing"):  # JSON has lists only
            if not isinstance(getattr(self, name), list | tuple):
                raise ValueError(f"`{name}` must be a list")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.task not in ("segmentation", "classification"):
            raise ValueError("`task` must be segmentation or classification")
        size = self.image_size
        counts = (2, 3) if self.task == "segmentation" else (2,)
        if len(size) not in counts or any(
            type(n) is not int or not 1 <= n <= MAX_SIDE for n in size
        ):
            raise ValueError(
                f"`image_size` must be {' or '.join(map(str, counts))} whole numbers from 1 to "
                f"{MAX_SIDE}"
            )
        sides = self.spacing
        if sides and not (
            len(size) == len(sides) == 3
            and all(type(side) in (int, float) and 0 < side < math.inf for side in sides)
        ):
            raise ValueError("`spacing` must be three lengths above 0, or empty; of images, empty")
        if type(self.channels) is not int or self.channels not in (1, 3):
            raise ValueError("`channels` must be 1 or 3")
        texts = (*self.class_names, self.dataset, self.dataset_fingerprint)
        if not all(type(text) is str for text in texts):
            raise ValueError("names of classes and of the dataset must be text")
        if self.scaling not in ("min_max", "unit", "none"):
            raise ValueError("`scaling` must be min_max, unit or none")
        if type(self.keep_aspect_ratio) is not bool:
            raise ValueError("`keep_aspect_ratio` must be true or false")
        check_threshold(self.threshold)
        if not all(isinstance(each, Mapping) for each in (self.versions, self.training)):
            raise ValueError("`versions` and `training` must be objects")

    @property
    def takes_volumes(self) -> bool:
        """Whether the model takes volumes, not images."""
        return len(self.image_size) == 3


def check_threshold(threshold: float) -> None:
    """Checks that a threshold is a probability.

    Raises:
        ValueError: If it is not.

    Example:
        >>> from melanet.saving import check_threshold
        >>> check_threshold(0.5)
    """
    if type(threshold) not in (int, float) or not 0 <= threshold <= 1:
        raise ValueError(f"`threshold` must be a number from 0 to 1. Received: {threshold!r}")


def save_model(
    model: keras.Model,
    path: str | Path,
    info: ModelInfo | None = None,
    *,
    include_optimizer: bool = True,
) -> None:
    """Saves a Keras model whole or not at all, with what it needs to use it.

    Args:
        model: The model.
        path: The file, which ends in `.keras`.
        info: What is stored in the file beside the model.
        include_optimizer: Whether training can go on from the file; without, a file of a network
            trained by Adam has a third of the size. (Keras's own argument of this name has no
            effect on `.keras` files.)

    Raises:
        InputError: If `path` does not end in `.keras`, or the file system refuses.

    Example:
        >>> import keras
        >>> from melanet.saving import ModelInfo, read_model_info, save_model
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)])
        >>> save_model(model, "unet.keras", ModelInfo("segmentation", (8, 8), 1))
        >>> read_model_info("unet.keras").image_size
        (8, 8)
    """
    if Path(path).suffix != ".keras":
        raise InputError(f"{path}: is not the name of a .keras file; let it end in .keras")

    def write(file: Path) -> None:
        with contextlib.nullcontext() if include_optimizer else _not_compiled(model):
            model.save(file)
        if info is not None:
            with zipfile.ZipFile(file, "a") as entries:
                entries.writestr(INFO_ENTRY, json.dumps(dataclasses.asdict(info), indent=2) + "\n")

    atomic_write(path, write)


@contextlib.contextmanager
def _not_compiled(model: keras.Model) -> Iterator[None]:
    """A model without optimizer, loss and metrics for a while."""
    attributes = vars(model)  # setting them otherwise would have Keras track them
    before = {name: attributes[name] for name in ("compiled", "optimizer") if name in attributes}
    attributes.update(dict.fromkeys(before))
    try:
        yield
    finally:
        attributes.update(before)


def load_model(path: str | Path) -> keras.Model:
    """Loads a model from its `.keras` file. Nothing in it is executed: Lambda layers are refused.

    What the file would unpack to is checked before it is unpacked.

    Raises:
        InputError: If the file is not one, holds what is not safe to load, or would unpack to far
            more than it holds.

    Example:
        >>> from melanet.saving import load_model
        >>> load_model("missing.keras")
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: missing.keras: no such file
    """
    with _opened(path) as entries:
        _check_weights(entries, path)
    try:
        with warnings.catch_warnings(action="ignore"):  # Keras also raises if something is missing
            model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # a damaged file makes its readers raise anything
        raise _unloadable(path, error) from None
    if not isinstance(model, keras.Model):
        raise InputError(f"{path}: holds a {type(model).__name__}, not a model; remove it")
    return model


def read_model_info(path: str | Path) -> ModelInfo | None:
    """Reads what a `.keras` file says of its model, without loading it.

    Returns:
        The `ModelInfo`; None if the file holds none, as those of other programs.

    Raises:
        InputError: If the file is no `.keras` file, or what it says is not valid.

    Example:
        >>> import keras
        >>> from melanet.saving import read_model_info
        >>> keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)]).save("plain.keras")
        >>> read_model_info("plain.keras") is None
        True
    """
    with _opened(path) as entries:
        if INFO_ENTRY not in entries.namelist():
            return None
        try:
            values = json.loads(entries.read(INFO_ENTRY))
            known = {field.name for field in dataclasses.fields(ModelInfo)}
            return ModelInfo(**{key: values[key] for key in values if key in known})
        except Exception as error:  # a damaged zip raises anything
            raise InputError(
                f"{path}: its {INFO_ENTRY} is not valid ({_first_line(error)}); save the model anew"
            ) from None


def to_float32(model: keras.Model) -> keras.Model:
    """A copy of a model that computes in float32.

    Half precision would round small gradients away, which Grad-CAM needs.

    Example:
        >>> import keras
        >>> from melanet.saving import to_float32
        >>> half = keras.layers.Dense(1, dtype="mixed_float16")
        >>> to_float32(keras.Sequential([keras.Input((2,)), half])).layers[0].compute_dtype
        'float32'
    """
    copy = model.__class__.from_config(_in_float32(model.get_config()))
    copy.set_weights(model.get_weights())
    return copy


def _in_float32(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {key: _in_float32(value) for key, value in config.items()}
    return [_in_float32(value) for value in config] if isinstance(config, list) else config


def _opened(path: str | Path) -> zipfile.ZipFile:
    """Opens a `.keras` file, after a check of what its entries would unpack to."""
    if not Path(path).exists():
        raise InputError(f"{path}: no such file")
    with os_errors_as_input_errors("read", path):
        if Path(path).is_dir() or not zipfile.is_zipfile(path):  # Keras also reads older formats
            raise InputError(f"{path}: cannot be loaded, it is not a .keras file; remove it")
        try:
            entries = zipfile.ZipFile(path)
        except Exception as error:
            raise _unloadable(path, error) from None
    _check_size(path, Path(path).stat().st_size, sum(each.file_size for each in entries.filelist))
    return entries


def _check_size(path: str | Path, held: int, declared: int) -> None:
    """Refuses what unpacks to far more than a file holds; zipfile reads no more than declared."""
    if declared > min(MAX_UNPACKED, max(MIN_UNPACKED, MAX_RATIO * held)):
        raise InputError(
            f"{path}: cannot be loaded, its {held:,} bytes would unpack to {declared:,}; remove it"
        )


def _check_weights(entries: zipfile.ZipFile, path: str | Path) -> None:
    """Checks the declared sizes of all arrays of weights, of which none is read."""
    declared = 0

    def add(name: str, thing: Any) -> None:
        nonlocal declared
        if isinstance(thing, h5py.Dataset):
            if thing.external or thing.is_virtual:
                raise InputError(f"{path}: refers to other files ({name}); remove it")
            declared += math.prod(thing.shape or ()) * thing.dtype.itemsize

    weights = [name for name in entries.namelist() if name.endswith((".h5", ".hdf5"))]
    try:
        for name in weights:
            with entries.open(name) as entry, h5py.File(entry, "r") as file:
                file.visititems(add)
    except InputError:
        raise
    except Exception as error:  # h5py raises anything on a damaged file
        raise _unloadable(path, error) from None
    _check_size(path, Path(path).stat().st_size, declared)


def _unloadable(path: str | Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be loaded ({_first_line(error)}); remove it")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
