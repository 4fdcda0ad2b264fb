"""Differences with their intervals, drawn below each other (a forest plot)."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
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
WORDS, LINE = 3.2, 0.28
PANEL = 0.5  # inches that a panel has above and below its lines


@styled
def forest_plot(comparisons: Sequence[Comparison]) -> Figure:
    """A line per comparison: its difference, the 95% interval, and what the thesis prints.

    Every dataset has a panel of its own, in which the lines stand below their protocol and setting.

    Args:
        comparisons: One or more.
    """
    panels = {name: _lines(found) for name, found in _by("dataset", comparisons).items()}
    heights = [LINE * _places(lines)[-1] + PANEL for lines in panels.values()]
    figure, grid = plt.subplots(
        len(panels), figsize=(TWO_COLUMNS, sum(heights)), height_ratios=heights, squeeze=False
    )
    for axes, (dataset, lines) in zip(grid[:, 0], panels.items(), strict=True):
        _draw_panel(axes, lines)
        axes.set_title(dataset, loc="left", fontweight="bold")
    grid[-1, 0].set_xlabel("difference in percent points, 95% interval")
    legend_below(figure, _legend(comparisons), columns=2)
    return figure


def _by(name: str, comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    groups: dict[str, list[Comparison]] = {}
    for each in comparisons:
        groups.setdefault(getattr(each, name), []).append(each)
    return groups


def _lines(comparisons: Sequence[Comparison]) -> list[tuple[str, Comparison | None]]:
    """The words of each line, and what it shows; a heading shows nothing."""
    lines: list[tuple[str, Comparison | None]] = []
    for place, found in _by("place", comparisons).items():
        lines.append((wrap(place.removeprefix(f"{found[0].dataset}: "), WORDS), None))
        lines += [(wrap(f"{e.metric}: {e.contender} less {e.baseline}", WORDS), e) for e in found]
    return lines


def _places(lines: Sequence[tuple[str, Comparison | None]]) -> np.ndarray:
    """Where each line stands, and where the last one ends: one of many words is higher."""
    heights = [max(1, 0.55 * (1 + words.count("\n"))) for words, _ in lines]
    ends = np.cumsum(heights)
    return np.append(ends - np.array(heights) / 2, ends[-1])


def _draw_panel(axes: Axes, lines: Sequence[tuple[str, Comparison | None]]) -> None:
    *places, end = _places(lines)
    for place, (_, each) in zip(places, lines, strict=True):
        if each is None:
            continue
        colour = BEARINGS[each.bearing][0]
        axes.hlines(place, each.low, each.high, color=colour)
        axes.plot(each.difference, place, "o", color=colour, zorder=3)
        if not math.isnan(each.printed):
            axes.plot(each.printed, place, "D", color="white", markeredgecolor="black",
                markeredgewidth=0.6, zorder=2)  # fmt: skip
    axes.axvline(0, color="black", linewidth=0.6, zorder=1)
    axes.set_yticks(places, [words for words, _ in lines])
    for label, (_, each) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set(fontsize=SMALL - 1, fontweight="normal" if each else "bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(end, 0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


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
