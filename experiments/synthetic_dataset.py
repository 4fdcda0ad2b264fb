"""A synthetic set as a release, with tests of the claim that it anonymises (section 2.3.6).

    python -m experiments.synthetic_dataset --generator GAN.keras --source PREPARED --out DIR

The thesis publishes 21,295 synthetic chest X-rays. This writes such a release: PNGs, a manifest
with the parent of each, checksums and a dataset card. The card holds what the tests found: how
close the images come to real training images, whether their source can be found, and their KID.
"""

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jinja2
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from experiments.classification.synthesis import load_cyclegan
from experiments.common.cli import Parser, bounded_int, run_cli
from experiments.common.models import load_model
from experiments.common.records import provenance, read_record
from experiments.common.report import save_figure
from experiments.common.style import COLOURS, hide_frame, image_grid
from experiments.common.training import seed_everything
from melanet.classifiers import CLASSIFIERS
from melanet.cyclegan import CycleGAN
from melanet.data import BUILDERS, ImageDataset, InputError, load_dataset, open_dataset
from melanet.data.writing import atomic_write
from melanet.explain import features
from melanet.oversampling import translate_majority
from melanet.privacy import (
    Closeness,
    HitRate,
    Reidentification,
    closeness,
    nearest,
    reidentification,
)
from melanet.quality import kernel_distance

