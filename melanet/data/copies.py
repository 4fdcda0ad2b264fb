"""Images that show the same picture, such as an X-ray that was published twice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from melanet import lazy
from melanet.data.dataset import ImageDataset
from melanet.data.errors import InputError
from melanet.data.files import atomic_write

if TYPE_CHECKING:
    from scipy import sparse
    from scipy.sparse import csgraph
else:
    sparse = lazy.module("scipy.sparse")
    csgraph = lazy.module("scipy.sparse.csgraph")

COPIES_FILE = ".copies.json"  # hidden, and no part of the dataset
SIDE = 32  # pixels that images are reduced to
#: In the COVID-19 Image Data Collection, copies with another contrast are 0.21 to 0.23 apart; the
#: nearest two X-rays of different patients, also among those of the RSNA challenge, 0.29.
THRESHOLD = 0.25
#: Images of other groups must be this many times as far away: where many images look alike at this
#: size (phantoms, lesions in one dermatoscope's ring), near ones are no copies. The copies above
#: have 2.4 and more.
MARGIN = 2
BLOCK = 1024  # images that are compared with all others at once


def find_copies(dataset: ImageDataset, threshold: float = THRESHOLD) -> list[list[str]]:
    """Finds images that are the same picture, whatever its size, brightness, contrast or format.

    Images are reduced to 32 x 32 grey pixels, less their mean, over their standard deviation. Two
    are copies if the root-mean-square difference of these is below `threshold` (a correlation of
    `1 - threshold**2 / 2`) and, for both, less than half of that to any other group's image.
    Copies of copies are copies. The result is kept in the dataset's folder.

    Args:
        dataset: The images.
        threshold: The largest difference of copies, in standard deviations.

    Returns:
        Ids of the images of each picture that is there more than once, in the dataset's order.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.copies import find_copies
        >>> find_copies(prepare("phantom_normal", ".", "prepared/melanet/phantom_normal"))
        []
    """
    cache, key = dataset.folder / COPIES_FILE, [dataset.fingerprint, threshold, MARGIN]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(cache.read_bytes())
        if known["key"] == key:
            return known["copies"]
    ids = np.array(dataset.ids())
    _, groups = np.unique(dataset.metadata["group"], return_inverse=True)
    linked = _linked(_pairs(_standardized(dataset), groups, threshold), len(ids))
    numbers, counts = np.unique(linked, return_counts=True)
    copies = [ids[linked == number].tolist() for number in numbers[counts > 1]]
    with contextlib.suppress(InputError):  # the folder may be read-only
        atomic_write(cache, json.dumps({"key": key, "copies": copies}))
    return copies


def merge_groups(dataset: ImageDataset, threshold: float = THRESHOLD) -> list[str]:
    """Merges groups that share a picture, such as a patient who is listed under two numbers.

    Args:
        dataset: The images.
        threshold: As in `find_copies`.

    Returns:
        For each image, in the dataset's order, the first of the names of its group.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.copies import merge_groups
        >>> xrays = prepare("phantom_normal", ".", "prepared/melanet/phantom_normal")
        >>> merge_groups(xrays) == list(xrays.metadata["group"])
        True
    """
    names, groups = np.unique(dataset.metadata["group"], return_inverse=True)
    number = dict(zip(dataset.metadata["id"], groups, strict=True))
    pairs = {
        (number[first], number[second])
        for picture in find_copies(dataset, threshold)
        for first, second in pairwise(picture)
    }
    linked = _linked(pairs, len(names))
    _, first_of = np.unique(linked, return_index=True)
    return names[first_of][linked[groups]].tolist()


def _standardized(dataset: ImageDataset) -> np.ndarray:
    def read(path: str) -> np.ndarray:
        with Image.open(path) as image:
            grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        pixels = np.asarray(grey, "float32").ravel()
        return (pixels - pixels.mean()) / max(pixels.std(), 1e-6)

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(read, dataset.paths(dataset.ids()))))


def _pairs(images: np.ndarray, groups: np.ndarray, threshold: float) -> set[tuple[int, int]]:
    """Pairs of indices of images that are copies of each other."""
    found = set()
    for start in range(0, len(images), BLOCK):
        correlations = images[start : start + BLOCK] @ images.T / images.shape[1]
        distances = np.sqrt(np.maximum(0, 2 - 2 * correlations))
        for first, to_others in enumerate(distances, start):
            near = to_others < threshold
            near[first] = True
            if near.sum() > 1:
                others = to_others[~np.isin(groups, groups[near])]
                copies = near & (MARGIN * to_others < others.min(initial=np.inf))
                found |= {(first, int(second)) for second in np.flatnonzero(copies)}
    return {(first, second) for first, second in found if (second, first) in found}


def _linked(pairs: Collection[tuple[int, int]], count: int) -> np.ndarray:
    """Numbers the connected components of a graph: that of each of `count` nodes, by its edges."""
    ends = np.array(list(pairs), int).reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(ends)), ends.T), shape=(count, count))
    return csgraph.connected_components(graph, directed=False)[1]
