"""Axial slices of CT volumes, in Hounsfield units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy
from melanet.data import InputError, Sample
from melanet.data.readers.nifti import Grid, nifti_grid

if TYPE_CHECKING:
    import nibabel
else:
    nibabel = lazy.module("nibabel")


def slice_volume(
    image: Path,
    mask: Path,
    unpack: Callable[[Path, str], np.ndarray],
    *,
    prefix: str,
    group: str = "",
    window: tuple[int, int],
    to_mask: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> list[Sample]:
    """Lists the axial slices of a CT volume without decoding it.

    Slices are upright, the patient's front up and right side to the left, whatever the order of
    the axes is in the files. Only volumes whose headers do not say where their axes lead to, or
    cannot be right because the slices are not square, are taken as they are stored.

    Args:
        image: NIfTI file of the volume, in Hounsfield units.
        mask: NIfTI file of its mask, on the same grid.
        unpack: `read_nifti` with a cache of two files: to read one slice of a `.gz` file, all
            before it must be unpacked, and images and masks are read in turns.
        prefix: Start of the samples' ids; the number of the slice follows.
        group: Group of all slices; each slice is its own if empty.
        window: See `window_ct`.
        to_mask: Converts the whole numbers of a slice of the mask to the sample's mask.

    Returns:
        One sample per slice.

    Raises:
        InputError: If a file is not as expected, or the two do not lie on each other.

    Example:
        >>> from pathlib import Path
        >>> import nibabel, numpy as np
        >>> from melanet.data.readers.nifti import read_nifti
        >>> from sharpunet.data.ct import slice_volume
        >>> path = Path("scan.nii.gz")
        >>> nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 2), "int16"), np.eye(4)), path)
        >>> slices = slice_volume(path, path, read_nifti, prefix="scan", window=(-512, 512))
        >>> [sample.id for sample in slices]
        ['scan-000', 'scan-001']
    """
    axes = "LPS" if _lies_axially(nifti_grid(image)) else ""
    grid = nifti_grid(image, axes)
    check_same_grid(mask, nifti_grid(mask, axes), image, grid)
    axis = _axial_axis(image, grid.shape)

    def sample(index: int) -> Sample:
        id = f"{prefix}-{index:03d}"
        image_name, mask_name = f"{image} (slice {index})", f"{mask} (slice {index})"
        return Sample(
            id=id,
            group=group or id,
            image=lambda: window_ct(_take(unpack(image, axes), axis, index), window, image_name),
            mask=lambda: to_mask(whole_labels(_take(unpack(mask, axes), axis, index), mask_name)),
            image_name=image_name,
            mask_name=mask_name,
        )

    return [sample(index) for index in range(grid.shape[axis])]


def _lies_axially(grid: Grid) -> bool:
    """Whether the slices across the axis that leads up or down are square."""
    if grid.affine is None:
        return False
    axis = [code in "SI" for code in nibabel.aff2axcodes(grid.affine)].index(True)
    height, width = (size for other, size in enumerate(grid.shape) if other != axis)
    return height == width


def check_same_grid(mask: Path, mask_grid: Grid, image: Path, image_grid: Grid) -> None:
    """Checks that a mask lies on its volume.

    Args:
        mask, image: Their files, for messages.
        mask_grid, image_grid: Their grids.

    Raises:
        InputError: If they have other shapes, lie elsewhere, or only one says where it lies.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.readers.nifti import Grid
        >>> from sharpunet.data.ct import check_same_grid
        >>> grid = Grid((8, 8, 2), None)
        >>> check_same_grid(Path("mask.nii"), grid, Path("scan.nii"), grid)
    """
    if mask_grid.shape != image_grid.shape:
        raise InputError(
            f"{mask}: its shape {mask_grid.shape} differs from the shape {image_grid.shape} of "
            f"{image.name}"
        )
    if mask_grid.affine is None and image_grid.affine is None:
        return
    if mask_grid.affine is None or image_grid.affine is None:
        silent = mask if mask_grid.affine is None else image
        raise InputError(
            f"{mask}: it is not certain to lie on {image.name}, because {silent.name} says nothing "
            "of its orientation (no affine); save both with the same one"
        )
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)])
    corners[:, :3] *= np.array(image_grid.shape) - 1
    apart = np.linalg.norm(corners @ (mask_grid.affine - image_grid.affine).T, axis=1).max()
    voxel = np.linalg.norm(image_grid.affine[:3, :3], axis=0).min()
    if apart > voxel / 2:
        raise InputError(
            f"{mask}: its affine places it {apart:.3g} mm from {image.name}, so that they do not "
            "lie on each other; save it on the image's grid"
        )


def _axial_axis(path: Path, shape: tuple[int, ...]) -> int:
    """The axis across square slices: NIfTI's own is the last; NumPy users write the first."""
    height, width, depth = shape
    if height == width:
        return 2
    if width == depth:
        return 0
    raise InputError(f"{path}: has shape {shape}; axial slices as high as wide are expected")


def _take(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    # NIfTI's own order is (column, row, slice).
    return volume[:, :, index].T if axis == 2 else volume[index]


def whole_labels(labels: np.ndarray, name: str) -> np.ndarray:
    """Labels as whole numbers, which a scale in a header may have moved a little.

    Raises:
        InputError: If some are fractions.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.ct import whole_labels
        >>> whole_labels(np.array([0.0, 0.999]), "mask").tolist()
        [0, 1]
    """
    whole = np.rint(labels)
    if np.abs(labels - whole).max() > 0.01:  # more than rounding by a scale in the header
        raise InputError(f"{name}: the mask holds fractions; whole numbers are expected")
    return whole.astype("int64")


def window_ct(values: np.ndarray, window: tuple[int, int], name: str) -> np.ndarray:
    """Converts Hounsfield units to uint8: linear within `window`, clipped to 0 and 255 outside.

    Args:
        values: A slice in Hounsfield units.
        window: The units that become 0 and 255.
        name: The slice, for messages.

    Raises:
        InputError: If no value is below 0: the units are others, for air surrounds every patient.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.ct import window_ct
        >>> window_ct(np.array([-1000, 0, 3000]), (-500, 500), "scan").tolist()
        [0, 128, 255]
    """
    if values.min() >= 0:
        raise InputError(
            f"{name}: holds values from {values.min():g} to {values.max():g}; Hounsfield units, "
            "with air below 0, are expected"
        )
    low, high = window
    return np.rint((np.clip(values, low, high) - low) * (255 / (high - low))).astype("uint8")
