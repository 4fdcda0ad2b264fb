"""The report of a table of chapter 2: its records beside the thesis's numbers."""

import dataclasses
from collections.abc import Callable, Sequence
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
from experiments.classification.page_settings import describe_data, describe_settings
from experiments.common.published import CLASSIFIER_TITLES
from experiments.common.report import Section, write_section
from melanet import metrics
from melanet.data import BUILDERS, DatasetInfo, ImageDataset
from melanet.statistics import sensitivity_interval, specificity_interval

if TYPE_CHECKING:
    from experiments.classification.table import ClassificationTable
    from experiments.classification.trial import ClassifierTrial


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
        settings={**describe_settings(results), **describe_data(results)},
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
