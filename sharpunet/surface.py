"""Distances between the surfaces of two masks, in millimetres."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage


class SurfaceDistance(NamedTuple):
    """How far two surfaces are from each other.

    Attributes:
        mean: The average symmetric surface distance: of all surface voxels of both masks, the mean
            distance to the other surface.
        percentile_95: The 95% Hausdorff distance: the larger one of both directions' 95th
            percentiles.

    Example:
        >>> from sharpunet.surface import SurfaceDistance
        >>> SurfaceDistance(mean=0.5, percentile_95=2.0).percentile_95
        2.0
    """

    mean: float
    percentile_95: float


def surface_distance(
    truth: ArrayLike, predicted: ArrayLike, spacing: tuple[float, ...]
) -> SurfaceDistance:
    """Distances between the surfaces of two masks of a volume or an image.

    A surface is the voxels of a mask with a neighbour, across a face, outside of it; the border of
    the volume counts as outside. Distances are between centres of voxels.

    Args:
        truth: `(depth, height, width)`, not 0 inside; or of an image.
        predicted: The same.
        spacing: Millimetres between neighbours along every axis.

    Returns:
        Both distances in millimetres: 0 if both masks are empty, infinite if only one is.

    Raises:
        ValueError: If the shapes differ, or `spacing` does not fit them.

    Example:
        >>> import numpy as np
        >>> from sharpunet.surface import surface_distance
        >>> here, there = np.zeros((2, 3, 3, 3))
        >>> here[0, 1, 1], there[2, 1, 1] = 1, 1
        >>> surface_distance(here, there, spacing=(2.5, 1, 1)).mean
        5.0
    """
    true, found = np.asarray(truth) != 0, np.asarray(predicted) != 0
    if true.shape != found.shape or len(spacing) != true.ndim or min(spacing) <= 0:
        raise ValueError(
            "`truth` and `predicted` must have one shape, and `spacing` a positive number for each "
            f"of its axes. Received: {true.shape}, {found.shape}, {spacing}"
        )
    if not (true.any() and found.any()):
        distance = float("inf") if true.any() or found.any() else 0.0
        return SurfaceDistance(distance, distance)
    surfaces = _surface(true), _surface(found)
    # The distance of every voxel to each surface.
    to_true, to_found = (
        ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces
    )
    there, back = to_found[surfaces[0]], to_true[surfaces[1]]
    return SurfaceDistance(
        float(np.concatenate([there, back]).mean()),
        float(max(np.percentile(there, 95), np.percentile(back, 95))),
    )


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)
