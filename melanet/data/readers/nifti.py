"""NIfTI volumes."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from melanet import lazy
from melanet.data.errors import InputError

if TYPE_CHECKING:
    import nibabel
    from nibabel import orientations
else:
    nibabel = lazy.module("nibabel")
    orientations = lazy.module("nibabel.orientations")

#: A scan of 2,048 slices of 512 x 512; a header that asks for more would fill the memory.
MAX_VOXELS = 2048 * 512 * 512


class Grid(NamedTuple):
    """Where the voxels of a volume lie.

    Attributes:
        shape: Number of voxels along the three axes.
        affine: From indices to millimetres to the right, to the front and up, `(4, 4)`; None if
            the file does not say.

    Example:
        >>> import numpy as np
        >>> from melanet.data.readers.nifti import Grid
        >>> Grid((512, 512, 40), np.eye(4)).shape
        (512, 512, 40)
    """

    shape: tuple[int, ...]
    affine: np.ndarray | None


def nifti_grid(path: Path, axes: str = "") -> Grid:
    """Reads the grid of a NIfTI volume, from its header alone.

    Args:
        path: The file.
        axes: As in `read_nifti`.

    Raises:
        InputError: If the file is missing or not NIfTI, or the volume is empty or has not three
            dimensions.

    Example:
        >>> from pathlib import Path
        >>> import nibabel, numpy as np
        >>> from melanet.data.readers.nifti import nifti_grid
        >>> nibabel.save(nibabel.Nifti1Image(np.zeros((8, 9, 3)), np.eye(4)), "scan.nii.gz")
        >>> nifti_grid(Path("scan.nii.gz"), axes="SLP").shape
        (3, 8, 9)
    """
    volume = _open_nifti(path)
    shape, affine = volume.shape, _affine(volume)
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"{path}: has shape {shape}; a volume of three dimensions is expected")
    if affine is None or not axes:
        return Grid(shape, affine)
    change = _change_of_axes(affine, axes)
    order = np.argsort(change[:, 0])
    return Grid(
        tuple(shape[axis] for axis in order), affine @ orientations.inv_ornt_aff(change, shape)
    )


def read_nifti(path: Path, axes: str = "") -> np.ndarray:
    """Reads the values of a NIfTI volume, scaled as its header says.

    Args:
        path: The file.
        axes: Where the axes of the result lead to: `"LPS"` is left, posterior, superior. Volumes
            that do not say where theirs lead to, and all if empty, are returned as they are stored.

    Returns:
        float32, three axes.

    Raises:
        InputError: If the file cannot be read to its end or holds values that are not finite.

    Example:
        >>> from pathlib import Path
        >>> import nibabel, numpy as np
        >>> from melanet.data.readers.nifti import read_nifti
        >>> to_right = np.array([[[1]], [[2]], [[3]]], "int16")
        >>> nibabel.save(nibabel.Nifti1Image(to_right, np.eye(4)), "scan.nii.gz")
        >>> read_nifti(Path("scan.nii.gz"), axes="LPS").ravel().tolist()
        [3.0, 2.0, 1.0]
    """
    volume = _open_nifti(path)
    try:
        values = volume.get_fdata(dtype=np.float32, caching="unchanged")
    except Exception as error:  # nibabel raises anything on a damaged header
        raise InputError(f"{path}: cannot be read to its end ({error}); get it anew") from None
    if not np.isfinite(values).all():
        raise InputError(f"{path}: holds values that are not finite numbers; get it anew")
    affine = _affine(volume)
    if affine is None or not axes:
        return values
    return orientations.apply_orientation(values, _change_of_axes(affine, axes))


def labels_like(labels: np.ndarray, path: Path, axes: str = "") -> bytes:
    """A NIfTI file (`.nii.gz`) with labels on the grid of another one.

    Args:
        labels: uint8, as `read_nifti` gives the values of `path` with the same `axes`.
        path: The file that has the grid.
        axes: As in `read_nifti`.

    Raises:
        InputError: If the file cannot be read.

    Example:
        >>> import gzip
        >>> from pathlib import Path
        >>> import nibabel, numpy as np
        >>> from melanet.data.readers.nifti import labels_like
        >>> nibabel.save(nibabel.Nifti1Image(np.zeros((8, 9, 3)), np.eye(4)), "scan.nii.gz")
        >>> mask = labels_like(np.ones((3, 9, 8), "uint8"), Path("scan.nii.gz"), axes="SPL")
        >>> nibabel.Nifti1Image.from_bytes(gzip.decompress(mask)).shape
        (8, 9, 3)
    """
    volume = _open_nifti(path)
    affine = _affine(volume)
    if affine is not None and axes:
        back = orientations.ornt_transform(
            orientations.axcodes2ornt(axes), orientations.io_orientation(affine)
        )
        labels = orientations.apply_orientation(labels, back)
    header = volume.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0  # those of the scan
    made = type(volume)(labels, volume.affine, header)
    return gzip.compress(made.to_bytes(), mtime=0)


def _open_nifti(path: Path) -> nibabel.Nifti1Image:
    try:
        volume: nibabel.Nifti1Image = nibabel.load(path)  # type: ignore[assignment]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # nibabel raises anything on a damaged header
        raise InputError(f"{path}: cannot be read as NIfTI ({error}); get it anew") from None
    if not isinstance(volume, nibabel.Nifti1Image):
        raise InputError(f"{path}: is {type(volume).__name__}, not NIfTI; convert it")
    if math.prod(volume.shape) > MAX_VOXELS:
        raise InputError(f"{path}: has shape {volume.shape}, more than {MAX_VOXELS:,} voxels")
    if volume.get_data_dtype().kind not in "biuf":
        kind = volume.get_data_dtype()
        raise InputError(f"{path}: holds {kind}; one number per voxel is expected")
    return volume


def _affine(volume: nibabel.Nifti1Image) -> np.ndarray | None:
    """The affine that the header gives; nibabel makes one up where it gives none."""
    coded = int(volume.header["sform_code"]) or int(volume.header["qform_code"])
    affine = volume.affine
    if not coded or affine is None or not np.isfinite(affine).all():
        return None
    return None if np.isnan(orientations.io_orientation(affine)).any() else affine


def _change_of_axes(affine: np.ndarray, axes: str) -> np.ndarray:
    return orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(axes)
    )
