"""Objects that are too small for the size at which networks are trained."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from melanet.data import ImageDataset
from melanet.data.files import list_files


def find_vanished(
    dataset: ImageDataset,
    image_size: Sequence[int] | None = None,
    keep_aspect_ratio: bool | None = None,
) -> list[str]:
    """Finds masks that lose all their foreground when they are resized as `load_dataset` does.

    Args:
        dataset: The images and masks.
        image_size: `(height, width)`; the dataset's own if None.
        keep_aspect_ratio: Whether resizing pads; as the dataset says if None.

    Returns:
        Ids of the images, in the dataset's order.

    Example:
        >>> from sharpunet.data import prepare
        >>> from sharpunet.data.vanishing import find_vanished
        >>> find_vanished(prepare("phantom", ".", "prepared/phantom"))
        []
    """
    size = tuple(image_size or dataset.info.image_size)
    keep = dataset.info.keep_aspect_ratio if keep_aspect_ratio is None else keep_aspect_ratio

    def vanishes(path: str) -> bool:
        with Image.open(path) as image:
            mask = np.asarray(image)
        return not _sampled(mask, size, keep).any() and bool(mask.any())

    ids = dataset.ids()
    with ThreadPoolExecutor() as pool:
        gone = list(pool.map(vanishes, dataset.paths(ids, "mask_file_name")))
    return [id for id, is_gone in zip(ids, gone, strict=True) if is_gone]


def warn_of_vanished(
    dataset: ImageDataset,
    image_size: Sequence[int] | None = None,
    keep_aspect_ratio: bool | None = None,
) -> None:
    """Warns of what `find_vanished` finds, whose arguments these are.

    Example:
        >>> from sharpunet.data import prepare
        >>> from sharpunet.data.vanishing import warn_of_vanished
        >>> warn_of_vanished(prepare("phantom", ".", "prepared/phantom"))
    """
    vanished = find_vanished(dataset, image_size, keep_aspect_ratio)
    if vanished:
        height, width = image_size or dataset.info.image_size
        warnings.warn(
            f"{dataset.info.name}: the objects of {len(vanished)} of {len(dataset.metadata)} masks "
            f"vanish at {height} x {width}, where predicting nothing scores 1 for them: "
            f"{list_files(vanished)}; choose a larger --image-size, or cut the images into tiles",
            stacklevel=2,
        )


def _sampled(mask: np.ndarray, size: Sequence[int], keep: bool) -> np.ndarray:
    """The mask's pixels that resizing to the nearest value takes, in TensorFlow's arithmetic."""
    shape = np.array(mask.shape, "float32")
    target = np.array(size, "float32")
    if keep:
        target = np.maximum(1, np.floor(shape / np.max(shape / target)))
    rows, columns = (
        np.minimum(
            np.floor((np.arange(int(count), dtype="float32") + np.float32(0.5)) * (side / count)),
            side - 1,
        ).astype(int)
        for side, count in zip(shape, target, strict=True)
    )
    return mask[np.ix_(rows, columns)]
