"""The discussion of chapter 2 as a figure: MelaNet on all benign images and on synthesised ones.

    python -m experiments.figure_predictions --out results/table_2_1

The thesis prints, for 727 benign training images and 10 synthesised malignant ones: 89% and 100%
called right, 77 benign images called malignant, F-scores of 94% and 21%. The 21% says nothing of
the synthesised images: all of them are found. It follows from how few they are: with n of them,
all found, and 77 false alarms, F = 2n / (2n + 77), which is 20.6% for n = 10 (a prevalence of 10 in
737) and 95.0% for n = 727.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.classification.comparisons import THRESHOLD
from experiments.classification.saved import (
    TABLE_COMMAND,
    add_data_arguments,
    condition_records,
    find_dataset,
    load_classifier,
    load_images,
)
from experiments.common.figure import run_figure
from experiments.common.style import (
    COLOURS,
    NEGATIVE,
    QUIET,
    SMALL,
    SYNTHETIC,
    TWO_COLUMNS,
    class_title,
    evenly_spaced,
    legend_below,
    styled,
)
from experiments.table_2_1 import TABLE
from melanet.data import InputError, open_dataset
from melanet.data.loading import training_ids

NAME = "figure_predictions"
SAMPLED = 10  # synthesised images in the thesis


@dataclasses.dataclass(frozen=True)
class GroupScores:
    """Counts of a classifier's predictions on two groups of images, and the rates they give.

    Attributes:
        negatives: Real images of the negative class.
        false_alarms: Those of them that are called positive.
        positives: Synthesised images of the positive class.
        found: Those of them that are called positive.
    """

    negatives: int
    false_alarms: int
    positives: int
    found: int

    @property
    def negative_rate(self) -> float:
        """Share of the negatives that are called negative, in percent."""
        return 100 * (self.negatives - self.false_alarms) / self.negatives

    @property
    def positive_rate(self) -> float:
        """Share of the positives that are found, in percent."""
        return 100 * self.found / self.positives

    @property
    def negative_f_score(self) -> float:
        """F-score of the negative class over both groups, in percent."""
        right = self.negatives - self.false_alarms
        wrong = self.false_alarms + self.positives - self.found
        return 200 * right / max(2 * right + wrong, 1)

    @property
    def positive_f_score(self) -> float:
        """F-score of the positive class over both groups, in percent."""
        wrong = self.false_alarms + self.positives - self.found
        return 200 * self.found / max(2 * self.found + wrong, 1)

    @property
    def prevalence(self) -> float:
        """Share of positives among all, in percent."""
        return 100 * self.positives / (self.positives + self.negatives)

    def with_positives(self, count: int) -> "GroupScores":
        """The same rates with another number of positives."""
        found = round(count * self.found / self.positives)
        return dataclasses.replace(self, positives=count, found=found)


#: What the discussion prints.
PUBLISHED = GroupScores(negatives=727, false_alarms=77, positives=SAMPLED, found=SAMPLED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure and prints its numbers; returns the exit code."""
    out = Path("results") / TABLE.name
    return run_figure(NAME, __doc__, draw, arguments, add_arguments=_add_arguments, out=out)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, images=SAMPLED)


def draw(options: argparse.Namespace) -> Figure:
    """The figure of the MelaNet in `options.out`; prints its numbers beside the thesis's.

    Raises:
        InputError: If its record, model or synthetic images are missing.
    """
    record = condition_records(options.out, ["melanet"])["melanet"]
    dataset = find_dataset(record, options.prepared)
    folder = options.out / "sets" / f"synthetic-{record['synthetic'][0]['key']}"
    if not folder.is_dir():
        raise InputError(f"{folder}: is missing; run {TABLE_COMMAND} --out {options.out}")
    synthetic = open_dataset(folder)
    sampled = evenly_spaced(synthetic.ids(), options.images)
    negative = dataset.info.labels[0]
    training = set(training_ids(dataset))
    benign = [id for id in dataset.ids(label=negative) if id in training]
    model = load_classifier(record, options.out)
    scores = [
        model.predict(load_images(record, source, ids), batch_size=16, verbose=0)[:, -1]
        for source, ids in ((dataset, benign), (synthetic, sampled))
    ]
    ours = GroupScores(
        len(benign), int((scores[0] >= THRESHOLD).sum()),
        len(sampled), int((scores[1] >= THRESHOLD).sum()),
    )  # fmt: skip
    for name, result in (("ours", ours), ("thesis", PUBLISHED)):
        print(summary_line(name, result))
    return prediction_panels(scores, ours, dataset.info.labels)


def summary_line(name: str, result: GroupScores) -> str:
    """The numbers that the discussion prints, in one line."""
    return (
        f"{name}: {result.negative_rate:.1f}% of {result.negatives} negatives right "
        f"({result.false_alarms} not), {result.positive_rate:.1f}% of {result.positives} "
        f"synthesised found; F {result.negative_f_score:.1f}% and {result.positive_f_score:.1f}% "
        f"at a prevalence of {result.prevalence:.1f}%"
    )


@styled
def prediction_panels(
    scores: Sequence[np.ndarray], ours: GroupScores, labels: Sequence[str]
) -> Figure:
    """Left: each group's scores; right: F of the positives against how many were synthesised.

    Args:
        scores: Scores of the negatives and of the synthesised positives.
        ours: Their counts.
        labels: Both classes.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 2.6))
    names = [f"{class_title(labels[0])} (real)", f"{class_title(labels[1])} (synthesised)"]
    bins = np.linspace(0, 1, 21)
    for values, name, colour in zip(scores, names, (NEGATIVE[0], SYNTHETIC[0]), strict=True):
        weights = np.full(len(values), 100 / len(values))
        label = f"{name}: {len(values)}"
        left.hist(values, bins, weights=weights, color=colour, alpha=0.65, label=label)
    left.axvline(THRESHOLD, color="#444444", linestyle="--", linewidth=0.8, label="threshold")
    left.set(xlabel=f"score of {class_title(labels[1])}", ylabel="percent of the group")
    left.set(xlim=(0, 1), ylim=(0, 100))
    left.set_title("(a) Scores of both groups", loc="left")
    for name, result, colour in (
        ("thesis", PUBLISHED, "#000000"),
        ("ours", ours, COLOURS[1]),
    ):
        _draw_f_scores(right, name, result, colour)
    right.set_xscale("log")
    right.set(xlabel="synthesised images taken", ylabel=f"F-score of {class_title(labels[1])} (%)")
    right.set_ylim(0, 100)
    right.grid()
    right.set_title("(b) F-score, if as large a share is found", loc="left")
    ticks = [1, 10, 100, 1000]
    right.set_xticks(ticks, list(map(str, ticks)))
    legend_below(figure, columns=3)
    return figure


def _draw_f_scores(axes: Axes, name: str, result: GroupScores, colour: str) -> None:
    counts = np.unique(np.geomspace(1, 1000, 60).round().astype(int))
    found = counts * result.found / result.positives
    values = 200 * found / np.maximum(found + counts + result.false_alarms, 1)
    label = f"{name}: {result.false_alarms} false alarms"
    axes.plot(counts, values, color=colour, label=label)
    style: Any = {"color": colour, "clip_on": False, "zorder": 3}
    axes.plot(result.positives, result.positive_f_score, "o", **style)
    axes.annotate(
        f"{result.positive_f_score:.1f}%", (result.positives, result.positive_f_score), (5, -9),
        textcoords="offset points", fontsize=SMALL, color=QUIET,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
