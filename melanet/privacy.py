"""Nearest-neighbour attacks on the claim of section 2.3.6 that synthetic images anonymise.

They compare features, or images by their pixels. What they find disproves anonymity. What they do
not find proves nothing: another encoder or a stronger attack may find it.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn.metrics import euclidean_distances


@dataclasses.dataclass(frozen=True)
class Closeness:
    """How close synthetic samples come to those of real patients; see `closeness`.

    Attributes:
        synthetic: Distance of each synthetic sample to the nearest real one.
        real: Distance of each real sample to the nearest real one of another patient.
        synthetic_median: Median of `synthetic`.
        real_median: Median of `real`.
        synthetic_low: 5% quantile of `synthetic`.
        real_low: 5% quantile of `real`.
        share: Share of the synthetic samples that are closer to a real one than `real_low`. It is
            large for copies, but also for images that are blurred or otherwise poor in detail,
            which lie close to all others. Only the control tells them apart.
        control: Distance of each synthetic sample to the nearest one of a held-out patient; None,
            like the rest, without a control.
        nearer_share: Share of the synthetic samples that are nearer to a training patient than to
            any held-out one.
        expected_share: What that share would be if the generator had not seen its training
            patients: their share among all patients.
        p_value: One-sided exact permutation test of `nearer_share`: the probability of as large a
            share if the patients had been divided at random into training and held-out ones.

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
    control: np.ndarray | None = None
    nearer_share: float | None = None
    expected_share: float | None = None
    p_value: float | None = None


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
        permutation_p_value: One-sided exact permutation test: the probability of `patient_hits` or
            more if the searches' results belonged to the patients in random order. Unlike
            `p_value` it allows for sources that are nearest to many samples.

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
    permutation_p_value: float


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
    query: ArrayLike, reference: ArrayLike, *, max_shift: int = 3, batch_size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest reference of each query, by Euclidean distance.

    Images are compared over flips and small shifts: their distance is the smallest one between the
    query without a margin of `max_shift` pixels and equally large parts of the reference, mirrored
    horizontally, vertically, both or not. That takes `4 * (2 * max_shift + 1) ** 2` times as long
    as one comparison; sides of 64 pixels are enough to find copies.

    Args:
        query: Features, `(queries, values)`, or images, `(queries, height, width)` or
            `(queries, height, width, channels)`.
        reference: Features or images, likewise.
        max_shift: Largest shift of images in pixels, in each direction.
        batch_size: Queries per batch; memory holds `batch_size * references` distances.

    Returns:
        Indices into `reference`, the first of equally near ones, and distances in float64, both
        `(queries,)`.

    Raises:
        ValueError: If an array is empty, of another shape or not finite, the shapes of features or
            images differ, images are too small to be shifted, or `batch_size` is not positive.

    Example:
        >>> from melanet import nearest
        >>> indices, distances = nearest([[1], [5]], [[0], [6]])
        >>> indices.tolist(), distances.tolist()
        ([0, 1], [1.0, 1.0])
    """
    queries, references = _checked("query", query), _checked("reference", reference)
    _check_shapes(max_shift, query=queries, reference=references)
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be 1 or more. Received: {batch_size}")
    return _nearest(queries, references, max_shift, batch_size)


def closeness(
    synthetic: ArrayLike,
    real: ArrayLike,
    patients: Sequence,
    *,
    held_out: ArrayLike | None = None,
    held_out_patients: Sequence = (),
    max_shift: int = 3,
    batch_size: int = 256,
) -> Closeness:
    """Tests whether synthetic samples lie too close to those that their generator was trained on.

    A generator that copies puts its samples closer to patients of its training than to patients
    that it never saw. The control of held-out patients is needed to say so: distances alone depend
    on sharpness and contrast as much as on copying.

    What this cannot see: copies that are rotated, zoomed, cropped, shifted by more than `max_shift`
    or changed in contrast or colour, unless the features ignore such changes; a copied lesion on
    another background; a few copies among many other samples, if there are few patients; and
    differences between training and held-out patients, such as another camera, which look like
    copying. A large p-value does not show that no image is a copy.

    Args:
        synthetic: Features or images, see `nearest`.
        real: The real samples that the generator was trained on, likewise.
        patients: The patient of each real sample; two patients or more.
        held_out: Real samples of the same kind, of patients that the generator never saw.
        held_out_patients: The patient of each of them; none of `patients`.
        max_shift: See `nearest`.
        batch_size: See `nearest`.

    Returns:
        Distances of both kinds, and the comparison with the control if there is one.

    Raises:
        ValueError: See `nearest`; or if patients have another length, a missing value, are fewer
            than two, or are in training and held out at once.

    Example:
        >>> from melanet import closeness
        >>> result = closeness([[0], [4]], [[0], [4]], ["a", "b"], held_out=[[1], [6]],
        ...                    held_out_patients=["c", "d"])
        >>> result.nearer_share, result.expected_share, round(result.p_value, 3)
        (1.0, 0.5, 0.167)
    """
    made, trained = _checked("synthetic", synthetic), _checked("real", real)
    _check_shapes(max_shift, synthetic=made, real=trained)
    numbers, names = _checked_patients("patients", patients, len(trained))
    found, to_real = _nearest(made, trained, max_shift, batch_size)
    _, between = _nearest(trained, trained, max_shift, batch_size, numbers)
    low = float(np.quantile(between, 0.05))
    result = Closeness(
        synthetic=to_real,
        real=between,
        synthetic_median=float(np.median(to_real)),
        real_median=float(np.median(between)),
        synthetic_low=float(np.quantile(to_real, 0.05)),
        real_low=low,
        share=float(np.mean(to_real < low)),
    )
    if held_out is None:
        return result
    control = _checked("held_out", held_out)
    _check_shapes(max_shift, synthetic=made, held_out=control)
    others, other_names = _checked_patients("held_out_patients", held_out_patients, len(control))
    if both := set(names) & set(other_names):
        raise ValueError(f"`held_out_patients`: {min(both)} is one of `patients` too")
    found_control, to_control = _nearest(made, control, max_shift, batch_size)
    nearer = to_real < to_control
    nearest_patients = np.where(nearer, numbers[found], len(names) + others[found_control])
    counts = np.bincount(nearest_patients, minlength=len(names) + len(other_names))
    return dataclasses.replace(
        result,
        control=to_control,
        nearer_share=float(nearer.mean()),
        expected_share=len(names) / len(counts),
        p_value=_subset_sum_p_value(counts, len(names)),
    )


def _subset_sum_p_value(counts: np.ndarray, size: int) -> float:
    """Probability that the sum of `size` random `counts` reaches that of the first `size`."""
    observed = int(counts[:size].sum())
    # States: how many counts were drawn, and their sum; the observed one stands for all above.
    probabilities = np.zeros((size + 1, observed + 1))
    probabilities[0, 0] = 1
    drawn = np.arange(size + 1)[:, None]
    for number, count in enumerate(counts):
        remaining = len(counts) - number
        draw = probabilities * np.clip((size - drawn) / remaining, 0, 1)
        probabilities -= draw
        count = min(int(count), observed)
        moved = draw[:, : observed + 1 - count]
        probabilities[1:, count:] += moved[:-1]
        probabilities[1:, observed] += draw[:-1, observed + 1 - count :].sum(axis=1)
    return min(float(probabilities[size, observed]), 1.0)


def reidentification(
    synthetic: ArrayLike,
    sources: ArrayLike,
    parents: ArrayLike,
    patients: Sequence,
    *,
    max_shift: int = 3,
    batch_size: int = 256,
) -> Reidentification:
    """Searches for the image, or the patient, that each synthetic sample was made from.

    The attacker has all source images and takes the one nearest to the synthetic sample.

    Args:
        synthetic: Features or images, see `nearest`.
        sources: All source images, likewise.
        parents: Index into `sources` of the image that each synthetic sample was made from,
            integers, `(synthetic samples,)`.
        patients: The patient of each source, `(sources,)`; two patients or more.
        max_shift: See `nearest`.
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
    made, originals = _checked("synthetic", synthetic), _checked("sources", sources)
    _check_shapes(max_shift, synthetic=made, sources=originals)
    origins = _checked_parents(parents, len(made), len(originals))
    numbers, _ = _checked_patients("patients", patients, len(originals))
    found, _ = _nearest(made, originals, max_shift, batch_size)
    own = numbers[origins]
    _, first = np.unique(own, return_index=True)
    images = np.bincount(numbers)[own]
    return Reidentification(
        source=_hit_rate(found, origins, np.full(len(found), 1 / len(originals)), first),
        patient=_hit_rate(numbers[found], own, images / len(originals), first),
    )


