import numpy as np
import pytest
import tifffile

from melanet.data import InputError
from melanet.data.readers.tiff import count_tiff_pages, read_tiff_page


@pytest.fixture
def stack(tmp_path):
    pages = np.random.default_rng(0).integers(0, 256, (5, 24, 20)).astype("uint8")
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    return tmp_path / "stack.tif", pages


def test_pages_are_counted_and_read_one_by_one(stack):
    path, pages = stack
    assert count_tiff_pages(path) == 5
    np.testing.assert_array_equal(read_tiff_page(path, 3), pages[3])


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_pages_keep_the_type_that_they_are_stored_in(dtype, tmp_path):
    page = np.full((8, 8), -1000, dtype)
    tifffile.imwrite(tmp_path / "a.tif", page)
    assert read_tiff_page(tmp_path / "a.tif").dtype == dtype
    assert (read_tiff_page(tmp_path / "a.tif") == -1000).all()


@pytest.mark.parametrize("keep", [0, 0.001, 0.5, 0.9])
def test_truncated_stacks_are_refused(keep, stack):
    path, _ = stack
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(InputError, match=r"stack\.tif: .*cannot be read"):
        [read_tiff_page(path, index) for index in range(count_tiff_pages(path))]


def test_pages_that_are_not_grey_or_not_finite_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8, 3), "uint8"), photometric="rgb")
    with pytest.raises(InputError, match="grey slices are expected"):
        read_tiff_page(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", np.full((8, 8), np.nan, "float32"))
    with pytest.raises(InputError, match="not finite numbers"):
        read_tiff_page(tmp_path / "a.tif")