TITLE = "A synthetic dataset: release, anonymity and quality"
#: Side of the images that are compared pixel by pixel: finer detail is noise to a distance.
PIXELS = 32
PAIRS = 8
SIGNIFICANT = 0.05
#: Part of the images that may be as close to a training image as only 5% of real ones are.
COPYING = 0.2
LEAST_FOR_KID = 4
#: What the record beside a generator says, as far as it is used here and in the card.
NOTED = ("set", "metadata_sha256", "train", "seed", "epochs", "filters", "adversarial_loss",
         "identity_weight")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0, 2 for bad input, 130 if interrupted."""
    options = parse(arguments)
    return run_cli(lambda: release(options))


def release(options: argparse.Namespace) -> None:
    """Writes the release, tests it, and writes the dataset card.

    Raises:
        InputError: If the generator, the source or the encoder cannot be used.
    """
    model = load_cyclegan(_existing(options.generator, "--generator"))
    source = open_dataset(options.source)
    source.verify()
    notes = _notes(options.generator, source)
    _check_fits(model, options.generator, source)
    _check_enough(source, notes)
    encoder = _encoder(options, model)
    synthetic = translate_majority(
        model,
        source,
        options.out,
        notes.get("train"),
        image_size=_image_size(model),
        batch_size=options.batch_size,
        keep_aspect_ratio=notes.get("keep_aspect_ratio"),
    )
    synthetic.verify()  # it may have been made, and damaged, long ago
    _write_checksums(synthetic)
    evidence = _examine(synthetic, source, notes, encoder, options.seed)
    rows = anonymity_table(evidence)
    atomic_write(synthetic.folder / "anonymity.csv", rows.to_csv(index=False))
    # It shows real patients: it must not be released with the rest.
    private = synthetic.folder.with_name(f"{synthetic.folder.name}-not-for-release")
    save_figure(private, "closest_pairs", closest_pairs(synthetic, source, evidence))
    save_figure(synthetic.folder, "quality", quality_bars(evidence.distances))
    card = _card(synthetic, source, notes, evidence, rows, options)
    atomic_write(synthetic.folder / "README.md", card)
    print(rows.to_markdown(index=False), verdict(evidence), sep="\n\n")
    print(f"Open {synthetic.folder / 'README.md'}")
    print(f"and {private / 'figures/closest_pairs.png'}, which shows real patients")


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What was found out about a synthetic set.

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


def _examine(synthetic, source, notes, encoder, seed) -> Evidence:
    network, described = encoder
    rows = _training_rows(source, notes)
    negative, positive = source.info.labels
    real, parents = rows[rows["label"] == positive], rows[rows["label"] == negative]
    size = synthetic.info.image_size
    keep = notes.get("keep_aspect_ratio")

    def load(part):  # as the generator saw them
        return load_dataset(part, image_size=size, keep_aspect_ratio=keep, cache=False)

    spaces: dict[str, Callable] = {
        "pixels": lambda part: _pixels(load(part)),
        "features": lambda part: features(network, load(part)),
    }
    close, found, nearest_real = {}, {}, {}
    for space, describe in spaces.items():
        of_synthetic = describe(synthetic)
        of_real = describe((source, list(real.index)))
        of_parents = describe((source, list(parents.index)))
        close[space] = closeness(of_synthetic, of_real, real["group"])
        places = parents.index.get_indexer(synthetic.metadata["parent"])
        found[space] = reidentification(of_synthetic, of_parents, places, parents["group"])
        index, distance = nearest(of_synthetic, of_real)
        nearest_real[space] = pd.DataFrame({"real": real.index[index], "distance": distance})
        if space == "features":
            distances = _distances(
                of_synthetic[_first_of_each(synthetic.metadata["group"])],
                of_real[_first_of_each(real["group"])],
                of_parents[_first_of_each(parents["group"])],
                seed,
            )
    return Evidence(close, found, nearest_real, distances, described)


def _distances(synthetic, real, parents, seed) -> dict[str, tuple[float, float]]:
    """KID of the synthetic images, beside that of their sources and of real halves.

    Of each patient the first image alone: the estimate needs samples that are independent. What
    is compared with too few patients is left out.
    """
    order = np.random.default_rng(seed).permutation(len(real))
    halves = order[: len(real) // 2], order[len(real) // 2 :]
    compared = {
        "real, half of the patients against the others": tuple(real[half] for half in halves),
        "synthetic against real": (real, synthetic),
        "their sources against real": (real, parents),
    }
    return {
        name: kernel_distance(*pair, seed=seed)
        for name, pair in compared.items()
        if min(map(len, pair)) >= LEAST_FOR_KID
    }


def _first_of_each(groups: pd.Series) -> np.ndarray:
    return ~groups.duplicated().to_numpy()


def anonymity_table(evidence: Evidence) -> pd.DataFrame:
    """What was measured, a row a measure, a column a space."""
    columns = {}
    for space, close in evidence.closeness.items():
        found = evidence.reidentification[space]
        columns[space] = {
            "distance to the nearest real training image: median": f"{close.synthetic_median:.3g}",
            "of real images to another patient: median": f"{close.real_median:.3g}",
            "of real images to another patient: 5% quantile": f"{close.real_low:.3g}",
            "synthetic images closer than that (5% if new patients)": f"{close.share:.1%}",
            **_hits("own source image", found.source),
            **_hits("own source patient", found.patient),
        }
    return pd.DataFrame(columns).rename_axis("measure").reset_index()


def _hits(what: str, rate: HitRate) -> dict[str, str]:
    low, high = rate.interval
    return {
        f"nearest is the {what}": f"{rate.hits} of {rate.samples} ({rate.rate:.1%})",
        f"{what}, by chance": f"{rate.chance:.2%}",
        f"{what}, a trial a patient": f"{rate.patient_hits} of {rate.patients} "
        f"(95% interval {low:.1%} to {high:.1%}; {_p_value(rate.p_value)})",
    }


def _p_value(p: float) -> str:
    return "p < 1e-16" if p < 1e-16 else f"p = {p:.2g}"


def verdict(evidence: Evidence) -> str:
    """What was found against the claim that translating anonymises, in plain sentences."""
    against = [*_copies(evidence), *_traces(evidence)]
    if against:
        return f"NOT anonymous: {'; '.join(against)}. Treat the images as those of real patients."
    return (
        "Not shown to be unsafe: the images are no closer to real training images than patients "
        "are to one another, and do not lead to their source patients significantly more often "
        "than chance does. That is no proof of anonymity."
    )


def _copies(evidence: Evidence) -> Iterator[str]:
    """Where synthetic images come closer to training images than another patient would."""
    for space, close in evidence.closeness.items():
        if close.share > COPYING:
            yield (
                f"by their {space}, {close.share:.1%} are closer to a real training image than "
                "95% of real images are to another patient's"
            )


def _traces(evidence: Evidence) -> Iterator[str]:
    """Where they lead to their source patient; the level is shared by the spaces (Bonferroni)."""
    for space, found in evidence.reidentification.items():
        rate = found.patient
        if rate.p_value < SIGNIFICANT / len(evidence.reidentification):
            yield (
                f"by its {space}, the image nearest to a synthetic one is of its own source "
                f"patient for {rate.patient_hits} of {rate.patients} patients, by chance "
                f"{rate.patient_chance:.1%} ({_p_value(rate.p_value)})"
            )


def closest_pairs(synthetic: ImageDataset, source: ImageDataset, evidence: Evidence) -> Figure:
    """By space: the synthetic images closest to a real training image, that, and the source."""
    rows: dict[str, list] = {}
    for space, found in evidence.nearest_real.items():
        closest = found.sort_values("distance").head(PAIRS)
        ours = synthetic.metadata.iloc[closest.index]
        rows |= {
            f"synthetic\n(by {space})": [synthetic.folder / file for file in ours["file_name"]],
            f"nearest real\n(by {space})": source.paths(list(closest["real"])),
            f"its source\n(by {space})": source.paths(list(ours["parent"])),
        }
    distances = [
        found["distance"].nsmallest(PAIRS).to_numpy() for found in evidence.nearest_real.values()
    ]
    figure, grid = image_grid(len(rows), len(distances[0]), (1.5, 1.55))
    size = synthetic.info.image_size[::-1]
    for line, (name, paths) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=9)
        for axes, path in zip(line, paths, strict=True):
            axes.imshow(Image.open(path).resize(size), cmap="gray")
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


def _card(synthetic, source, notes, evidence, rows, options) -> str:
    template = (Path(__file__).parent / "common" / "dataset_card.md").read_text()
    first, second = source.info.labels
    builder = BUILDERS.get(source.info.name)
    return (
        jinja2.Environment(trim_blocks=True)
        .from_string(template)
        .render(
            title=synthetic.info.title,
            count=len(synthetic.metadata),
            first=first,
            second=second,
            size=synthetic.info.image_size,
            channels=synthetic.info.channels,
            licence=options.licence,
            instructions=builder.instructions if builder and not builder.generated else "",
            source=source,
            notes=notes,
            generator=_sha256(options.generator),
            metadata=synthetic.fingerprint,
            encoder=evidence.encoder,
            anonymity=rows.to_markdown(index=False),
            verdict=verdict(evidence),
            distances=evidence.distances,
            code=provenance(),
        )
    )


def _notes(generator: Path, source: ImageDataset) -> dict[str, Any]:
    """How the CycleGAN was trained, if that lies beside it; else nothing is known."""
    path = generator.with_suffix(".json")
    if not path.exists():
        return {}
    notes = read_record(path)
    missing = [name for name in NOTED if name not in notes]
    if missing:
        raise InputError(f"{path}: does not say {missing[0]!r}; move it away")
    if notes["metadata_sha256"] != source.fingerprint:
        raise InputError(
            f"--source {source.folder}: is not the set that {generator.name} was trained with "
            f"({notes['set']}); give that one, or move {path.name} away to translate another"
        )
    return notes


def _check_fits(model: CycleGAN, generator: Path, source: ImageDataset) -> None:
    shape, described = model.first_to_second.input_shape[1:], source.info
    if shape[-1] != described.channels or tuple(model.domains) != described.labels:
        raise InputError(
            f"--source {source.folder}: has {described.channels} channels and the classes "
            f"{', '.join(described.labels)}; {generator.name} translates {shape[-1]} channels and "
            f"{', '.join(model.domains)}"
        )


def _check_enough(source: ImageDataset, notes: dict[str, Any]) -> None:
    """The tests need some patients of each class; that is said before hours of translating."""
    rows = _training_rows(source, notes)
    for label in source.info.labels:
        if (count := rows["group"][rows["label"] == label].nunique()) < LEAST_FOR_KID:
            raise InputError(
                f"--source {source.folder}: has training images of {count} patients with {label}; "
                f"the tests need {LEAST_FOR_KID} or more"
            )


def _training_rows(source: ImageDataset, notes: dict[str, Any]) -> pd.DataFrame:
    """What the CycleGAN was trained with; where nobody knows, all that is not for testing."""
    rows = source.metadata.set_index("id")
    source.paths(notes.get("train", []))  # names an unknown id
    return rows.loc[notes["train"]] if "train" in notes else rows[rows["split"] != "test"]


def _encoder(options: argparse.Namespace, model: CycleGAN) -> tuple[keras.Model, str]:
    """The network whose features are compared, and what it is."""
    shape = model.first_to_second.input_shape[1:]
    if options.encoder in CLASSIFIERS:
        weights = None if options.weights == "none" else options.weights
        seed_everything(options.seed)
        try:
            network = CLASSIFIERS[options.encoder](shape, weights=weights)
        except ValueError as error:
            raise InputError(f"--weights {weights}: {error}") from None
        except Exception as error:  # Keras has no class of its own for a failed download
            raise InputError(
                f"--weights {weights}: cannot be downloaded ({error}); give a weights file, a "
                "classifier's .keras file as --encoder, or none"
            ) from None
        start = weights or f"random, seed {options.seed}: untrained, so rely on the pixels alone"
        return network, f"{options.encoder}, weights {start}"
    if not Path(options.encoder).is_file():
        names = ", ".join(CLASSIFIERS)
        raise InputError(f"--encoder {options.encoder}: is no file, and none of {names}")
    network = load_model(Path(options.encoder))
    if isinstance(network, CycleGAN):
        raise InputError(f"--encoder {options.encoder}: holds no classifier; give one")
    if network.input_shape[1:] != shape:
        raise InputError(
            f"--encoder {options.encoder}: takes images of {network.input_shape[1:]}, the "
            f"generator makes {shape}"
        )
    return network, f"{network.name} ({Path(options.encoder).name})"


def _pixels(batches) -> np.ndarray:
    small = [
        tf.image.resize(images, (PIXELS, PIXELS), method="area").numpy() for images, _ in batches
    ]
    images = np.concatenate(small)
    grey = images.mean(axis=-1).reshape(len(images), -1)
    grey -= grey.mean(axis=1, keepdims=True)  # a translation may change exposure and contrast
    return grey / np.maximum(grey.std(axis=1, keepdims=True), 1e-6)


def _image_size(model: CycleGAN) -> tuple[int, int]:
    height, width = model.first_to_second.input_shape[1:3]
    return height, width


def _write_checksums(synthetic: ImageDataset) -> None:
    """`SHA256SUMS` of all images and of the manifest, as `sha256sum --check` reads it."""
    names = ["metadata.csv", "dataset.json", *synthetic.metadata["file_name"]]
    lines = [
        f"{_sha256(synthetic.folder / name)}  {name}\n"
        for name in tqdm(names, desc="checksums", unit="file")
    ]
    atomic_write(synthetic.folder / "SHA256SUMS", "".join(lines))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _existing(path: Path, flag: str) -> Path:
    if not path.is_file():
        raise InputError(f"{flag} {path}: no such file")
    return path


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = Parser(prog="python -m experiments.synthetic_dataset", description=TITLE)
    add = parser.add_argument
    add("--generator", type=Path, required=True, help="a CycleGAN that a table of chapter 2 "
        "trained (OUT/gans/*.keras); the JSON beside it says what it has seen")  # fmt: skip
    add("--source", type=Path, required=True, help="the prepared set that it was trained with")
    add("--out", type=Path, required=True, help="folder of the release; a run that was stopped "
        "goes on there")  # fmt: skip
    add("--encoder", default="densenet121_gap", help=f"{', '.join(CLASSIFIERS)}, or a classifier's "
        ".keras file: the features of the tests")  # fmt: skip
    add("--weights", default="imagenet", help="of the encoder: imagenet, none, or a weights file")
    add("--licence", default="as the source images'", help="of the release, for its card")
    add("--batch-size", type=bounded_int(1), default=16)
    add("--seed", type=bounded_int(0, 2**31), default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
