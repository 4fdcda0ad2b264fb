"""Prediction of a volume window by window, so that its size is not bounded by the memory."""

import itertools
from collections.abc import Iterator, Sequence

import keras
import numpy as np

#: Width of the Gaussian that weighs a window, as a share of its sides (Isensee et al. 2021).
SIGMA = 1 / 8


def predict_volume(
    model: keras.Model,
    volume: np.ndarray,
    window: Sequence[int],
    *,
    overlap: float = 0.5,
    batch_size: int = 1,
) -> np.ndarray:
    """Predicts a volume in windows that overlap, each weighed by a Gaussian around its centre.

    A network sees less around a voxel at the border of its window; there the neighbouring windows
    count more. What is in memory beside the volume and the result is bounded by the window.

    Args:
        model: From `(batch, *window, channels)` to probabilities, `(batch, *window, classes)`.
        volume: `(depth, height, width, channels)`, as the model takes it. Where it is smaller than
            a window, it is padded with 0.
        window: `(depth, height, width)` in voxels.
        overlap: Share of a window's side that neighbouring windows have in common at least, from 0
            to below 1.
        batch_size: Windows per batch.

    Returns:
        float32 `(depth, height, width, classes)`.

    Raises:
        ValueError: If a size or the overlap is out of range.

    Example:
        >>> import numpy as np
        >>> from sharpunet import unet3d
        >>> from sharpunet.windows import predict_volume
        >>> model = unet3d((8, 16, 16, 1), filters=(2, 4))
        >>> predict_volume(model, np.zeros((10, 40, 12, 1)), (8, 16, 16)).shape
        (10, 40, 12, 1)
    """
    volume = np.asarray(volume, "float32")
    window = tuple(window)
    if volume.ndim != 4 or len(window) != 3 or min(window) < 1 or not 0 <= overlap < 1:
        raise ValueError(
            "`volume` must be (depth, height, width, channels), `window` (depth, height, width), "
            f"`overlap` from 0 to below 1. Received: {volume.shape}, {window}, {overlap}"
        )
    size = volume.shape[:3]
    padding = [(0, max(0, side - have)) for side, have in zip(window, size, strict=True)]
    padded = np.pad(volume, [*padding, (0, 0)])
    weights = gaussian_window(window)[..., None]
    total: np.ndarray | None = None
    weight = np.zeros((*padded.shape[:3], 1), "float32")
    for corners in _batches(window_corners(padded.shape[:3], window, overlap), batch_size):
        places = [_slices(corner, window) for corner in corners]
        made = np.asarray(model.predict_on_batch(np.stack([padded[each] for each in places])))
        if total is None:
            total = np.zeros((*padded.shape[:3], made.shape[-1]), "float32")
        for place, probabilities in zip(places, made, strict=True):
            total[place] += weights * probabilities
            weight[place] += weights
    assert total is not None  # there is one window at least
    return (total / weight)[tuple(slice(side) for side in size)]


def window_corners(
    size: Sequence[int], window: Sequence[int], overlap: float
) -> Iterator[tuple[int, ...]]:
    """The first corners of windows that cover a volume, evenly spread along every axis.

    Args:
        size: Of the volume, no side smaller than the window's.
        window: Of a window.
        overlap: Share of a side that neighbours have in common at least.

    Example:
        >>> from sharpunet.windows import window_corners
        >>> list(window_corners((4, 8, 10), (4, 8, 4), overlap=0.5))
        [(0, 0, 0), (0, 0, 2), (0, 0, 4), (0, 0, 6)]
    """
    starts = []
    for whole, side in zip(size, window, strict=True):
        step = max(1, int(side * (1 - overlap)))
        count = -(-(whole - side) // step) + 1
        starts.append(np.linspace(0, whole - side, count).round().astype(int).tolist())
    return itertools.product(*starts)


def gaussian_window(window: Sequence[int]) -> np.ndarray:
    """The weight of every voxel of a window, 1 at its centre and above 0 at its corners.

    Args:
        window: `(depth, height, width)` in voxels.

    Example:
        >>> from sharpunet.windows import gaussian_window
        >>> gaussian_window((3, 3, 3)).max()
        np.float32(1.0)
    """
    weights = np.ones(())
    for side in window:
        distance = (np.arange(side) - (side - 1) / 2) / (SIGMA * side)
        weights = np.multiply.outer(weights, np.exp(-(distance**2) / 2))
    return np.maximum(weights / weights.max(), 1e-6).astype("float32")


def _slices(corner: Sequence[int], window: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(start, start + side) for start, side in zip(corner, window, strict=True))


def _batches(items: Iterator, size: int) -> Iterator[list]:
    while batch := list(itertools.islice(items, size)):
        yield batch
