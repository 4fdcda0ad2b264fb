"""A synthetic dataset as a release, with tests of the claim that it anonymises (section 2.3.6).

    python -m experiments.synthetic_dataset --generator GAN.keras --source PREPARED --out DIR

The thesis publishes 21,295 synthetic chest X-rays. This writes such a release: PNGs, a
`metadata.csv` with the parent of each, checksums and a dataset card. The card holds what the tests
found: how close the images come to real training images, whether their source can be found, and
their KID.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import melanet
from experiments.common.cli import bounded_int, run_cli
from experiments.common.markup import escape_markdown
from experiments.common.records import (
    describe_dataset,
    provenance,
    read_record,
    write_record,
)
from experiments.common.report import save_figure
from experiments.common.weights import initial_weights
from melanet import lazy
from melanet.console import Parser, progress_bar
from melanet.data import BUILDERS, ImageDataset, InputError, open_dataset
from melanet.data.writing import atomic_write
from melanet.names import CLASSIFIER_NAMES

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from experiments.classification import anonymity, synthesis
    from melanet.cyclegan import CycleGAN
else:
    anonymity = lazy.module("experiments.classification.anonymity")
    synthesis = lazy.module("experiments.classification.synthesis")

TITLE = "A synthetic dataset: release, anonymity and quality"
#: Fields of a CycleGAN's record that this command and the card use.
REQUIRED_FIELDS = (
    "set",
    "metadata_sha256",
    "train",
    "seed",
    "epochs",
    "filters",
    "adversarial_loss",
    "identity_weight",
)


@dataclasses.dataclass(frozen=True)
class TestedRelease:
    """A release with what its tests found, for its record and its card.

    Attributes:
        synthetic: The released images.
        source: The dataset with the real images.
        gan_record: The record of the CycleGAN's training; empty if there is none.
        evidence: What the tests found.
        options: The options of the command line.
    """

    synthetic: ImageDataset
    source: ImageDataset
    gan_record: dict[str, Any]
    evidence: anonymity.Evidence
    options: argparse.Namespace

    @property
    def name(self) -> str:
        """The generator's, which the record has too."""
        return self.options.generator.stem

    @property
    def rows(self) -> pd.DataFrame:
        """What the tests found, as a table."""
        return anonymity.anonymity_table(self.evidence)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0, 2 for bad input, 130 if interrupted."""
    options = parse(arguments)
    return run_cli(lambda: release(options))


def release(options: argparse.Namespace) -> None:
    """Writes the release, tests it, and writes the dataset card.

    Raises:
        InputError: If the generator, the source or the encoder cannot be used.
    """
    generator = _existing(options.generator, "--generator")
    source = open_dataset(options.source)
    model = synthesis.load_translator(generator, (melanet.CycleGAN,))
    source.verify()
    gan_record = _gan_record(options.generator, source)
    _check_fits(model, options.generator, source)
    _check_enough(source, gan_record)
    encoder = _encoder(options, model)
    synthetic = melanet.translate_majority(
        model,
        source,
        options.out,
        gan_record.get("train"),
        image_size=_image_size(model),
        batch_size=options.batch_size,
        keep_aspect_ratio=gan_record.get("keep_aspect_ratio"),
    )
    synthetic.verify()  # it may have been made, and damaged, long ago
    _write_checksums(synthetic)
    evidence = anonymity.examine(
        synthetic,
        source,
        _training_rows(source, gan_record),
        _held_out_rows(source, gan_record),
        encoder,
        keep_aspect_ratio=gan_record.get("keep_aspect_ratio"),
        seed=options.seed,
    )
    tested = TestedRelease(synthetic, source, gan_record, evidence, options)
    atomic_write(synthetic.folder / "anonymity.csv", tested.rows.to_csv(index=False))
    # It shows real patients: it must not be released with the rest.
    private = synthetic.folder.with_name(f"{synthetic.folder.name}-not-for-release")
    pairs = anonymity.closest_pairs(
        synthetic, source, evidence, keep_aspect_ratio=gan_record.get("keep_aspect_ratio")
    )
    save_figure(private, "closest_pairs", pairs)
    save_figure(synthetic.folder, "quality", anonymity.quality_bars(evidence.distances))
    write_record(synthetic.folder / f"{tested.name}.json", _record(tested))
    atomic_write(synthetic.folder / "README.md", _card(tested))
    print(tested.rows.to_markdown(index=False), anonymity.verdict(evidence), sep="\n\n")
    print(f"Open {synthetic.folder / 'README.md'}")
    print(f"and {private / 'figures/closest_pairs.png'}, which shows real patients")


def _card(tested: TestedRelease) -> str:
    """The dataset card, as Markdown."""
    import jinja2

    synthetic, source, evidence = tested.synthetic, tested.source, tested.evidence
    template = (Path(__file__).parent / "classification" / "dataset_card.md").read_text()
    environment = jinja2.Environment(trim_blocks=True)
    environment.filters["plain"] = escape_markdown
    first, second = source.info.labels
    builder = BUILDERS.get(source.info.name)
    return environment.from_string(template).render(
        title=synthetic.info.title,
        count=len(synthetic.metadata),
        first=first,
        second=second,
        size=synthetic.info.image_size,
        channels=synthetic.info.channels,
        licence=tested.options.licence,
        instructions=builder.instructions if builder and not builder.generated else "",
        source=source,
        gan_record=tested.gan_record,
        generator=_sha256(tested.options.generator),
        metadata=synthetic.fingerprint,
        encoder=evidence.encoder,
        anonymity=tested.rows.to_markdown(index=False),
        verdict=anonymity.verdict(evidence),
        control=_held_out_rows(source, tested.gan_record)
        if anonymity.has_control(evidence)
        else None,
        distances=evidence.distances,
        code=provenance(),
        record_name=f"{tested.name}.json",
    )


def _record(tested: TestedRelease) -> dict[str, Any]:
    """What the tests found, with everything that made it."""
    synthetic, evidence, options = tested.synthetic, tested.evidence, tested.options
    kept = ("epochs", "seed", "filters", "norm", "decay", "adversarial_loss", "identity_weight")
    named = {name: getattr(options, name) for name in ("encoder", "weights", "seed")}
    return {
        "key": tested.name,
        "title": tested.source.info.title,
        "dataset": describe_dataset(tested.source),
        "images": len(synthetic.metadata),
        "image_size": synthetic.info.image_size,
        "metadata_sha256": synthetic.fingerprint,
        "generator_sha256": _sha256(options.generator),
        "gan": {name: tested.gan_record[name] for name in kept if name in tested.gan_record},
        "options": {name: Path(f"{value}").name for name, value in named.items()},
        "encoder": evidence.encoder,
        "measures": tested.rows.to_dict("records"),
        "tests": anonymity.summarise_tests(evidence),
        "verdict": anonymity.verdict(evidence),
        "kid": evidence.distances,
        **provenance(),
    }


def _gan_record(generator: Path, source: ImageDataset) -> dict[str, Any]:
    """The record of the CycleGAN's training; empty if there is none beside the generator."""
    path = generator.with_suffix(".json")
    if not path.exists():
        return {}
    gan_record = read_record(path)
    missing = [name for name in REQUIRED_FIELDS if name not in gan_record]
    if missing:
        raise InputError(f"{path}: does not say {missing[0]!r}; move it away")
    if gan_record["metadata_sha256"] != source.fingerprint:
        raise InputError(
            f"--source {source.folder}: is not the dataset that {generator.name} was trained with "
            f"({gan_record['set']}); give that one, or move {path.name} away to translate another"
        )
    return gan_record


