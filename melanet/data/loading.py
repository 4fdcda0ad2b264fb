"""From datasets on disk to `tf.data`: labels, unpaired domains, new images."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from melanet.data.caching import Cache, cached_elements
from melanet.data.dataset import ImageDataset
from melanet.data.errors import InputError
from melanet.data.new_images import find_images, read_new_image
from melanet.data.pipelines import (
    image_files,
    merged,
    ordered_batches,
    per_epoch,
    prefetched,
    shuffled,
)
from melanet.data.pixels import (
    Scaling,
    decode_resized,
    resize,
    scaler,
    to_8_bits,
    to_tanh_range,
)
from melanet.data.subsets import Subset, check_mergeable, open_subset
from melanet.saving import ModelInfo


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
    """Loads batches of images and one-hot labels, of one dataset or of several merged.

    Images are resized by area, to 8 bits; where the aspect ratio is kept, they are centred on
    black. Then each image, its black margin included, is scaled by its own minimum and
    maximum (eq. 2.7).

    Args:
        *subsets: Datasets or their folders; `(dataset, ids)` for some of the images, in that
            order. The labels are the first one's: other datasets may join with images of these.
        image_size: `(height, width)` in pixels; the first dataset's own if None.
        batch_size: Images per batch; the last batch may be smaller.
        shuffle: Whether every epoch has another order, drawn from `seed`.
        seed: Seed of the shuffling.
        cache: Where resized images stay after the first epoch, as 8 bits: see
            `melanet.data.caching`. No choice changes what is loaded.
        keep_aspect_ratio: Whether resizing pads instead of stretching; as each dataset says if
            None.
        scaling: How pixels are scaled: `"min_max"`, each image by its own minimum and maximum (eq.
            2.7); `"unit"`, divided by 255; `"none"`, left in [0, 255].
        epoch_counter: Counts the epochs that were begun, see `make_epoch_counter`. Set it to
            resume with the order of a later epoch.

    Returns:
        A dataset of `(images, labels)`: float32 `(batch, height, width, channels)`, in [0, 1]
        unless `scaling` is `"none"`, and float32 one-hot `(batch, classes)`.

    Raises:
        InputError: If there are no images, an id is unknown, a dataset has no labels, or an
            image's label or channels are not the first dataset's.

    Example:
        >>> from melanet.data import load_dataset, prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> training = load_dataset((lesions, lesions.ids(split="train")), shuffle=True)
        >>> [tuple(spec.shape) for spec in training.element_spec]
        [(None, 64, 64, 3), (None, 2)]
    """
    chosen = [open_subset(subset) for subset in subsets]
    check_mergeable(chosen)
    first = chosen[0][0]
    size, scale = image_size or first.info.image_size, scaler(scaling)
    files = [
        image_files(dataset, ids, size, keep_aspect_ratio, cache=cache) for dataset, ids in chosen
    ]
    labels = [_one_hot_labels(dataset, ids, first.info.labels) for dataset, ids in chosen]
    return ordered_batches(
        tf.data.Dataset.from_tensor_slices((merged(files), np.concatenate(labels))),
        lambda file, label: (decode_resized(file, first.info.channels, size), label),
        lambda images, labels: (scale(images), labels),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        cache=cache,
        element_bytes=math.prod(size) * first.info.channels,
        epoch_counter=epoch_counter,
    )


def load_unpaired(
    *domains: Subset,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 1,
    seed: int = 0,
    flip: bool = False,
    cache: Cache = "memory",
    keep_aspect_ratio: bool | None = None,
    epoch_counter: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Loads batches of images of two domains or more, each shuffled by itself.

    Those of two are for `CycleGAN.fit`. `with_labels` makes those of any number what `StarGAN.fit`
    takes.

    Args:
        *domains: Images of each domain, as in `load_dataset`. An epoch ends with the smallest.
        image_size: `(height, width)` in pixels; the first dataset's own if None.
        batch_size: Images of each domain per batch; the thesis trains with 1.
        seed: Seed of the orders, which differ between epochs, and of the flips.
        flip: Whether to mirror half of the images at random, as the released code does.
        cache: As in `load_dataset`.
        keep_aspect_ratio: Whether resizing pads instead of stretching; as each dataset says if
            None.
        epoch_counter: As in `load_dataset`.

    Returns:
        A dataset of one part per domain, `(first, second)` of two, each float32 `(batch, height,
        width, channels)` in [-1, 1].

    Raises:
        InputError: If there are no images, an id is unknown, or a domain has less than a batch.

    Example:
        >>> from melanet.data import load_unpaired, prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> benign, malignant = (lesions.ids(label=label) for label in lesions.info.labels)
        >>> int(load_unpaired((lesions, benign), (lesions, malignant)).cardinality())
        45
    """
    if len(domains) < 2:
        raise InputError(f"{len(domains)} domains were given; translation needs two or more")
    opened = []
    for dataset, ids in map(open_subset, domains):
        if len(ids) < batch_size:
            raise InputError(
                f"{dataset.folder}: {len(ids)} images are fewer than a batch of {batch_size}"
            )
        size = image_size or dataset.info.image_size
        opened.append(_domain(dataset, ids, size, keep_aspect_ratio, cache))

    def one_epoch(number):
        parts = []
        for place, (in_order, count) in enumerate(opened, start=len(opened) * seed):
            images = in_order(partial(shuffled, count=count, seed=place, number=number))
            if flip:
                images = _flipped(images, count, place, number)
            parts.append(images.batch(batch_size, drop_remainder=True).map(to_tanh_range))
        return tf.data.Dataset.zip(*parts)

    batches = min(count for _, count in opened) // batch_size
    return prefetched(per_epoch(one_epoch, batches, epoch_counter))


