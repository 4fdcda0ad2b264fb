"""The offline Augment-5x and 10x sets of section 2.3.1: written to disk once, never on the fly."""

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


def _gaussian_noise(image, random):
    """Grey noise: the same for the three channels of a pixel."""
    deviation = random.uniform(0.02, 0.08)
    return image + random.normal(0, deviation, (*image.shape[:2], 1))


def _noise_per_channel(image, random):
    """Noise drawn anew for every pixel and channel."""
    return image + random.normal(0, random.uniform(0.02, 0.06), image.shape)


def _shifted_hue(image, random):
    """A turn of the hue and a change of the saturation, in HSV space."""
    if image.shape[-1] == 1:
        return image
    hsv = cv2.cvtColor(image.astype("float32"), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + random.uniform(-12, 12)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * random.uniform(0.7, 1.3), 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _with_layer(layer_class: type[keras.layers.Layer], *args, **kwargs):
    """A transformation that a Keras layer makes, seeded for each image."""

    @cache
    def layer():
        # float32 whatever the policy: pixels must not depend on what ran before.
        return layer_class(*args, **kwargs, seed=0, dtype="float32")

    def transform(image, random):
        # A layer a transformation, not an image: building one takes longer than using it.
        layer().generator.state.assign([int(random.integers(2**31)), 0])
        return keras.ops.convert_to_numpy(layer()(image[None].astype("float32"), training=True))[0]

    return transform


#: Every transformation that section 2.3.1 lists, from an image in [0, 1] to another.
TRANSFORMATIONS: dict[str, Callable] = {
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
    """Writes `factor` augmented copies of every image as a prepared set of their own.

    Copy k of image i undergoes transformation i + k of `TRANSFORMATIONS`, taken round: all are
    used equally, and ten copies of an image differ in kind. With the 900 training images of
    ISIC-2016, factor 5 trains on 5,400 images and factor 10 on 9,900:
    `load_dataset((prepared, ids), augmented)`.

    Args:
        prepared: A prepared set with labels.
        factor: Copies of each image.
        folder: Where the augmented set is or will be. What was made from the same images with the
            same seed is opened, not made again.
        ids: Images to augment; all but the official test images if None.
        seed: Seed of every random number.

    Returns:
        The augmented copies alone, with their `parent`.

    Raises:
        InputError: If `factor` is not positive, an id is unknown, or `folder` holds something else.
    """
    if factor < 1:
        raise InputError(f"an augmentation factor of {factor}; 1 is the least")
    ids = training_ids(dataset, ids)
    marked = hashlib.sha256("\n".join([dataset.fingerprint, *ids]).encode()).hexdigest()[:16]
    described = dataset.info
    info = DatasetInfo(
        name=f"{described.name}_augmented_{factor}x",
        title=f"{described.title}, augmented {factor}x",
        image_size=described.image_size,
        channels=described.channels,
        labels=described.labels,
        keep_aspect_ratio=described.keep_aspect_ratio,
        source_fingerprint=f"{marked}, factor {factor}, seed {seed}",
    )
    copies = list(_copies(dataset, ids, factor, seed))
    return open_existing(folder, info) or write_dataset(folder, info, copies)


def _copies(dataset, ids, factor, seed) -> Iterator[Sample]:
    names = list(TRANSFORMATIONS)
    rows = dataset.metadata.set_index("id")
    for number, (id, path) in enumerate(zip(ids, dataset.paths(ids), strict=True)):
        for copy in range(factor):
            name = names[(number + copy) % len(names)]
            yield Sample(
                id=f"{id}-{copy}-{name}",
                group=rows["group"][id],
                image=partial(_transformed, path, name, [seed, number, copy]),
                mask=None,
                image_name=f"{path} ({name})",
                label=rows["label"][id],
                split="train",
                source="synthetic",
                parent=id,
            )


def _transformed(path, name, seed) -> np.ndarray:
    image = read_image(path)
    image = image if image.ndim == 3 else image[:, :, None]
    changed = TRANSFORMATIONS[name](image / 255, np.random.default_rng(seed))
    pixels = np.round(255 * np.clip(changed, 0, 1)).astype("uint8")
    return pixels if pixels.shape[-1] == 3 else pixels[:, :, 0]