def _nearest(
    query: np.ndarray,
    reference: np.ndarray,
    max_shift: int,
    batch_size: int,
    patients: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """See `nearest`; with `patients` of both arrays, only other patients' references count."""
    shape, margin = query.shape[1:3], max_shift
    if query.ndim > 2:
        query = query[:, margin : shape[0] - margin, margin : shape[1] - margin]
    query = query.reshape(len(query), -1)
    indices, distances = np.zeros(len(query), int), np.full(len(query), np.inf)
    for variant in _variants(reference, max_shift):
        for at in range(0, len(query), batch_size):
            part = slice(at, at + batch_size)
            squared = euclidean_distances(query[part], variant, squared=True)
            if patients is not None:
                squared[patients[part, None] == patients] = np.inf
            found = squared.argmin(axis=1)
            # Again, by differences: the fast formula is inexact near 0, where copies are.
            exact = np.linalg.norm(query[part].astype("float64") - variant[found], axis=1)
            nearer = exact < distances[part]
            indices[part][nearer], distances[part][nearer] = found[nearer], exact[nearer]
    return indices, distances


def _variants(reference: np.ndarray, max_shift: int) -> Iterator[np.ndarray]:
    """All flips and shifts of images, flattened; features as they are."""
    if reference.ndim == 2:
        yield reference
        return
    height, width = (side - 2 * max_shift for side in reference.shape[1:3])
    shifts = range(2 * max_shift + 1)
    for vertical, horizontal in itertools.product((1, -1), repeat=2):
        flipped = reference[:, ::vertical, ::horizontal]
        for top, left in itertools.product(shifts, repeat=2):
            shifted = flipped[:, top : top + height, left : left + width]
            yield shifted.reshape(len(shifted), -1)


def _hit_rate(found: np.ndarray, own: np.ndarray, chance: np.ndarray, first: np.ndarray) -> HitRate:
    """`first` holds the index of each patient's first sample."""
    hit = found == own
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
        permutation_p_value=_matches_p_value(found[first], own[first]),
    )


