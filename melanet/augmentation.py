"""Offline augmentation, as in the Augment-5x and Augment-10x sets of section 2.3.1."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import cv2
import keras
import numpy as np

from melanet.data import DatasetInfo, ImageDataset, InputError, Sample, write_dataset
from melanet.data.dataset import open_existing
from melanet.data.loading import training_ids
from melanet.data.readers.images import read_image

#: From an image, `(height, width, channels)`, and a random generator to the changed image.
Transformation = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _gaussian_noise(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Adds noise that is the same for the three channels of a pixel."""
    deviation = random.uniform(0.02, 0.08)
    return image + random.normal(0, deviation, (*image.shape[:2], 1))


def _noise_per_channel(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Adds noise that is drawn for every pixel and channel."""
    return image + random.normal(0, random.uniform(0.02, 0.06), image.shape)


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
    "noise_per_channel": _noise_per_channel,
    "colour_space": _shifted_hue,
    "rotation": _with_layer(keras.layers.RandomRotation, 0.25, fill_mode="reflect"),
}


def augment_offline(
    dataset: ImageDataset,
    factor: int,
    folder: str | Path,
    *,
    ids: Sequence[str] | None = None,
    seed: int = 0,
) -> ImageDataset:
    """Writes `factor` augmented copies of every image as a dataset.

    Copy k of image i undergoes transformation number i + k of `TRANSFORMATIONS`, in a cycle: all
    are used equally often, and ten copies of an image differ in kind. With the 900 training images
    of ISIC-2016, factor 5 gives 5,400 images to train on, and factor 10 gives 9,900:
    `load_dataset((dataset, ids), augmented)`.

    Args:
        dataset: A dataset with labels.
        factor: Number of copies per image.
        folder: Where the augmented dataset will be. If it is there already, made from the same
            images with the same settings, it is opened.
        ids: Images to augment; all but the official test images if None.
        seed: Seed of all random numbers.

    Returns:
        The dataset of the copies alone. Their `parent` is the image that they were made from.

    Raises:
        InputError: If `factor` is not positive, an id is unknown, or `folder` holds something else.

    Example:
        >>> from melanet import augment_offline
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> augment_offline(lesions, 2, "augmented", ids=["phantom-0000"]).ids()
        ['phantom-0000-0-horizontal_flip', 'phantom-0000-1-vertical_flip']
    """
    if factor < 1:
        raise InputError(f"the augmentation factor is {factor}; it must be 1 or more")
    ids = training_ids(dataset, ids)
    chosen = hashlib.sha256("\n".join([dataset.fingerprint, *ids]).encode()).hexdigest()[:16]
    info = DatasetInfo(
        name=f"{dataset.info.name}_augmented_{factor}x",
        title=f"{dataset.info.title}, augmented {factor}x",
        image_size=dataset.info.image_size,
        channels=dataset.info.channels,
        labels=dataset.info.labels,
        keep_aspect_ratio=dataset.info.keep_aspect_ratio,
        source_fingerprint=f"{chosen}, factor {factor}, seed {seed}",
    )
    samples = list(_samples(dataset, ids, factor, seed))
    return open_existing(folder, info) or write_dataset(folder, info, samples)


def _samples(dataset: ImageDataset, ids: Sequence[str], factor: int, seed: int) -> Iterator[Sample]:
    names = list(TRANSFORMATIONS)
    columns = dataset.values("group", ids), dataset.values("label", ids), dataset.paths(ids)
    for number, (id, group, label, path) in enumerate(zip(ids, *columns, strict=True)):
        for copy in range(factor):
            name = names[(number + copy) % len(names)]
            yield Sample(
                id=f"{id}-{copy}-{name}",
                group=group,
                image=partial(_transform, path, name, [seed, number, copy]),
                mask=None,
                image_name=f"{path} ({name})",
                label=label,
                split="train",
                source="synthetic",
                parent=id,
            )


def _transform(path: str, name: str, seed: list[int]) -> np.ndarray:
    image = read_image(path)
    image = image if image.ndim == 3 else image[:, :, None]
    changed = TRANSFORMATIONS[name](image / 255, np.random.default_rng(seed))
    pixels = np.round(255 * np.clip(changed, 0, 1)).astype("uint8")
    return pixels if pixels.shape[-1] == 3 else pixels[:, :, 0]
