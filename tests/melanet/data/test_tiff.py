import numpy as np
import pytest
import tifffile
from PIL import Image

from melanet.data import InputError
from melanet.data.readers.images import read_image
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


RGB = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype("uint8")
GREY = RGB[:, :, 0]
CONTIG = {"planarconfig": "contig"}
SAMPLES_FIRST = np.ascontiguousarray(np.moveaxis(RGB, -1, 0))
EXTRA = np.concatenate([RGB, GREY[:, :, None]], axis=2)
#: By case: the array as it is written, how, and the image that it is.
KINDS = {
    "grey": (GREY, {"photometric": "minisblack"}, GREY),
    "grey, 0 is white": (255 - GREY, {"photometric": "miniswhite"}, GREY),
    "RGB": (RGB, {"photometric": "rgb"}, RGB),
    "RGB, channel by channel": (
        SAMPLES_FIRST, {"photometric": "rgb", "planarconfig": "separate"}, RGB,
    ),
    "RGB with transparency": (EXTRA, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, RGB),
    "RGB that is called grey": (RGB, {"photometric": "minisblack", **CONTIG}, RGB),
    "RGB with more that is called grey": (EXTRA, {"photometric": "minisblack", **CONTIG}, RGB),
    "grey with transparency": (EXTRA[:, :, ::3], {"photometric": "minisblack", **CONTIG}, GREY),
    "compressed": (RGB, {"photometric": "rgb", "compression": "zlib", "predictor": True}, RGB),
    "tiled": (RGB, {"photometric": "rgb", "tile": (16, 16)}, RGB),
    "one bit": (GREY > 99, {"photometric": "minisblack"}, (GREY > 99) * 255),
    "one bit, 0 is white": (GREY > 99, {"photometric": "miniswhite"}, (GREY <= 99) * 255),
    "four bits": (GREY // 16, {"photometric": "minisblack", "bitspersample": 4}, GREY // 16 * 17),
}  # fmt: skip
KINDS["a palette"] = (
    GREY,
    {"photometric": "palette", "colormap": (np.arange(768).reshape(3, 256) * 64).astype("uint16")},
    np.stack([(GREY.astype(int) + n * 256) * 64 >> 8 for n in range(3)], -1),
)


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_images_of_every_kind_are_what_they_are_meant_to_be(kind, bigtiff, byteorder, tmp_path):
    stored, how, meant = KINDS[kind]
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=bigtiff, byteorder=byteorder) as writer:
        writer.write(stored, metadata=None, **how)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == "uint8"
    np.testing.assert_array_equal(image, meant)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg", "group4", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "CMYK", "YCbCr"])
def test_files_that_pillow_writes_are_read_as_they_were_written(mode, compression, tmp_path):
    smooth = Image.fromarray(RGB).resize((64, 48), Image.Resampling.BICUBIC)
    if (compression == "group4" and mode != "1") or (compression == "jpeg" and mode in "1P"):
        pytest.skip("no such file")
    written = smooth.convert(mode)
    written.save(tmp_path / "a.tif", compression=compression)
    if compression == "jpeg":  # with losses, which are the same for every reader
        written = Image.open(tmp_path / "a.tif")
    expected = np.asarray(written.convert("L" if mode in "1L" else "RGB"))
    image = read_image(tmp_path / "a.tif")
    assert image.shape == expected.shape
    tolerance = 3 if compression == "jpeg" else int(mode == "YCbCr")
    assert np.abs(image.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize(
    ("array", "how"),
    [
        (GREY.astype("int8"), {}),
        (GREY.astype("uint16"), {}),
        (GREY.astype("float32"), {}),
        (RGB.astype("uint16"), {"photometric": "rgb"}),
        (SAMPLES_FIRST.astype("uint16"), {"photometric": "rgb", "planarconfig": "separate"}),
    ],
)
def test_other_than_eight_bits_are_refused(array, how, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", array, **how)
    with pytest.raises(InputError, match="8-bit grey or colour is expected"):
        read_image(tmp_path / "a.tif")


def test_colours_that_are_not_understood_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="cielab")
    with pytest.raises(InputError, match="3 samples per pixel of the kind"):
        read_image(tmp_path / "a.tif")


def test_several_images_are_refused_but_a_thumbnail_is_not_one(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(RGB[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), RGB)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(RGB, photometric="rgb")
    with pytest.raises(InputError, match="2 frames or pages"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated_images_are_refused(compression, keep, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", compression=compression)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(InputError, match=r"a\.tif: "):
        read_image(path)


def test_pages_of_stacks_are_upright_and_0_is_black(tmp_path):
    orientation = [(274, "H", 1, 3, True)]
    tifffile.imwrite(
        tmp_path / "a.tif", 255 - GREY, photometric="miniswhite", extratags=orientation
    )
    np.testing.assert_array_equal(read_tiff_page(tmp_path / "a.tif"), GREY[::-1, ::-1])
