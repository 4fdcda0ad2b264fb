import numpy as np
import pytest

from melanet.data import InputError
from melanet.data.readers.nifti import nifti_grid, read_nifti
from tests.conftest import save_nifti


def test_values_and_shape(tmp_path):
    volume = np.arange(60, dtype="int16").reshape(3, 4, 5) - 30
    path = save_nifti(tmp_path / "a.nii.gz", volume)
    assert nifti_grid(path).shape == (3, 4, 5)
    np.testing.assert_array_equal(read_nifti(path), volume)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4, 1, 1), (0, 4, 4)])
def test_what_is_no_volume_is_refused(shape, tmp_path):
    with pytest.raises(InputError, match=r"a\.nii\.gz: "):
        nifti_grid(save_nifti(tmp_path / "a.nii.gz", np.zeros(shape, "int16")))


def test_what_cannot_be_read_to_its_end_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    with pytest.raises(InputError, match="no such file"):
        read_nifti(path)
    path.write_bytes(b"<html>" * 100)
    with pytest.raises(InputError, match="as NIfTI"):
        read_nifti(path)
    save_nifti(path, np.random.default_rng(0).integers(0, 255, (16, 16, 9)).astype("uint8"))
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(InputError, match="cannot be read"):
        read_nifti(path)
    save_nifti(path, np.full((4, 4, 4), np.inf, "float32"))
    with pytest.raises(InputError, match="not finite numbers"):
        read_nifti(path)
    save_nifti(path, np.zeros((4, 4, 4), "complex64"))
    with pytest.raises(InputError, match="one number per voxel"):
        read_nifti(path)
