"""Lung Segmentation: slices and whole volumes of chest CT with manually segmented lungs.

The thesis prepares them as Azad et al. 2019 (its reference 107) do: Hounsfield units from -512 to
512 become 0 to 255, and slices that show no lung are left out (187 of 1,208 in the released code).
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from melanet.data import DatasetBuilder, DatasetInfo, InputError, Sample
from melanet.data.readers.nifti import read_nifti
from melanet.data.readers.tiff import read_tiff_page
from sharpunet.data.ct import slice_volume, window_ct
from sharpunet.data.pairs import check_pairs, find_files, pair_files

INSTRUCTIONS = (
    "Get 2d_images.zip and 2d_masks.zip, or 3d_images.zip, or all three, of Finding and Measuring "
    "Lungs in CT Data (https://www.kaggle.com/datasets/kmader/finding-lungs-in-ct-data; 663 MB in "
    "all; licence: see there; needs a Kaggle account), unpack them and put the folders 2d_images, "
    "2d_masks and 3d_images there"
)
WINDOW = (-512, 512)


def _read(folder: Path) -> list[Sample]:
    """One sample per slice: the single slices, then those of the volumes; either may be absent.

    Slices of one scan are one group, whether they come alone or in a volume. The publisher does
    not explain the names: in `ID_0059_Z_0142.tif` the first number is taken for the scan, as in
    `IMG_0059.nii.gz`, and the second for the height of the slice.
    """
    return [sample for sample in _all_slices(folder) if sample.mask is None or sample.mask().any()]


def _notes(folder: Path) -> str:
    slices, kept = len(_all_slices(folder)), len(_read(folder))
    return f"Left out: {slices - kept} of {slices} slices, which show no lung."


def _all_slices(folder: Path) -> list[Sample]:
    samples = []
    if (folder / "2d_images").is_dir() or (folder / "2d_masks").is_dir():
        samples += _single_slices(folder / "2d_images", folder / "2d_masks")
    if (folder / "3d_images").is_dir():
        samples += _volumes(folder / "3d_images")
    if not samples:
        raise InputError(f"{folder}: has no folder 2d_images or 3d_images. {INSTRUCTIONS}")
    return samples


def _single_slices(images: Path, masks: Path) -> list[Sample]:
    return pair_files(
        find_files(images, "ID_*.tif", INSTRUCTIONS),
        find_files(masks, "ID_*.tif", INSTRUCTIONS),
        id_of="ID_{}".format,
        group_of=lambda key: f"scan-{key.split('_')[0]}",
        image=_read_image,
        mask=lambda path: _to_mask(read_tiff_page(path)),
    )


def _read_image(path: Path) -> np.ndarray:
    page = read_tiff_page(path)
    if page.dtype == "int8":
        raise InputError(f"{path}: has 8-bit signed values, too few bits for Hounsfield units")
    return page if page.dtype == "uint8" else window_ct(page, WINDOW, str(path))


def _to_mask(values: np.ndarray) -> np.ndarray:
    return np.where(values != 0, 255, 0)


def _volumes(folder: Path) -> list[Sample]:
    images = find_files(folder, "IMG_*.nii.gz", INSTRUCTIONS)
    masks = find_files(folder, "MASK_*.nii.gz", INSTRUCTIONS)
    unpack = lru_cache(maxsize=2)(read_nifti)
    samples = []
    for scan in check_pairs(images, masks):
        group = f"scan-{scan}"
        samples += slice_volume(
            images[scan],
            masks[scan],
            unpack,
            prefix=f"{group}-slice",
            group=group,
            window=WINDOW,
            to_mask=_to_mask,
        )
    return samples


BUILDER = DatasetBuilder(
    DatasetInfo("lung", "Lung Segmentation", image_size=(256, 256), channels=1),
    _read,
    INSTRUCTIONS,
    published_count=267,
    notes=_notes,
    files=("2d_images", "2d_masks", "3d_images"),
    allow_empty_masks=True,
)
