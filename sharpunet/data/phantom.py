"""A phantom of microscopy and dermoscopy, generated without a download.

For tests, notebooks and a first run. The foreground has a fine texture; smooth blobs of the same
shapes and brightness, hairs and dust under uneven light are background, so that a threshold does
not solve it.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy
from melanet.data import DatasetBuilder, DatasetInfo, Sample

if TYPE_CHECKING:
    import cv2
else:
    cv2 = lazy.module("cv2")


def generate(index: int, size: int = 64, seed: int = 2021) -> tuple[np.ndarray, np.ndarray]:
    """Generates an image with its mask: cells for an even `index`, one lesion for an odd one.

    Args:
        index: Number of the image.
        size: Height and width in pixels.
        seed: Seed of the whole dataset.

    Returns:
        The image, uint8 `(size, size)`, and the mask, uint8 0 or 255 of the same shape.

    Example:
        >>> from sharpunet.data.phantom import generate
        >>> image, mask = generate(0, size=32)
        >>> image.shape, sorted(set(mask.ravel().tolist()))
        ((32, 32), [0, 255])
    """
    random = np.random.default_rng([seed, index])
    outlines = _cells(random, size) if index % 2 == 0 else _lesion(random, size)
    mask = np.zeros((size, size), "uint8")
    for outline in outlines:
        cv2.fillPoly(mask, [outline], 255)
    image = _background(random, size)
    _add_smooth_blobs(image, random)
    _add_textured(image, mask, random)
    _add_hairs_and_dust(image, random)
    image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 0.9) * size / 96)
    image += random.normal(0, random.uniform(0.02, 0.05), image.shape)
    return np.clip(255 * image, 0, 255).astype("uint8"), mask


def read(
    folder: Path | None = None, *, count: int = 40, size: int = 64, seed: int = 2021
) -> list[Sample]:
    """Lists the samples of a phantom.

    Args:
        folder: Not used.
        count: Number of images.
        size: Height and width in pixels.
        seed: Seed of the whole dataset.

    Example:
        >>> from sharpunet.data.phantom import read
        >>> [sample.id for sample in read(count=2)]
        ['phantom-000', 'phantom-001']
    """
    # One drawing gives both: a mask is read right after its image.
    draw = lru_cache(maxsize=1)(partial(generate, size=size, seed=seed))
    return [_sample(index, draw) for index in range(count)]


def _sample(index, draw) -> Sample:
    id = f"phantom-{index:03d}"
    return Sample(id, id, lambda: draw(index)[0], lambda: draw(index)[1], id, f"{id} (mask)")


def _outline(random, centre, radius, roughness):
    """A closed curve: an ellipse with a few random waves."""
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    waves = sum(
        random.normal(0, roughness / order) * np.cos(order * angle + random.uniform(0, 2 * np.pi))
        for order in range(2, 7)
    )
    stretch = random.uniform(0.7, 1.0)
    x, y = np.cos(angle) * radius * (1 + waves), np.sin(angle) * radius * stretch * (1 + waves)
    turn = random.uniform(0, np.pi)
    points = np.stack(
        [centre[0] + x * np.cos(turn) - y * np.sin(turn),
         centre[1] + x * np.sin(turn) + y * np.cos(turn)], axis=1
    )  # fmt: skip
    return np.round(points).astype("int32")


def _cells(random, size):
    count = random.integers(4, 9)
    centres = random.uniform(0.08 * size, 0.92 * size, (count, 2))
    return [_outline(random, c, random.uniform(0.06, 0.13) * size, 0.08) for c in centres]


def _lesion(random, size):
    centre = random.uniform(0.35 * size, 0.65 * size, 2)
    return [_outline(random, centre, random.uniform(0.2, 0.34) * size, 0.16)]


def _field(random, size, scale):
    """Smooth noise with details of `scale` pixels, mean 0 and standard deviation 1."""
    field = cv2.GaussianBlur(random.normal(size=(size, size)), (0, 0), scale)
    return (field - field.mean()) / field.std()


def _background(random, size):
    light = _field(random, size, 0.3 * size)
    return random.uniform(0.42, 0.58) + 0.09 * light + 0.03 * _field(random, size, 0.03 * size)


def _soft(mask, sigma):
    return cv2.GaussianBlur((mask > 0).astype("float64"), (0, 0), sigma)


def _add_textured(image, mask, random):
    size = len(image)
    texture = _field(random, size, 0.012 * size)
    contrast = random.choice([-1, 1]) * random.uniform(0.02, 0.07)
    image += _soft(mask, 0.01 * size) * (contrast + 0.13 * texture)


def _add_smooth_blobs(image, random):
    """Out-of-focus look-alikes: shapes and brightness of the foreground, but no texture."""
    size = len(image)
    for _ in range(random.integers(3, 6)):
        blob = np.zeros(image.shape, "uint8")
        centre = random.uniform(0, size, 2)
        outline = _outline(random, centre, random.uniform(0.06, 0.2) * size, 0.1)
        cv2.fillPoly(blob, [outline], 255)
        image += _soft(blob, 0.015 * size) * random.choice([-1, 1]) * random.uniform(0.04, 0.12)


def _add_hairs_and_dust(image, random):
    size = len(image)
    for _ in range(random.integers(0, 4)):
        start, bend, end = random.uniform(0, size, (3, 2))
        t = np.linspace(0, 1, 40)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        hair = np.zeros(image.shape, "uint8")
        cv2.polylines(hair, [np.round(curve).astype("int32")], False, 255, 1)
        image -= 0.2 * (hair > 0)
    for x, y in random.integers(0, size, (random.integers(5, 25), 2)):
        image[y, x] += random.choice([-1, 1]) * 0.3


BUILDER = DatasetBuilder(
    DatasetInfo("phantom", "Phantom", image_size=(64, 64), channels=1),
    read,
    "The phantom is generated; it needs no download.",
    generated=True,
)
