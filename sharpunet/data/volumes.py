"""Volumes: a dataset whose images are slices, in order, each volume's under one name.

A slice is called `VOLUME-NUMBER`. So a volume is prepared, checked and split as images are, its
slices can be trained as images, and `read_volume` stacks them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from melanet import lazy
from melanet.data import ImageDataset, InputError, Sample

if TYPE_CHECKING:
    import tensorflow as tf

    from melanet.data import pipelines
else:
    tf = lazy.module("tensorflow")
    pipelines = lazy.module("melanet.data.pipelines")

#: Voxels of a patch along depth, height and width, which two cores train in minutes.
PATCH_SIZE = (16, 32, 32)
SLICE = re.compile(r"(?P<volume>.+)-\d+")


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume of a dataset.

    Attributes:
        pixels: uint8 `(depth, height, width, channels)`.
        mask: uint8 `(depth, height, width)`, the class of every voxel.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.volumes import Volume
        >>> flat = np.full((2, 4, 4, 1), 7, "uint8")
        >>> float(Volume(flat, flat[..., 0]).scaled().max())
        0.0
    """

    pixels: np.ndarray
    mask: np.ndarray

    def scaled(self) -> np.ndarray:
        """The pixels by their own minimum and maximum (eq. 2.7), float32; 0 if all are equal."""
        return scale(self.pixels)

    def targets(self, classes: int) -> np.ndarray:
        """What a network should give, float32: the foreground, or one-hot for several classes."""
        return _targets(self.mask, classes)


def scale(pixels: np.ndarray) -> np.ndarray:
    """Pixels by their own minimum and maximum (eq. 2.7), float32; 0 if all are equal.

    Args:
        pixels: uint8.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.volumes import scale
        >>> scale(np.array([10, 20], "uint8")).tolist()
        [0.0, 1.0]
    """
    low, high = int(pixels.min()), int(pixels.max())
    return (pixels.astype("float32") - low) / max(high - low, 1)


def volume_samples(
    name: str,
    depth: int,
    draw: Callable[[], tuple[np.ndarray, np.ndarray]],
    *,
    group: str = "",
    image_name: str = "",
    mask_name: str = "",
) -> list[Sample]:
    """The slices of a volume as samples of a dataset.

    Args:
        name: Name of the volume.
        depth: Number of slices.
        draw: Reads the volume and its mask, `(depth, height, width)`. It is called for every
            slice, so that it should remember the last volume.
        group: What a split keeps together; the volume alone if empty.
        image_name, mask_name: Files, for messages.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.volumes import volume_samples
        >>> zeros = np.zeros((2, 8, 8), "uint8")
        >>> [sample.id for sample in volume_samples("scan", 2, lambda: (zeros, zeros))]
        ['scan-000', 'scan-001']
    """

    def sample(index: int) -> Sample:
        return Sample(
            id=f"{name}-{index:03d}",
            group=group or name,
            image=lambda: draw()[0][index],
            mask=lambda: draw()[1][index],
            image_name=f"{image_name or name} (slice {index})",
            mask_name=f"{mask_name or f'{name} (mask)'} (slice {index})",
        )

    return [sample(index) for index in range(depth)]


def volume_slices(ids: Sequence[str]) -> dict[str, list[str]]:
    """The slices of every volume, in order.

    Args:
        ids: Of a dataset's images.

    Raises:
        InputError: If an image is not a slice of a volume.

    Example:
        >>> from sharpunet.data.volumes import volume_slices
        >>> volume_slices(["a-001", "a-000", "b-000"])
        {'a': ['a-000', 'a-001'], 'b': ['b-000']}
    """
    slices: dict[str, list[str]] = {}
    for id in sorted(ids):
        match = SLICE.fullmatch(id)
        if match is None:
            raise InputError(f"{id}: is an image, not a slice of a volume, as NAME-000 would be")
        slices.setdefault(match["volume"], []).append(id)
    return slices


def check_volumes(dataset: ImageDataset) -> None:
    """Checks that a dataset holds volumes: slices, whose distance is known.

    Args:
        dataset: The dataset.

    Raises:
        InputError: If it holds images.

    Example:
        >>> from sharpunet.data import prepare
        >>> from sharpunet.data.volumes import check_volumes
        >>> check_volumes(prepare("phantom3d", ".", "prepared/phantom3d"))
    """
    if not dataset.info.spacing:
        raise InputError(
            f"{dataset.folder}: holds images, not slices of volumes; give volumes (NIfTI), or a "
            "network of images"
        )
    volume_slices(dataset.ids())


def read_volume(dataset: ImageDataset, slices: Sequence[str]) -> Volume:
    """Stacks the slices of a volume.

    Args:
        dataset: The dataset.
        slices: Ids of the slices, in order.

    Raises:
        InputError: If the slices differ in size, or an id is unknown.

    Example:
        >>> from sharpunet.data import prepare
        >>> from sharpunet.data.volumes import read_volume, volume_slices
        >>> phantom = prepare("phantom3d", ".", "prepared/phantom3d")
        >>> slices = volume_slices(phantom.ids())
        >>> read_volume(phantom, slices["volume-00"]).pixels.shape
        (24, 48, 48, 1)
    """
    pixels, masks = (
        [np.asarray(Image.open(path)) for path in dataset.paths(slices, column)]
        for column in ("file_name", "mask_file_name")
    )
    if len({image.shape for image in pixels}) > 1:
        raise InputError(f"{dataset.folder}: the slices of {slices[0]} and on differ in size")
    mask = np.stack(masks)
    return Volume(
        np.stack(pixels).reshape(*mask.shape, dataset.info.channels),
        mask if dataset.info.classes > 1 else (mask > 0).astype("uint8"),
    )


