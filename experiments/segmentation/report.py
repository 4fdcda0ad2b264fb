"""The report of a table of chapter 3: its records beside the thesis's numbers, and its figures."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.common.published import DATASET_TITLES, MODEL_TITLES, Scores
from experiments.common.report import (
    Emphasise,
    Figures,
    Section,
    describe_provenance,
    distinct_values,
    write_section,
)
from experiments.common.significance import comparisons
from experiments.segmentation.protocols import SEGMENTATION_PROTOCOLS
from melanet import lazy
from melanet.data import ImageDataset

if TYPE_CHECKING:
    from experiments.segmentation import figures as draw
    from experiments.segmentation.table import SegmentationTable
else:
    draw = lazy.module("experiments.segmentation.figures")

SCORES = ("jaccard", "dice")
MIN_GAIN = 0.5  # percent points of Jaccard above the best constant prediction
COMPARISON_NOTE = (
    "Percent points of Jaccard. The interval over splits and p are of the corrected resampled "
    "t-test (Nadeau and Bengio 2003), which allows for splits that share training images; the "
    "interval over images is a bootstrap of whole groups (patients, videos, blocks of slices), "
    "where known. The verdict requires p below 0.05 after Holm's correction for all rows."
)


def make_section(
    table: "SegmentationTable",
    records: Sequence[dict[str, Any]],
    datasets: Sequence[ImageDataset],
    out: Path,
) -> Section:
    """Writes the table and its figures into `out`."""
    runs = runs_frame(records)
    summary = summarise(runs, SEGMENTATION_PROTOCOLS[records[0]["protocol"]].ddof)
    titles = {dataset.info.name: dataset.info.title for dataset in datasets}
    shown, emphasise = make_cells(summary, table.published, titles)
    return write_section(
        out,
        title=table.title,
        caption=make_caption(records, runs),
        numbers=summary,
        shown=shown,
        emphasise=emphasise,
        figures=_figures(records, runs, datasets, out),
        settings={**describe_settings(records), **_describe_data(records, datasets)},
        runs=runs,
        comparison=_readable(comparisons(records, table.pairs), titles),
        comparison_note=COMPARISON_NOTE,
    )


def _figures(
    records: Sequence[dict[str, Any]],
    runs: pd.DataFrame,
    datasets: Sequence[ImageDataset],
    out: Path,
) -> Figures:
    """The figures of all datasets, then those of each.

    Figures of predictions are left out where a record came without them.
    """
    figures = {
        "learning-curves": (
            "Validation Jaccard after each epoch (as figure 3.3): mean over runs, ± 1 sd; dotted "
            "where early stopping has ended some.",
            draw.learning_curves(records),
        ),
        "fold-by-fold": (
            "Test Jaccard of every run; lines join the models on the same split, bars are means.",
            draw.fold_by_fold(runs, records),
        ),
    }
    for dataset in datasets:
        name = dataset.info.name
        of_dataset = [record for record in records if record["dataset"]["name"] == name]
        if runs["model"].nunique() > 2:
            figures[f"bars-{name}"] = (
                f"{dataset.info.title}: mean over runs, ± 1 sample sd (as figure 3.5).",
                draw.model_bars(runs, name, dataset.info.title),
            )
        if not _have_predictions(of_dataset, out):
            continue
        if len(of_dataset[0]["image_size"]) == 3:
            figures[f"planes-{name}"] = (
                f"{dataset.info.title}: three planes through the hardest test volumes, which have "
                "the lowest Jaccard, averaged over the models.",
                draw.planes(of_dataset, dataset, out),
            )
            continue
        if dataset.info.classes > 1:
            figures[f"classes-{name}"] = (
                f"{dataset.info.title}: class maps (as figure 3.4), at even steps of the "
                "ranking by Jaccard.",
                draw.class_maps(of_dataset, dataset, out),
            )
        figures[f"cases-{name}"] = (
            f"{dataset.info.title}: the hardest, most over- and most under-segmented test "
            "images (as figures 3.6 to 3.8), ranked by rule.",
            draw.cases(of_dataset, dataset, out),
        )
    return figures


def _have_predictions(records: Sequence[dict[str, Any]], out: Path) -> bool:
    """Whether the predictions that figures show, those of the first repeat, are in `out`."""
    shown = [record["key"] for record in records if record["repeat"] == 0]
    return all((out / "predictions" / key).is_dir() for key in shown)


def runs_frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row per training: its scores in percent, averaged over its test images, and its cost."""
    rows = []
    for record in records:
        names = [*SCORES, *(f"{name}_micro" for name in SCORES)]
        scores = {
            name: 100 * float(np.mean([score.get(name, np.nan) for score in record["scores"]]))
            for name in names
        }
        constant = {
            f"constant_{name}": 100 * record["best_constant"].get(name, np.nan) for name in names
        }
        rows.append(
            {
                "dataset": record["dataset"]["name"],
                "model": record["model"],
                "repeat": record["repeat"],
                "fold": record["fold"],
                **scores,
                **constant,
                "learned": scores["jaccard"] > constant["constant_jaccard"] + MIN_GAIN,
                "best_epoch": record["best_epoch"],
                "epochs_run": record["epochs_run"],
                "seconds": record["seconds"],
                "seed": record["seed"],
                "trainable": record["parameters"]["trainable"],
                "frozen": record["parameters"]["frozen"],
            }
        )
    return pd.DataFrame(rows)


