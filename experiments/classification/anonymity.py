"""Tests of synthetic images: are they anonymous (section 2.3.6), and how good are they?"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from experiments.common.releases import HALVES, SOURCES, TRANSLATED
from experiments.common.style import COLOURS, hide_frame, image_grid
from melanet.data import ImageDataset, load_dataset
from melanet.explain import features
from melanet.privacy import (
    Closeness,
    HitRate,
    Reidentification,
    closeness,
    nearest,
    reidentification,
)
from melanet.quality import kernel_distance

#: Pixels per side of the images that are compared pixel by pixel: finer detail only adds noise.
COMPARED_SIDE = 32
PAIRS_SHOWN = 8
SIGNIFICANCE_LEVEL = 0.05
#: Largest share of the images that may be as close to a training image as only 5% of real ones are.
MAX_CLOSE_SHARE = 0.2
MIN_CONTROL_PATIENTS = 2  # `closeness` needs as many
MIN_PATIENTS = 4  # of each class: KID compares halves of the real ones


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the tests found out about a synthetic dataset.

    Attributes:
        closeness: By space ("pixels", "features"): how near it comes to real training images.
        reidentification: By space: whether a synthetic image leads to its source.
        nearest_real: By space: of each synthetic image, the id of the nearest real training image
            of its class, and the distance.
        distances: KID and its standard error, by what is compared.
        encoder: What the features are of.
    """

    closeness: dict[str, Closeness]
    reidentification: dict[str, Reidentification]
    nearest_real: dict[str, pd.DataFrame]
    distances: dict[str, tuple[float, float]]
    encoder: str


def examine(
    synthetic: ImageDataset,
    source: ImageDataset,
    rows: pd.DataFrame,
    held_out: pd.DataFrame,
    encoder: tuple[keras.Model, str],
    *,
    keep_aspect_ratio: bool | None,
    seed: int,
) -> Evidence:
    """Compares synthetic images with those that their CycleGAN was trained on.

    Args:
        synthetic: The translated images.
        source: The dataset that they were translated from.
        rows: Rows of `source.metadata` of the training images, by id.
        held_out: Rows of images of the second class whose patients the generator never saw, by id.
            With fewer than two patients there is no control.
        encoder: The network whose features are compared, and what it is.
        keep_aspect_ratio: As the CycleGAN was trained.
        seed: Seed of the halves of the real images, and of KID.
    """
    network, encoder_text = encoder
    negative, positive = source.info.labels
    real, parents = rows[rows["label"] == positive], rows[rows["label"] == negative]
    size = synthetic.info.image_size

    def load(subset):  # as the generator saw them
        return load_dataset(
            subset, image_size=size, keep_aspect_ratio=keep_aspect_ratio, cache="none"
        )

    spaces: dict[str, Callable] = {
        "pixels": lambda subset: _pixels(load(subset)),
        "features": lambda subset: features(network, load(subset)),
    }
    close, found, nearest_real = {}, {}, {}
    for space, embed in spaces.items():
        of_synthetic = embed(synthetic)
        of_real, of_parents = (embed((source, list(each.index))) for each in (real, parents))
        close[space] = closeness(
            of_synthetic, of_real, real["group"], **_control(embed, source, held_out)
        )
        sources = parents.index.get_indexer(synthetic.metadata["parent"])
        found[space] = reidentification(of_synthetic, of_parents, sources, parents["group"])
        index, distance = nearest(of_synthetic, of_real)
        nearest_real[space] = pd.DataFrame({"real": real.index[index], "distance": distance})
    distances = feature_distances(  # of features, the last space
        of_synthetic[_first_of_each(synthetic.metadata["group"])],
        of_real[_first_of_each(real["group"])],
        of_parents[_first_of_each(parents["group"])],
        seed,
    )
    return Evidence(close, found, nearest_real, distances, encoder_text)


def _control(embed: Callable, source: ImageDataset, held_out: pd.DataFrame) -> dict[str, Any]:
    """The arguments of `closeness` for its control; none where too few patients are known."""
    if held_out["group"].nunique() < MIN_CONTROL_PATIENTS:
        return {}
    images = embed((source, list(held_out.index)))
    return {"held_out": images, "held_out_patients": held_out["group"]}


