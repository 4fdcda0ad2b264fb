"""What the pages of chapter 2 say of how their results were made."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.classification.conditions import BAGGED_TREES
from experiments.classification.protocols import ClassifierProtocol, CycleGANConfig
from experiments.common.report import describe_provenance, distinct_values
from melanet.data import ImageDataset

if TYPE_CHECKING:
    from experiments.classification.report import Results


def describe_settings(results: "Results") -> dict[str, str]:
    """How the results were made: readable settings by name."""
    table, records = results.table, results.records
    protocol = records[0]["protocol"]
    synthetic = [cyclegan for record in records for cyclegan in record["synthetic"]]
    gan_seconds = {cyclegan["key"]: cyclegan["seconds"] for cyclegan in synthetic}
    settings = {
        "protocol": f"{protocol}: {table.protocols[protocol].text}"
        + _departures(table.protocols[protocol].cyclegan, synthetic),
        "images (train / validation / test)": distinct_values(
            records, lambda r: " / ".join(map(str, r["images"].values()))
        ),
        "size": distinct_values(records, lambda r: f"{r['image_size'][0]} × {r['image_size'][1]}"),
        "classifiers": "; ".join(dict.fromkeys(map(_describe_classifier, records))),
        _name_translator(records): distinct_values(synthetic, _describe_cyclegan) or "none",
        **describe_provenance(records),
        "training time": f"{sum(r['seconds'] for r in records) / 60:.1f} min of classifiers, "
        f"{sum(gan_seconds.values()) / 60:.1f} min of {_name_translator(records)}s",
    }
    settings["length of trainings"] = _describe_length(records)
    if "validation_scores" in records[0]:
        settings["thresholds"] = (
            "0.5, and of each run the one with the highest sensitivity + specificity on its "
            "validation images, which are never tested"
        )
    return settings


def _name_translator(records: Sequence[dict[str, Any]]) -> str:
    return "CycleGAN" if len(records[0]["dataset"]["labels"]) == 2 else "StarGAN"


def describe_data(results: "Results") -> dict[str, str]:
    """What must be known of the datasets and their split."""
    protocol = results.table.protocols[results.records[0]["protocol"]]
    settings = {"split": describe_split(results.datasets, protocol)}
    for other in results.datasets[1:]:
        settings["other dataset (SHA-256 of metadata.csv)"] = (
            f"{other.info.name} {other.fingerprint[:16]}"
        )
    for dataset in results.datasets:
        if dataset.info.notes:
            settings[f"images of {dataset.info.title}"] = dataset.info.notes
    return settings


def _describe_length(records: Sequence[dict[str, Any]]) -> str:
    equal = records[0].get("equal_steps", False)
    text = "as many optimizer steps, without early stopping" if equal else "as many epochs at most"
    steps = [record for record in records if "steps" in record]  # records before have none
    counted = distinct_values(steps, lambda r: f"{r['condition']} {r['steps']:,}")
    return f"{text} for all conditions" + (f"; steps: {counted}" if counted else "")


def describe_split(datasets: Sequence[ImageDataset], protocol: ClassifierProtocol) -> str:
    if (datasets[0].metadata["split"] == "test").any():
        text = "official"
    elif protocol.split == "file_order":
        text = "80/20 by file order: the first 80% of each class train, whoever the patients are"
    else:
        text = "80/20 by group (patient, where known; with copies of a picture)"
    return text + (", all datasets as one" if len(datasets) > 1 else "")


def _describe_classifier(record: dict[str, Any]) -> str:
    weights = f"weights {record['weights'] or 'random at the start'}"
    if record["weights_sha256"]:
        weights += f" (SHA-256 {record['weights_sha256'][:12]})"
    if record["preprocessing"] == "imagenet":
        weights += ", ImageNet's preprocessing"
    if record["model"] == BAGGED_TREES:
        return f"{record['model']}, {weights}, frozen"
    return (
        f"{record['model']}, {weights}, {record['loss'].replace('_', ' ')} loss, "
        f"{record['optimizer']}, batch {record['batch_size']}, at most {record['epochs']} epochs"
    )


def _departures(own: CycleGANConfig, synthetic: Sequence[dict[str, Any]]) -> str:
    """Where an option made the CycleGANs depart from the protocol's."""
    departures = [
        f"{name.replace('_', ' ')} {str(cyclegan[name]).replace('_', ' ')}"
        for cyclegan in synthetic[:1]
        for name, value in dataclasses.asdict(own).items()
        if cyclegan[name] != (list(value) if isinstance(value, tuple) else value)
    ]
    return f" – but here, by option: {', '.join(departures)}" if departures else ""


def _describe_cyclegan(cyclegan: dict[str, Any]) -> str:
    generators, discriminators = (f"{rate:g}" for rate in cyclegan["rates"])
    return (
        f"{cyclegan['epochs']} epochs, batch {cyclegan['batch_size']}, first filters "
        f"{' and '.join(map(str, cyclegan['filters']))}, Adam {generators} and {discriminators} "
        f"(generators and discriminators), {cyclegan['adversarial_loss'].replace('_', ' ')} loss, "
        f"identity weight {cyclegan['identity_weight']:g}"
    )
