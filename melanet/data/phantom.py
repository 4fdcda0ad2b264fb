"""Phantoms of dermoscopy: lesions of two classes or of four, generated without a download.

Benign lesions are round and evenly brown; malignant ones are ragged, with black blotches and a
blue-grey veil, to a degree that varies, so that faint ones look much like dark benign lesions. Of
four classes, these are nevus and melanoma; keratoses are brown too, with pale cysts and dark pits,
and vascular lesions are red, both to a degree that varies. Skin, light and hairs are the same for
all.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy
from melanet.data.builders import DatasetBuilder
from melanet.data.dataset import DatasetInfo
from melanet.data.writing import Sample

if TYPE_CHECKING:
    import cv2
else:
    cv2 = lazy.module("cv2")

LABELS = ("benign", "malignant")
BENIGN_TO_MALIGNANT = 4
#: Classes of the second phantom, and how many of 20 images each has.
LESIONS = {"nevus": 10, "keratosis": 5, "vascular": 2, "melanoma": 3}


def generate(
    index: int, malignant: bool, size: int = 64, seed: int = 2021, *, kind: str = ""
) -> np.ndarray:
    """Generates an image of a lesion.

    Args:
        index: Number of the image within its class.
        malignant: Whether it is a melanoma, otherwise a nevus.
        size: Height and width in pixels.
        seed: Seed of the whole dataset.
        kind: `"keratosis"` or `"vascular"` for a benign lesion that is no nevus.

    Returns:
        uint8 RGB, `(size, size, 3)`.

    Example:
        >>> from melanet.data.phantom import generate
        >>> generate(0, malignant=True).shape
        (64, 64, 3)
    """
    random = np.random.default_rng([seed, index, malignant])
    image = _skin(random, size)
    degree = random.uniform(0.3, 1) if malignant else random.uniform(0, 0.3)
    inside = _lesion(random, size, roughness=0.03 + 0.1 * degree)
    brown = np.array([0.50, 0.32, 0.22]) * random.uniform(0.7, 1.3)
    image = _blend(image, brown + 0.03 * _field(random, size, 0.05)[..., None], inside)
    black, veil = _blotches(random, size, 0.06, 0.6), _blotches(random, size, 0.1, 0.6)
    image = _blend(image, [0.12, 0.07, 0.06], 0.9 * degree * inside * black)
    image = _blend(image, [0.42, 0.47, 0.60], 0.9 * degree * inside * veil)
    image = _with_signs(image, inside, kind, seed, index)
    for _ in range(random.integers(0, 3)):
        image = _blend(image, [0.15, 0.1, 0.08], 0.6 * _hair(random, size))
    image = image + random.normal(0, 0.015, image.shape)
    return np.clip(255 * image, 0, 255).astype("uint8")


def _with_signs(image, inside, kind, seed, index):
    """What tells a keratosis or a vascular lesion from a nevus, to a degree that varies."""
    random, size = np.random.default_rng([seed, index, len(kind)]), len(image)
    degree = random.uniform(0.1, 1)
    if kind == "keratosis":
        pale, pits = _blotches(random, size, 0.03, 1.0), _blotches(random, size, 0.02, 1.3)
        image = _blend(image, [0.62, 0.50, 0.36], 0.5 * degree * inside)
        image = _blend(image, [0.95, 0.88, 0.74], degree * inside * pale)
        image = _blend(image, [0.25, 0.15, 0.08], degree * inside * pits)
    elif kind == "vascular":
        lobules = _blotches(random, size, 0.05, 0.0)
        image = _blend(image, [0.75, 0.22, 0.25], 0.8 * degree * inside)
        image = _blend(image, [0.45, 0.08, 0.18], 0.6 * degree * inside * lobules)
    return image


def read(
    folder: Path | None = None,
    *,
    train: int = 150,
    test: int = 75,
    size: int = 64,
    seed: int = 2021,
) -> list[Sample]:
    """Lists the samples of a phantom with an official test split.

    Args:
        folder: Not used.
        train: Number of training images, of which a fifth is malignant.
        test: Number of test images, of which a fifth is malignant.
        size: Height and width in pixels.
        seed: Seed of the whole dataset.

    Example:
        >>> from melanet.data.phantom import read
        >>> [sample.label for sample in read(train=3, test=0)]
        ['malignant', 'benign', 'benign']
    """
    samples = []
    for number in range(train + test):
        malignant = number % (BENIGN_TO_MALIGNANT + 1) == 0
        id = f"phantom-{number:04d}"
        draw = partial(generate, number, malignant, size, seed)
        split = "train" if number < train else "test"
        samples.append(Sample(id, id, draw, None, id, label=LABELS[malignant], split=split))
    return samples


def read_lesions(
    folder: Path | None = None,
    *,
    train: int = 160,
    test: int = 100,
    size: int = 64,
    seed: int = 2021,
) -> list[Sample]:
    """Lists the samples of a phantom of four classes with an official test split.

    Args:
        folder: Not used.
        train: Number of training images, of which a class has its share in `LESIONS`.
        test: Number of test images, likewise.
        size: Height and width in pixels.
        seed: Seed of the whole dataset.

    Example:
        >>> from collections import Counter
        >>> from melanet.data.phantom import read_lesions
        >>> Counter(sample.label for sample in read_lesions(train=20, test=0)).most_common(2)
        [('nevus', 10), ('keratosis', 5)]
    """
    of_twenty = [label for label, count in LESIONS.items() for _ in range(count)]
    samples = []
    for number in range(train + test):
        block, place = divmod(number, len(of_twenty))
        order = np.random.default_rng([seed, block]).permutation(len(of_twenty))
        label = of_twenty[order[place]]
        kind = "" if label in ("nevus", "melanoma") else label
        id = f"lesion-{number:04d}"
        draw = partial(generate, number, label == "melanoma", size, seed, kind=kind)
        split = "train" if number < train else "test"
        samples.append(Sample(id, id, draw, None, id, label=label, split=split))
    return samples


def _skin(random, size):
    tone = np.array([0.84, 0.66, 0.56]) * random.uniform(0.9, 1.08)
    light = 0.05 * _field(random, size, 0.3) + 0.012 * _field(random, size, 0.02)
    return tone + light[..., None]


def _lesion(random, size, roughness):
    """A closed outline with soft edges: 1 inside, 0 outside."""
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    waves = sum(
        random.normal(0, roughness / np.sqrt(order))
        * np.cos(order * angle + random.uniform(0, 2 * np.pi))
        for order in range(1, 9)
    )
    radius = random.uniform(0.2, 0.32) * size * (1 + waves)
    centre = random.uniform(0.42, 0.58, 2) * size
    points = centre + np.stack([np.cos(angle) * radius, np.sin(angle) * radius * 0.9], axis=1)
    filled = np.zeros((size, size), "uint8")
    cv2.fillPoly(filled, [np.round(points).astype("int32")], 1)
    return cv2.GaussianBlur(filled.astype("float64"), (0, 0), 0.015 * size)


def _field(random, size, scale):
    """Smooth noise with details of `scale` image sides, mean 0 and standard deviation 1."""
    field = cv2.GaussianBlur(random.normal(size=(size, size)), (0, 0), scale * size)
    return (field - field.mean()) / field.std()


def _blotches(random, size, scale, threshold):
    return 1 / (1 + np.exp(-6 * (_field(random, size, scale) - threshold)))


def _hair(random, size):
    start, bend, end = random.uniform(0, size, (3, 2))
    t = np.linspace(0, 1, 40)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    hair = np.zeros((size, size), "uint8")
    cv2.polylines(hair, [np.round(curve).astype("int32")], False, 255, 1, cv2.LINE_AA)
    return cv2.GaussianBlur(hair / 255, (0, 0), 0.01 * size)


def _blend(image, colour, weight):
    return image + weight[..., None] * (np.asarray(colour) - image)


BUILDER = DatasetBuilder(
    DatasetInfo("phantom", "Phantom", image_size=(64, 64), channels=3, labels=LABELS),
    read,
    "The phantom is generated; it needs no download.",
    generated=True,
)
LESIONS_BUILDER = DatasetBuilder(
    DatasetInfo(
        "phantom_lesions",
        "Phantom of four lesions",
        image_size=(64, 64),
        channels=3,
        labels=tuple(LESIONS),
    ),
    read_lesions,
    "The phantom is generated; it needs no download.",
    generated=True,
)
BUILDERS = (BUILDER, LESIONS_BUILDER)
