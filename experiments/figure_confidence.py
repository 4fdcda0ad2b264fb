"""Figures 2.11 to 2.14: how sure a classifier is of each positive test image."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.figure_curves import COLOURS

THRESHOLD = 0.5


def confidences(record: dict[str, Any], title: str) -> Figure:
    """A dot a positive test image, in the order of the test set; the dashed line is 0.5.

    Args:
        record: Of one trial.
        title: What it was trained on.
    """
    scores = np.array([score["score"] for score in record["scores"] if score["positive"]])
    found = scores >= THRESHOLD
    figure, axes = plt.subplots(figsize=(5.2, 2.9), layout="constrained")
    places = np.arange(1, len(scores) + 1)
    for mask, colour, name in ((found, COLOURS[2], "found"), (~found, COLOURS[1], "missed")):
        label = f"{name}: {mask.sum()}"
        axes.vlines(places[mask], 0, scores[mask], color=colour, alpha=0.35, linewidth=1.5)
        axes.plot(places[mask], scores[mask], "o", color=colour, markersize=4, label=label)
    axes.axhline(THRESHOLD, color="#444444", linestyle="--", linewidth=1, label="threshold")
    axes.set(xlabel="positive test image", ylabel="confidence", ylim=(-0.02, 1.02), title=title)
    axes.title.set_fontsize(10)
    figure.legend(frameon=False, fontsize=9, loc="outside right upper")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def first_of(records: Sequence[dict[str, Any]], model: str, condition: str) -> dict[str, Any]:
    """The first record of a model in a condition."""
    return next(r for r in records if (r["model"], r["condition"]) == (model, condition))
