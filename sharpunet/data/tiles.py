"""Images that are tiles of one field of view, told by their edges."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy

if TYPE_CHECKING:
    from scipy import ndimage
    from scipy.sparse import csgraph
    from scipy.spatial import distance
else:
    ndimage = lazy.module("scipy.ndimage")
    csgraph = lazy.module("scipy.sparse.csgraph")
    distance = lazy.module("scipy.spatial.distance")

#: Any other edge must be this many times as far away. In DSB-2018 neighbours have 2.6 and more.
MARGIN = 2
#: From one tile to the next, pixels change as much as from one line to the next within a tile:
#: at most this many times as much. In DSB-2018 neighbours have 1.1 at most.
MAX_STEP = 1.5
#: Least correlation of the fine structure of two edges, which is each less its moving average over
#: an eighth of its length: slow changes of brightness may agree by chance, and background alone is
#: noise. Neighbours in DSB-2018 have 0.94 and more, other edges 0.69 at most.
MIN_CORRELATION = 0.9
MIN_LENGTH = 32  # pixels of an edge; shorter ones have too little structure


@dataclasses.dataclass(frozen=True)
class _Edge:
    """The outermost line of an image, and its root-mean-square difference to the next one."""

    line: np.ndarray
    step: float


def link_tiles(images: Iterable[np.ndarray]) -> list[int]:
    """Finds images that were cut from one field without a gap.

    Two images are neighbours if the last row (or column) of one continues in the first of the
    other: the two lines are nearer to each other than half of the distance to those of any third
    image, differ no more than neighbouring lines of one image do, and show the same fine structure.
    Where an edge shows background alone, nothing is certain, and nothing is linked.

    Args:
        images: `(height, width)` or `(height, width, channels)`, in any sizes. They are read one
            by one, and only their edges kept.

    Returns:
        The number of each image's field: equal for tiles that are linked, also through others.

    Example:
        >>> import numpy as np
        >>> from sharpunet.data.tiles import link_tiles
        >>> rows, columns = np.mgrid[:64, :128]
        >>> field = 100 * np.sin(rows**2 / 99 + columns / 20)
        >>> other = 100 * np.sin(rows**2 / 50)
        >>> link_tiles([field[:, :64], field[:, 64:], other[:, :64]])
        [0, 0, 1]
    """
    rows: list[tuple[_Edge, _Edge]] = []
    columns: list[tuple[_Edge, _Edge]] = []
    for image in images:
        grey = np.asarray(image, "float64")
        grey = grey.mean(axis=2) if grey.ndim == 3 else grey
        rows.append(_edges(grey))
        columns.append(_edges(grey.T))
    linked = _neighbours(rows) | _neighbours(columns)
    numbers = csgraph.connected_components(linked, directed=False)[1]
    return numbers.tolist()


def _edges(grey: np.ndarray) -> tuple[_Edge, _Edge]:
    """The first and the last row of an image."""
    inner = min(1, len(grey) - 1)
    return (
        _Edge(grey[0], _distance(grey[0], grey[inner])),
        _Edge(grey[-1], _distance(grey[-1], grey[-1 - inner])),
    )


def _distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sqrt(np.mean((first - second) ** 2)))


def _neighbours(edges: list[tuple[_Edge, _Edge]]) -> np.ndarray:
    """Whether the last line of one image continues in the first of another, `(images, images)`."""
    linked = np.zeros((len(edges), len(edges)), bool)
    lengths = np.array([len(first.line) for first, _ in edges])
    for length in np.unique(lengths):
        of_length = np.flatnonzero(lengths == length)
        if len(of_length) < 2 or length < MIN_LENGTH:
            continue
        firsts = np.stack([edges[index][0].line for index in of_length])
        lasts = np.stack([edges[index][1].line for index in of_length])
        distances = distance.cdist(lasts, firsts) / np.sqrt(length)
        np.fill_diagonal(distances, np.inf)  # an image is no neighbour of itself
        for last, first in enumerate(distances.argmin(axis=1)):
            pair = edges[of_length[last]][1], edges[of_length[first]][0]
            if _stands_out(distances, last, first) and _continues(*pair):
                linked[of_length[last], of_length[first]] = True
    return linked


def _stands_out(distances: np.ndarray, row: int, column: int) -> bool:
    """Whether all else in the row and the column is `MARGIN` times as far away."""
    others = np.append(np.delete(distances[row], column), np.delete(distances[:, column], row))
    return bool(MARGIN * distances[row, column] < others.min())


def _continues(last: _Edge, first: _Edge) -> bool:
    """Whether two lines are as alike as neighbouring lines of one image, and not by chance."""
    near = _distance(last.line, first.line) <= MAX_STEP * max(last.step, first.step)
    fine = [
        edge.line - ndimage.uniform_filter1d(edge.line, len(edge.line) // 8)
        for edge in (last, first)
    ]
    if not near or not all(map(np.any, fine)):
        return False
    return bool(np.corrcoef(*fine)[0, 1] >= MIN_CORRELATION)
