"""From datasets on disk to `tf.data`: what all pipelines share, and those of chapter 2."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from melanet.data.caching import Cache, cached_elements, resized_copies
from melanet.data.dataset import ImageDataset, open_dataset
from melanet.data.errors import InputError
from melanet.data.new_images import find_images, read_new_image
from melanet.saving import ModelInfo

Scaling = Literal["min_max", "unit", "none"]
#: A dataset or its folder; with ids, only these of its images.
Subset = ImageDataset | str | Path | tuple[ImageDataset | str | Path, Sequence[str]]


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
            images = in_order(partial(_shuffled, count=count, seed=place, number=number))
            if flip:
                images = _flipped(images, count, place, number)
            parts.append(images.batch(batch_size, drop_remainder=True).map(to_tanh_range))
        return tf.data.Dataset.zip(*parts)

    batches = min(count for _, count in opened) // batch_size
    return _prefetched(per_epoch(one_epoch, batches, epoch_counter))


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
    return _prefetched(in_order(lambda images: images).batch(batch_size).map(to_tanh_range))


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
    return _prefetched(counted.batch(batch_size))


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
    resized = resize(tf.convert_to_tensor(pixels), info.image_size, "area", info.keep_aspect_ratio)
    return scaler(info.scaling)(to_8_bits(resized)).numpy()


def open_subset(subset: Subset) -> tuple[ImageDataset, list[str]]:
    """The dataset of a subset, opened if only its folder is given, and the ids of its images.

    Raises:
        InputError: If a folder holds no dataset, or no image is chosen.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.loading import open_subset
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> len(open_subset(lesions)[1]), open_subset((lesions, ["phantom-0000"]))[1]
        (225, ['phantom-0000'])
    """
    dataset, ids = subset if isinstance(subset, tuple) else (subset, None)
    if not isinstance(dataset, ImageDataset):
        dataset = open_dataset(dataset)
    ids = dataset.ids() if ids is None else list(ids)
    if not ids:
        raise InputError(f"{dataset.folder}: no image was chosen")
    return dataset, ids


def training_ids(dataset: ImageDataset, ids: Sequence[str] | None = None) -> list[str]:
    """`ids`, or those of all images that the official split does not keep for testing.

    Raises:
        InputError: If an id is unknown, or there are no images.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.loading import training_ids
        >>> len(training_ids(prepare("phantom", ".", "prepared/melanet/phantom")))
        150
    """
    if ids is None:
        ids = dataset.metadata["id"][dataset.metadata["split"] != "test"]
    dataset.paths(list(ids))  # names an unknown id
    return open_subset((dataset, list(ids)))[1]


def check_mergeable(subsets: Sequence[tuple[ImageDataset, Sequence[str]]]) -> None:
    """Checks that there are subsets, and that all have the number of channels of the first.

    Raises:
        InputError: If there are none, or one has other channels.

    Example:
        >>> from melanet.data.loading import check_mergeable
        >>> check_mergeable([])
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: no dataset was given; give one or more
    """
    if not subsets:
        raise InputError("no dataset was given; give one or more")
    first = subsets[0][0]
    for dataset, _ in subsets:
        if dataset.info.channels != first.info.channels:
            raise InputError(f"{dataset.folder}: its channels differ from those of {first.folder}")


def decode(path: tf.Tensor, channels: int) -> tf.Tensor:
    """Reads a PNG as uint8 `(height, width, channels)`, in a graph.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.loading import decode
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> tuple(decode(lesions.paths(["phantom-0000"])[0], 3).shape)
        (64, 64, 3)
    """
    return tf.io.decode_png(tf.io.read_file(path), channels=channels)


def resize(
    image: tf.Tensor, size: tuple[int, int], method: str, keep_aspect_ratio: bool
) -> tf.Tensor:
    """Resizes an image; where the aspect ratio is kept, it is centred on black.

    Args:
        image: `(height, width, channels)`.
        size: `(height, width)` in pixels.
        method: As in `tf.image.resize`: `"area"` for images, `"nearest"` for masks.
        keep_aspect_ratio: Whether to pad instead of stretching.

    Example:
        >>> import numpy as np
        >>> from melanet.data.loading import resize
        >>> wide = np.ones((4, 8, 1), "float32")
        >>> resize(wide, (4, 4), "area", True).numpy()[:, 0, 0].tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    if keep_aspect_ratio:
        return tf.image.resize_with_pad(image, *size, method=method)
    return tf.image.resize(image, size, method=method)


