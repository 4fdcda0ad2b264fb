"""ISBI-2012: 30 electron-microscopy slices of a fly larva's nerve cord, cells against membranes."""

from functools import partial
from pathlib import Path

import numpy as np

from melanet.data import DatasetBuilder, DatasetInfo, InputError, Sample
from melanet.data.builders import require_file
from melanet.data.readers.tiff import count_tiff_pages, read_tiff_page

INSTRUCTIONS = (
    "Get train-volume.tif (7.5 MB) and train-labels.tif (7.5 MB) of the ISBI 2012 EM segmentation "
    "challenge (https://imagej.net/events/isbi-2012-segmentation-challenge; free for research, "
    "no account) and put them there"
)
#: The slices are one volume, in which neighbours look alike. `clean` keeps blocks together, so that
#: only their first and last slices may have a neighbour on the other side.
SLICES_PER_BLOCK = 6


def _read(folder: Path) -> list[Sample]:
    """One sample per slice: the cells (255 in the labels) are the foreground."""
    volume = require_file(folder, "train-volume.tif", INSTRUCTIONS)
    labels = require_file(folder, "train-labels.tif", INSTRUCTIONS)
    slices, mask_slices = count_tiff_pages(volume), count_tiff_pages(labels)
    if slices != mask_slices:
        raise InputError(f"{labels}: holds {mask_slices} slices, but {volume.name} {slices}")
    return [
        Sample(
            id=f"slice-{index:02d}",
            group=f"block-{index // SLICES_PER_BLOCK}",
            image=partial(_read_page, volume, index),
            mask=partial(_read_page, labels, index),
            image_name=f"{volume} (slice {index})",
            mask_name=f"{labels} (slice {index})",
        )
        for index in range(slices)
    ]


def _read_page(path: Path, index: int) -> np.ndarray:
    page = read_tiff_page(path, index)
    if page.dtype != "uint8":
        raise InputError(f"{path}: slice {index} is {page.dtype}; 8-bit slices are expected")
    return page


BUILDER = DatasetBuilder(
    DatasetInfo("isbi2012", "ISBI-2012", image_size=(256, 256), channels=1),
    _read,
    INSTRUCTIONS,
    published_count=30,
)
