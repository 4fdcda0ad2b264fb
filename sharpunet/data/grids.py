"""Grids of volumes: spacing, resampling, and values as 8 bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy
from melanet.data import InputError
from melanet.data.dataset import MAX_SIDE
from melanet.data.readers.nifti import Grid

if TYPE_CHECKING:
    from scipy import ndimage
else:
    ndimage = lazy.module("scipy.ndimage")

SUFFIXES = (".nii.gz", ".nii")
#: Slices, rows and columns lead up, to the back and to the left, as scans are shown.
AXES = "SPL"
#: Of a volume's values; what lies beyond is cut off before they become 8 bits.
PERCENTILES = (0.5, 99.5)
SAME = 0.01  # share of a side by which a spacing may be off and still count as the same


def grid_spacing(grid: Grid, path: Path) -> tuple[float, ...]:
    """Millimetres between the voxels of a grid along its axes.

    Args:
        grid: The grid.
        path: Its file, for messages.

    Raises:
        InputError: If the file does not say where its axes lead to.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from melanet.data.readers.nifti import Grid
        >>> from sharpunet.data.grids import grid_spacing
        >>> grid_spacing(Grid((4, 8, 8), np.diag([3, 1, 1, 1])), Path("scan.nii.gz"))
        (3.0, 1.0, 1.0)
    """
    if grid.affine is None:
        raise InputError(
            f"{path}: does not say where its axes lead to (no affine), so that its slices and "
            "their distances are not known; save it with one"
        )
    return tuple(round(float(side), 4) for side in np.linalg.norm(grid.affine[:3, :3], axis=0))


def same_length(own: float, wanted: float) -> bool:
    """Whether two spacings count as the same.

    Example:
        >>> from sharpunet.data.grids import same_length
        >>> same_length(0.999, 1), same_length(0.9, 1)
        (True, False)
    """
    return abs(own / wanted - 1) < SAME


def resampled_size(
    shape: Sequence[int], own: Sequence[float], spacing: Sequence[float]
) -> tuple[int, ...]:
    """The shape of a volume at another spacing; an axis whose spacing is the same keeps its own.

    Args:
        shape: Number of slices, rows and columns.
        own: Millimetres between them.
        spacing: Millimetres wanted; its own if empty.

    Example:
        >>> from sharpunet.data.grids import resampled_size
        >>> resampled_size((10, 64, 64), (3, 1, 1), (1.5, 1, 1))
        (20, 64, 64)
    """
    return tuple(
        count if same_length(side, wanted) else max(1, min(MAX_SIDE, round(count * side / wanted)))
        for count, side, wanted in zip(shape, own, spacing or own, strict=True)
    )


def resample(values: np.ndarray, size: Sequence[int], order: int = 1) -> np.ndarray:
    """Brings a volume to another size: linearly (order 1), or to the nearest (order 0).

    Args:
        values: `(depth, height, width)`.
        size: The same of the result.
        order: Of the spline.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.grids import resample
        >>> resample(np.ones((2, 4, 4)), (3, 8, 8)).shape
        (3, 8, 8)
    """
    if values.shape == tuple(size):
        return values
    factors = [wanted / have for wanted, have in zip(size, values.shape, strict=True)]
    # By the centres of voxels: the volume keeps its extent in millimetres.
    return ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True)


def cut_tails(values: np.ndarray) -> np.ndarray:
    """Values from their 0.5th to their 99.5th percentile as 0 to 255; what lies beyond is cut off.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.grids import cut_tails
        >>> cut_tails(np.array([-1000.0, -1000.0, 400.0])).round().tolist()
        [0.0, 0.0, 255.0]
    """
    low, high = np.percentile(values, PERCENTILES)
    if low == high:
        low, high = values.min(), values.max()
    above = np.clip(values, low, high) - low
    return above * (255 / (high - low)) if high > low else above


def to_grey(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 255 as 8 bits.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.grids import to_grey
        >>> to_grey(np.array([0.4, 254.6])).tolist()
        [0, 255]
    """
    return np.rint(values).astype("uint8")
