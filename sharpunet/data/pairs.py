"""Folders of images and folders of masks, paired by name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from melanet.data import InputError, Sample
from melanet.data.files import list_files
from melanet.data.readers.images import read_image


def find_files(folder: Path, pattern: str, instructions: str) -> dict[str, Path]:
    """Finds the files that match a pattern; others (licences, thumbnails) are left out.

    Args:
        folder: Where to look.
        pattern: A file name with one `*`.
        instructions: Where to get the files.

    Returns:
        The files in the order of their names, by what the `*` stands for.

    Raises:
        InputError: If `folder` is missing or has no such file; it ends with `instructions`.

    Example:
        >>> from pathlib import Path
        >>> from sharpunet.data.pairs import find_files
        >>> Path("ISIC_7_segmentation.png").touch()
        >>> list(find_files(Path("."), "ISIC_*_segmentation.png", "Get them from ..."))
        ['7']
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. {instructions}")
    before, after = pattern.split("*")
    files = {
        path.name[len(before) : len(path.name) - len(after)]: path
        for path in sorted(folder.glob(pattern))
        if not path.name.startswith(".")
    }
    if not files:
        raise InputError(f"{folder}: holds no {pattern}. {instructions}")
    return files


def read_mask(path: Path) -> np.ndarray:
    """Reads a mask file as uint8 `(height, width)`; RGB files must hold shades of grey.

    Raises:
        InputError: If the file cannot be read or is in colour.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from sharpunet.data.pairs import read_mask
        >>> Image.new("RGB", (4, 3), "white").save("mask.png")
        >>> read_mask(Path("mask.png")).shape
        (3, 4)
    """
    mask = read_image(path)
    if mask.ndim == 3:
        if (mask != mask[:, :, :1]).any():
            raise InputError(f"{path}: the mask is in colour; 0 and 255 are expected")
        mask = mask[:, :, 0]
    return mask


def check_pairs(images: Mapping[str, object], masks: Mapping[str, object]) -> list[str]:
    """Checks that every image has a mask and every mask an image.

    Args:
        images: Names of the images, for messages, by key.
        masks: Names of the masks by the same keys.

    Returns:
        The keys in order.

    Raises:
        InputError: If an image has no mask or a mask no image.

    Example:
        >>> from sharpunet.data.pairs import check_pairs
        >>> check_pairs({"b": "b.jpg", "a": "a.jpg"}, {"a": "a.png", "b": "b.png"})
        ['a', 'b']
    """
    alone = sorted(images.keys() - masks.keys())
    strays = sorted(masks.keys() - images.keys())
    if alone:
        cure = "add one or remove the image"
        if strays:
            others = _names(masks, strays)
            cure = f"add one, or rename that of these masks which is meant: {others}"
        raise InputError(f"{images[alone[0]]}: the image has no mask; {cure}{_more(images, alone)}")
    if strays:
        raise InputError(
            f"{masks[strays[0]]}: the mask has no image; add one or remove the mask"
            + _more(masks, strays)
        )
    return sorted(images)


def _names(files: Mapping[str, object], keys: Sequence[str]) -> str:
    return list_files([Path(str(files[key])).name for key in keys])


def _more(files: Mapping[str, object], keys: Sequence[str]) -> str:
    """The other files with the same fault, for the end of a message."""
    return f" ({len(keys)} in all: {_names(files, keys)})" if len(keys) > 1 else ""


def pair_files(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    *,
    id_of: Callable[[str], str] = str,
    group_of: Callable[[str], str] | None = None,
    image: Callable[[Path], np.ndarray] = read_image,
    mask: Callable[[Path], np.ndarray] = read_mask,
) -> list[Sample]:
    """Pairs images with masks.

    Args:
        images: Image files by key.
        masks: Mask files by the same keys.
        id_of: Converts a key to the sample's id.
        group_of: Converts a key to the sample's group; each image is its own if None.
        image: Reads an image.
        mask: Reads a mask.

    Returns:
        One sample per image, in the order of their ids.

    Raises:
        InputError: If an image has no mask or a mask no image.

    Example:
        >>> from pathlib import Path
        >>> from sharpunet.data.pairs import pair_files
        >>> [sample.id for sample in pair_files({"1": Path("1.jpg")}, {"1": Path("1.png")})]
        ['1']
    """
    samples = [
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
    return sorted(samples, key=lambda sample: sample.id)