def feature_distances(synthetic, real, parents, seed) -> dict[str, tuple[float, float]]:
    """KID and standard error of the synthetic images, their sources, and halves of the real ones.

    Each array holds one image per patient, because the estimate needs independent samples.
    Comparisons with too few patients are left out.
    """
    synthetic, real, parents = _standardise(synthetic, real, parents)
    order = np.random.default_rng(seed).permutation(len(real))
    halves = order[: len(real) // 2], order[len(real) // 2 :]
    compared = {
        HALVES: tuple(real[half] for half in halves),
        TRANSLATED: (real, synthetic),
        SOURCES: (real, parents),
    }
    return {
        name: kernel_distance(*pair, seed=seed)
        for name, pair in compared.items()
        if min(map(len, pair)) >= MIN_PATIENTS
    }


def _standardise(synthetic, real, parents) -> list[np.ndarray]:
    """Features of about the size that KID's kernel is made for; others drown it in noise.

    Channels are standardised by all real images. One that they hardly excite gets a tenth of the
    usual deviation, and all images get one length: else a single channel or image decides.
    """
    everything = np.concatenate([real, parents])
    mean, deviation = everything.mean(axis=0), everything.std(axis=0)
    least = max(0.1 * math.sqrt((deviation**2).mean()), 1e-6)
    scaled = [(each - mean) / np.maximum(deviation, least) for each in (synthetic, real, parents)]
    lengths = [np.linalg.norm(each, axis=1, keepdims=True) for each in scaled]
    size = math.sqrt(real.shape[1])
    return [
        size * each / np.maximum(length, 1e-6) for each, length in zip(scaled, lengths, strict=True)
    ]


def _first_of_each(groups: pd.Series) -> np.ndarray:
    """Marks the first image of each patient: bool, `(images,)`."""
    return ~groups.duplicated().to_numpy()


def _pixels(batches: tf.data.Dataset) -> np.ndarray:
    """Standardised grey images, `(images, COMPARED_SIDE, COMPARED_SIDE)`."""
    small = [
        tf.image.resize(images, (COMPARED_SIDE, COMPARED_SIDE), method="area").numpy()
        for images, _ in batches
    ]
    grey = np.concatenate(small).mean(axis=-1)
    # A translation may change exposure and contrast.
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    return grey / np.maximum(grey.std(axis=(1, 2), keepdims=True), 1e-6)


def anonymity_table(evidence: Evidence) -> pd.DataFrame:
    """The measurements as text: one row per measure, one column per space."""
    columns = {}
    for space, close in evidence.closeness.items():
        found = evidence.reidentification[space]
        columns[space] = {
            "distance to the nearest real training image: median": f"{close.synthetic_median:.3g}",
            **_against_control(close),
            "of real images to another patient: median": f"{close.real_median:.3g}",
            "of real images to another patient: 5% quantile": f"{close.real_low:.3g}",
            "synthetic images closer than that": f"{close.share:.1%}",
            **_hits("own source image", found.source),
            **_hits("own source patient", found.patient),
        }
    return pd.DataFrame(columns).rename_axis("measure").reset_index()


def _against_control(close: Closeness) -> dict[str, str]:
    if close.control is None or close.p_value is None:
        return {}
    return {
        "distance to the nearest held-out image: median": f"{np.median(close.control):.3g}",
        "synthetic images nearer to a training patient than to any held-out one": (
            f"{close.nearer_share:.1%} (by chance {close.expected_share:.1%}; "
            f"{_p_value(close.p_value)})"
        ),
    }


def _hits(what: str, rate: HitRate) -> dict[str, str]:
    low, high = rate.interval
    return {
        f"nearest is the {what}": f"{rate.hits} of {rate.samples} ({rate.rate:.1%})",
        f"{what}, by chance": f"{rate.chance:.2%}",
        f"{what}, one trial per patient": f"{rate.patient_hits} of {rate.patients} "
        f"(95% interval {low:.1%} to {high:.1%}; {_p_value(rate.permutation_p_value)})",
    }


def _p_value(p: float) -> str:
    return "p < 1e-16" if p < 1e-16 else f"p = {p:.2g}"


def summarise_tests(evidence: Evidence) -> dict[str, Any]:
    """What each test found, as JSON can hold it: the patients found, the share of near copies.

    `against` says whether anything speaks against anonymity.
    """
    patients = {
        space: {
            "hits": found.patient.patient_hits,
            "patients": found.patient.patients,
            "low": found.patient.interval[0],
            "high": found.patient.interval[1],
            "chance": found.patient.patient_chance,
            "p": found.patient.permutation_p_value,
        }
        for space, found in evidence.reidentification.items()
    }
    copies = {
        space: {"share": each.nearer_share, "by_chance": each.expected_share, "p": each.p_value}
        for space, each in evidence.closeness.items()
        if each.p_value is not None
    }
    return {"against": bool(_against(evidence)), "patients": patients, "copies": copies}


def has_control(evidence: Evidence) -> bool:
    """Whether the images were compared with patients that the generator never saw."""
    return all(close.p_value is not None for close in evidence.closeness.values())


def verdict(evidence: Evidence) -> str:
    """What was found against the claim that translating anonymises, in plain sentences."""
    if against := _against(evidence):
        return f"NOT anonymous: {'; '.join(against)}. Treat the images as those of real patients."
    untested = list(_unexplained(evidence))
    if not has_control(evidence):
        untested.append(
            "whether they copy training images was not tested, because no patients are known that "
            "the generator has not seen"
        )
    copies = "are not significantly nearer to training patients than to held-out ones, and "
    return (
        f"Not shown to be unsafe: the images {copies if has_control(evidence) else ''}do not lead "
        "to their source patients significantly more often than chance does"
        f"{''.join(f'; {each}' for each in untested)}. That is no proof of anonymity."
    )


def _against(evidence: Evidence) -> list[str]:
    return [*_copies(evidence), *_traces(evidence)]


def _level(evidence: Evidence) -> float:
    """The level of one test: all of them share `SIGNIFICANCE_LEVEL` (Bonferroni)."""
    tests = len(evidence.reidentification)
    tests += sum(close.p_value is not None for close in evidence.closeness.values())
    return SIGNIFICANCE_LEVEL / tests


def _copies(evidence: Evidence) -> Iterator[str]:
    """Where synthetic images come closer to training patients than to held-out ones."""
    for space, close in evidence.closeness.items():
        if close.p_value is not None and close.p_value < _level(evidence):
            yield (
                f"by their {space}, {close.nearer_share:.1%} are nearer to a training patient than "
                f"to any held-out one, by chance {close.expected_share:.1%} "
                f"({_p_value(close.p_value)})"
            )


def _unexplained(evidence: Evidence) -> Iterator[str]:
    """Where, without a control, images are so close that they may be copies, or only blurred."""
    for space, close in evidence.closeness.items():
        if close.p_value is None and close.share > MAX_CLOSE_SHARE:
            yield (
                f"by their {space}, {close.share:.1%} are closer to a real training image than "
                "95% of real images are to another patient's: copies, or images poor in detail"
            )


def _traces(evidence: Evidence) -> Iterator[str]:
    """Where they lead to their source patient."""
    for space, found in evidence.reidentification.items():
        rate = found.patient
        if rate.permutation_p_value < _level(evidence):
            yield (
                f"by its {space}, the image nearest to a synthetic one is of its own source "
                f"patient for {rate.patient_hits} of {rate.patients} patients, by chance "
                f"{rate.patient_chance:.1%} ({_p_value(rate.permutation_p_value)})"
            )


def closest_pairs(
    synthetic: ImageDataset,
    source: ImageDataset,
    evidence: Evidence,
    *,
    keep_aspect_ratio: bool | None,
) -> Figure:
    """For each space: the synthetic images closest to real ones, those real ones, the sources."""

    def load(subset) -> np.ndarray:  # as the generator saw them
        batches = load_dataset(
            subset,
            image_size=synthetic.info.image_size,
            keep_aspect_ratio=keep_aspect_ratio,
            cache="none",
        )
        return np.concatenate([images for images, _ in batches])

    rows: dict[str, np.ndarray] = {}
    for space, found in evidence.nearest_real.items():
        closest = found.sort_values("distance").head(PAIRS_SHOWN)
        ours = synthetic.metadata.iloc[closest.index]
        rows |= {
            f"synthetic\n(by {space})": load((synthetic, list(ours["id"]))),
            f"nearest real\n(by {space})": load((source, list(closest["real"]))),
            f"its source\n(by {space})": load((source, list(ours["parent"]))),
        }
    distances = [
        found["distance"].nsmallest(PAIRS_SHOWN).to_numpy()
        for found in evidence.nearest_real.values()
    ]
    figure, grid = image_grid(len(rows), len(distances[0]), (1.5, 1.55))
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=9)
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1)
    for line, of_space in zip(grid[::3], distances, strict=True):
        for axes, distance in zip(line, of_space, strict=True):
            axes.set_title(f"distance {distance:.3g}", fontsize=8)
    for axes in grid.flat:
        hide_frame(axes)
    return figure


def quality_bars(distances: dict[str, tuple[float, float]]) -> Figure:
    """KID with its standard error: the lower, the more alike; real halves say what is reachable."""
    figure, axes = plt.subplots(figsize=(6.4, 2.2), layout="constrained")
    names = list(distances)[::-1]
    estimates, errors = zip(*(distances[name] for name in names), strict=True)
    axes.barh(names, estimates, xerr=errors, color=COLOURS[2], capsize=3)
    axes.axvline(0, color="#444444", linewidth=0.8)
    axes.set_xlabel("KID ± standard error")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
