"""From prepared sets to `tf.data`: labelled images for classifiers, unpaired for a CycleGAN."""

from collections.abc import Sequence

import tensorflow as tf

from melanet.data.prepared import InputError, PreparedSet
from melanet.data.stream import each_pass, prefetched, scale_min_max, shuffled

#: A prepared set, whole or with the ids that are meant.
Part = PreparedSet | tuple[PreparedSet, Sequence[str]]


def load_dataset(
    *parts: Part,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    shuffle: bool = False,
    seed: int = 0,
    cache: bool = True,
    keep_aspect_ratio: bool | None = None,
    passes: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Batches of images and one-hot labels, of one prepared set or of several merged.

    Images are resized by area; where the aspect ratio is kept, they are centred in black. Then
    each image, its black margin included, is scaled by its own minimum and maximum (eq. 2.7).

    Args:
        *parts: Prepared sets, each whole or as `(set, ids)`. The first one's labels are those of
            all: of a set with other labels, only images with one of these can join.
        image_size: `(height, width)`; the first set's own if None.
        batch_size: Images a batch; the last one may have fewer.
        shuffle: Whether every pass has another order, drawn from `seed`.
        seed: Seed of the shuffling.
        cache: Whether the decoded images stay in memory after the first pass.
        keep_aspect_ratio: Whether resizing pads rather than stretches; as each set says if None.
        passes: Counts the shuffled passes that were begun, a `pass_counter`: set it, and a training
            goes on with the order that is next.

    Returns:
        A dataset of `(images, labels)`: float32 `(batch, height, width, channels)` in [0, 1] and
        float32 one-hot `(batch, classes)`.

    Raises:
        InputError: If there is no image, an id is unknown, or an image's label or channels are
            not the first set's.
    """
    rows = [_rows(part) for part in parts]
    first = rows[0][0]
    size = image_size or first.description.image_size
    merged = None
    for prepared, ids in rows:
        if prepared.description.channels != first.description.channels:
            raise InputError(f"{prepared.folder}: its channels differ from those of {first.folder}")
        images = _images(prepared, ids, size, keep_aspect_ratio).map(scale_min_max)
        part_of = tf.data.Dataset.zip(images, _labels(prepared, ids, first.description.labels))
        merged = part_of if merged is None else merged.concatenate(part_of)
    count = sum(len(ids) for _, ids in rows)
    return prefetched(_ordered(merged, count, shuffle, seed, cache, passes).batch(batch_size))


def load_unpaired(
    first: Part,
    second: Part,
    *,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 1,
    seed: int = 0,
    flip: bool = False,
    keep_aspect_ratio: bool | None = None,
    passes: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Batches of images of two domains for `CycleGAN.fit`, each shuffled by itself.

    Args:
        first, second: Prepared sets, each whole or as `(set, ids)`. A pass ends with the smaller.
        image_size: `(height, width)`; the first set's own if None.
        batch_size: Images of each domain a batch; the thesis trains with 1.
        seed: Seed of the orders, which differ from pass to pass, and of the flips.
        flip: Whether an image is mirrored half of the times, as the released code does.
        keep_aspect_ratio: Whether resizing pads rather than stretches; as each set says if None.
        passes: As in `load_dataset`.

    Returns:
        A dataset of `(first, second)`, both float32 `(batch, height, width, channels)` in [-1, 1].

    Raises:
        InputError: If there is no image, an id is unknown, or a domain has fewer than a batch.
    """
    domains = []
    for part in (first, second):
        prepared, ids = _rows(part)
        if len(ids) < batch_size:
            raise InputError(
                f"{prepared.folder}: {len(ids)} images are fewer than a batch of {batch_size}"
            )
        size = image_size or prepared.description.image_size
        images = _images(prepared, ids, size, keep_aspect_ratio).map(to_symmetric).cache()
        domains.append((images, len(ids)))

    def one_pass(number):
        parts = []
        for offset, (images, count) in enumerate(domains):
            ordered = shuffled(images, count, 2 * seed + offset, number)
            parts.append(_flipped(ordered, count, 2 * seed + offset, number) if flip else ordered)
        return tf.data.Dataset.zip(*(part.batch(batch_size, drop_remainder=True) for part in parts))

    batches = min(count for _, count in domains) // batch_size
    return prefetched(each_pass(one_pass, batches, passes))


def load_symmetric(
    part: Part,
    *,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    keep_aspect_ratio: bool | None = None,
) -> tf.data.Dataset:
    """Batches of images in [-1, 1], in their order, for `CycleGAN.translate`.

    Arguments and what is raised are those of `load_dataset`.
    """
    prepared, ids = _rows(part)
    size = image_size or prepared.description.image_size
    images = _images(prepared, ids, size, keep_aspect_ratio).map(to_symmetric)
    return prefetched(images.batch(batch_size))


def training_ids(prepared: PreparedSet, ids: Sequence[str] | None = None) -> list[str]:
    """`ids`, or those of all images that the official split does not keep for testing.

    Raises:
        InputError: If an id is unknown, or there is no image.
    """
    if ids is None:
        ids = prepared.manifest["id"][prepared.manifest["split"] != "test"]
    prepared.paths(list(ids), "image")  # names an unknown id
    return _rows((prepared, list(ids)))[1]


def to_symmetric(image: tf.Tensor) -> tf.Tensor:
    """Scales pixel values from [0, 255] to [-1, 1], as the generators expect them."""
    return tf.cast(image, tf.float32) / 127.5 - 1


def _rows(part: Part) -> tuple[PreparedSet, list[str]]:
    prepared, ids = part if isinstance(part, tuple) else (part, part.manifest["id"])
    if not len(ids):
        raise InputError(f"{prepared.folder}: no image was chosen")
    return prepared, list(ids)


def _images(prepared, ids, size, keep_aspect_ratio):
    """Decoded and resized images with values in [0, 255]."""
    description = prepared.description
    keep = description.keep_aspect_ratio if keep_aspect_ratio is None else keep_aspect_ratio

    def load(path):
        image = tf.io.decode_png(tf.io.read_file(path), channels=description.channels)
        if keep:
            return tf.image.resize_with_pad(image, *size, method="area")
        return tf.image.resize(image, size, method="area")

    paths = prepared.paths(ids, "image")
    return tf.data.Dataset.from_tensor_slices(paths).map(load, tf.data.AUTOTUNE)


def _labels(prepared, ids, labels):
    names = prepared.manifest.set_index("id")["label"].loc[ids]
    for id, name in names.items():
        if name not in labels:
            raise InputError(
                f"{prepared.folder}: the label {name!r} of {id} is none of {', '.join(labels)}"
            )
    places = [labels.index(name) for name in names]
    return tf.data.Dataset.from_tensor_slices(tf.one_hot(places, len(labels)))


def _ordered(images, count, shuffle, seed, cache, passes):
    if cache:
        images = images.cache()
    if not shuffle:
        return images
    return each_pass(lambda number: shuffled(images, count, seed, number), count, passes)


def _flipped(images, count, seed, number):
    """Mirrors each image half of the times; which, `seed` and the pass's number say."""
    draws = tf.random.stateless_uniform([count], [seed, number])
    return tf.data.Dataset.zip(images, tf.data.Dataset.from_tensor_slices(draws)).map(
        lambda image, draw: tf.where(draw < 0.5, tf.image.flip_left_right(image), image)
    )
