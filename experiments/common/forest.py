"""Differences with their intervals, drawn below each other (a forest plot)."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.common.conclusions import OPEN, SUPPORTS, WEAKENS, Comparison
from experiments.common.style import (
    FOUND,
    INVENTED,
    QUIET,
    SMALL,
    TWO_COLUMNS,
    legend_below,
    styled,
    wrap,
)

#: Colour and words of what a difference does to its claim, or answers.
BEARINGS = {
    SUPPORTS: (FOUND, "supports the claim, or yes"),
    WEAKENS: (INVENTED, "weakens the claim, or no"),
    OPEN: (QUIET, "leaves it open"),
}
#: Inches for the words beside a line, and for a line.
WORDS, LINE = 3.2, 0.42


@styled
def forest_plot(comparisons: Sequence[Comparison]) -> Figure:
    """A line per comparison: its difference, the 95% interval, and what the thesis prints.

    Args:
        comparisons: One or more.
    """
    count = len(comparisons)
    figure, axes = plt.subplots(figsize=(TWO_COLUMNS, LINE * count + 0.9))
    for place, each in enumerate(comparisons):
        colour = BEARINGS[each.bearing][0]
        axes.hlines(place, each.low, each.high, color=colour)
        axes.plot(each.difference, place, "o", color=colour, zorder=3)
        if not math.isnan(each.printed):
            axes.plot(each.printed, place, "D", color="white", markeredgecolor="black",
                markeredgewidth=0.6, zorder=2)  # fmt: skip
    axes.axvline(0, color="black", linewidth=0.6, zorder=1)
    labels = [
        wrap(f"{e.metric}: {e.contender} less {e.baseline}", WORDS)
        + f"\n{e.dataset}, {e.protocol}; {e.setting}"
        for e in comparisons
    ]
    axes.set_yticks(range(count), labels, fontsize=SMALL - 1)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(count - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("difference in percent points, 95% interval")
    axes.grid(axis="x")
    legend_below(figure, _legend(comparisons), columns=2)
    return figure


def _legend(comparisons: Sequence[Comparison]) -> list[Line2D]:
    shown = {each.bearing for each in comparisons}
    lines = [
        Line2D([], [], color=colour, marker="o", label=text)
        for bearing, (colour, text) in BEARINGS.items()
        if bearing in shown
    ]
    if np.isfinite([each.printed for each in comparisons]).any():
        lines.append(
            Line2D(
                [],
                [],
                color="white",
                marker="D",
                markeredgecolor="black",
                markeredgewidth=0.6,
                label="the thesis's numbers",
            )
        )
    return lines