def _check_fits(model: CycleGAN, generator: Path, source: ImageDataset) -> None:
    shape, info = model.first_to_second.input_shape[1:], source.info
    if shape[-1] != info.channels or tuple(model.domains) != info.labels:
        raise InputError(
            f"--source {source.folder}: has {info.channels} channels and the classes "
            f"{', '.join(info.labels)}; {generator.name} translates {shape[-1]} channels and "
            f"{', '.join(model.domains)}"
        )


def _check_enough(source: ImageDataset, gan_record: dict[str, Any]) -> None:
    """Checks that each class has enough patients for the tests, before hours of translating."""
    rows = _training_rows(source, gan_record)
    for label in source.info.labels:
        if (count := rows["group"][rows["label"] == label].nunique()) < anonymity.MIN_PATIENTS:
            raise InputError(
                f"--source {source.folder}: has training images of {count} patients with {label}; "
                f"the tests need {anonymity.MIN_PATIENTS} or more"
            )


def _training_rows(source: ImageDataset, gan_record: dict[str, Any]) -> pd.DataFrame:
    """Metadata of the training images by id; without a record, all but the official test images."""
    rows = source.metadata.set_index("id")
    source.paths(gan_record.get("train", []))  # names an unknown id
    return rows.loc[gan_record["train"]] if "train" in gan_record else rows[rows["split"] != "test"]


