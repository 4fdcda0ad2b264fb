"""Does a synthetic set anonymise, as section 2.3.6 claims? Two attacks by nearest neighbours.

They take features or flattened pixels. What they find disproves anonymity; what they do not find
does not prove it: another encoder or a stronger attack may find it.
"""

import dataclasses

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import euclidean_distances


@dataclasses.dataclass(frozen=True)
class Closeness:
    """How close synthetic samples come to real ones, beside how close real patients come.

    Attributes:
        synthetic: Distance of each synthetic sample to its nearest real one.
        real: Distance of each real sample to the nearest real one of another patient.
        synthetic_median, real_median: Their medians.
        synthetic_low, real_low: Their 5 % quantiles.
        share: Part of the synthetic samples that are closer to a real one than `real_low`. About
            0.05 if they were one more patient each; much more if they copy.
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
    """How often the search found what it should, beside how often chance would.

    Synthetic samples of one patient are not independent, so that `rate` over all of them has
    neither interval nor p-value. Those are for patients: each is one trial, a hit if the first of
    its samples, in the order given, is one.

    Attributes:
        samples, hits: Number of synthetic samples, and of those that hit.
        rate: `hits / samples`.
        chance: Mean probability of a hit if one of the sources is drawn at random, over all
            samples.
        patients, patient_hits: Number of trials, and of those that hit.
        patient_chance: `chance`, over the trials.
        interval: Exact 95 % interval (Clopper and Pearson) of `patient_hits / patients`.
        p_value: One-sided exact binomial test of as many `patient_hits` or more by chance. Where
            chance differs from patient to patient the test takes its mean, which makes the
            p-value larger, never smaller, once there is a hit more than chance gives
            (Hoeffding 1956).
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
    """What a search among all sources found: the very `source`, or an image of its `patient`."""

    source: HitRate
    patient: HitRate


def nearest(query, reference, *, batch_size=256) -> tuple[np.ndarray, np.ndarray]:
    """The nearest reference of each query, by Euclidean distance.

    Args:
        query: `(queries, values)`.
        reference: `(references, values)`.
        batch_size: Queries compared at once: memory is for `batch_size * references` distances.

    Returns:
        Indices into `reference`, the first of equal ones, and float64 distances, each `(queries,)`.

    Raises:
        ValueError: If an array is empty, not 2-D or not finite, the numbers of values differ, or
            `batch_size` is not positive.
    """
    query, reference = _checked("query", query), _checked("reference", reference)
    _check_values(query=query, reference=reference)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be 1 or more. Received: {batch_size}")
    return _nearest(query, reference, batch_size)


def closeness(synthetic, real, patients, *, batch_size=256) -> Closeness:
    """Whether synthetic samples lie closer to real ones than patients lie to one another.

    A generator that copies its training images puts its samples at distances near 0, far below
    those between two patients.

    Args:
        synthetic: `(synthetic samples, values)`.
        real: The real samples that the generator was trained with, `(real samples, values)`.
        patients: The patient of each real sample, `(real samples,)`; two patients or more.
        batch_size: As in `nearest`.

    Raises:
        ValueError: As in `nearest`; or if `patients` has another length, a missing value, or one
            patient only.
    """
    synthetic, real = _checked("synthetic", synthetic), _checked("real", real)
    _check_values(synthetic=synthetic, real=real)
    patients = _checked_patients(patients, len(real))
    _, to_real = nearest(synthetic, real, batch_size=batch_size)
    _, between = _nearest(real, real, batch_size, patients)
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


