"""From datasets with masks to `tf.data`."""

from collections.abc import Sequence

import tensorflow as tf

from melanet.data import ImageDataset, InputError
from melanet.data.loading import (
    Scaling,
    Subset,
    check_mergeable,
    decode,
    open_subset,
    ordered_batches,
    resize,
    scaler,
)


def load_dataset(
    *subsets: Subset,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    shuffle: bool = False,
    seed: int = 0,
    cache: bool = True,
    keep_aspect_ratio: bool | None = None,
    scaling: Scaling = "min_max",
    epoch_counter: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Loads batches of images and masks, of one dataset or of several merged.

    Images are resized by area, masks to the nearest value; where the aspect ratio is kept, both
    are centred on black (background). Then each image, its black margin included, is scaled by its
    own minimum and maximum (eq. 2.7); a constant image becomes 0.

    Args:
        *subsets: Datasets or their folders; `(dataset, ids)` for some of the images, in that
            order. All have the channels and classes of the first.
        image_size: `(height, width)` in pixels; the first dataset's own if None.
        batch_size: Images per batch; the last batch may be smaller.
        shuffle: Whether every epoch has another order, drawn from `seed`.
        seed: Seed of the shuffling.
        cache: Whether decoded images stay in memory after the first epoch.
        keep_aspect_ratio: Whether resizing pads instead of stretching; as each dataset says if
            None.
        scaling: How pixels are scaled: `"min_max"`, each image by its own minimum and maximum (eq.
            2.7); `"unit"`, divided by 255; `"none"`, left in [0, 255].
        epoch_counter: Counts the epochs that were begun, see
            `melanet.data.loading.make_epoch_counter`. Set it to resume with the order of a later
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
    parts = [_pairs(dataset, ids, size, keep_aspect_ratio, scaling) for dataset, ids in chosen]
    count = sum(len(ids) for _, ids in chosen)
    return ordered_batches(parts, count, batch_size, shuffle, seed, cache, epoch_counter)


def _pairs(
    dataset: ImageDataset,
    ids: Sequence[str],
    size: tuple[int, int],
    keep: bool | None,
    scaling: Scaling,
) -> tf.data.Dataset:
    info = dataset.info
    keep = info.keep_aspect_ratio if keep is None else keep
    scale = scaler(scaling)

    def load(image_path, mask_path):
        image = resize(decode(image_path, info.channels), size, "area", keep)
        mask = resize(decode(mask_path, 1), size, "nearest", keep)
        return scale(image), _encode(mask, info.classes)

    paths = dataset.paths(ids), dataset.paths(ids, "mask_file_name")
    return tf.data.Dataset.from_tensor_slices(paths).map(load, tf.data.AUTOTUNE)


def _encode(mask: tf.Tensor, classes: int) -> tf.Tensor:
    if classes == 1:
        return tf.cast(mask > 0, tf.float32)
    return tf.one_hot(tf.cast(mask[:, :, 0], tf.int32), classes)
