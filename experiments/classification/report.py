"""The report of a table of chapter 2: its records beside the thesis's numbers, and its figures."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.classification.comparisons import (
    CHOSEN_NOTE,
    COMPARISON_NOTE,
    THRESHOLD,
    chosen_threshold,
    compare_conditions,
)
from experiments.classification.conditions import BAGGED_TREES
from experiments.classification.features import MAX_POINTS
from experiments.classification.figures_features import FEATURE_PANELS, feature_panels
from experiments.classification.figures_heat_maps import IMAGES_SHOWN, choose, explain_images
from experiments.classification.figures_predictions import (
    predict_groups,
    prediction_panels,
    summary_line,
)
from experiments.classification.protocols import ClassifierProtocol, CycleGANConfig
from experiments.classification.saved import model_path, synthetic_folder
from experiments.common.published import CLASSIFIER_TITLES
from experiments.common.report import (
    Figures,
    Section,
    describe_provenance,
    distinct_values,
    write_section,
)
from melanet import lazy, metrics
from melanet.data import BUILDERS, DatasetInfo, ImageDataset, open_dataset
from melanet.data.dataset import METADATA_FILE
from melanet.statistics import sensitivity_interval, specificity_interval

if TYPE_CHECKING:
    from experiments.classification import figures
    from experiments.classification.table import ClassificationTable
    from experiments.classification.trial import ClassifierTrial
else:
    figures = lazy.module("experiments.classification.figures")


#: Exact 95% intervals over the test images of one training, by metric.
INTERVALS = {"sensitivity": sensitivity_interval, "specificity": specificity_interval}
#: Rates at a threshold that validation images choose, by metric.
AT_THRESHOLD = {
    "sensitivity": metrics.sensitivity,
    "specificity": metrics.specificity,
    "npv": metrics.negative_predictive_value,
    "f_score": metrics.f_score,
}


@dataclasses.dataclass(frozen=True)
class Results:
    """The input of a report: a table with its datasets, trials and records."""

    table: "ClassificationTable"
    datasets: Sequence[ImageDataset]
    trials: Sequence["ClassifierTrial"]
    records: Sequence[dict[str, Any]]
    out: Path

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the conditions that were run, by name."""
        names = dict.fromkeys(record["condition"] for record in self.records)
        return {name: self.table.titles[name] for name in names}


def make_section(results: Results) -> Section:
    """Writes the table and its figures into the folder of its page."""
    table, records, scoring = results.table, results.records, results.table.scoring
    runs = scoring.runs(records)
    summary = summarise(runs, list(table.metrics))
    return write_section(
        table.page_folder(results.out),
        title=page_title(table, results.datasets[0].info),
        caption=scoring.caption(results, runs)
        + " The exact intervals of each run stand among the runs.",
        numbers=summary,
        shown=add_published_rows(table, summary, of_thesis=_is_of_thesis(results.datasets[0].info)),
        figures=table.figures(results),
        settings={**describe_settings(results), **_describe_data(results)},
        runs=runs,
        comparison=scoring.compare(records, results.titles),
        comparison_note=scoring.note + (CHOSEN_NOTE if "threshold" in runs else ""),
    )


