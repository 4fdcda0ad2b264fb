import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from melanet.data import InputError
from melanet.data.readers.images import read_image, read_reduced


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_images_have_two_axes(mode, tmp_path):
    Image.new(mode, (4, 3)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (3, 4)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "jpg")]
)
def test_colour_images_have_three_channels(mode, suffix, tmp_path):
    Image.new(mode, (4, 3)).save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert (image.shape, image.dtype) == ((3, 4, 3), "uint8")


def test_the_content_decides_not_the_suffix(tmp_path):
    Image.new("L", (4, 3)).save(tmp_path / "a.jpg", format="PNG")
    assert read_image(tmp_path / "a.jpg").shape == (3, 4)


def test_open_files_are_read_under_a_name():
    with pytest.raises(InputError, match=r"archive\.zip:a\.png: cannot be read"):
        read_image(io.BytesIO(b"no image"), name="archive.zip:a.png")


def save(image, **options):
    return lambda path: image.save(path, **options)


PHOTO = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype("uint8")


@pytest.mark.parametrize("orientation", range(10))  # 1 to 8 mean something
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_images_are_upright_as_their_orientation_says(suffix, orientation, tmp_path):
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(PHOTO)
    stored.save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(path), expected)
    shape = (9, 12, 3) if orientation in (5, 6, 7, 8) else (12, 9, 3)
    assert read_image(path).shape == shape


def test_damaged_exif_counts_as_none(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PHOTO)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_refused_whatever_the_colours(channels, tmp_path):
    deep = np.random.default_rng(0).integers(0, 4096, (8, 8, channels)).astype("uint16")
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    with pytest.raises(InputError, match=r"16 bits|8-bit grey or colour is expected"):
        read_image(tmp_path / "a.png")


PAGES = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
BAD = {
    "nothing": (lambda path: path.write_bytes(b""), "cannot be read as an image"),
    "a web page": (lambda path: path.write_bytes(b"<html>"), "cannot be read as an image"),
    "a program for printers": (save(PAGES[0], format="EPS"), "cannot be read as an image"),
    "frames": (save(PAGES[0], save_all=True, append_images=PAGES[1:]), "2 frames or pages"),
    "16 bits": (save(Image.fromarray(np.zeros((8, 8), "uint16"))), "8-bit grey or colour"),
    "a bomb": (save(Image.new("1", (20_000, 20_000))), "more than 89,478,485 pixels"),
    "no file": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_faithfully_is_refused(case, tmp_path):
    spoil, reason = BAD[case]
    spoil(tmp_path / "a.png")
    with pytest.raises(InputError, match=reason):
        read_image(tmp_path / "a.png")


def test_large_images_are_reduced_by_area(tmp_path):
    large = np.zeros((600, 1200), "uint8")
    large[:, :600] = 200
    Image.fromarray(large).save(tmp_path / "a.png")
    small = read_reduced(tmp_path / "a.png")
    assert small.shape == (256, 512)
    assert (small[:, :250] == 200).all()
    Image.fromarray(large[:512, :512]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_reduced(tmp_path / "a.png"), large[:512, :512])
