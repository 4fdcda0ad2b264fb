"""Offline augmentation: Augment-5x and Augment-10x of sections 2.3.1 and 2.3.2.

The thesis lists its transformations in the words of the package imgaug, where Gaussian noise is
drawn for every pixel and channel, and noise that is "sampled once per pixel" is grey.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Literal

import cv2
import keras
import numpy as np
from numpy.typing import ArrayLike

from melanet.data import DatasetInfo, ImageDataset, InputError, Sample, write_dataset
from melanet.data.dataset import open_existing
from melanet.data.readers.images import read_image
from melanet.data.subsets import training_ids

#: From an image, `(height, width, channels)`, and a random generator to the changed image.
Transformation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _gaussian_noise(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Adds noise that is drawn for every pixel and channel."""
    return image + random.normal(0, random.uniform(0.02, 0.06), image.shape)


def _noise_once_per_pixel(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Adds noise that is the same for all channels of a pixel."""
    deviation = random.uniform(0.02, 0.08)
    return image + random.normal(0, deviation, (*image.shape[:2], 1))


def _shifted_hue(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Changes hue and saturation in HSV space; grey images stay as they are."""
    if image.shape[-1] == 1:
        return image
    hsv = cv2.cvtColor(image.astype("float32"), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + random.uniform(-12, 12)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * random.uniform(0.7, 1.3), 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _with_layer(layer_class: type[keras.layers.Layer], *args, **kwargs) -> Transformation:
    """Makes a transformation of a random Keras layer."""

    @cache
    def layer():
        # Pixels must not depend on the dtype policy of what ran before.
        return layer_class(*args, **kwargs, seed=0, dtype="float32")

    def transform(image, random):
        # One layer for all images, because building one takes longer than using it.
        layer().generator.state.assign([int(random.integers(2**31)), 0])
        return keras.ops.convert_to_numpy(layer()(image[None].astype("float32"), training=True))[0]

    return transform


#: The transformations that section 2.3.1 lists, of images in [0, 1].
TRANSFORMATIONS: dict[str, Transformation] = {
    "horizontal_flip": lambda image, _: image[:, ::-1],
    "vertical_flip": lambda image, _: image[::-1],
    "gaussian_noise": _gaussian_noise,
    "brightness": _with_layer(keras.layers.RandomBrightness, 0.2, value_range=(0, 1)),
    "zoom": _with_layer(keras.layers.RandomZoom, 0.2, fill_mode="reflect"),
    "horizontal_shift": _with_layer(keras.layers.RandomTranslation, 0, 0.15, fill_mode="reflect"),
    "vertical_shift": _with_layer(keras.layers.RandomTranslation, 0.15, 0, fill_mode="reflect"),
    "noise_once_per_pixel": _noise_once_per_pixel,
    "colour_space": _shifted_hue,
    "rotation": _with_layer(keras.layers.RandomRotation, 0.25, fill_mode="reflect"),
}


def _contrast(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    mean = image.mean()
    return mean + random.uniform(0.75, 1.5) * (image - mean)


def _crop(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Cuts off up to 10% at each side and enlarges the rest to the size of the image."""
    height, width = image.shape[:2]
    top, bottom = (int(height * part) for part in random.uniform(0, 0.1, 2))
    left, right = (int(width * part) for part in random.uniform(0, 0.1, 2))
    part = image[top : height - bottom, left : width - right]
    return _channels_last(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR))


def _blur(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _channels_last(cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.5)))


def _rotation(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    angle = np.deg2rad(random.uniform(-45, 45))
    return _affine(image, [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], (0, 0))


def _shift(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _affine(image, np.eye(2), random.uniform(-0.15, 0.15, 2))


def _shear(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return _affine(image, [[1, np.tan(np.deg2rad(random.uniform(-15, 15)))], [0, 1]], (0, 0))


def _affine(image: np.ndarray, matrix: ArrayLike, shift: ArrayLike) -> np.ndarray:
    """Maps an image about its centre; the shift is in widths and heights."""
    height, width = image.shape[:2]
    linear, centre = np.asarray(matrix), np.array([width - 1, height - 1]) / 2
    offset = centre - linear @ centre + np.asarray(shift) * (width, height)
    mapping, mode = np.column_stack([linear, offset]), cv2.BORDER_REFLECT
    return _channels_last(cv2.warpAffine(image, mapping, (width, height), borderMode=mode))


def _dropout(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sets up to 5% of the pixels to black."""
    return image * (random.random((*image.shape[:2], 1)) >= random.uniform(0.01, 0.05))


def _channels_last(image: np.ndarray) -> np.ndarray:
    """Restores the channel axis that OpenCV drops from grey images."""
    return image if image.ndim == 3 else image[:, :, None]


#: The transformations that the released code chains, of images in [0, 1]. Their ranges are ours.
RELEASED_TRANSFORMATIONS: dict[str, Transformation] = {
    "contrast": _contrast,
    "crop": _crop,
    "blur": _blur,
    "noise": _gaussian_noise,
    "rotation": _rotation,
    "shift": _shift,
    "shear": _shear,
    "dropout": _dropout,
    "hue": _shifted_hue,
}


def _chain(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Applies some of the released transformations, one or more, in random order."""
    names = list(RELEASED_TRANSFORMATIONS)
    for name in random.permutation(names)[: random.integers(1, len(names) + 1)]:
        image = np.clip(RELEASED_TRANSFORMATIONS[name](image, random), 0, 1)
    return image


def augment_offline(
    dataset: ImageDataset,
    factor: int,
    folder: str | Path,
    *,
    ids: Sequence[str] | None = None,
    policy: Literal["thesis", "released"] = "thesis",
    seed: int = 0,
) -> ImageDataset:
    """Writes `factor` augmented copies of every image as a dataset.

    With the 900 training images of ISIC-2016, factor 5 gives 5,400 images to train on, and factor
    10 gives 9,900: `load_dataset((dataset, ids), augmented)`.

    Args:
        dataset: A dataset with labels.
        factor: Number of copies per image.
        folder: Where the augmented dataset will be. If it is there already, made from the same
            images with the same settings, it is opened.
        ids: Images to augment; all but the official test images if None.
        policy: `"thesis"` for one transformation per copy: copy k of image i undergoes number i + k
            of `TRANSFORMATIONS`, in a cycle, so that all are used equally often and ten copies of
            an image differ in kind. `"released"` for a random chain of `RELEASED_TRANSFORMATIONS`
            per copy, as in the author's code.
        seed: Seed of all random numbers.

    Returns:
        The dataset of the copies alone. Their `parent` is the image that they were made from.

    Raises:
        InputError: If `factor` is not positive, an id is unknown, or `folder` holds something else.
        ValueError: If `policy` is unknown.

    Example:
        >>> from melanet import augment_offline
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> augment_offline(lesions, 2, "augmented", ids=["phantom-0000"]).ids()
        ['phantom-0000-0-horizontal_flip', 'phantom-0000-1-vertical_flip']
    """
    if factor < 1:
        raise InputError(f"the augmentation factor is {factor}; it must be 1 or more")
    if policy not in ("thesis", "released"):
        raise ValueError(f"`policy` must be 'thesis' or 'released'. Received: {policy!r}")
    ids = training_ids(dataset, ids)
    chosen = hashlib.sha256("\n".join([dataset.fingerprint, *ids]).encode()).hexdigest()[:16]
    info = DatasetInfo(
        name=f"{dataset.info.name}_augmented_{factor}x",
        title=f"{dataset.info.title}, augmented {factor}x",
        image_size=dataset.info.image_size,
        channels=dataset.info.channels,
        labels=dataset.info.labels,
        keep_aspect_ratio=dataset.info.keep_aspect_ratio,
        source_fingerprint=f"{chosen}, factor {factor}, policy {policy}, seed {seed}",
    )
    samples = list(_samples(dataset, ids, factor, policy, seed))
    return open_existing(folder, info) or write_dataset(folder, info, samples)


def _samples(
    dataset: ImageDataset, ids: Sequence[str], factor: int, policy: str, seed: int
) -> Iterator[Sample]:
    transformations = TRANSFORMATIONS if policy == "thesis" else {"chain": _chain}
    names = list(transformations)
    columns = dataset.values("group", ids), dataset.values("label", ids), dataset.paths(ids)
    for number, (id, group, label, path) in enumerate(zip(ids, *columns, strict=True)):
        for copy in range(factor):
            name = names[(number + copy) % len(names)]
            yield Sample(
                id=f"{id}-{copy}-{name}",
                group=group,
                image=partial(_transform, path, transformations[name], [seed, number, copy]),
                mask=None,
                image_name=f"{path} ({name})",
                label=label,
                split="train",
                source="synthetic",
                parent=id,
            )


def _transform(path: str, transformation: Transformation, seed: list[int]) -> np.ndarray:
    image = read_image(path)
    image = image if image.ndim == 3 else image[:, :, None]
    changed = transformation(image / 255, np.random.default_rng(seed))
    pixels = np.round(255 * np.clip(changed, 0, 1)).astype("uint8")
    return pixels if pixels.shape[-1] == 3 else pixels[:, :, 0]