def runs_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row per training: its metrics on the test images, rates in percent."""
    rows = []
    for record in records:
        true = [int(score["positive"]) for score in record["scores"]]
        scores = [score["score"] for score in record["scores"]]
        negative, positive_label = record["dataset"]["labels"]
        trained = record["training_images"]
        called_positive = sum(score >= 0.5 for score in scores)
        rows.append(
            {
                "model": record["model"],
                "condition": record["condition"],
                "seed": record["seed"],
                "learned": 0 < called_positive < len(scores),
                "auc": 100 * metrics.auc(true, scores),
                "sensitivity": 100 * metrics.sensitivity(true, scores),
                "false_negatives": metrics.false_negatives(true, scores),
                "specificity": 100 * metrics.specificity(true, scores),
                "npv": 100 * metrics.negative_predictive_value(true, scores),
                "f_score": 100 * metrics.f_score(true, scores),
                "positives": sum(true),
                "skew": trained[negative] / trained[positive_label],
                "epochs_run": record["epochs_run"],
                "best_epoch": record["best_epoch"],
                "steps": record.get("steps", np.nan),  # records before have none
                "seconds": record["seconds"],
                "ece": 100 * metrics.expected_calibration_error(true, scores),
                "brier": 100 * metrics.brier_score(true, scores),
                **_intervals(true, scores),
                **_at_chosen_threshold(record, true, scores),
            }
        )
    return pd.DataFrame(rows)


def _at_chosen_threshold(
    record: dict[str, Any], true: Sequence[int], scores: Sequence[float]
) -> dict[str, float]:
    """Metrics at the threshold that validation images choose, if the record has their scores."""
    if "validation_scores" not in record:
        return {}
    threshold = chosen_threshold(record)
    if np.isnan(threshold):  # a class without a validation image
        return dict.fromkeys(("threshold", *(f"chosen_{name}" for name in AT_THRESHOLD)), np.nan)
    found = {
        f"chosen_{name}": 100 * get(true, scores, threshold) for name, get in AT_THRESHOLD.items()
    }
    return {
        "threshold": threshold,
        **found,
        **_intervals(true, scores, threshold, "chosen_"),
    }


def _intervals(
    true: Sequence[int], scores: Sequence[float], threshold: float = THRESHOLD, prefix: str = ""
) -> dict[str, float]:
    limits = {name: interval(true, scores, threshold) for name, interval in INTERVALS.items()}
    return {
        f"{prefix}{name}_{end}": 100 * limit
        for name, both in limits.items()
        for end, limit in zip(("low", "high"), both, strict=True)
    }


def summarise(runs: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Mean and sample standard deviation over the seeds of each model and condition.

    Of a single training the exact intervals stay; those of several are not pooled, because they
    share test images.
    """
    grouped = runs.groupby(["model", "condition"], sort=False)
    summary = grouped.agg(
        runs=("seed", "size"),
        **{
            f"{name}_{statistic}": (name, function)
            for name in names
            for statistic, function in (("mean", "mean"), ("sd", "std"))
        },
    )
    limits = [name for name in runs if name.endswith(("_low", "_high"))]
    single = grouped[limits].first()[summary["runs"] == 1]
    return summary.join(single).reset_index()


def _is_of_thesis(info: DatasetInfo) -> bool:
    """Whether the dataset is one that the thesis could have numbers for, and not one's own."""
    return info.name in BUILDERS


def add_published_rows(
    table: "ClassificationTable", summary: pd.DataFrame, *, of_thesis: bool = True
) -> pd.DataFrame:
    """One row "ours" per model and condition, the thesis's own beneath it if `of_thesis`."""
    models = set(summary["model"])
    name_models = len(models) > 1 or not models <= set(table.model_choices)
    rows = []
    for row in summary.itertuples():
        names = {"Model": CLASSIFIER_TITLES.get(row.model, row.model)} if name_models else {}
        names[table.condition_header] = table.titles[row.condition]
        ours = {heading: cell(row, name) for name, heading in table.metrics.items()}
        rows.append({**names, "": "ours", **ours})
        printed = table.published_cells(row.model, row.condition) if of_thesis else None
        if printed:
            rows.append({**names, "": "thesis", **printed})
    return pd.DataFrame(rows).fillna("–")


def cell(row: Any, name: str) -> str:
    """Mean ± deviation of a metric in a row of `summarise`, as a table shows it."""
    mean = getattr(row, f"{name}_mean")
    deviation = np.nan if name == "skew" else getattr(row, f"{name}_sd")
    if np.isnan(mean):
        return "–"
    if np.isnan(deviation) and name == "false_negatives":
        return f"{mean:.0f}"
    low, high = (getattr(row, f"{name}_{end}", np.nan) for end in ("low", "high"))
    if not np.isnan(low):
        return f"{mean:.2f} ({low:.1f}–{high:.1f})"
    return f"{mean:.2f}" + ("" if np.isnan(deviation) else f" ± {deviation:.2f}")


