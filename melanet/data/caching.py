"""Where decoded images stay between epochs, so that each is decoded and resized once.

- `"memory"`: as 8 bits, a quarter of float32. Images that would fill more than half of the
  machine's memory are decoded anew in every epoch instead, with a warning.
- `"disk"`: as PNGs of the wanted size, in the hidden folder `.resized` of their dataset.
- `"none"`: nowhere.

Only the order of small elements (files and labels) is shuffled where images do not stay in memory,
so that memory does not grow with their number.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from PIL import Image

from melanet.console import progress_bar
from melanet.data.dataset import ImageDataset
from melanet.data.files import atomic_write
from melanet.names import CACHES

Cache = Literal["memory", "disk", "none"]
Order = Callable[[tf.data.Dataset], tf.data.Dataset]
COPIES = ".resized"
MEMORY_SHARE = 0.5


def cached_elements(
    elements: tf.data.Dataset, decode: Callable[..., tf.Tensor], cache: Cache, size: int
) -> Callable[[Order], tf.data.Dataset]:
    """Decoded elements, to be read again and again, each time in another order.

    Args:
        elements: Small elements, such as the names of files.
        decode: From an element to one that is decoded.
        cache: Where decoded elements stay.
        size: Bytes of all decoded elements.

    Returns:
        A function that takes an order, as `tf.data.Dataset.shuffle` makes one, and returns the
        decoded elements in it.

    Raises:
        ValueError: If `cache` is none of the three.

    Example:
        >>> import tensorflow as tf
        >>> from melanet.data.caching import cached_elements
        >>> numbers = cached_elements(tf.data.Dataset.range(3), lambda n: 2 * n, "memory", 24)
        >>> [int(n) for n in numbers(lambda elements: elements.skip(1))]
        [2, 4]
    """
    if cache not in CACHES:
        raise ValueError(f'`cache` must be "memory", "disk" or "none". Received: {cache!r}')
    if cache == "memory" and _fits_memory(size):
        decoded = elements.map(decode, tf.data.AUTOTUNE).cache()
        return lambda order: order(decoded)
    return lambda order: order(elements).map(decode, tf.data.AUTOTUNE)


def resized_copies(
    dataset: ImageDataset, paths: Sequence[str], name: str, resized: Callable[[str], np.ndarray]
) -> list[str]:
    """Copies of images in the size that a training takes, made where they are missing.

    Args:
        dataset: The dataset of the images.
        paths: Their files.
        name: Of the size, in the name of the folder of the copies.
        resized: Reads and resizes a file, uint8.

    Returns:
        The files of the copies, in the order of `paths`.

    Example:
        >>> import numpy as np
        >>> from melanet.data import prepare
        >>> from melanet.data.caching import resized_copies
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> def black(path):
        ...     return np.zeros((8, 8, 1), "uint8")
        >>> (copy,) = resized_copies(lesions, lesions.paths(["phantom-0000"]), "8x8", black)
        >>> copy.rpartition("/")[2]
        'phantom-0000.png'
    """
    # A dataset that is prepared anew has another fingerprint.
    folder = dataset.folder / COPIES / f"{name}-{dataset.fingerprint[:8]}"
    copies = [folder / Path(path).relative_to(dataset.folder) for path in paths]
    missing = [pair for pair in zip(paths, copies, strict=True) if not pair[1].exists()]

    def make(pair: tuple[str, Path]) -> None:
        image = Image.fromarray(resized(pair[0]).squeeze())
        pair[1].parent.mkdir(parents=True, exist_ok=True)
        atomic_write(pair[1], lambda path: image.save(path, "PNG"))

    with ThreadPoolExecutor() as pool:
        bar = {"total": len(missing), "desc": f"resizing {dataset.info.name}", "leave": False}
        for _ in progress_bar(pool.map(make, missing), **bar, disable=not missing):
            pass
    return [str(copy) for copy in copies]


def _fits_memory(size: int) -> bool:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size <= MEMORY_SHARE * memory:
        return True
    warnings.warn(
        f"the decoded images take {size / 2**30:.1f} of {memory / 2**30:.1f} GiB of memory, so "
        'they are decoded anew in every epoch; cache="disk" (--cache disk) keeps smaller copies',
        stacklevel=4,
    )
    return False
