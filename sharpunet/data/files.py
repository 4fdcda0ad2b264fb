"""The files that official downloads are made of: paired folders, masks, TIFF, NIfTI, CT values."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import tifffile

from sharpunet.data.prepared import MOST_PIXELS, InputError, Item, read_image

#: A scan of 2,048 slices of 512 x 512: a header that asks for more would fill the memory.
MOST_VOXELS = 2048 * 512 * 512


def find_files(folder: Path, pattern: str, download: str) -> dict[str, Path]:
    """Files of `folder` like `pattern`, by what stands in the place of its one `*`.

    Files of other names (licences, thumbnails, hidden files) are left out.

    Raises:
        InputError: If `folder` is missing or has no such file; it says where to get them.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. {download}")
    before, after = pattern.split("*")
    files = {
        path.name[len(before) : len(path.name) - len(after)]: path
        for path in sorted(folder.glob(pattern))
        if not path.name.startswith(".")
    }
    if not files:
        raise InputError(f"{folder}: holds no {pattern}. {download}")
    return files


def read_mask(path: Path) -> np.ndarray:
    """A mask file as uint8 `(height, width)`; one that was saved in colour must be grey.

    Raises:
        InputError: If it cannot be read or is in colour.
    """
    mask = read_image(path)
    if mask.ndim == 3:
        if (mask != mask[:, :, :1]).any():
            raise InputError(f"{path}: the mask is in colour; 0 and 255 are expected")
        mask = mask[:, :, 0]
    return mask


def check_pairs(images: Mapping[str, object], masks: Mapping[str, object]) -> list[str]:
    """The ids, in order, of images and masks (names by id) of which none lacks the other.

    Raises:
        InputError: If an image has no mask or a mask no image.
    """
    for id in sorted(images.keys() ^ masks.keys()):
        if id in images:
            raise InputError(f"{images[id]}: the image has no mask; add one or remove the image")
        raise InputError(f"{masks[id]}: the mask has no image; add one or remove the mask")
    return sorted(images)


def pair_files(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    *,
    id_of: Callable[[str], str] = str,
    group_of: Callable[[str], str] | None = None,
    image: Callable[[Path], np.ndarray] = read_image,
    mask: Callable[[Path], np.ndarray] = read_mask,
) -> list[Item]:
    """One item an image, in the order of their ids.

    Args:
        images: Image files by key.
        masks: Mask files by the same keys.
        id_of: From a key to the item's id.
        group_of: From a key to the item's group; each image is its own where it is None.
        image: Reads an image.
        mask: Reads a mask.

    Raises:
        InputError: If an image has no mask or a mask no image.
    """
    items = [
        Item(
            id=id_of(key),
            group=(group_of or id_of)(key),
            image=partial(image, images[key]),
            mask=partial(mask, masks[key]),
            image_name=str(images[key]),
            mask_name=str(masks[key]),
        )
        for key in check_pairs(images, masks)
    ]
    return sorted(items, key=lambda item: item.id)


def count_tiff_pages(path: Path) -> int:
    """Number of pages of a TIFF stack, without decoding them.

    Raises:
        InputError: If it is no TIFF, or truncated.
    """
    try:
        with _complaints() as complaints, tifffile.TiffFile(path) as stack:
            count = len(stack.pages)
    except Exception as error:  # tifffile lets those of a damaged file's parts through
        raise InputError(f"{path}: cannot be read as a TIFF stack ({error}); get it anew") from None
    if complaints:
        raise InputError(f"{path}: cannot be read to its end ({complaints[0]}); get it anew")
    return count


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """What tifffile logs: of a truncated stack it tells only its log, and returns fewer pages."""
    messages: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = tifffile.logger()
    logger.addHandler(handler)
    logger.propagate, before = False, logger.propagate
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def read_tiff_page(path: Path, index: int = 0) -> np.ndarray:
    """One page of a TIFF file: `(height, width)`, of the type that it is stored in.

    Raises:
        InputError: If it cannot be read, is not grey, has more than `MOST_PIXELS`, or values that
            are no numbers.
    """
    try:
        with _complaints() as complaints, tifffile.TiffFile(path) as stack:
            shape = stack.pages[index].shape
            fits = math.prod(shape) <= MOST_PIXELS
            page = stack.pages[index].asarray() if fits else None
    except Exception as error:  # tifffile lets its codecs' own exceptions through
        raise InputError(f"{path}: slice {index} cannot be read ({error}); get it anew") from None
    if complaints:
        raise InputError(f"{path}: slice {index} cannot be read ({complaints[0]}); get it anew")
    if page is None:
        raise InputError(f"{path}: slice {index} has more than {MOST_PIXELS:,} pixels; reduce it")
    if page.ndim != 2 or not page.size:
        raise InputError(f"{path}: slice {index} has shape {shape}; grey slices are expected")
    if page.dtype.kind not in "biuf" or not np.isfinite(page).all():
        raise InputError(f"{path}: slice {index} holds values that are no finite numbers")
    return page


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
    if math.prod(volume.shape) > MOST_VOXELS:
        raise InputError(f"{path}: has shape {volume.shape}, more than {MOST_VOXELS:,} voxels")
    if volume.get_data_dtype().kind not in "biuf":
        raise InputError(f"{path}: holds {volume.get_data_dtype()}; one number a voxel is expected")
    return volume


