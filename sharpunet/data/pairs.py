"""Folders of images and folders of masks, paired by name."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from melanet.data import InputError, Sample
from melanet.data.readers.images import read_image


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
) -> list[Sample]:
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
        Sample(
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
