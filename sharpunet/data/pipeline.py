"""From any prepared set to `tf.data`."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from sharpunet.data.prepared import InputError, PreparedSet, read_prepared
from sharpunet.data.stream import each_pass, prefetched, scale_min_max, shuffled


def load_dataset(
    prepared: str | Path | PreparedSet,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    shuffle: bool = False,
    seed: int = 0,
    cache: bool = True,
    passes: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Batches of images and masks of a prepared set.

    Images are resized by area, masks to the nearest value; where the set keeps the aspect ratio,
    both are centred in black (background). Then each image, its black margin included, is scaled
    by its own minimum and maximum (eq. 2.7); a constant image becomes 0.

    Args:
        prepared: A prepared set or its folder.
        ids: Images to take, in this order; all, in the manifest's order, if None.
        image_size: `(height, width)`; the set's own if None.
        batch_size: Images a batch; the last one may have fewer.
        shuffle: Whether every pass has another order, drawn from `seed`.
        seed: Seed of the shuffling.
        cache: Whether the decoded images stay in memory after the first pass.
        passes: Counts the shuffled passes that were begun, a `pass_counter`: set it, and a training
            goes on with the order that is next.

    Returns:
        A dataset of `(images, masks)`: float32 `(batch, height, width, channels)` in [0, 1], and
        float32 0 or 1, `(batch, height, width, classes)`, one-hot for more than one class.

    Raises:
        InputError: If the set is not one, an id is unknown, or there is no image.
    """
    if not isinstance(prepared, PreparedSet):
        prepared = read_prepared(prepared)
    ids = list(prepared.manifest["id"]) if ids is None else list(ids)
    if not ids:
        raise InputError(f"{prepared.folder}: no image was chosen")
    description = prepared.description
    size = image_size or description.image_size

    def load(image_path, mask_path):
        image = tf.io.decode_png(tf.io.read_file(image_path), channels=description.channels)
        mask = tf.io.decode_png(tf.io.read_file(mask_path), channels=1)
        image = _resize(image, size, "area", description.keep_aspect_ratio)
        mask = _resize(mask, size, "nearest", description.keep_aspect_ratio)
        return scale_min_max(image), _encode(mask, description.classes)

    paths = prepared.paths(ids, "image"), prepared.paths(ids, "mask")
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(load, tf.data.AUTOTUNE)
    if cache:
        dataset = dataset.cache()
    if shuffle:
        images = dataset
        dataset = each_pass(
            lambda number: shuffled(images, len(ids), seed, number), len(ids), passes
        )
    return prefetched(dataset.batch(batch_size))


def _resize(image, size, method, keep_aspect_ratio):
    if keep_aspect_ratio:
        return tf.image.resize_with_pad(image, *size, method=method)
    return tf.image.resize(image, size, method=method)


def _encode(mask, classes):
    if classes == 1:
        return tf.cast(mask > 0, tf.float32)
    return tf.one_hot(tf.cast(mask[:, :, 0], tf.int32), classes)