def to_8_bits(image: tf.Tensor) -> tf.Tensor:
    """Rounds pixel values in [0, 255] to uint8.

    Example:
        >>> from melanet.data.loading import to_8_bits
        >>> to_8_bits([0.4, 254.6]).numpy().tolist()
        [0, 255]
    """
    return tf.cast(tf.round(image), tf.uint8)


def scale_min_max(images: tf.Tensor) -> tf.Tensor:
    """Scales images to [0, 1], each by its own minimum and maximum (eq. 2.7); a constant one to 0.

    Args:
        images: An image, `(height, width, channels)`, or a batch.

    Example:
        >>> from melanet.data.loading import scale_min_max
        >>> scale_min_max([[[50], [100], [150]]]).numpy().ravel().tolist()
        [0.0, 0.5, 1.0]
    """
    images = tf.cast(images, tf.float32)
    low = tf.reduce_min(images, axis=(-3, -2, -1), keepdims=True)
    high = tf.reduce_max(images, axis=(-3, -2, -1), keepdims=True)
    return tf.math.divide_no_nan(images - low, high - low)


def scaler(scaling: Scaling) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function that scales an image or a batch as `scaling` says, see `load_dataset`.

    Raises:
        ValueError: If `scaling` is unknown.

    Example:
        >>> from melanet.data.loading import scaler
        >>> scaler("unit")([0, 255]).numpy().tolist()
        [0.0, 1.0]
    """
    scalers = {
        "min_max": scale_min_max,
        "unit": lambda image: tf.cast(image, tf.float32) / 255,
        "none": lambda image: tf.cast(image, tf.float32),
    }
    if scaling not in scalers:
        raise ValueError(f"`scaling` must be one of {', '.join(scalers)}. Received: {scaling!r}")
    return scalers[scaling]


def to_tanh_range(image: tf.Tensor) -> tf.Tensor:
    """Scales pixel values from [0, 255] to [-1, 1], as the generators expect them.

    Example:
        >>> from melanet.data.loading import to_tanh_range
        >>> to_tanh_range([0, 255]).numpy().tolist()
        [-1.0, 1.0]
    """
    return tf.cast(image, tf.float32) / 127.5 - 1


def make_epoch_counter() -> tf.Variable:
    """Makes a counter of epochs, 0 at first, for the `epoch_counter` of a loader.

    Example:
        >>> from melanet.data.loading import make_epoch_counter
        >>> int(make_epoch_counter())
        0
    """
    return tf.Variable(0, dtype=tf.int64, trainable=False)


def per_epoch(
    make: Callable[[tf.Tensor], tf.data.Dataset],
    count: int,
    epoch_counter: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Makes a dataset that differs every time it is read: `make(number of the epoch)`.

    The number alone tells epochs apart, so that training can resume with any of them.

    Args:
        make: From an int64 scalar, 1 for the first epoch, to a dataset of `count` elements.
        count: Their number.
        epoch_counter: Counts the epochs that were begun; a counter of its own if None.

    Example:
        >>> import tensorflow as tf
        >>> from melanet.data.loading import per_epoch
        >>> numbers = per_epoch(lambda epoch: tf.data.Dataset.from_tensors(10 * epoch), 1)
        >>> [int(n) for _ in range(2) for n in numbers]
        [10, 20]
    """
    begun = make_epoch_counter() if epoch_counter is None else epoch_counter
    whole = tf.data.Dataset.from_tensors(0).flat_map(lambda _: make(begun.assign_add(1)))
    return whole.apply(tf.data.experimental.assert_cardinality(count))


