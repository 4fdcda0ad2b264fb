import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000Lossless

from melanet.data import InputError
from melanet.data.readers.dicom import read_dicom
from tests.melanet.conftest import gradient, write_dicom

EIGHT = np.array([[0, 50, 100], [150, 200, 255]], "uint8")
TWELVE = np.array([[0, 1000, 1200], [1500, 2000, 4095]], "uint16")


def read(tmp_path, pixels, **attributes):
    return read_dicom(write_dicom(tmp_path / "x.dcm", pixels, **attributes))


def test_eight_bits_stay_as_they_are_stored(tmp_path):
    image = read(tmp_path, EIGHT)
    assert image.dtype == "uint8"
    np.testing.assert_array_equal(image, EIGHT)
    np.testing.assert_array_equal(read(tmp_path, EIGHT.astype("uint16"), bits=8), EIGHT)


def test_jpeg_baseline_is_decoded(tmp_path):
    image = read(tmp_path, gradient(), jpeg=True)
    assert image.shape == (30, 40)
    assert np.abs(image.astype(int) - gradient()).max() <= 3


@pytest.mark.parametrize("jpeg", [False, True])
def test_monochrome1_is_inverted(jpeg, tmp_path):
    plain = read(tmp_path, gradient(), jpeg=jpeg)
    inverted = read(tmp_path, gradient(), jpeg=jpeg, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(inverted, 255 - plain)


def test_deeper_pixels_are_scaled_from_their_own_range(tmp_path):
    signed = TWELVE.astype("int16") - 2000
    expected = np.rint(TWELVE / 4095 * 255)
    np.testing.assert_array_equal(read(tmp_path, TWELVE, bits=12), expected)
    np.testing.assert_array_equal(read(tmp_path, signed), expected)
    assert not read(tmp_path, np.full((2, 2), 700, "uint16")).any()


def test_the_first_window_is_black_below_and_white_above(tmp_path):
    # PS3.3 C.11.2.1.2.1 with centre 1500 and width 1001: 999.5 to 1999.5 become 0 to 255.
    window = {"WindowCenter": [1500, 40], "WindowWidth": [1001, 400]}
    expected = np.rint(np.clip((TWELVE.astype(float) - 999.5) / 1000, 0, 1) * 255)
    np.testing.assert_array_equal(read(tmp_path, TWELVE, bits=12, **window), expected)


def test_the_window_is_in_the_units_of_slope_and_intercept(tmp_path):
    units = {"RescaleSlope": 0.5, "RescaleIntercept": -100}
    image = read(tmp_path, TWELVE, **units, WindowCenter=500, WindowWidth=501)  # 249.5 to 749.5
    values = 0.5 * TWELVE - 100
    np.testing.assert_array_equal(image, np.rint(np.clip((values - 249.5) / 500, 0, 1) * 255))


def test_a_slope_below_zero_turns_the_grey_round(tmp_path):
    image = read(tmp_path, TWELVE, RescaleSlope=-1, RescaleIntercept=4095)
    np.testing.assert_array_equal(image, np.rint((4095 - TWELVE.astype(float)) / 4095 * 255))


def test_a_lookup_table_gives_the_grey(tmp_path):
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [4, 1, 8], [10, 20, 30, 40]  # from value 1 on
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    image = read(tmp_path, np.array([[0, 1, 2], [3, 4, 900]], "uint16"), VOILUTSequence=[table])
    assert image.tolist() == [[10, 10, 20], [30, 40, 40]]


@pytest.mark.parametrize("name", ["RescaleSlope", "WindowCenter", "PixelPaddingValue"])
def test_empty_attributes_count_as_absent(name, tmp_path):
    partners = {"RescaleSlope": ["RescaleIntercept"], "WindowCenter": ["WindowWidth"]}
    for empty in ([name], [name, *partners.get(name, [])]):
        path = write_dicom(tmp_path / "x.dcm", EIGHT)
        dataset = pydicom.dcmread(path)
        for attribute in empty:
            setattr(dataset, attribute, None)
            dataset[attribute].VR = "US" if attribute == "PixelPaddingValue" else "DS"
        dataset.save_as(path)
        np.testing.assert_array_equal(read_dicom(path), EIGHT)


def test_a_slope_or_an_intercept_alone_counts(tmp_path):
    window = {"WindowCenter": 500, "WindowWidth": 501}  # 249.5 to 749.5
    halved = read(tmp_path, TWELVE, RescaleSlope=0.5, **window)
    expected = np.rint(np.clip((0.5 * TWELVE - 249.5) / 500, 0, 1) * 255)
    np.testing.assert_array_equal(halved, expected)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("dtype", "padding"), [("uint16", 65535), ("int16", -2000), ("uint16", 0)])