def with_labels(parts: tf.data.Dataset) -> tf.data.Dataset:
    """Joins the parts of `load_unpaired`, one per class, to batches of images and one-hot labels.

    Args:
        parts: A dataset of one batch of images per class, all of the same size.

    Returns:
        A dataset of `(images, labels)`: all images, class after class, and one-hot labels, float32
        `(images, classes)`.

    Example:
        >>> import tensorflow as tf
        >>> from melanet.data.loading import with_labels
        >>> parts = tf.data.Dataset.from_tensors((tf.zeros((2, 4, 4, 1)), tf.ones((2, 4, 4, 1))))
        >>> images, labels = next(iter(with_labels(parts)))
        >>> labels.numpy().argmax(axis=1).tolist()
        [0, 0, 1, 1]
    """

    def joined(*parts):
        labels = tf.repeat(tf.eye(len(parts)), tf.shape(parts[0])[0], axis=0)
        return tf.concat(parts, axis=0), labels

    return parts.map(joined)


def load_for_translation(
    subset: Subset,
    *,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    keep_aspect_ratio: bool | None = None,
) -> tf.data.Dataset:
    """Loads batches of images in [-1, 1], in their order, for `translate` of a model.

    See `load_dataset` for arguments and errors.

    Returns:
        A dataset of float32 `(batch, height, width, channels)`.

    Example:
        >>> from melanet.data import load_for_translation, prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> images = next(iter(load_for_translation(lesions, batch_size=4)))
        >>> tuple(images.shape), float(images.numpy().min()) >= -1
        ((4, 64, 64, 3), True)
    """
    dataset, ids = open_subset(subset)
    in_order, _ = _domain(
        dataset, ids, image_size or dataset.info.image_size, keep_aspect_ratio, cache="none"
    )
    return prefetched(in_order(lambda images: images).batch(batch_size).map(to_tanh_range))