def _matches_p_value(found: np.ndarray, own: np.ndarray) -> float:
    """Probability that `found` equals a random permutation of `own` in as many places or more.

    Exact, by rook polynomials: each value of `own`, all different, may match any of the places
    where it was found, so that the expected numbers of sets of j matches are the elementary
    symmetric polynomials of those counts times `(n - j)! / n!`.
    """
    n, hits = len(own), int((found == own).sum())
    if not hits:
        return 1.0
    sets = [1]
    for count in (int((found == value).sum()) for value in own):
        if count:
            sets = [a + count * b for a, b in zip([*sets, 0], [0, *sets], strict=True)]
    favourable = sum(
        (-1) ** (j - hits) * math.comb(j - 1, hits - 1) * math.factorial(n - j) * sets[j]
        for j in range(hits, len(sets))
    )
    return favourable / math.factorial(n)


def _checked(name: str, values: ArrayLike) -> np.ndarray:
    samples = np.asarray(values)
    if not 2 <= samples.ndim <= 4 or not samples.size:
        raise ValueError(
            f"`{name}` must be features, (samples, values), or images, (samples, height, width) "
            f"or (samples, height, width, channels), with one sample or more. "
            f"Received shape {samples.shape}"
        )
    if not np.issubdtype(samples.dtype, np.floating):
        samples = samples.astype("float32")  # exact for pixels
    if not np.isfinite(samples).all():
        raise ValueError(f"`{name}` must be finite; some values are NaN or infinite")
    return samples


def _check_shapes(max_shift: int, **pair: np.ndarray) -> None:
    (first, a), (second, b) = pair.items()
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"`{first}` and `{second}` must have samples of equal shape. "
            f"Received: {a.shape[1:]}, {b.shape[1:]}"
        )
    if max_shift < 0 or (a.ndim > 2 and min(a.shape[1:3]) <= 2 * max_shift):
        raise ValueError(
            f"`max_shift` must be 0 or more, and less than half of an image. Received: {max_shift}"
        )


def _checked_patients(name: str, patients: Sequence, count: int) -> tuple[np.ndarray, list]:
    """The patient of each sample as a number from 0, and the patients' names."""
    numbers, names = pd.factorize(np.asarray(patients))
    if numbers.shape != (count,) or (numbers < 0).any():
        raise ValueError(
            f"`{name}` must name a patient for each of the {count} samples. "
            f"Received {len(numbers)}, {(numbers < 0).sum()} of them missing"
        )
    if len(names) < 2:
        raise ValueError(f"`{name}`: there must be two patients or more")
    return numbers, list(names)


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
