"""Nearest-neighbour attacks on the claim of section 2.3.6 that synthetic images anonymise.

They work on features or flattened pixels. What they find disproves anonymity. What they do not find
proves nothing: another encoder or a stronger attack may find it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn.metrics import euclidean_distances


@dataclasses.dataclass(frozen=True)
class Closeness:
    """How close synthetic samples come to real ones, compared with real patients; see `closeness`.

    Attributes:
        synthetic: Distance of each synthetic sample to the nearest real one.
        real: Distance of each real sample to the nearest real one of another patient.
        synthetic_median: Median of `synthetic`.
        real_median: Median of `real`.
        synthetic_low: 5% quantile of `synthetic`.
        real_low: 5% quantile of `real`.
        share: Share of the synthetic samples that are closer to a real one than `real_low`. It
            is about 0.05 if each were one more patient, and much larger if they are copies.

    Example:
        >>> from melanet.privacy import closeness
        >>> result = closeness([[1], [5]], [[0], [2], [6]], ["a", "b", "c"])
        >>> result.synthetic.tolist(), result.real.tolist()
        ([1.0, 1.0], [2.0, 2.0, 4.0])
    """

    synthetic: np.ndarray
    real: np.ndarray
    synthetic_median: float
    real_median: float
    synthetic_low: float
    real_low: float
    share: float


@dataclasses.dataclass(frozen=True)
class HitRate:
    """How often a search found its target, compared with chance; see `reidentification`.

    Synthetic samples of one patient are not independent, so that `rate`, over all samples, has
    neither an interval nor a p-value. Those are given for patients: each patient is one trial,
    and a hit if the first of its samples, in the given order, is one.

    Attributes:
        samples: Number of synthetic samples.
        hits: Number of samples that hit.
        rate: `hits / samples`.
        chance: Probability of a hit if a source is drawn at random, averaged over the samples.
        patients: Number of trials.
        patient_hits: Number of trials that hit.
        patient_chance: `chance`, over the trials.
        interval: Exact 95% interval (Clopper and Pearson) of `patient_hits / patients`.
        p_value: One-sided exact binomial test of `patient_hits` or more by chance. Where chance
            differs between patients, the test takes its mean, which makes the p-value larger,
            never smaller, once there is a hit more than expected (Hoeffding 1956).

    Example:
        >>> from melanet.privacy import reidentification
        >>> found = reidentification([[1], [5]], [[0], [6]], [0, 1], ["a", "b"])
        >>> found.patient.hits, found.patient.p_value
        (2, 0.25)
    """

    samples: int
    hits: int
    rate: float
    chance: float
    patients: int
    patient_hits: int
    patient_chance: float
    interval: tuple[float, float]
    p_value: float


@dataclasses.dataclass(frozen=True)
class Reidentification:
    """Result of `reidentification`.

    Attributes:
        source: How often the nearest source was the image that the sample was made from.
        patient: How often it was an image of the same patient.

    Example:
        >>> from melanet.privacy import reidentification
        >>> found = reidentification([[1]], [[0], [2], [6]], [1], ["a", "a", "b"])
        >>> found.source.hits, found.patient.hits
        (0, 1)
    """

    source: HitRate
    patient: HitRate


def nearest(
    query: ArrayLike, reference: ArrayLike, *, batch_size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest reference of each query, by Euclidean distance.

    Args:
        query: `(queries, values)`.
        reference: `(references, values)`.
        batch_size: Queries per batch; memory holds `batch_size * references` distances.

    Returns:
        Indices into `reference`, the first of equally near ones, and distances in float64, both
        `(queries,)`.

    Raises:
        ValueError: If an array is empty, not two-dimensional or not finite, the numbers of values
            differ, or `batch_size` is not positive.

    Example:
        >>> from melanet import nearest
        >>> indices, distances = nearest([[1], [5]], [[0], [6]])
        >>> indices.tolist(), distances.tolist()
        ([0, 1], [1.0, 1.0])
    """
    query, reference = _checked("query", query), _checked("reference", reference)
    _check_values(query=query, reference=reference)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be 1 or more. Received: {batch_size}")
    return _nearest(query, reference, batch_size)


def closeness(
    synthetic: ArrayLike, real: ArrayLike, patients: Sequence, *, batch_size: int = 256
) -> Closeness:
    """Compares distances of synthetic samples to real ones with those between real patients.

    A generator that copies its training images puts its samples at distances near 0, far below
    those between two patients.

    Args:
        synthetic: `(synthetic samples, values)`.
        real: The real samples that the generator was trained on, `(real samples, values)`.
        patients: The patient of each real sample, `(real samples,)`; two patients or more.
        batch_size: See `nearest`.

    Returns:
        Distances of both kinds, and how many synthetic samples are too close.

    Raises:
        ValueError: See `nearest`; or if `patients` has another length, a missing value, or only
            one patient.

    Example:
        >>> from melanet import closeness
        >>> closeness([[0], [9]], [[0], [2], [6]], ["a", "b", "c"]).share
        0.5
    """
    synthetic, real = _checked("synthetic", synthetic), _checked("real", real)
    _check_values(synthetic=synthetic, real=real)
    numbers = _checked_patients(patients, len(real))
    _, to_real = nearest(synthetic, real, batch_size=batch_size)
    _, between = _nearest(real, real, batch_size, numbers)
    low = float(np.quantile(between, 0.05))
    return Closeness(
        synthetic=to_real,
        real=between,
        synthetic_median=float(np.median(to_real)),
        real_median=float(np.median(between)),
        synthetic_low=float(np.quantile(to_real, 0.05)),
        real_low=low,
        share=float(np.mean(to_real < low)),
    )