def test_padding_is_black_and_does_not_decide_the_grey(dtype, padding, photometric, tmp_path):
    pixels = np.full((20, 20), padding, dtype)
    patient = np.linspace(500, 3500, 100).reshape(10, 10)
    pixels[5:15, 5:15] = patient
    shown = {"PhotometricInterpretation": photometric}
    image = read(tmp_path, pixels, PixelPaddingValue=padding, **shown)
    bare = read(tmp_path, patient.astype(dtype), **shown)
    np.testing.assert_array_equal(image[5:15, 5:15], bare)
    assert not image[:5].any()
    assert (int(bare.min()), int(bare.max())) == (0, 255)


def test_a_range_of_padding_does_not_count(tmp_path):
    pixels = TWELVE.copy()
    pixels[0, 0] = 3000
    image = read(tmp_path, pixels, PixelPaddingValue=2500, PixelPaddingRangeLimit=5000)
    expected = np.rint((pixels.astype(float) - 1000) / 1000 * 255)
    expected[0, 0] = expected[1, 2] = 0
    np.testing.assert_array_equal(image, expected)


def test_nothing_but_padding_is_black(tmp_path):
    assert not read(tmp_path, np.full((4, 4), 9, "uint16"), PixelPaddingValue=9).any()


def cut(keep):
    def spoil(path):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return spoil


def edit(**attributes):
    def spoil(path):
        dataset = pydicom.dcmread(path)
        for name, value in attributes.items():
            if value is None:
                del dataset[name]
            else:
                setattr(dataset, name, value)
        dataset.save_as(path)

    return spoil


def syntax(uid):
    def spoil(path):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = uid
        dataset.PixelData = encapsulate([b"a stream"])
        dataset.save_as(path)

    return spoil


CASES = {
    "no DICOM": (lambda path: path.write_bytes(b"<html>" * 100), "cannot be read as DICOM"),
    "empty": (cut(0), "cannot be read as DICOM"),
    "header alone": (cut(0.3), "x.dcm"),
    "pixels cut": (cut(0.8), "x.dcm"),
    "no file": (lambda path: path.unlink(), "no such file"),
    "a folder": (lambda path: [path.unlink(), path.mkdir()], "cannot be read"),
    "no pixels": (edit(PixelData=None), "holds no pixels"),
    "no rows": (edit(Rows=None), "cannot be read as DICOM"),
    "another size": (edit(Rows=31), "cannot be read as DICOM"),
    "no kind of grey": (edit(PhotometricInterpretation=None), "cannot be read as DICOM"),
    "frames": (edit(NumberOfFrames=3), "3 frames"),
    "colour": (edit(SamplesPerPixel=3, PhotometricInterpretation="RGB"), "in colour (RGB)"),
    "a palette": (edit(PhotometricInterpretation="PALETTE COLOR"), "in colour"),
    "no depth": (edit(BitsAllocated=None), "cannot be read as DICOM"),
    "a video": (syntax("1.2.840.10008.1.2.4.100"), "cannot be decoded"),
    "no window": (edit(WindowCenter=50, WindowWidth=0), "cannot be read as DICOM"),
    "an unknown window": (
        edit(WindowCenter=50, WindowWidth=9, VOILUTFunction="CURVE"),
        "cannot be read as DICOM",
    ),
}


@pytest.mark.parametrize("jpeg", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_in_one_line(case, jpeg, tmp_path):
    spoil, reason = CASES[case]
    path = write_dicom(tmp_path / "x.dcm", gradient(), jpeg=jpeg)
    spoil(path)
    with pytest.raises(InputError) as raised:
        read_dicom(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert reason in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_compression_that_nothing_decodes_names_the_remedy(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "x.dcm", gradient(), jpeg=True)
    syntax(JPEG2000Lossless)(path)
    monkeypatch.setattr(type(get_decoder(JPEG2000Lossless)), "is_available", False)
    with pytest.raises(InputError, match=r"x.dcm: .*JPEG 2000.*install pylibjpeg"):
        read_dicom(path)


@pytest.mark.parametrize("jpeg", [False, True])
def test_a_damaged_file_never_raises_anything_else(jpeg, tmp_path):
    path = write_dicom(
        tmp_path / "x.dcm", gradient(), jpeg=jpeg, WindowCenter=9, WindowWidth=9,
        RescaleSlope=1, RescaleIntercept=0,
    )  # fmt: skip
    whole, random = path.read_bytes(), np.random.default_rng(0)
    messages = []
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(128, 600, 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            image = read_dicom(path)
        except InputError as error:
            messages.append(str(error))
        else:
            assert image.dtype == "uint8"
            assert image.ndim == 2
    assert len(messages) > 30
    assert all(str(path) in message for message in messages)
