"""NIfTI volumes."""

import math
from pathlib import Path

import nibabel
import numpy as np

from melanet.data.errors import InputError

#: A scan of 2,048 slices of 512 x 512; a header that asks for more would fill the memory.
MAX_VOXELS = 2048 * 512 * 512


def nifti_shape(path: Path) -> tuple[int, int, int]:
    """Reads the shape of a NIfTI volume, from its header alone.

    Raises:
        InputError: If the file is missing or not NIfTI, or the volume is empty or has not three
            dimensions.

    Example:
        >>> from pathlib import Path
        >>> import nibabel, numpy as np
        >>> from melanet.data.readers.nifti import nifti_shape
        >>> nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 3)), np.eye(4)), "scan.nii.gz")
        >>> nifti_shape(Path("scan.nii.gz"))
        (8, 8, 3)
    """
    shape = _open_nifti(path).shape
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"{path}: has shape {shape}; a volume of three dimensions is expected")
    return shape


def read_nifti(path: Path) -> np.ndarray:
    """Reads the values of a NIfTI volume: float32, scaled as its header says.

    Raises:
        InputError: If the file cannot be read to its end or holds values that are not finite.

    Example:
        >>> from pathlib import Path
        >>> import nibabel, numpy as np
        >>> from melanet.data.readers.nifti import read_nifti
        >>> nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 3)), np.eye(4)), "scan.nii.gz")
        >>> read_nifti(Path("scan.nii.gz")).dtype
        dtype('float32')
    """
    try:
        volume = _open_nifti(path).get_fdata(dtype=np.float32, caching="unchanged")
    except InputError:
        raise
    except Exception as error:  # nibabel raises anything on a damaged header
        raise InputError(f"{path}: cannot be read to its end ({error}); get it anew") from None
    if not np.isfinite(volume).all():
        raise InputError(f"{path}: holds values that are not finite numbers; get it anew")
    return volume


def _open_nifti(path: Path) -> nibabel.Nifti1Image:
    try:
        volume: nibabel.Nifti1Image = nibabel.load(path)  # type: ignore[assignment]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # nibabel raises anything on a damaged header
        raise InputError(f"{path}: cannot be read as NIfTI ({error}); get it anew") from None
    if math.prod(volume.shape) > MAX_VOXELS:
        raise InputError(f"{path}: has shape {volume.shape}, more than {MAX_VOXELS:,} voxels")
    if volume.get_data_dtype().kind not in "biuf":
        raise InputError(
            f"{path}: holds {volume.get_data_dtype()}; one number per voxel is expected"
        )
    return volume