def load_images(
    images: str | Path | Sequence[str | Path], info: ModelInfo, *, batch_size: int = 16
) -> tf.data.Dataset:
    """Loads batches of new images, which have neither masks nor labels, as a model takes them.

    The files are read one batch after the other, whatever their number; they are resized and
    scaled as those that the model was trained on.

    Args:
        images: A folder, which is searched with its subfolders, or files: PNG, JPEG, TIFF, BMP or
            DICOM.
        info: What the model needs, see `melanet.read_model_info`.
        batch_size: Images per batch; the last batch may be smaller.

    Returns:
        A dataset of float32 `(batch, height, width, channels)`, in the order of
        `melanet.data.new_images.find_images`.

    Raises:
        InputError: If there is no image. A file that cannot be read raises it, by its name, when
            its batch is read.

    Example:
        >>> from PIL import Image
        >>> from melanet import ModelInfo
        >>> from melanet.data import load_images
        >>> Image.new("L", (20, 30)).save("scan.png")
        >>> batches = load_images(["scan.png"], ModelInfo("segmentation", (16, 16), 1))
        >>> [tuple(batch.shape) for batch in batches]
        [(1, 16, 16, 1)]
    """
    paths = list(find_images(images).values())

    def prepared() -> Iterator[np.ndarray]:
        for path in paths:
            yield prepare_image(read_new_image(path, info.channels), info)

    spec = tf.TensorSpec((*info.image_size, info.channels), tf.float32)
    whole = tf.data.Dataset.from_generator(prepared, output_signature=spec)
    counted = whole.apply(tf.data.experimental.assert_cardinality(len(paths)))
    return prefetched(counted.batch(batch_size))


def prepare_image(pixels: np.ndarray, info: ModelInfo) -> np.ndarray:
    """Resizes and scales an image as those that a model was trained on.

    Args:
        pixels: `(height, width, channels)`, 0 to 255.
        info: What the model needs.

    Returns:
        float32 `(*info.image_size, channels)`.

    Example:
        >>> import numpy as np
        >>> from melanet import ModelInfo
        >>> from melanet.data.loading import prepare_image
        >>> info = ModelInfo("segmentation", (4, 4), 1)
        >>> prepare_image(np.eye(8)[..., None], info).shape
        (4, 4, 1)
    """
    height, width = info.image_size
    resized = resize(tf.convert_to_tensor(pixels), (height, width), "area", info.keep_aspect_ratio)
    return scaler(info.scaling)(to_8_bits(resized)).numpy()


def _domain(
    dataset: ImageDataset,
    ids: Sequence[str],
    size: tuple[int, int],
    keep_aspect_ratio: bool | None,
    cache: Cache,
) -> tuple[Callable[..., tf.data.Dataset], int]:
    """The images of one domain, to be read in any order, and their number."""
    channels = dataset.info.channels
    files = image_files(dataset, ids, size, keep_aspect_ratio, cache=cache)
    in_order = cached_elements(
        tf.data.Dataset.from_tensor_slices(files),
        lambda *file: decode_resized(file, channels, size),
        cache,
        len(ids) * math.prod(size) * channels,
    )
    return in_order, len(ids)


def _one_hot_labels(dataset: ImageDataset, ids: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    if not dataset.info.labels:
        raise InputError(
            f"{dataset.folder}: has masks but no labels; sharpunet.data.load_dataset loads it"
        )
    names = dataset.values("label", ids)
    for id, name in zip(ids, names, strict=True):
        if name not in labels:
            raise InputError(
                f"{dataset.folder}: the label {name!r} of {id} is none of {', '.join(labels)}"
            )
    return np.eye(len(labels), dtype="float32")[[labels.index(name) for name in names]]


def _flipped(images: tf.data.Dataset, count: int, seed: int, number: tf.Tensor) -> tf.data.Dataset:
    """Mirrors each image with probability 1/2, decided by `seed` and the epoch's number."""
    draws = tf.random.stateless_uniform([count], [seed, number])
    return tf.data.Dataset.zip(images, tf.data.Dataset.from_tensor_slices(draws)).map(
        lambda image, draw: tf.where(draw < 0.5, tf.image.flip_left_right(image), image)
    )
