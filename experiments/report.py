"""Records to a table (Markdown, CSV, LaTeX) and one HTML page with everything on it."""

import base64
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figure_cases import cases
from experiments.figure_curves import fold_by_fold, learning_curves
from experiments.published import DATASETS, MODELS, Scores
from experiments.trial import write_atomically
from sharpunet.data import PreparedSet
from sharpunet.protocols import PROTOCOLS

METRICS = ("jaccard", "dice")


def write(table, records: Sequence[dict[str, Any]], sets: Sequence[PreparedSet], out: Path) -> Path:
    """Writes `table.md`, `.csv` and `.tex`, `figures/*.png` and `index.html` into `out`.

    Args:
        table: The `sweep.Table` that was run.
        records: Records of its trials.
        sets: Its prepared sets.
        out: The results folder.

    Returns:
        The path of the page.
    """
    runs = runs_frame(records)
    summary = summarise(runs)
    titles = {prepared.description.name: prepared.description.title for prepared in sets}
    shown = beside_thesis(summary, table.published, titles)

    write_atomically(out / "table.csv", summary.to_csv(index=False))
    markdown = _bold_best(shown, "**{}**").to_markdown(index=False)
    write_atomically(out / "table.md", f"{table.title}\n\n{markdown}\n\n{_caption(records)}\n")
    escaped = shown.map(lambda cell: re.sub(r"([&%$#_{}])", r"\\\1", cell))
    latex = _bold_best(escaped, r"\textbf{{{}}}").replace("±", r"$\\pm$", regex=True)
    write_atomically(out / "table.tex", latex.to_latex(index=False))

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
    page = _page(
        title=table.title,
        caption=_caption(records),
        table=_bold_best(shown.map(html.escape), "<b>{}</b>").to_html(
            index=False, escape=False, border=0
        ),
        figures=[(text, _save(out, name, figure)) for name, (text, figure) in figures.items()],
        settings=describe(records),
        runs=runs.round(2).to_html(index=False, border=0),
    )
    write_atomically(out / "index.html", page)
    return out / "index.html"


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

    def values(get) -> str:
        return ", ".join(dict.fromkeys(str(get(record)) for record in records))

    first = records[0]
    commits = values(lambda r: _commit(r["git"]))
    described = {
        "protocol": f"{first['protocol']}: {PROTOCOLS[first['protocol']]}",
        "images (train / validation / test)": values(
            lambda r: f"{r['dataset']['name']} " + " / ".join(str(n) for n in r["images"].values())
        ),
        "size": values(lambda r: f"{r['image_size'][0]} × {r['image_size'][1]}"),
        "epochs at most": values(lambda r: r["epochs"]),
        "early stopping": f"after {first['patience']} epochs without a better validation "
        + ("Jaccard" if first["protocol"] == "released" else "loss"),
        "optimizer": f"Adam {first['learning_rate']:g}, batch {values(lambda r: r['batch_size'])}",
        "precision": values(lambda r: r["precision"]),
        "weights": "random at the start",
        "seeds": values(lambda r: r["seed"]),
        "deterministic kernels": values(lambda r: r["deterministic"]),
        "data (SHA-256 of the manifest)": values(
            lambda r: f"{r['dataset']['name']} {r['dataset']['manifest_sha256'][:16]}"
        ),
        "code": commits,
        "versions": values(lambda r: ", ".join(f"{k} {v}" for k, v in r["versions"].items())),
        "hardware": values(lambda r: _hardware(r["hardware"])),
        "training time": f"{sum(r['seconds'] for r in records) / 60:.1f} min in all",
    }
    if "," in commits:
        described["code"] += " (more than one version of the code made these results)"
    return described


def _commit(git) -> str:
    if git["commit"] is None:
        return "not in a git checkout"
    return git["commit"][:12] + (" with uncommitted changes" if git["changed"] else "")


def _hardware(hardware) -> str:
    return ", ".join(hardware["gpus"]) or f"{hardware['cpu']}, {hardware['cores']} cores"


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


def _save(out: Path, name: str, figure: Figure) -> str:
    """Writes `figures/NAME.png`; returns it as a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    write_atomically(out / "figures" / f"{name}.png", buffer.getvalue())
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _page(**content) -> str:
    """Fills `page.html`, whose `table` and `runs` are HTML of our own making."""
    source = (Path(__file__).parent / "page.html").read_text()
    return jinja2.Environment(autoescape=True).from_string(source).render(**content)
