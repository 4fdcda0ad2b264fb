"""DICOM files that hold one grey image."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy
from melanet.data.errors import InputError
from melanet.data.readers.tiff import MAX_PIXELS

if TYPE_CHECKING:
    import pydicom
    from pydicom import pixels
else:
    pydicom = lazy.module("pydicom")
    pixels = lazy.module("pydicom.pixels")

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
#: Attributes that change the grey values.
OPTIONAL = (
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)


def read_dicom(path: Path) -> np.ndarray:
    """Reads the image of a DICOM file as it is meant to be seen.

    Stored values are converted to the modality's units (slope and intercept, or its table), and
    these to grey by the file's table or window, the first one if there are several (DICOM PS3.3,
    C.11.1 and C.11.2). Without either, 8-bit pixels are kept and others are scaled by their own
    minimum and maximum. MONOCHROME1, where 0 is white, is inverted. Padding is black and does not
    count. Attributes that are there but empty count as absent.

    Returns:
        uint8 `(height, width)`; 0 is black.

    Raises:
        InputError: If the file is missing, truncated or not DICOM, has no pixels, several frames
            or colour, or is compressed in a way that no installed package decodes.

    Example:
        >>> from pathlib import Path
        >>> from pydicom.data import get_testdata_file
        >>> from melanet.data.readers.dicom import read_dicom
        >>> read_dicom(Path(get_testdata_file("CT_small.dcm"))).shape
        (128, 128)
    """
    try:
        with warnings.catch_warnings():  # small breaches of the standard are common
            warnings.simplefilter("ignore")
            return _read(path)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # pydicom and its decoders raise anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read as DICOM ({reason}); get it anew") from None


def _read(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    for name in OPTIONAL:
        if name in dataset and dataset[name].is_empty:
            del dataset[name]
    if "RescaleSlope" in dataset or "RescaleIntercept" in dataset:  # pydicom disregards one alone
        dataset.RescaleSlope = dataset.get("RescaleSlope", 1)
        dataset.RescaleIntercept = dataset.get("RescaleIntercept", 0)
    _check_one_grey_image(dataset, path)
    stored = _decode(dataset, path)
    if stored.ndim != 2 or not stored.size:
        raise InputError(
            f"{path}: its pixels have shape {stored.shape}; one grey image is expected"
        )
    padding = _padding(stored, dataset)
    grey = _to_8_bit(stored, padding, dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 255 - grey
    return np.where(padding, np.uint8(0), grey)


def _padding(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Where the stored values say that there is no image (DICOM PS3.3, C.7.5.1.1.2)."""
    if "PixelPaddingValue" not in dataset:
        return np.zeros(stored.shape, bool)
    first = dataset.PixelPaddingValue
    ends = [first, dataset.get("PixelPaddingRangeLimit", first)]
    # They may be written as unsigned for signed pixels, and the other way round.
    low, high = sorted(int(np.array(int(end) & 0xFFFFFFFF).astype(stored.dtype)) for end in ends)
    return (stored >= low) & (stored <= high)


def _check_one_grey_image(dataset: pydicom.Dataset, path: Path) -> None:
    if not any(name in dataset for name in PIXELS):
        raise InputError(f"{path}: holds no pixels, or is truncated; get it anew")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise InputError(f"{path}: has {frames} frames; one image is expected")
    if dataset.Rows * dataset.Columns > MAX_PIXELS:
        raise InputError(f"{path}: has more than {MAX_PIXELS:,} pixels; reduce it")
    colours = dataset.PhotometricInterpretation
    if dataset.SamplesPerPixel != 1 or colours not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"{path}: is in colour ({colours}); a grey image is expected")


def _decode(dataset: pydicom.Dataset, path: Path) -> np.ndarray:
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = pixels.get_decoder(syntax)
    except NotImplementedError:
        raise InputError(f"{path}: {syntax.name} cannot be decoded; convert it first") from None
    if not decoder.is_available:
        raise InputError(
            f"{path}: nothing installed decodes {syntax.name}; install pylibjpeg with "
            "pylibjpeg-libjpeg, or gdcm"
        )
    # Decoders differ by a grey value; the same one everywhere gives the same dataset.
    plugin = "pillow" if "pillow" in decoder.available_plugins else ""
    return pixels.pixel_array(dataset, decoding_plugin=plugin)


def _to_8_bit(stored: np.ndarray, padding: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    values = pixels.apply_modality_lut(stored, dataset)
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        grey = pixels.apply_voi(np.rint(values).astype("int32"), dataset) * (255 / (2**bits - 1))
    elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        grey = pixels.apply_windowing(values, _window(dataset))
    elif dataset.get("BitsStored") == 8 and not dataset.PixelRepresentation:
        grey = stored
    else:
        grey = _stretch(np.asarray(values, "float64"), padding)
    if not np.isfinite(grey).all():
        raise ValueError("values that are not finite numbers")
    return np.rint(grey).astype("uint8")


def _window(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """The window for 8-bit grey; `apply_windowing` would keep the range of the stored values."""
    window = pydicom.Dataset()
    for name in ("WindowCenter", "WindowWidth", "VOILUTFunction", "PhotometricInterpretation"):
        if name in dataset:
            window[name] = dataset[name]
    window.BitsStored, window.PixelRepresentation = 8, 0
    return window


def _stretch(values: np.ndarray, padding: np.ndarray) -> np.ndarray:
    image = values[~padding]
    low, high = image.min(initial=np.inf), image.max(initial=-np.inf)
    if low >= high:
        return np.zeros_like(values)
    return np.clip((values - low) * (255 / (high - low)), 0, 255)
