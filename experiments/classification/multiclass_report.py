"""What the page of a table of several classes says of its records (section 4.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.classification import figures, page_figures, report
from experiments.classification.comparisons import compare_conditions, format_difference
from experiments.classification.report import Results, Scoring
from experiments.classification.seeds import METRICS, compare_seeds
from experiments.common.report import Figures
from experiments.common.style import (
    TWO_COLUMNS,
    class_title,
    colours_of,
    draw_bars,
    legend_below,
    percent_axis,
    styled,
    wrap,
)
from melanet import multiclass

#: Metrics of a comparison, and what its columns are called.
COMPARED = {"macro_auc": "Macro AUC", "macro_sensitivity": "Macro sensitivity"}
#: What the runs say of each class against the rest.
OF_CLASS = ("sensitivity", "specificity", "f_score", "auc")
COMPARISON_NOTE = (
    "Conditions on the same test images, one row per seed: differences in percent points, by a "
    "bootstrap of whole patients. p is corrected by Holm for all tests of this table. Each p is "
    "about other test images and the trainings of one seed: a difference that depends on the seed "
    "is not shown."
)


def runs_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row per training: its metrics on the test images, in percent.

    The sensitivity of each class, by its number, has its exact interval.
    """
    rows = []
    for record in records:
        true, scores = _scores(record)
        of_class = multiclass.class_metrics(true, scores)
        counts = [record["training_images"][label] for label in record["dataset"]["labels"]]
        rows.append(
            {
                "model": record["model"],
                "condition": record["condition"],
                "seed": record["seed"],
                "learned": len(set(scores.argmax(axis=1))) > 1,
                "macro_auc": 100 * multiclass.macro_auc(true, scores),
                "macro_sensitivity": 100 * multiclass.macro_sensitivity(true, scores),
                "macro_f_score": 100 * multiclass.macro_f_score(true, scores),
                "accuracy": 100 * multiclass.accuracy(true, scores),
                "skew": max(counts) / min(counts),
                **{f"{k}_{n}": 100 * of_class.loc[n, k] for n in of_class.index for k in OF_CLASS},
                **{
                    f"sensitivity_{n}_{end}": 100 * of_class.loc[n, f"sensitivity_{end}"]
                    for n in of_class.index
                    for end in ("low", "high")
                },
                "epochs_run": record["epochs_run"],
                "best_epoch": record["best_epoch"],
                "steps": record["steps"],
                "seconds": record["seconds"],
            }
        )
    return pd.DataFrame(rows)


def caption(results: Results, runs: pd.DataFrame) -> str:
    """What a reader must know of the table."""
    record = results.records[0]
    counts = pd.Series([score["label"] for score in record["scores"]]).value_counts()
    listed = ", ".join(f"{label} {counts.get(label, 0)}" for label in record["dataset"]["labels"])
    seeds = len({r["seed"] for r in results.records})
    over = f"mean ± sample sd over {seeds} seeds" if seeds > 1 else "one seed"
    return (
        f"Percent; {over}; protocol {record['protocol']}. Test images: {listed}. An image "
        "is called the class of its highest probability. Macro: the mean over classes, of each "
        "against the rest. Columns of classes: sensitivity."
        f"{report.list_constant_runs(runs, results.titles)} "
        f"{results.table.caption}"
    )


def compare(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> pd.DataFrame:
    """One row per model, seed and condition: how it differs from the first condition, as text."""
    return compare_conditions(records, titles, _compare)


def _compare(baseline: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    cells, p_values = {}, {}
    for name, title in COMPARED.items():
        found = compare_seeds([(baseline, other)], name)
        shares = [x / 100 for x in (found.mean, found.low, found.high)]
        # NaN where a class has no test image.
        cells[title] = "–" if np.isnan(shares).any() else format_difference(*shares)
        p_values[title.lower().replace("auc", "AUC")] = found.p
    return {"cells": cells, "p_values": p_values}


SEVERAL_CLASSES = Scoring(
    runs_frame, caption, compare, COMPARISON_NOTE, "macro_auc", METRICS["macro_auc"].title
)


def multiclass_figures(results: Results) -> Figures:
    """Images of all classes, their numbers, translations, and of each model what it calls them."""
    records, titles = results.records, results.titles
    drawn: Figures = {
        "samples": (
            "Images of all classes, at even steps; of an official split, training images.",
            figures.class_samples(results.datasets[0]),
        ),
        "classes": (
            "Training images of each class in every condition, of the first seed.",
            figures.class_histogram(records, titles),
        ),
    }
    for name, suffix, of_model in page_figures.by_model(records):
        drawn[f"bars{suffix}"] = (
            f"{name}Test results, and the sensitivity of each class; bars are means over seeds, "
            "error bars ± 1 sample sd.",
            class_bars(of_model, titles),
        )
        drawn[f"confusion{suffix}"] = (
            f"{name}What test images of each class (rows) are called (columns): shares in percent, "
            "and below them the number, over all seeds.",
            confusion_panels(of_model, titles),
        )
    return {**drawn, **page_figures.translations(results, "translations", "by one StarGAN")}


@styled
def class_bars(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> Figure:
    """Macro AUC, macro sensitivity, and the sensitivity of each class."""
    runs, labels = runs_frame(records), records[0]["dataset"]["labels"]
    shown = {"macro_auc": "macro AUC", "macro_sensitivity": "macro sensitivity"}
    shown |= {f"sensitivity_{n}": class_title(label) for n, label in enumerate(labels)}
    figure, axes = plt.subplots(figsize=(TWO_COLUMNS, 2.6))
    width = 0.86 / len(titles)
    for number, (name, colour) in enumerate(colours_of(titles).items()):
        draw_bars(
            axes,
            np.arange(len(shown)) + (number - (len(titles) - 1) / 2) * width,
            runs[runs["condition"] == name][list(shown)],
            0.92 * width,
            form="{:.0f}",
            limit=100,
            color=colour,
            label=titles[name],
        )
    inches = 0.85 * TWO_COLUMNS / len(shown)
    axes.set_xticks(range(len(shown)), [wrap(name, inches) for name in shown.values()])
    axes.tick_params(axis="x", length=0)
    axes.axvline(1.5, color="#999999", linewidth=0.6)
    percent_axis(axes, "percent")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


@styled
def confusion_panels(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> Figure:
    """The confusion matrix of every condition, over all seeds."""
    labels = [class_title(label) for label in records[0]["dataset"]["labels"]]
    columns = min(len(titles), 2 if len(labels) > 4 else 4)
    rows = -(-len(titles) // columns)
    side = TWO_COLUMNS / columns
    figure, grid = plt.subplots(
        rows, columns, figsize=(TWO_COLUMNS, rows * (side + 0.45)), squeeze=False, sharey=True
    )
    for axes in grid.flat[len(titles) :]:
        axes.set_axis_off()
    for axes, (name, title) in zip(grid.flat, titles.items(), strict=False):
        counts = sum(
            multiclass.confusion(*_scores(record))
            for record in records
            if record["condition"] == name
        )
        share, _, _ = multiclass.confusion_shares(counts)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            value = share[row, column]
            text = "–" if np.isnan(value) else f"{100 * value:.0f}\n({count})"
            colour = "white" if value > 0.55 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=6)
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(length=0)
        axes.set_title(wrap(title, 0.9 * side))
    return figure


def _scores(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Number of the class and probabilities of every test image."""
    labels, scores = record["dataset"]["labels"], record["scores"]
    true = np.array([labels.index(score["label"]) for score in scores])
    return true, np.array([score["probabilities"] for score in scores])