def summarise(runs: pd.DataFrame, ddof: int = 1) -> pd.DataFrame:
    """Mean and standard deviation over the runs of each dataset and model, in percent.

    Args:
        runs: As `runs_frame` makes it.
        ddof: 1 for the sample's standard deviation, 0 for the population's.
    """
    grouped = runs.groupby(["dataset", "model"], sort=False)
    return grouped.agg(
        runs=("jaccard", "size"),
        **{
            f"{metric}_{name}": (metric, function)
            for metric in (*SCORES, *(f"{score}_micro" for score in SCORES))
            for name, function in (("mean", "mean"), ("sd", partial(pd.Series.std, ddof=ddof)))
        },
        **{
            f"constant_{score}{kind}": (f"constant_{score}{kind}", "mean")
            for score in SCORES
            for kind in ("", "_micro")
        },
        trainable=("trainable", "first"),
        frozen=("frozen", "first"),
        seconds=("seconds", "sum"),
        epochs_run=("epochs_run", "sum"),
    ).reset_index()


def make_cells(
    summary: pd.DataFrame, published: Mapping[tuple[str, str], Scores], titles: dict[str, str]
) -> tuple[pd.DataFrame, Emphasise]:
    """The table's cells as text, and what marks the best of them in a style such as `"**{}**"`."""
    if summary["model"].nunique() > 2:
        return one_row_per_model(summary, published, titles), _bold_best_row
    return add_published_rows(summary, published, titles), _bold_best


def add_published_rows(
    summary: pd.DataFrame, published: Mapping[tuple[str, str], Scores], titles: dict[str, str]
) -> pd.DataFrame:
    """The table in the thesis's form: one row "ours" per dataset, the thesis's own beneath it.

    What the thesis prints for datasets that were not run comes last.
    """
    models = list(dict.fromkeys(summary["model"]))
    run = list(dict.fromkeys(summary["dataset"]))
    cells = {(row.dataset, row.model): row for row in summary.itertuples()}
    rows = []
    for dataset in [*run, *(name for name in DATASET_TITLES if name not in run)]:
        title = DATASET_TITLES.get(dataset) or titles[dataset]
        if dataset in run:
            rows += _our_rows(title, [cells.get((dataset, model)) for model in models], models)
        printed = {model: _printed_scores(published.get((dataset, model))) for model in models}
        if any(printed.values()):
            rows.append(_row(title, "thesis", models, printed))
    return pd.DataFrame(rows)


def one_row_per_model(
    summary: pd.DataFrame, published: Mapping[tuple[str, str], Scores], titles: dict[str, str]
) -> pd.DataFrame:
    """The table of many models: one row each, the thesis's beneath it, with parameters and cost.

    What the thesis prints for another dataset comes last.
    """
    rows, printed = [], dict(published)
    for row in summary.itertuples():
        cells = {
            m: format_score(getattr(row, f"{m}_mean"), getattr(row, f"{m}_sd")) for m in SCORES
        }
        cost = row.seconds / max(row.epochs_run, 1)
        trained = f"{row.trainable:,} + {row.frozen:,}"
        rows.append(
            _tall_row(row.dataset, row.model, titles, "ours", cells, trained, f"{cost:.1f}")
        )
        if (row.dataset, row.model) in printed:
            rows.append(_printed_row(row.dataset, row.model, titles, printed))
    for row in summary.groupby("dataset", sort=False).first().reset_index().itertuples():
        cells = {name: format_score(getattr(row, f"constant_{name}"), None) for name in SCORES}
        rows.append(_tall_row(row.dataset, "best constant prediction", titles, "", cells))
    models = set(summary["model"])
    for dataset, model in [key for key in printed if key[1] in models]:
        rows.append(_printed_row(dataset, model, titles, printed))
    return pd.DataFrame(rows)


