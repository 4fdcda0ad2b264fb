"""NIfTI volumes."""

import math
from pathlib import Path

import nibabel
import numpy as np

from melanet.data.errors import InputError

#: A scan of 2,048 slices of 512 x 512: a header that asks for more would fill the memory.
MAX_VOXELS = 2048 * 512 * 512


def nifti_shape(path: Path) -> tuple[int, int, int]:
    """Shape of a NIfTI volume, from its header alone.

    Raises:
        InputError: If it is missing, no NIfTI, or has other than three dimensions, or none in one.
    """
    shape = _open_nifti(path).shape
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"{path}: has shape {shape}; a volume of three dimensions is expected")
    return shape


def read_nifti(path: Path) -> np.ndarray:
    """The values of a NIfTI volume, float32, scaled as its header says.

    Raises:
        InputError: If it cannot be read to its end, or holds values that are no numbers.
    """
    try:
        volume = _open_nifti(path).get_fdata(dtype=np.float32, caching="unchanged")
    except InputError:
        raise
    except Exception as error:  # a damaged header makes nibabel raise any kind
        raise InputError(f"{path}: cannot be read to its end ({error}); get it anew") from None
    if not np.isfinite(volume).all():
        raise InputError(f"{path}: holds values that are no finite numbers; get it anew")
    return volume


def _open_nifti(path: Path) -> nibabel.Nifti1Image:
    try:
        volume: nibabel.Nifti1Image = nibabel.load(path)  # type: ignore[assignment]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # a damaged header makes nibabel raise any kind
        raise InputError(f"{path}: cannot be read as NIfTI ({error}); get it anew") from None
    if math.prod(volume.shape) > MAX_VOXELS:
        raise InputError(f"{path}: has shape {volume.shape}, more than {MAX_VOXELS:,} voxels")
    if volume.get_data_dtype().kind not in "biuf":
        raise InputError(f"{path}: holds {volume.get_data_dtype()}; one number a voxel is expected")
    return volume
