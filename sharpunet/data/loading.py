"""From datasets with masks to `tf.data`."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from melanet.data import ImageDataset, InputError
from melanet.data.caching import Cache
from melanet.data.pipelines import image_files, merged, ordered_batches
from melanet.data.pixels import Scaling, decode_resized, scaler
from melanet.data.subsets import Subset, check_mergeable, open_subset


def load_dataset(
    *subsets: Subset,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    shuffle: bool = False,
    seed: int = 0,
    cache: Cache = "memory",
    keep_aspect_ratio: bool | None = None,
    scaling: Scaling = "min_max",
    epoch_counter: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Loads batches of images and masks, of one dataset or of several merged.

    Images are resized by area, to 8 bits, masks to the nearest value; where the aspect ratio is
    kept, both are centred on black (background). Then each image, its black margin included, is
    scaled by its own minimum and maximum (eq. 2.7); a constant image becomes 0.

    Args:
        *subsets: Datasets or their folders; `(dataset, ids)` for some of the images, in that
            order. All have the channels and classes of the first.
        image_size: `(height, width)` in pixels; the first dataset's own if None.
        batch_size: Images per batch; the last batch may be smaller.
        shuffle: Whether every epoch has another order, drawn from `seed`.
        seed: Seed of the shuffling.
        cache: Where resized images and masks stay after the first epoch, as 8 bits: see
            `melanet.data.caching`. No choice changes what is loaded.
        keep_aspect_ratio: Whether resizing pads instead of stretching; as each dataset says if
            None.
        scaling: How pixels are scaled: `"min_max"`, each image by its own minimum and maximum (eq.
            2.7); `"unit"`, divided by 255; `"none"`, left in [0, 255].
        epoch_counter: Counts the epochs that were begun, see
            `melanet.data.pipelines.make_epoch_counter`. Set it to resume with the order of a later
            epoch.

    Returns:
        A dataset of `(images, masks)`: float32 `(batch, height, width, channels)`, in [0, 1]
        unless `scaling` is `"none"`, and float32 0 or 1, `(batch, height, width, classes)`,
        one-hot for more than one class.

    Raises:
        InputError: If there are no images, an id is unknown, a dataset has no masks, or its
            channels or classes are not the first dataset's.

    Example:
        >>> from sharpunet.data import load_dataset, prepare
        >>> phantom = prepare("phantom", ".", "prepared/phantom")
        >>> images, masks = next(iter(load_dataset((phantom, phantom.ids()[:3]))))
        >>> tuple(images.shape), tuple(masks.shape)
        ((3, 64, 64, 1), (3, 64, 64, 1))
    """
    chosen = [open_subset(subset) for subset in subsets]
    check_mergeable(chosen)
    first = chosen[0][0]
    size = image_size or first.info.image_size
    for dataset, _ in chosen:
        if dataset.info.labels:
            raise InputError(
                f"{dataset.folder}: has labels but no masks; melanet.data.load_dataset loads it"
            )
        if dataset.info.classes != first.info.classes:
            raise InputError(f"{dataset.folder}: its classes differ from those of {first.folder}")
    scale, classes, channels = scaler(scaling), first.info.classes, first.info.channels
    return ordered_batches(
        tf.data.Dataset.from_tensor_slices(_files(chosen, size, keep_aspect_ratio, cache)),
        lambda image, mask: (
            decode_resized(image, channels, size),
            decode_resized(mask, 1, size, "nearest"),
        ),
        lambda images, masks: (scale(images), _encode(masks, classes)),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        cache=cache,
        element_bytes=math.prod(size) * (channels + 1),
        epoch_counter=epoch_counter,
    )


def _files(
    chosen: Sequence[tuple[ImageDataset, Sequence[str]]],
    size: tuple[int, int],
    keep: bool | None,
    cache: Cache,
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Of images and of masks: their files, and whether their aspect ratios are kept."""
    kinds = ("file_name", "area"), ("mask_file_name", "nearest")
    images, masks = (
        [image_files(dataset, ids, size, keep, *kind, cache=cache) for dataset, ids in chosen]
        for kind in kinds
    )
    return merged(images), merged(masks)


def _encode(masks: tf.Tensor, classes: int) -> tf.Tensor:
    if classes == 1:
        return tf.cast(masks > 0, tf.float32)
    return tf.one_hot(masks[..., 0], classes)