def ordered_batches(
    elements: tf.data.Dataset,
    decode: Callable[..., Any],
    finish: Callable[..., Any],
    *,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    cache: Cache = "memory",
    element_bytes: int = 0,
    epoch_counter: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Decodes, orders and batches; see `load_dataset` for the other arguments.

    Args:
        elements: What is known of each image, such as its file and its label.
        decode: From an element to one that is decoded, as 8 bits.
        finish: From a batch of decoded elements to what is loaded.
        element_bytes: Bytes of a decoded element, about.

    Example:
        >>> import tensorflow as tf
        >>> from melanet.data.loading import ordered_batches
        >>> numbers = tf.data.Dataset.range(5)
        >>> batches = ordered_batches(numbers, lambda n: 2 * n, lambda n: n + 1, batch_size=3)
        >>> [batch.numpy().tolist() for batch in batches]
        [[1, 3, 5], [7, 9]]
    """
    count = int(elements.cardinality())
    if shuffle:  # the first epoch has this order, so that it need not wait for all images
        elements = _shuffled(elements, count, seed, tf.constant(1, tf.int64))
    in_order = cached_elements(elements, decode, cache, element_bytes * count)
    if shuffle:

        def one_epoch(number):
            return in_order(lambda images: _shuffled(images, count, seed, number, first=1))

        decoded = per_epoch(one_epoch, count, epoch_counter)
    else:
        decoded = in_order(lambda images: images)
    return _prefetched(decoded.batch(batch_size).map(finish))


def _shuffled(
    dataset: tf.data.Dataset, count: int, seed: int, number: tf.Tensor, *, first: int = 0
) -> tf.data.Dataset:
    """The order of one epoch, given by `seed` and its number; as it is in the epoch `first`."""
    mixed = tf.random.stateless_uniform([], [seed, number], None, None, tf.int64)
    # Of this function's graph alone: the order must not depend on the global seed.
    tf.random.set_seed(1)
    buffer = tf.where(number == first, tf.constant(1, tf.int64), count)
    return dataset.shuffle(buffer, seed=mixed, reshuffle_each_iteration=False)


def _prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prepares elements ahead of their use.

    Without tf.data's autotuning: its thread sleeps ever longer, and the end of every epoch waits
    for it to wake, which about doubles an epoch of a small dataset.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)


def image_files(
    dataset: ImageDataset,
    ids: Sequence[str],
    size: tuple[int, int],
    keep_aspect_ratio: bool | None,
    column: str = "file_name",
    method: str = "area",
    *,
    cache: Cache,
) -> tuple[np.ndarray, np.ndarray]:
    """The files of images, and of each whether its aspect ratio is kept.

    With `cache="disk"` they are copies of the wanted size, made now.

    Args:
        dataset, ids: The images.
        size: `(height, width)` in pixels.
        keep_aspect_ratio: As the dataset says if None.
        column: `"file_name"`, or `"mask_file_name"`.
        method: As in `resize`.
        cache: See `load_dataset`.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.loading import image_files
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> paths, keep = image_files(lesions, lesions.ids()[:2], (32, 32), None, cache="none")
        >>> len(paths), keep.tolist()
        (2, [False, False])
    """
    keep = dataset.info.keep_aspect_ratio if keep_aspect_ratio is None else keep_aspect_ratio
    paths = dataset.paths(ids, column)
    if cache == "disk":

        def resized(path: str) -> np.ndarray:
            channels = dataset.info.channels if column == "file_name" else 1
            return decode_resized((path, keep), channels, size, method).numpy()

        name = f"{size[0]}x{size[1]}-{'padded' if keep else 'stretched'}"
        paths = resized_copies(dataset, paths, name, resized)
    return np.array(paths), np.full(len(paths), keep)


def merged(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Joins what is known of the images of several datasets.

    Example:
        >>> import numpy as np
        >>> from melanet.data.loading import merged
        >>> merged([(np.array(["a.png"]),), (np.array(["b.png"]),)])[0].tolist()
        ['a.png', 'b.png']
    """
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def decode_resized(
    file: tuple[tf.Tensor | str, tf.Tensor | bool],
    channels: int,
    size: tuple[int, int],
    method: str = "area",
) -> tf.Tensor:
    """Reads a PNG and resizes it: uint8 `(*size, channels)`, in a graph.

    Args:
        file: One of `image_files`: its path, and whether its aspect ratio is kept.
        channels: 1 or 3.
        size: `(height, width)` in pixels.
        method: As in `resize`.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.loading import decode_resized
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> (path,) = lesions.paths(["phantom-0000"])
        >>> decode_resized((path, True), 3, (16, 24)).shape.as_list()
        [16, 24, 3]
    """
    path, keep_aspect_ratio = file
    image = decode(path, channels)
    resized = tf.cond(
        keep_aspect_ratio,
        lambda: tf.cast(resize(image, size, method, True), tf.float32),
        lambda: tf.cast(resize(image, size, method, False), tf.float32),
    )
    return tf.ensure_shape(to_8_bits(resized), (*size, channels))


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
