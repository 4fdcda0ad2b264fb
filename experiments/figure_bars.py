"""Figure 3.5: Jaccard and Dice of every model on one dataset, as bars with error bars."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figure_curves import COLOURS
from experiments.published import MODELS

METRICS = {"jaccard": "Jaccard", "dice": "Dice"}


def model_bars(runs: pd.DataFrame, dataset: str, title: str = "") -> Figure:
    """Means over the runs of `dataset`, a bar a model and metric; error bars are ± 1 sample sd.

    A model of one run has no error bar. Colours go by the order of the models in `runs`, whatever
    the dataset, as in the other figures.

    Args:
        runs: A row a run: `dataset`, `model`, and `jaccard` and `dice` in percent.
        dataset: Name of the dataset.
        title: Of the figure; the dataset's name if empty.
    """
    colours = dict(zip(dict.fromkeys(runs["model"]), COLOURS, strict=False))
    of_model = dict(iter(runs[runs["dataset"] == dataset].groupby("model")[list(METRICS)]))
    models = [(name, colour) for name, colour in colours.items() if name in of_model]

    figure, axes = plt.subplots(
        figsize=(max(4.2, 1.6 + 1.15 * len(models)), 4), layout="constrained"
    )
    width = 0.86 / len(models)
    for number, (name, colour) in enumerate(models):
        scores = of_model[name]
        bars = axes.bar(
            np.arange(len(METRICS)) + (number - (len(models) - 1) / 2) * width,
            scores.mean(),
            0.94 * width,
            yerr=scores.std() if len(scores) > 1 else None,
            capsize=3,
            color=colour,
            label=MODELS.get(name, name),
        )
        axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    axes.set_xticks(range(len(METRICS)), list(METRICS.values()))
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 110)  # room for the numbers
    axes.set_yticks(range(0, 101, 20))
    axes.set_title(title or dataset, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    columns = 2 if len(models) <= 4 else 4
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
    return figure