def _held_out_rows(source: ImageDataset, gan_record: dict[str, Any]) -> pd.DataFrame:
    """Metadata of second-class images whose patients were not in training, by id.

    Without a record there are none: nobody knows which images the generator has seen.
    """
    rows = source.metadata.set_index("id")
    if "train" not in gan_record:
        return rows.iloc[:0]
    seen = rows.loc[gan_record["train"], "group"]
    return rows[(rows["label"] == source.info.labels[1]) & ~rows["group"].isin(seen)]


def _encoder(options: argparse.Namespace, model: CycleGAN) -> tuple[keras.Model, str]:
    """The network whose features are compared, and what it is."""
    from melanet.training import seed_everything

    shape = model.first_to_second.input_shape[1:]
    if options.encoder in CLASSIFIER_NAMES:
        weights = initial_weights(options.weights)
        seed_everything(options.seed)
        try:
            network = melanet.CLASSIFIERS[options.encoder](shape, weights=weights)
        except ValueError as error:
            raise InputError(f"--weights {weights}: {error}") from None
        except Exception as error:  # Keras has no class of its own for a failed download
            raise InputError(
                f"--weights {weights}: cannot be downloaded ({error}); give a weights file, a "
                "classifier's .keras file as --encoder, or none"
            ) from None
        start = weights or f"random, seed {options.seed}: untrained, so rely on the pixels alone"
        return network, f"{options.encoder}, weights {Path(start).name if weights else start}"
    if not Path(options.encoder).is_file():
        names = ", ".join(CLASSIFIER_NAMES)
        raise InputError(f"--encoder {options.encoder}: is no file, and none of {names}")
    network = melanet.load_model(Path(options.encoder))
    if isinstance(network, melanet.CycleGAN):
        raise InputError(f"--encoder {options.encoder}: holds no classifier; give one")
    if network.input_shape[1:] != shape:
        raise InputError(
            f"--encoder {options.encoder}: takes images of {network.input_shape[1:]}, the "
            f"generator makes {shape}"
        )
    return network, f"{network.name} ({Path(options.encoder).name})"


def _image_size(model: CycleGAN) -> tuple[int, int]:
    height, width = model.first_to_second.input_shape[1:3]
    return height, width


def _write_checksums(synthetic: ImageDataset) -> None:
    """`SHA256SUMS` of all images and both metadata files, as `sha256sum --check` reads it."""
    names = ["metadata.csv", "dataset.json", *synthetic.metadata["file_name"]]
    lines = [
        f"{_sha256(synthetic.folder / name)}  {name}\n"
        for name in progress_bar(names, desc="checksums", unit="file")
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
        "trained (OUT/gans/*.keras); the JSON beside it names its training images")  # fmt: skip
    add("--source", type=Path, required=True, help="the prepared dataset that it was trained with")
    add("--out", type=Path, required=True, help="folder of the release; interrupted runs "
        "resume")  # fmt: skip
    add("--encoder", default="densenet121_gap", help=f"{', '.join(CLASSIFIER_NAMES)}, or a "
        "classifier's .keras file: the features of the tests")  # fmt: skip
    add("--weights", default="imagenet", help="of the encoder: imagenet, none, or a weights file")
    add("--licence", default="as the source images'", help="of the release, for its card")
    add("--batch-size", type=bounded_int(1), default=16)
    add("--seed", type=bounded_int(0, 2**31), default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