def by_model(
    records: Sequence[dict[str, Any]],
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Name of each model for texts, suffix for files, and its records; alone it has no name."""
    models = list(dict.fromkeys(record["model"] for record in records))
    for number, model in enumerate(models, start=1):
        name = f"{CLASSIFIER_TITLES.get(model, model)}: " if len(models) > 1 else ""
        of_model = [record for record in records if record["model"] == model]
        yield name, f"-{number}" if number > 1 else "", of_model


def melanoma_figures(results: Results) -> Figures:
    """Figures 2.3, 2.4, 2.6, 2.7 and 2.16; with saved models 2.8 to 2.10 and the discussion's."""
    records, titles = results.records, results.titles
    drawn: Figures = {
        "samples": (
            "Images of both classes, at even steps; of an official split, training images (as "
            "figure 2.3).",
            figures.class_samples(results.datasets[0]),
        ),
        "classes": (
            "Training images of each class in every condition (as figure 2.4).",
            figures.class_histogram(records, titles),
        ),
    }
    for name, suffix, of_model in by_model(records):
        drawn[f"bars{suffix}"] = (
            f"{name}Test results (as figure 2.6), with the specificity that a gain may cost.",
            figures.metric_bars(runs_frame(of_model), titles),
        )
        drawn[f"roc{suffix}"] = (
            f"{name}ROC curves (as figure 2.7); the dots mark the threshold 0.5.",
            figures.roc_curves(of_model, titles),
        )
    drawn |= translations(results, "translations", "(as figure 2.16)")
    return {**drawn, **_figures_of_models(results)}


def oversampling_figures(results: Results) -> Figures:
    """The figures of table 2.1, and reliability diagrams."""
    drawn = melanoma_figures(results)
    for name, suffix, of_model in by_model(results.records):
        drawn[f"reliability{suffix}"] = (
            f"{name}Reliability of the scores of the positive class on test images, one line per "
            "run. Dots are bins of a tenth, the larger the more images; below the diagonal, scores "
            "are too high.",
            figures.reliability_diagram(of_model, results.titles),
        )
    return drawn


def _figures_of_models(results: Results) -> Figures:
    """Figures 2.8 to 2.10 and the discussion's predictions, of the first model and seed.

    They keep the names of their own commands. None is drawn if a model was not saved.
    """
    model, seed = results.records[0]["model"], results.records[0]["seed"]
    records = {
        record["condition"]: record
        for record in results.records
        if (record["model"], record["seed"]) == (model, seed)
    }
    if not all(model_path(record, results.out).is_file() for record in records.values()):
        return {}
    drawn = _heat_maps(results, records)
    if set(FEATURE_PANELS) <= set(records):
        drawn["figure_2_10"] = (
            f"UMAP of the features of {CLASSIFIER_TITLES.get(model, model)}, each of the images "
            "that it was trained on (as figure 2.10).",
            feature_panels(records, results.out),
        )
    return {**drawn, **_predictions(results, records)}


def _heat_maps(results: Results, records: dict[str, dict[str, Any]]) -> Figures:
    drawn: Figures = {}
    dataset = results.datasets[0]
    for number, found, verb in (("2.8", False, "miss"), ("2.9", True, "find")):
        if ids := choose(list(records.values()), found=found)[:IMAGES_SHOWN]:
            drawn[f"figure_{number.replace('.', '_')}"] = (
                f"Grad-CAM of the class that each method predicts, on {dataset.info.labels[-1]} "
                f"test images that most methods {verb} (as figure {number}).",
                explain_images(ids, records, results.titles, dataset, results.out),
            )
    return drawn


def _predictions(results: Results, records: dict[str, dict[str, Any]]) -> Figures:
    if "melanet" not in records:
        return {}
    record = records["melanet"]
    synthetic = synthetic_folder(record, results.out)
    if not (synthetic / METADATA_FILE).is_file():
        return {}
    dataset = results.datasets[0]
    scores, ours = predict_groups(record, dataset, open_dataset(synthetic), results.out)
    text = f"Predictions of the discussion; {summary_line('ours', ours)}."
    return {"figure_predictions": (text, prediction_panels(scores, ours, dataset.info.labels))}


def covid_figures(results: Results) -> Figures:
    """Figures 2.5 and 2.11 to 2.15, of the first model and seed.

    Figure 2.15 is left out where a record came without its features.
    """
    model, seed = results.records[0]["model"], results.records[0]["seed"]
    first = [r for r in results.records if (r["model"], r["seed"]) == (model, seed)]
    name = CLASSIFIER_TITLES.get(model, model)
    skews = runs_frame(first).set_index("condition")["skew"]
    with_skew = {c: f"{results.titles[c]}\nskew {skew:.2f}" for c, skew in skews.items()}
    drawn: Figures = {
        "distribution": (
            "Training images of each class in every condition, and their skew (as figure 2.5).",
            figures.class_histogram(first, with_skew),
        )
    }
    for record in first:
        title = results.titles[record["condition"]]
        drawn[f"confidence_{record['condition']}"] = (
            f"Confidence of {name} in each positive test image, trained on: {title.lower()} (as "
            "figures 2.11 to 2.14).",
            figures.confidences(record, title),
        )
    panels = {
        trial.condition.title: trial.features_path(results.out)
        for trial in results.trials
        if trial.key in {record["key"] for record in first}
    }
    if all(path.is_file() for path in panels.values()):
        drawn["umap"] = (
            f"UMAP of the pooled features of {name}, each panel of the classifier trained so, "
            f"training and test images together (as figure 2.15); at most {MAX_POINTS} of each "
            "class and dataset, evenly picked.",
            figures.umap_panels(panels, results.datasets[0].info.labels),
        )
    return {**drawn, **translations(results, "translations_{}", "")}


def translations(results: Results, file_name: str, note: str) -> Figures:
    """One figure per CycleGAN or StarGAN of the first seed."""
    drawn: Figures = {}
    stages = {stage.key: stage for trial in results.trials for stage in trial.synthetic_stages}
    for stage in stages.values():
        folder = stage.folder(results.out)
        if (folder / METADATA_FILE).is_file() and stage.seed == results.trials[0].seed:
            synthetic = open_dataset(folder)
            first = stage.dataset.values("label", list(synthetic.metadata["parent"][:1]))[0]
            targets = " and ".join(dict.fromkeys(synthetic.metadata["label"]))
            drawn[file_name.format(first)] = (
                f"{first.capitalize()} images and their translations to {targets} {note}".strip()
                + ".",
                figures.translations(stage.dataset, synthetic),
            )
    return drawn


def page_title(table: "ClassificationTable", info: DatasetInfo) -> str:
    """The table's title; on a dataset of one's own, the dataset's instead of the thesis's task."""
    if _is_of_thesis(info):
        return table.title
    number = table.title.partition(":")[0]
    return f"{number} on {info.title}: {' vs. '.join(info.labels)}"


def list_constant_runs(runs: pd.DataFrame, titles: dict[str, str]) -> str:
    """A sentence that lists the trainings that call all test images one class, or nothing."""
    constant = runs[~runs["learned"]].groupby(["model", "condition"], sort=False).size()
    several = runs["model"].nunique() > 1
    named = [
        (f"{CLASSIFIER_TITLES.get(model, model)}, " if several else "")
        + f"{titles[condition]} ({count})"
        for (model, condition), count in constant.items()
    ]
    return f" Trainings that never left a constant prediction: {'; '.join(named)}." if named else ""


def make_caption(results: Results, runs: pd.DataFrame) -> str:
    """What a reader must know of the table."""
    record = results.records[0]
    positives = sum(score["positive"] for score in record["scores"])
    seeds = len({r["seed"] for r in results.records})
    over = (
        f"mean ± sample sd over {seeds} seeds"
        if seeds > 1
        else "one seed; in brackets the exact 95% interval (Clopper-Pearson) over test images, as "
        "if they were independent"
    )
    missed = ", FN counts those missed" if "false_negatives" in results.table.metrics else ""
    return (
        f"Percent; {positives} of {len(record['scores'])} test images are positive{missed}; "
        f"{over}, threshold 0.5; protocol {record['protocol']}."
        f"{list_constant_runs(runs, results.titles)} "
        f"{results.table.caption}"
    )


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What a page says of records, whose models tell two classes apart, or several.

    Attributes:
        runs: From records to one row per training.
        caption: What a reader must know of the table.
        compare: From records and titles of conditions to how they differ, as text.
        note: What that comparison is.
        main_metric: Name of the metric by which protocols are compared.
        main_title: What it is called.
    """

    runs: Callable[[Sequence[dict[str, Any]]], pd.DataFrame]
    caption: Callable[[Results, pd.DataFrame], str]
    compare: Callable[[Sequence[dict[str, Any]], dict[str, str]], pd.DataFrame]
    note: str
    main_metric: str
    main_title: str


TWO_CLASSES = Scoring(runs_frame, make_caption, compare_conditions, COMPARISON_NOTE, "auc", "AUC")


def describe_settings(results: Results) -> dict[str, str]:
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


def _describe_data(results: Results) -> dict[str, str]:
    """What must be known of the datasets and their split."""
    protocol = results.table.protocols[results.records[0]["protocol"]]
    settings = {"split": _describe_split(results.datasets, protocol)}
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


def _describe_split(datasets: Sequence[ImageDataset], protocol: ClassifierProtocol) -> str:
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
