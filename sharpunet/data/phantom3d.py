"""Generated volumes with their masks: textured bodies to find, among smooth ones that are not."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy
from melanet.data import DatasetBuilder, DatasetInfo, Sample
from sharpunet.data.volumes import volume_samples

if TYPE_CHECKING:
    from scipy import ndimage
else:
    ndimage = lazy.module("scipy.ndimage")

#: Millimetres between slices, rows and columns: slices are thick, as in most scans.
SPACING = (2.0, 1.0, 1.0)
SHAPE = (24, 48, 48)


def generate(
    index: int, shape: tuple[int, int, int] = SHAPE, seed: int = 2021
) -> tuple[np.ndarray, np.ndarray]:
    """Generates a volume with its mask.

    Args:
        index: Number of the volume.
        shape: Number of slices, rows and columns.
        seed: Seed of the whole dataset.

    Returns:
        The volume, uint8 `shape`, and the mask, uint8 0 or 255 of the same shape.

    Example:
        >>> from sharpunet.data.phantom3d import generate
        >>> volume, mask = generate(0, shape=(8, 16, 16))
        >>> volume.shape, sorted(set(mask.ravel().tolist()))
        ((8, 16, 16), [0, 255])
    """
    random = np.random.default_rng([seed, index])
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * SPACING
    extent = np.array(shape) * SPACING
    field = partial(_field, random, shape)
    bodies = [_body(random, places, extent, field(4.0)) for _ in range(random.integers(2, 5))]
    decoys = [_body(random, places, extent, field(4.0)) for _ in range(3)]
    mask = np.any(bodies, axis=0)
    volume = (
        0.45
        + 0.06 * field(12.0)
        + 0.18
        * ndimage.gaussian_filter(
            (np.any(decoys, axis=0) & ~mask).astype(float), 1.5 / np.array(SPACING)
        )
    )
    volume += np.where(mask, 0.12 + 0.12 * field(1.0), 0)
    volume += random.normal(0, 0.03, shape)
    return np.clip(255 * volume, 0, 255).astype("uint8"), np.where(mask, 255, 0).astype("uint8")


def read(
    folder: Path = Path(),
    count: int = 12,
    shape: tuple[int, int, int] = SHAPE,
    seed: int = 2021,
) -> list[Sample]:
    """Lists the slices of generated volumes.

    Args:
        folder: Not used.
        count: Number of volumes.
        shape: Number of slices, rows and columns.
        seed: Seed of the whole dataset.

    Example:
        >>> from sharpunet.data.phantom3d import read
        >>> [sample.id for sample in read(count=1, shape=(2, 16, 16))]
        ['volume-00-000', 'volume-00-001']
    """
    # One drawing gives all slices of a volume.
    draw = lru_cache(maxsize=1)(partial(generate, shape=shape, seed=seed))
    return [
        sample
        for index in range(count)
        for sample in volume_samples(f"volume-{index:02d}", shape[0], partial(draw, index))
    ]


def _field(random, shape, scale):
    """Smooth noise with details of `scale` millimetres, mean 0 and standard deviation 1."""
    field = ndimage.gaussian_filter(random.normal(size=shape), scale / np.array(SPACING))
    return (field - field.mean()) / field.std()


def _body(random, places, extent, waves):
    """An ellipsoid with a wavy surface, somewhere inside."""
    radii = random.uniform(0.12, 0.24, 3) * extent
    centre = random.uniform(0.25, 0.75, 3) * extent
    distance = np.linalg.norm((places - centre) / radii, axis=-1)
    return distance + 0.12 * waves < 1


BUILDER = DatasetBuilder(
    DatasetInfo("phantom3d", "Phantom of volumes", image_size=SHAPE[1:], channels=1,
        spacing=SPACING),
    read,
    "It is generated; there is nothing to download",
    generated=True,
    allow_empty_masks=True,
)  # fmt: skip