def slice_volume(
    image: Path,
    mask: Path,
    unpack: Callable[[Path], np.ndarray],
    *,
    name: str,
    group: str = "",
    window: tuple[int, int],
    to_mask: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> list[Item]:
    """One item an axial slice of a CT volume, listed without decoding.

    Args:
        image: NIfTI file of the volume, in Hounsfield units.
        mask: NIfTI file of its mask, of the same shape.
        unpack: `read_nifti`, with a cache of two: a `.gz` can be unpacked only from its start, so
            a slice alone would cost as much as the volume, and image and mask take turns.
        name: Start of the items' ids, which a number ends.
        group: The items' group; each slice is its own if empty.
        window: See `window_ct`.
        to_mask: From the whole numbers of the mask's slice to what the item's mask is.

    Raises:
        InputError: If a file is not as expected, or their shapes differ.
    """
    shape, mask_shape = nifti_shape(image), nifti_shape(mask)
    if mask_shape != shape:
        raise InputError(
            f"{mask}: its shape {mask_shape} differs from the shape {shape} of {image.name}"
        )
    axis = _axial_axis(image, shape)

    def item(index: int) -> Item:
        id = f"{name}-{index:03d}"
        image_name, mask_name = f"{image} (slice {index})", f"{mask} (slice {index})"
        return Item(
            id=id,
            group=group or id,
            image=lambda: window_ct(_take(unpack(image), axis, index), window, image_name),
            mask=lambda: to_mask(_whole(_take(unpack(mask), axis, index), mask_name)),
            image_name=image_name,
            mask_name=mask_name,
        )

    return [item(index) for index in range(shape[axis])]


def _axial_axis(path: Path, shape: tuple[int, int, int]) -> int:
    """The axis across square slices: the last is NIfTI's own, the first was meant for arrays."""
    height, width, depth = shape
    if height == width:
        return 2
    if width == depth:
        return 0
    raise InputError(f"{path}: has shape {shape}; axial slices as high as wide are expected")


def _take(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    # NIfTI's own order is (column, row, slice).
    return volume[:, :, index].T if axis == 2 else volume[index]


def _whole(labels: np.ndarray, name: str) -> np.ndarray:
    whole = np.rint(labels)
    if np.abs(labels - whole).max() > 0.01:  # more than a scale in the header rounds away
        raise InputError(f"{name}: the mask holds fractions; whole numbers are expected")
    return whole.astype("int64")


def window_ct(values: np.ndarray, window: tuple[int, int], name: str) -> np.ndarray:
    """Hounsfield units to uint8: the lower end of `window` and below is 0, the upper and above 255.

    Raises:
        InputError: If nothing is below 0, as the air around every patient is: other units.
    """
    if values.min() >= 0:
        raise InputError(
            f"{name}: holds values from {values.min():g} to {values.max():g}; Hounsfield units, "
            "with air below 0, are expected"
        )
    low, high = window
    return np.rint((np.clip(values, low, high) - low) * (255 / (high - low))).astype("uint8")
