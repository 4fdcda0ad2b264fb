"""Masks of new volumes by a saved segmentation network, on the volumes' own grids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from melanet.data.errors import InputError
from melanet.data.files import atomic_write
from melanet.data.new_images import find_images
from melanet.data.readers.nifti import labels_like, nifti_grid, read_nifti
from melanet.inference import Images, Predictions, predict_files, settings_hash, write_png
from melanet.saving import ModelInfo
from sharpunet.data.grids import (
    AXES,
    SUFFIXES,
    cut_tails,
    grid_spacing,
    resample,
    resampled_size,
    to_grey,
)
from sharpunet.data.volumes import scale
from sharpunet.outlines import outlined
from sharpunet.windows import predict_volume

CUBIC_MM_PER_ML = 1000


def predict_volumes(
    model: keras.Model,
    info: ModelInfo,
    model_path: str | Path,
    volumes: Images,
    out: str | Path,
    *,
    batch_size: int = 1,
) -> Predictions:
    """Segments new volumes, one in memory at a time. Interrupted runs resume.

    `out` gets `masks/NAME.nii.gz` on the grid of the volume (the class of every voxel),
    `overlays/NAME.png`, the slice with most of the foreground and its outlines, and
    `predictions.csv` with the share and the millilitres of each class.

    Args:
        model: From windows to probabilities, in float32.
        info: What it needs.
        model_path: Its file.
        volumes: A folder or files: NIfTI.
        out: Folder of the results.
        batch_size: Windows per batch.

    Raises:
        InputError: If all volumes cannot be read, or `out` holds other predictions.

    Example:
        >>> import nibabel, numpy as np
        >>> from melanet.saving import ModelInfo, save_model
        >>> from sharpunet import sharp_unet3d
        >>> from sharpunet.volume_inference import predict_volumes
        >>> model = sharp_unet3d((8, 16, 16, 1), filters=(2, 4))
        >>> info = ModelInfo("segmentation", (8, 16, 16), 1, spacing=(2, 1, 1))
        >>> save_model(model, "sharp_unet3d.keras", info)
        >>> scan = nibabel.Nifti1Image(np.eye(16)[:, :, None] * np.ones(9), np.eye(4))
        >>> nibabel.save(scan, "scan.nii.gz")
        >>> predict_volumes(model, info, "sharp_unet3d.keras", "scan.nii.gz", "predicted").count
        1
        >>> nibabel.load("predicted/masks/scan.nii.gz").shape
        (16, 16, 9)
    """
    found = find_images(volumes, SUFFIXES)
    out = Path(out)

    def predict_one(names: Sequence[str], refused: dict[str, str]) -> dict[str, dict[str, Any]]:
        (name,) = names
        try:
            return {name: _segment(model, info, found[name], out, name, batch_size)}
        except InputError as error:
            refused[name] = str(error)
            return {}

    return predict_files(
        found,
        volumes,
        out,
        settings_hash(model_path, info),
        predict_one,
        written=[("masks", ".nii.gz"), ("overlays", ".png")],
        unit="volume",
    )


def volume_probabilities(
    model: keras.Model,
    info: ModelInfo,
    values: np.ndarray,
    spacing: Sequence[float],
    name: str,
    batch_size: int = 1,
) -> np.ndarray:
    """Probabilities of a volume on its own grid: resampled to the model's spacing, and back.

    Args:
        model: From windows to probabilities.
        info: What it needs.
        values: `(depth, height, width)`, from 0 to 255.
        spacing: Millimetres between slices, rows and columns; not resampled if empty.
        name: The volume, for messages.
        batch_size: Windows per batch.

    Returns:
        float32 `(depth, height, width, classes)`.

    Raises:
        InputError: If a probability is not a finite number.

    Example:
        >>> import numpy as np
        >>> from melanet.saving import ModelInfo
        >>> from sharpunet import unet3d
        >>> from sharpunet.volume_inference import volume_probabilities
        >>> model = unet3d((8, 16, 16, 1), filters=(2, 4))
        >>> info = ModelInfo("segmentation", (8, 16, 16), 1, spacing=(2, 1, 1))
        >>> scan = np.zeros((9, 20, 20))
        >>> volume_probabilities(model, info, scan, (1, 1, 1), "scan").shape
        (9, 20, 20, 1)
    """
    size = values.shape
    if spacing and info.spacing:
        size = resampled_size(values.shape, spacing, info.spacing)
    pixels = to_grey(resample(values, size))[..., None]
    made = predict_volume(model, scale(pixels), info.image_size, batch_size=batch_size)
    if not np.isfinite(made).all():
        raise InputError(f"{name}: the model's output is not finite; train the model anew")
    planes = [resample(made[..., index], values.shape) for index in range(made.shape[-1])]
    return np.stack(planes, axis=-1)


def voxel_classes(probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """The class of every voxel; of one class, 0 and 1.

    Args:
        probabilities: `(depth, height, width, classes)`.
        threshold: Probability above which a voxel is foreground (one class only).

    Returns:
        uint8 `(depth, height, width)`.

    Example:
        >>> import numpy as np
        >>> from sharpunet.volume_inference import voxel_classes
        >>> voxel_classes(np.full((1, 1, 2, 1), 0.6)).tolist()
        [[[1, 1]]]
    """
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] > threshold).astype("uint8")
    return probabilities.argmax(axis=-1).astype("uint8")


def _segment(
    model: keras.Model, info: ModelInfo, path: Path, out: Path, name: str, batch_size: int
) -> dict[str, Any]:
    spacing = grid_spacing(nifti_grid(path, AXES), path)
    values = cut_tails(read_nifti(path, AXES))
    probabilities = volume_probabilities(model, info, values, spacing, name, batch_size)
    classes = voxel_classes(probabilities, info.threshold)
    atomic_write(out / "masks" / f"{name}.nii.gz", labels_like(classes, path, AXES))
    most = int((classes > 0).sum(axis=(1, 2)).argmax())
    grey = to_grey(values[most])[..., None]
    write_png(out / "overlays" / f"{name}.png", outlined(grey, classes[most]))
    voxel = float(np.prod(spacing)) / CUBIC_MM_PER_ML
    row: dict[str, Any] = dict(zip(("slices", "rows", "columns"), classes.shape, strict=True))
    several = len(info.class_names) > 1
    for index, title in enumerate(info.class_names or ("foreground",), start=0 if several else 1):
        count = int((classes == index).sum())
        row[f"share_{title}"] = round(count / classes.size, 6)
        row[f"ml_{title}"] = round(count * voxel, 3)
    return row
