"""Figure 3.3: the best validation Jaccard so far against epochs; and the scores fold by fold."""

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.published import MODELS

COLOURS = ("#7a7a85", "#d1495b", "#00798c", "#edae49", "#5b8e7d", "#8e6c8a", "#30638e", "#b56576")


def learning_curves(records: Sequence[dict[str, Any]]) -> Figure:
    """A panel a dataset: mean over runs of the best validation Jaccard so far, with ± 1 sd.

    A run that stopped early keeps its best value from there on, so every epoch averages all runs.
    """

    def draw(axes, of_dataset):
        for model, colour in _model_colours(records):
            curves = [r["history"]["val_jaccard"] for r in of_dataset if r["model"] == model]
            if not curves:
                continue
            best = 100 * _best_so_far(curves)
            epochs = np.arange(1, best.shape[1] + 1)
            mean, deviation = best.mean(axis=0), best.std(axis=0)
            dot = "o" if len(mean) == 1 else None  # one epoch makes no line
            name = MODELS.get(model, model)
            axes.plot(epochs, mean, color=colour, label=name, linewidth=2, marker=dot)
            low, high = np.clip([mean - deviation, mean + deviation], 0, 100)
            axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.set_xlabel("epoch")
        axes.set_ylabel("best validation Jaccard (%)")
        axes.legend(frameon=False, loc="lower right")

    return _panel_a_dataset(records, draw)


def fold_by_fold(runs: pd.DataFrame, records: Sequence[dict[str, Any]]) -> Figure:
    """A panel a dataset: each run's test Jaccard, the models on the same split joined by a line."""

    def draw(axes, of_dataset):
        dataset = of_dataset[0]["dataset"]["name"]
        scores = runs[runs["dataset"] == dataset].pivot(
            index=["repeat", "fold"], columns="model", values="jaccard"
        )
        models = [(name, colour) for name, colour in _model_colours(records) if name in scores]
        for _, row in scores.iterrows():
            axes.plot(row[[name for name, _ in models]].to_numpy(), color="#c8c8d0", zorder=1)
        for place, (name, colour) in enumerate(models):
            axes.scatter([place] * len(scores), scores[name], color=colour, zorder=2, s=36)
            axes.hlines(scores[name].mean(), place - 0.2, place + 0.2, color=colour, linewidth=3)
        slope = {"rotation": 30, "ha": "right"} if len(models) > 3 else {}
        axes.set_xticks(range(len(models)), [MODELS.get(name, name) for name, _ in models], **slope)
        axes.set_xlim(-0.5, len(models) - 0.5)
        axes.set_ylabel("test Jaccard (%)")

    return _panel_a_dataset(records, draw)


def _panel_a_dataset(records, draw) -> Figure:
    titles = {r["dataset"]["name"]: r["dataset"]["title"] for r in records}
    columns = min(len(titles), 3)
    rows = -(-len(titles) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(5.2 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    for axes, (name, title) in zip(grid.flat, titles.items(), strict=False):
        draw(axes, [r for r in records if r["dataset"]["name"] == name])
        axes.set_title(title, loc="left", fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    for axes in grid.flat[len(titles) :]:
        axes.set_axis_off()
    return figure


def _model_colours(records):
    models = dict.fromkeys(record["model"] for record in records)
    return list(zip(models, itertools.cycle(COLOURS), strict=False))


def _best_so_far(curves: Sequence[Sequence[float]]) -> np.ndarray:
    """Running maxima, `(runs, epochs)`, each carried on to the longest run's length."""
    longest = max(map(len, curves))
    padded = [list(curve) + [max(curve)] * (longest - len(curve)) for curve in curves]
    return np.maximum.accumulate(np.array(padded), axis=1)