def reidentification(synthetic, sources, parents, patients, *, batch_size=256) -> Reidentification:
    """Whether a synthetic sample gives away the image, or the patient, that it was made from.

    The attacker has all source images and takes the one nearest to the synthetic sample.

    Args:
        synthetic: `(synthetic samples, values)`.
        sources: All source images, `(sources, values)`.
        parents: Index into `sources` of the one that each synthetic sample was made from,
            integers, `(synthetic samples,)`.
        patients: The patient of each source, `(sources,)`; two patients or more.
        batch_size: As in `nearest`.

    Returns:
        The hit rates for the source, whose chance is `1 / sources`, and for the patient, whose
        chance is the mean over samples of `images of its patient / sources`.

    Raises:
        ValueError: As in `nearest`; or if `parents` are no such indices, or `patients` has another
            length, a missing value, or one patient only.
    """
    synthetic, sources = _checked("synthetic", synthetic), _checked("sources", sources)
    _check_values(synthetic=synthetic, sources=sources)
    parents = _checked_parents(parents, len(synthetic), len(sources))
    patients = _checked_patients(patients, len(sources))
    found, _ = nearest(synthetic, sources, batch_size=batch_size)
    own = patients[parents]
    images = np.bincount(patients)[own]
    _, first = np.unique(own, return_index=True)
    return Reidentification(
        source=_hit_rate(found == parents, np.full(len(found), 1 / len(sources)), first),
        patient=_hit_rate(patients[found] == own, images / len(sources), first),
    )


def _nearest(query, reference, batch_size, patients=None):
    """As `nearest`; with `patients`, of both, only among the other patients."""
    indices = np.empty(len(query), int)
    distances = np.empty(len(query))
    for at in range(0, len(query), batch_size):
        batch = query[at : at + batch_size]
        every = euclidean_distances(batch, reference, squared=True)
        if patients is not None:
            every[patients[at : at + batch_size, None] == patients] = np.inf
        chosen = every.argmin(axis=1)
        indices[at : at + batch_size] = chosen
        # Anew, by differences: the fast formula loses small distances, and a copy is at 0.
        differences = batch.astype("float64") - reference[chosen]
        distances[at : at + batch_size] = np.linalg.norm(differences, axis=1)
    return indices, distances


def _hit_rate(hit, chance, first) -> HitRate:
    """`first` are the indices of the samples that stand for their patients."""
    patients, patient_hits = len(first), int(hit[first].sum())
    patient_chance = float(chance[first].mean())
    # The interval of a one-sided test would be one-sided too.
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


def _checked(name, samples) -> np.ndarray:
    samples = np.asarray(samples)
    if samples.ndim != 2 or not samples.size:
        raise ValueError(
            f"`{name}` must be (samples, values), with a sample or more. "
            f"Received shape {samples.shape}"
        )
    if not np.issubdtype(samples.dtype, np.floating):
        samples = samples.astype("float32")  # exact for pixels
    if not np.isfinite(samples).all():
        raise ValueError(f"`{name}` must be finite; some values are NaN or infinite")
    return samples


def _check_values(**pair):
    (first, a), (second, b) = pair.items()
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`{first}` and `{second}` must have as many values a sample. "
            f"Received: {a.shape[1]}, {b.shape[1]}"
        )


def _checked_patients(patients, count) -> np.ndarray:
    """A number for each patient, from 0."""
    numbers, names = pd.factorize(np.asarray(patients))
    if numbers.shape != (count,) or (numbers < 0).any():
        raise ValueError(
            f"`patients` must name a patient for each of the {count} samples. "
            f"Received {len(numbers)}, {(numbers < 0).sum()} of them missing"
        )
    if len(names) < 2:
        raise ValueError("`patients`: there must be two patients or more")
    return numbers


def _checked_parents(parents, samples, sources) -> np.ndarray:
    parents = np.asarray(parents)
    if parents.shape != (samples,) or not np.issubdtype(parents.dtype, np.integer):
        raise ValueError(
            f"`parents` must be one integer for each of the {samples} synthetic samples. "
            f"Received {parents.dtype} of shape {parents.shape}"
        )
    if (parents < 0).any() or (parents >= sources).any():
        raise ValueError(f"`parents` must lie in 0 to {sources - 1}; some do not")
    return parents
