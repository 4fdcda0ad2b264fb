"""Axial slices of CT volumes, in Hounsfield units."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from melanet.data import InputError, Sample
from melanet.data.readers.nifti import nifti_shape


def slice_volume(
    image: Path,
    mask: Path,
    unpack: Callable[[Path], np.ndarray],
    *,
    name: str,
    group: str = "",
    window: tuple[int, int],
    to_mask: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> list[Sample]:
    """One item an axial slice of a CT volume, listed without decoding.

    Args:
        image: NIfTI file of the volume, in Hounsfield units.
        mask: NIfTI file of its mask, of the same shape.
        unpack: `read_nifti`, with a cache of two: a `.gz` can be unpacked only from its start, so
            a slice alone would cost as much as the volume, and image and mask take turns.
        name: Start of the items' ids, which a number ends.
        group: The items' group; each slice is its own if empty.
        window: See `window_ct`.
        to_mask: From the whole numbers of the mask's slice to what the item's mask is.

    Raises:
        InputError: If a file is not as expected, or their shapes differ.
    """
    shape, mask_shape = nifti_shape(image), nifti_shape(mask)
    if mask_shape != shape:
        raise InputError(
            f"{mask}: its shape {mask_shape} differs from the shape {shape} of {image.name}"
        )
    axis = _axial_axis(image, shape)

    def item(index: int) -> Sample:
        id = f"{name}-{index:03d}"
        image_name, mask_name = f"{image} (slice {index})", f"{mask} (slice {index})"
        return Sample(
            id=id,
            group=group or id,
            image=lambda: window_ct(_take(unpack(image), axis, index), window, image_name),
            mask=lambda: to_mask(_whole(_take(unpack(mask), axis, index), mask_name)),
            image_name=image_name,
            mask_name=mask_name,
        )

    return [item(index) for index in range(shape[axis])]


def _axial_axis(path: Path, shape: tuple[int, int, int]) -> int:
    """The axis across square slices: the last is NIfTI's own, the first was meant for arrays."""
    height, width, depth = shape
    if height == width:
        return 2
    if width == depth:
        return 0
    raise InputError(f"{path}: has shape {shape}; axial slices as high as wide are expected")


def _take(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    # NIfTI's own order is (column, row, slice).
    return volume[:, :, index].T if axis == 2 else volume[index]


def _whole(labels: np.ndarray, name: str) -> np.ndarray:
    whole = np.rint(labels)
    if np.abs(labels - whole).max() > 0.01:  # more than a scale in the header rounds away
        raise InputError(f"{name}: the mask holds fractions; whole numbers are expected")
    return whole.astype("int64")


def window_ct(values: np.ndarray, window: tuple[int, int], name: str) -> np.ndarray:
    """Hounsfield units to uint8: the lower end of `window` and below is 0, the upper and above 255.

    Raises:
        InputError: If nothing is below 0, as the air around every patient is: other units.
    """
    if values.min() >= 0:
        raise InputError(
            f"{name}: holds values from {values.min():g} to {values.max():g}; Hounsfield units, "
            "with air below 0, are expected"
        )
    low, high = window
    return np.rint((np.clip(values, low, high) - low) * (255 / (high - low))).astype("uint8")
