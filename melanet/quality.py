"""Distance between the distributions of real and synthetic images."""

import math

import numpy as np
from numpy.typing import ArrayLike


def kernel_distance(
    real: ArrayLike,
    synthetic: ArrayLike,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Computes the Kernel Inception Distance (Binkowski et al. 2018) with features of any encoder.

    It is the unbiased estimate of the squared maximum mean discrepancy with the kernel
    `(x . y / channels + 1) ** 3`, averaged over random subsets of both sets. Its expectation is 0
    if both come from one distribution, so that it is often negative. Values of different encoders
    cannot be compared.

    Samples must be independent: give one per patient. Several per patient raise the estimate and
    make its standard error too small.

    Args:
        real: Features of real images, `(samples, channels)`, 4 samples or more.
        synthetic: Features of synthetic images, likewise.
        subsets: Number of subsets, 2 or more.
        subset_size: Samples of each set in a subset, 2 or more; at most half of the smaller set
            is used.
        seed: Seed of the subsets.

    Returns:
        The estimate and its standard error. Subsets overlap, so that their own spread says little:
        the error is that of the delete-d jackknife (Shao and Wu 1989) for the smaller set, which
        is rather too large than too small.

    Raises:
        ValueError: If a set has another shape or is not finite, the channels differ, or a number
            is out of range.

    Example:
        >>> import numpy as np
        >>> from melanet import kernel_distance
        >>> kernel_distance(np.full((4, 1), 1), np.full((4, 1), 2))
        (79.0, 0.0)
    """
    real, synthetic = _checked("real", real), _checked("synthetic", synthetic)
    if real.shape[1] != synthetic.shape[1]:
        raise ValueError(
            "`real` and `synthetic` must have the same channels. "
            f"Received: {real.shape[1]}, {synthetic.shape[1]}"
        )
    if subsets < 2 or subset_size < 2:
        raise ValueError(
            "`subsets` and `subset_size` must be 2 or more. "
            f"Received: subsets={subsets}, subset_size={subset_size}"
        )
    smaller = min(len(real), len(synthetic))
    size = min(subset_size, smaller // 2)
    random = np.random.default_rng(seed)
    values = [
        _squared_discrepancy(
            real[random.choice(len(real), size, replace=False)],
            synthetic[random.choice(len(synthetic), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    error = math.sqrt(size / (smaller - size)) * np.std(values)
    return float(np.mean(values)), float(error)


def _squared_discrepancy(first: np.ndarray, second: np.ndarray) -> float:
    """The unbiased estimate: no sample is compared with itself. Both have equally many samples."""
    count = len(first)
    within = [
        (kernel.sum() - np.trace(kernel)) / (count * (count - 1))
        for kernel in (_kernel(first, first), _kernel(second, second))
    ]
    return sum(within) - 2 * _kernel(first, second).mean()


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _checked(name: str, values: ArrayLike) -> np.ndarray:
    features = np.asarray(values, "float64")
    if features.ndim != 2 or len(features) < 4 or not features.shape[1]:
        raise ValueError(
            f"`{name}` must be (samples, channels), 4 samples or more. "
            f"Received shape {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"`{name}` must be finite; some values are NaN or infinite")
    return features
