"""The report of a table of chapter 3: records to a table beside the thesis's, and its figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.figure_cases import cases
from experiments.figure_curves import fold_by_fold, learning_curves
from experiments.published import DATASETS, MODELS, Scores
from experiments.report import Section, describe_origin, values_of, write_section
from sharpunet.data import PreparedSet
from sharpunet.protocols import PROTOCOLS

METRICS = ("jaccard", "dice")


def make_section(
    table, records: Sequence[dict[str, Any]], sets: Sequence[PreparedSet], out: Path
) -> Section:
    """Writes the table and the figures of `records` into `out`.

    Args:
        table: The `segmentation_table.Table` that was run.
        records: Records of its trials.
        sets: Its prepared sets.
        out: The results folder.
    """
    runs = runs_frame(records)
    summary = summarise(runs)
    titles = {prepared.description.name: prepared.description.title for prepared in sets}
    figures = {
        "learning-curves": (
            "Best validation Jaccard so far (as figure 3.3): mean over runs, ± 1 sd.",
            learning_curves(records),
        ),
        "fold-by-fold": (
            "Test Jaccard of every run; lines join the models on the same split, bars are means.",
            fold_by_fold(runs, records),
        ),
    }
    for prepared in sets:
        name = prepared.description.name
        of_set = [record for record in records if record["dataset"]["name"] == name]
        figures[f"cases-{name}"] = (
            f"{prepared.description.title}: the hardest, most over- and most under-segmented test "
            "images (as figures 3.6 to 3.8), ranked by rule.",
            cases(of_set, prepared, out),
        )
    return write_section(
        out,
        title=table.title,
        caption=_caption(records),
        numbers=summary,
        shown=beside_thesis(summary, table.published, titles),
        emphasised=_bold_best,
        figures=figures,
        settings=describe(records),
        runs=runs,
    )


def runs_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row a training: its scores in percent, averaged over its test images, and its cost."""
    rows = []
    for record in records:
        scores = {
            metric: 100 * float(np.mean([score[metric] for score in record["scores"]]))
            for metric in METRICS
        }
        rows.append(
            {
                "dataset": record["dataset"]["name"],
                "model": record["model"],
                "repeat": record["repeat"],
                "fold": record["fold"],
                **scores,
                "best_epoch": record["best_epoch"],
                "epochs_run": record["epochs_run"],
                "seconds": record["seconds"],
                "seed": record["seed"],
                "trainable": record["parameters"]["trainable"],
            }
        )
    return pd.DataFrame(rows)


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and sample standard deviation over the runs of each dataset and model, in percent."""
    grouped = runs.groupby(["dataset", "model"], sort=False)
    return grouped.agg(
        runs=("jaccard", "size"),
        **{
            f"{metric}_{name}": (metric, function)
            for metric in METRICS
            for name, function in (("mean", "mean"), ("sd", "std"))
        },
        seconds=("seconds", "sum"),
    ).reset_index()


def beside_thesis(
    summary: pd.DataFrame, published: dict[tuple[str, str], Scores], titles: dict[str, str]
) -> pd.DataFrame:
    """The table in the thesis's form: a row "ours" a dataset, the thesis's own beneath.

    What the thesis printed for datasets that were not run comes last.
    """
    models = list(dict.fromkeys(summary["model"]))
    run = list(dict.fromkeys(summary["dataset"]))
    cells = {(row.dataset, row.model): row for row in summary.itertuples()}
    rows = []
    for dataset in [*run, *(name for name in DATASETS if name not in run)]:
        title = DATASETS.get(dataset) or titles[dataset]
        if dataset in run:
            ours = {model: _our_scores(cells.get((dataset, model))) for model in models}
            rows.append(_row(title, "ours", models, ours))
        printed = {model: _printed_scores(published.get((dataset, model))) for model in models}
        if any(printed.values()):
            rows.append(_row(title, "thesis", models, printed))
    return pd.DataFrame(rows)


def describe(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """How the results were made, for a reader: what all records share, or each value there is."""
    first = records[0]
    return {
        "protocol": f"{first['protocol']}: {PROTOCOLS[first['protocol']]}",
        "images (train / validation / test)": values_of(
            records,
            lambda r: f"{r['dataset']['name']} " + " / ".join(map(str, r["images"].values())),
        ),
        "size": values_of(records, lambda r: f"{r['image_size'][0]} × {r['image_size'][1]}"),
        "epochs at most": values_of(records, lambda r: r["epochs"]),
        "early stopping": f"after {first['patience']} epochs without a better validation "
        + ("Jaccard" if first["protocol"] == "released" else "loss"),
        "optimizer": f"Adam {first['learning_rate']:g}, "
        f"batch {values_of(records, lambda r: r['batch_size'])}",
        "weights": "random at the start",
        **describe_origin(records),
        "training time": f"{sum(r['seconds'] for r in records) / 60:.1f} min in all",
    }


def _caption(records) -> str:
    counts = pd.Series([(r["dataset"]["name"], r["model"]) for r in records]).value_counts()
    counted = f"{counts.min()}" if counts.min() == counts.max() else "up to " + str(counts.max())
    first = records[0]
    return (
        f"Percent, mean ± sample sd over {counted} runs a cell; protocol {first['protocol']}, "
        f"at most {first['epochs']} epochs. Bold: the better of ours."
    )


def _our_scores(row):
    if row is None:
        return None
    return {
        metric: (getattr(row, f"{metric}_mean"), getattr(row, f"{metric}_sd")) for metric in METRICS
    }


def _printed_scores(scores: Scores | None):
    if scores is None:
        return None
    cells = {"jaccard": scores.jaccard, "dice": scores.dice}
    return {metric: (score.mean, score.deviation) for metric, score in cells.items()}


def _row(title, source, models, scores) -> dict[str, str]:
    row = {"Dataset": title, "": source}
    for model in models:
        for metric in METRICS:
            mean, sd = scores[model][metric] if scores[model] else (np.nan, np.nan)
            text = (
                "–" if np.isnan(mean) else f"{mean:.2f} ± " + ("–" if np.isnan(sd) else f"{sd:.2f}")
            )
            row[f"{MODELS.get(model, model)} {metric.capitalize()}"] = text
    return row


def _bold_best(shown: pd.DataFrame, style: str) -> pd.DataFrame:
    """Marks, in our rows, the best mean of each metric."""
    marked = shown.copy()
    for place in marked.index[marked[""] == "ours"]:
        for metric in METRICS:
            columns = [name for name in marked if name.endswith(metric.capitalize())]
            filled = [name for name in columns if marked.loc[place, name] != "–"]
            if len(filled) > 1:
                best = max(filled, key=lambda name: float(marked.loc[place, name].split()[0]))
                marked.loc[place, best] = style.format(marked.loc[place, best])
    return marked