def describe_settings(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """How the results were made: readable settings by name."""
    first = records[0]
    return {
        "protocol": f"{first['protocol']}: {SEGMENTATION_PROTOCOLS[first['protocol']].text}",
        "images (train / validation / test)": distinct_values(
            records,
            lambda r: f"{r['dataset']['name']} " + " / ".join(map(str, r["images"].values())),
        ),
        "size": distinct_values(records, lambda r: " × ".join(map(str, r["image_size"]))),
        "epochs at most": distinct_values(records, lambda r: r["epochs"]),
        "early stopping": f"after {first['patience']} epochs without a better validation "
        + ("loss" if first["watch"] == "val_loss" else "Jaccard"),
        "optimizer": f"Adam {first['learning_rate']:g}, "
        f"batch {distinct_values(records, lambda r: r['batch_size'])}",
        "loss": distinct_values(records, lambda r: r["loss"].replace("_", " ")),
        "weights": distinct_values(
            records,
            lambda r: f"ImageNet ({r['model']})" if r["weights"] else "random at the start",
        ),
        **describe_provenance(records),
        "training time": f"{sum(r['seconds'] for r in records) / 60:.1f} min in all",
    }


def _describe_data(
    records: Sequence[dict[str, Any]], datasets: Sequence[ImageDataset]
) -> dict[str, str]:
    """What must be known of the images: notes, class names, and the groups of `clean`."""
    about = {}
    for dataset in datasets:
        info, groups = dataset.info, dataset.metadata["group"]
        said = [info.notes, f"Classes: {', '.join(info.class_names)}." if info.class_names else ""]
        if records[0]["protocol"] == "clean":
            said.append(
                "No groups (patients, videos) are known, so that clean equals thesis here."
                if groups.is_unique
                else f"{groups.nunique()} groups."
            )
        if any(said):
            about[f"images of {info.title}"] = " ".join(filter(None, said))
    return about


def make_caption(records: Sequence[dict[str, Any]], runs: pd.DataFrame) -> str:
    """What a reader must know of the table."""
    counts = pd.Series([(r["dataset"]["name"], r["model"]) for r in records]).value_counts()
    counted = f"{counts.min()}" if counts.min() == counts.max() else "up to " + str(counts.max())
    first = records[0]
    sd = "sample sd" if SEGMENTATION_PROTOCOLS[first["protocol"]].ddof else "sd (ddof 0)"
    return (
        f"Percent, mean ± {sd} over {counted} runs per cell; protocol {first['protocol']}, "
        f"at most {first['epochs']} epochs. Bold: the best of ours. The best constant prediction "
        f"is all background or all of one class.{_list_constant_runs(runs)}"
        f"{_describe_distances(records)}"
    )


def _describe_distances(records: Sequence[dict[str, Any]]) -> str:
    """A sentence of surface distances, or nothing where the records have none."""
    found: dict[str, list[tuple[float | None, float | None]]] = {}
    for record in records:
        pairs = [
            pair
            for score in record["scores"]
            for pair in zip(score.get("surface_distance_mm", []), score.get("hausdorff_95_mm", []),
                strict=True)
        ]  # fmt: skip
        found.setdefault(record["model"], []).extend(pairs)
    said = []
    for model, pairs in found.items():
        known = [pair for pair in pairs if None not in pair]
        if known:
            mean, far = np.mean(np.array(known, float), axis=0)
            lacking = len(pairs) - len(known)
            without = f", {lacking} without a surface left out" if lacking else ""
            said.append(f"{MODEL_TITLES.get(model, model)} {mean:.2f} and {far:.2f}{without}")
    if not said:
        return ""
    return (
        " Millimetres between the true and the predicted surface, mean over test volumes of the "
        f"average and of the 95th percentile: {'; '.join(said)}."
    )


def _list_constant_runs(runs: pd.DataFrame) -> str:
    """A sentence that lists the models that never beat the best constant prediction, or nothing."""
    constant = runs[~runs["learned"]].groupby(["dataset", "model"], sort=False).size()
    named = [
        f"{MODEL_TITLES.get(model, model)} on {dataset} ({count})"
        for (dataset, model), count in constant.items()
    ]
    return f" Trainings that never left it: {', '.join(named)}." if named else ""


def _our_rows(title: str, found: Sequence[Any], models: Sequence[str]) -> list[dict[str, str]]:
    """Our scores and the best constant prediction's; of several classes in both averages."""
    rows = []
    several = any(row is not None and not np.isnan(row.jaccard_micro_mean) for row in found)
    averages = {"": "ours"}
    if several:
        averages = {"": "ours, mean over classes", "_micro": "ours, all channels together"}
    for kind, source in averages.items():
        ours, constant = {}, {}
        for row, model in zip(found, models, strict=True):
            ours[model] = row and {
                name: (getattr(row, f"{name}{kind}_mean"), getattr(row, f"{name}{kind}_sd"))
                for name in SCORES
            }
            constant[model] = row and {
                name: (getattr(row, f"constant_{name}{kind}"), None) for name in SCORES
            }
        rows.append(_row(title, source, models, ours))
        rows.append(_row(title, "best constant prediction", models, constant))
    return rows


def _printed_scores(scores: Scores | None):
    if scores is None:
        return None
    cells = {"jaccard": scores.jaccard, "dice": scores.dice}
    return {metric: (score.mean, score.deviation) for metric, score in cells.items()}


def _printed_row(dataset, model, titles, printed) -> dict[str, str]:
    scores = printed.pop((dataset, model))
    return _tall_row(
        dataset, model, titles, "thesis", {"jaccard": str(scores.jaccard), "dice": str(scores.dice)}
    )


def _tall_row(dataset, model, titles, source, cells, parameters="–", cost="–") -> dict[str, str]:
    return {
        "Dataset": DATASET_TITLES.get(dataset) or titles.get(dataset, dataset),
        "Model": MODEL_TITLES.get(model, model),
        "": source,
        **{metric.capitalize(): cells[metric] for metric in SCORES},
        "Parameters (trained + other)": parameters,
        "Seconds per epoch": cost,
    }


def format_score(mean: float, sd: float | None) -> str:
    """Mean ± standard deviation; a dash for what is not known."""
    if np.isnan(mean):
        return "–"
    if sd is None:
        return f"{mean:.2f}"
    return f"{mean:.2f} ± " + ("–" if np.isnan(sd) else f"{sd:.2f}")


def _readable(compared: pd.DataFrame, titles: dict[str, str]) -> pd.DataFrame:
    """Differences as text."""
    return pd.DataFrame(
        {
            "Dataset": DATASET_TITLES.get(row.dataset) or titles[row.dataset],
            "Pair": f"{MODEL_TITLES.get(row.contender, row.contender)} less "
            f"{MODEL_TITLES.get(row.baseline, row.baseline)}",
            "Runs": str(row.runs),
            "Difference": f"{row.difference:+.2f}",
            "95% over splits": _interval(row.low, row.high),
            "p": "–" if np.isnan(row.p) else f"{row.p:.3f}",
            "p (Holm)": "–" if np.isnan(row.p_holm) else f"{row.p_holm:.3f}",
            "95% over images": _interval(row.images_low, row.images_high),
            "Verdict": row.verdict,
        }
        for row in compared.itertuples()
    )


def _interval(low, high) -> str:
    return "–" if np.isnan(low) else f"{low:+.2f} to {high:+.2f}"


def _row(title, source, models, scores) -> dict[str, str]:
    row = {"Dataset": title, "": source}
    for model in models:
        for metric in SCORES:
            mean, sd = scores[model][metric] if scores[model] else (np.nan, np.nan)
            row[f"{MODEL_TITLES.get(model, model)} {metric.capitalize()}"] = format_score(mean, sd)
    return row


def _bold_best(shown: pd.DataFrame, style: str) -> pd.DataFrame:
    """Marks, in our rows, the best mean of each metric."""
    marked = shown.copy()
    for place in marked.index[marked[""].str.startswith("ours")]:
        for metric in SCORES:
            columns = [name for name in marked if name.endswith(metric.capitalize())]
            filled = [name for name in columns if marked.loc[place, name] != "–"]
            if len(filled) > 1:
                best = max(filled, key=lambda name: float(marked.loc[place, name].split()[0]))
                marked.loc[place, best] = style.format(marked.loc[place, best])
    return marked


def _bold_best_row(shown: pd.DataFrame, style: str) -> pd.DataFrame:
    """Marks, among our rows of each dataset, the best mean of each metric."""
    marked = shown.copy()
    ours = marked[marked[""] == "ours"]
    for metric in (name.capitalize() for name in SCORES):
        means = pd.to_numeric(ours[metric].str.split().str[0], errors="coerce").dropna()
        for place in means.groupby(ours["Dataset"]).idxmax():
            marked.loc[place, metric] = style.format(marked.loc[place, metric])
    return marked