def reidentification(
    synthetic: ArrayLike,
    sources: ArrayLike,
    parents: ArrayLike,
    patients: Sequence,
    *,
    batch_size: int = 256,
) -> Reidentification:
    """Searches for the image, or the patient, that each synthetic sample was made from.

    The attacker has all source images and takes the one nearest to the synthetic sample.

    Args:
        synthetic: `(synthetic samples, values)`.
        sources: All source images, `(sources, values)`.
        parents: Index into `sources` of the image that each synthetic sample was made from,
            integers, `(synthetic samples,)`.
        patients: The patient of each source, `(sources,)`; two patients or more.
        batch_size: See `nearest`.

    Returns:
        The hit rate for the source, whose chance is `1 / sources`, and the one for the patient,
        whose chance is `images of the patient / sources`, averaged over the samples.

    Raises:
        ValueError: See `nearest`; or if `parents` are not such indices, or `patients` has another
            length, a missing value, or only one patient.

    Example:
        >>> from melanet import reidentification
        >>> found = reidentification([[1], [5]], [[0], [2], [6]], [0, 2], ["a", "a", "b"])
        >>> found.source.rate, found.source.chance
        (1.0, 0.3333333333333333)
    """
    synthetic, sources = _checked("synthetic", synthetic), _checked("sources", sources)
    _check_values(synthetic=synthetic, sources=sources)
    parents = _checked_parents(parents, len(synthetic), len(sources))
    numbers = _checked_patients(patients, len(sources))
    found, _ = nearest(synthetic, sources, batch_size=batch_size)
    own = numbers[parents]
    images = np.bincount(patients)[own]
    _, first = np.unique(own, return_index=True)
    return Reidentification(
        source=_hit_rate(found == parents, np.full(len(found), 1 / len(sources)), first),
        patient=_hit_rate(numbers[found] == own, images / len(sources), first),
    )


def _nearest(
    query: np.ndarray, reference: np.ndarray, batch_size: int, patients: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """See `nearest`; with `patients` of both arrays, only other patients' references count."""
    indices = np.empty(len(query), int)
    distances = np.empty(len(query))
    for at in range(0, len(query), batch_size):
        batch = query[at : at + batch_size]
        every = euclidean_distances(batch, reference, squared=True)
        if patients is not None:
            every[patients[at : at + batch_size, None] == patients] = np.inf
        chosen = every.argmin(axis=1)
        indices[at : at + batch_size] = chosen
        # Again, by differences: the fast formula is inexact near 0, where copies are.
        differences = batch.astype("float64") - reference[chosen]
        distances[at : at + batch_size] = np.linalg.norm(differences, axis=1)
    return indices, distances


def _hit_rate(hit: np.ndarray, chance: np.ndarray, first: np.ndarray) -> HitRate:
    """`first` holds the index of each patient's first sample."""
    patients, patient_hits = len(first), int(hit[first].sum())
    patient_chance = float(chance[first].mean())
    # Not the test's own interval, which is one-sided like the test.
    interval = binomtest(patient_hits, patients).proportion_ci(0.95, method="exact")
    test = binomtest(patient_hits, patients, patient_chance, alternative="greater")
    return HitRate(
        samples=len(hit),
        hits=int(hit.sum()),
        rate=float(hit.mean()),
        chance=float(chance.mean()),
        patients=patients,
        patient_hits=patient_hits,
        patient_chance=patient_chance,
        interval=(float(interval.low), float(interval.high)),
        p_value=float(test.pvalue),
    )


def _checked(name: str, values: ArrayLike) -> np.ndarray:
    samples = np.asarray(values)
    if samples.ndim != 2 or not samples.size:
        raise ValueError(
            f"`{name}` must be (samples, values), with one sample or more. "
            f"Received shape {samples.shape}"
        )
    if not np.issubdtype(samples.dtype, np.floating):
        samples = samples.astype("float32")  # exact for pixels
    if not np.isfinite(samples).all():
        raise ValueError(f"`{name}` must be finite; some values are NaN or infinite")
    return samples


def _check_values(**pair: np.ndarray) -> None:
    (first, a), (second, b) = pair.items()
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`{first}` and `{second}` must have equally many values per sample. "
            f"Received: {a.shape[1]}, {b.shape[1]}"
        )


def _checked_patients(patients: Sequence, count: int) -> np.ndarray:
    """Numbers of the patients, from 0."""
    numbers, names = pd.factorize(np.asarray(patients))
    if numbers.shape != (count,) or (numbers < 0).any():
        raise ValueError(
            f"`patients` must name a patient for each of the {count} samples. "
            f"Received {len(numbers)}, {(numbers < 0).sum()} of them missing"
        )
    if len(names) < 2:
        raise ValueError("`patients`: there must be two patients or more")
    return numbers


def _checked_parents(indices: ArrayLike, samples: int, sources: int) -> np.ndarray:
    parents = np.asarray(indices)
    if parents.shape != (samples,) or not np.issubdtype(parents.dtype, np.integer):
        raise ValueError(
            f"`parents` must be one integer for each of the {samples} synthetic samples. "
            f"Received {parents.dtype} of shape {parents.shape}"
        )
    if (parents < 0).any() or (parents >= sources).any():
        raise ValueError(f"`parents` must lie in 0 to {sources - 1}; some do not")
    return parents