def load_patches(
    dataset: ImageDataset,
    ids: Sequence[str],
    *,
    patch_size: tuple[int, ...],
    patches: int = 4,
    batch_size: int = 2,
    seed: int = 0,
    foreground: float = 0.5,
    fixed: bool = False,
    epoch_counter: tf.Variable | None = None,
) -> tf.data.Dataset:
    """Loads random patches of volumes for training.

    Each volume is scaled by its own minimum and maximum (eq. 2.7), and padded with 0 (background)
    where it is smaller than a patch. All volumes are in memory, as 8 bits. An epoch's patches
    follow from `seed` and its number alone.

    Args:
        dataset: A dataset of slices.
        ids: Ids of its images; all slices of every volume.
        patch_size: `(depth, height, width)` in voxels.
        patches: Patches of every volume in an epoch.
        batch_size: Patches per batch.
        seed: Seed of the patches and their order.
        foreground: Share of the patches that are centred on a voxel of the foreground: a rare
            object would be in few patches otherwise.
        fixed: Whether every epoch has the same patches, as for validation.
        epoch_counter: Counts the epochs that were begun, see
            `melanet.data.pipelines.make_epoch_counter`.

    Returns:
        A dataset of `(patches, masks)`: float32 `(batch, *patch_size, channels)` in [0, 1], and
        float32 0 or 1, `(batch, *patch_size, classes)`, one-hot for more than one class.

    Raises:
        InputError: If an image is not a slice, or the slices of a volume differ in size.

    Example:
        >>> from sharpunet.data import prepare
        >>> from sharpunet.data.volumes import load_patches
        >>> phantom = prepare("phantom3d", ".", "prepared/phantom3d")
        >>> batches = load_patches(phantom, phantom.ids(), patch_size=(16, 32, 32))
        >>> patches, masks = next(iter(batches))
        >>> tuple(patches.shape), tuple(masks.shape)
        ((2, 16, 32, 32, 1), (2, 16, 32, 32, 1))
    """
    slices = volume_slices(ids)
    volumes = [_Patches(read_volume(dataset, each), patch_size) for each in slices.values()]
    count, info = len(volumes) * patches, dataset.info

    def one_epoch(epoch: int) -> np.ndarray:
        """Of every patch in its order, where it is: volume, depth, row, column."""
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(np.repeat(np.arange(len(volumes)), patches))
        return np.array([[each, *volumes[each].place(random, foreground)] for each in order])

    def cut(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        image, mask = volumes[place[0]].cut(place[1:])
        return image, _targets(mask, info.classes)

    def make(number: tf.Tensor) -> tf.data.Dataset:
        epoch = tf.constant(0, tf.int64) if fixed else number
        places = tf.numpy_function(lambda n: one_epoch(int(n)), [epoch], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(places, (count, 4)))

    def load(place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, mask = tf.numpy_function(cut, [place], (tf.float32, tf.float32))
        return (
            tf.ensure_shape(image, (*patch_size, info.channels)),
            tf.ensure_shape(mask, (*patch_size, info.classes)),
        )

    epochs = pipelines.per_epoch(make, count, epoch_counter)
    return epochs.map(load).batch(batch_size).prefetch(1)


class _Patches:
    """A volume, padded to a patch at least, and where its foreground is."""

    def __init__(self, volume: Volume, size: Sequence[int]):
        padding = [
            (0, max(0, side - have)) for side, have in zip(size, volume.mask.shape, strict=True)
        ]
        self._low, self._high = int(volume.pixels.min()), int(volume.pixels.max())
        self._pixels = np.pad(volume.pixels, [*padding, (0, 0)], constant_values=self._low)
        self._mask = np.pad(volume.mask, padding)
        self._found = np.argwhere(self._mask > 0)
        self._size = np.array(size)

    def place(self, random: np.random.Generator, foreground: float) -> np.ndarray:
        """The first corner of a patch: around the foreground, or anywhere."""
        reach = np.array(self._mask.shape) - self._size
        anywhere = random.integers(0, reach + 1)
        if random.random() >= foreground or not len(self._found):
            return anywhere
        return np.clip(random.choice(self._found) - self._size // 2, 0, reach)

    def cut(self, corner: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        window = tuple(
            slice(start, start + side) for start, side in zip(corner, self._size, strict=True)
        )
        pixels = (self._pixels[window].astype("float32") - self._low) / max(
            self._high - self._low, 1
        )
        return pixels, self._mask[window]


def _targets(mask: np.ndarray, classes: int) -> np.ndarray:
    if classes == 1:
        return mask[..., None].astype("float32")
    return np.eye(classes, dtype="float32")[mask]
