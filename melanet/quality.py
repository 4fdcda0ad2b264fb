"""How close synthetic images are to real ones as a distribution: kernel distance of features."""

import math

import numpy as np


def kernel_distance(
    real, synthetic, *, subsets=100, subset_size=1000, seed=0
) -> tuple[float, float]:
    """Kernel Inception Distance (Binkowski et al. 2018) in the features of any encoder.

    The unbiased estimate of the squared maximum mean discrepancy with the kernel
    `(x . y / channels + 1) ** 3`, as a mean over random subsets of both sets. It is 0 in
    expectation, and therefore often below 0, if both come of one distribution. Values compare
    only within one encoder. Samples must be independent: give one of each patient, for several
    of one raise the estimate and make its error too small.

    Args:
        real: Features of real images, `(samples, channels)`, 4 samples or more.
        synthetic: Features of synthetic ones, likewise.
        subsets: Number of subsets, 2 or more.
        subset_size: Samples of each set a subset, 2 or more; at most half of the smaller set.
        seed: Seed of the subsets.

    Returns:
        The estimate and its standard error. The subsets overlap, so their own spread says little:
        the error is that of the delete-d jackknife (Shao and Wu 1989) for the smaller set, which
        is too large rather than too small.

    Raises:
        ValueError: If a set is not of that shape or not finite, the channels differ, or a number
            is out of its range.
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


def _squared_discrepancy(first, second) -> float:
    """Unbiased: no sample is compared with itself. Both have as many samples."""
    count = len(first)
    within = [
        (kernel.sum() - np.trace(kernel)) / (count * (count - 1))
        for kernel in (_kernel(first, first), _kernel(second, second))
    ]
    return sum(within) - 2 * _kernel(first, second).mean()


def _kernel(first, second):
    return (first @ second.T / first.shape[1] + 1) ** 3


def _checked(name, features) -> np.ndarray:
    features = np.asarray(features, "float64")
    if features.ndim != 2 or len(features) < 4 or not features.shape[1]:
        raise ValueError(
            f"`{name}` must be (samples, channels), 4 samples or more. "
            f"Received shape {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"`{name}` must be finite; some values are NaN or infinite")
    return features
