"""The discussion of chapter 2: MelaNet's predictions on benign images and on synthesised ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.classification.comparisons import THRESHOLD
from experiments.classification.saved import load_classifier, score_images
from experiments.common.style import (
    COLOURS,
    NEGATIVE,
    SYNTHETIC,
    TWO_COLUMNS,
    class_title,
    evenly_spaced,
    legend_below,
    styled,
)
from melanet import lazy
from melanet.data import ImageDataset
from melanet.data.subsets import training_ids

if TYPE_CHECKING:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

else:
    plt = lazy.module("matplotlib.pyplot")

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

    def with_positives(self, count: int) -> GroupScores:
        """The same rates with another number of positives."""
        found = round(count * self.found / self.positives)
        return dataclasses.replace(self, positives=count, found=found)


#: What the discussion prints.
PUBLISHED = GroupScores(negatives=727, false_alarms=77, positives=SAMPLED, found=SAMPLED)


def predict_groups(
    record: dict[str, Any],
    dataset: ImageDataset,
    synthetic: ImageDataset,
    out: Path,
    count: int = SAMPLED,
) -> tuple[list[np.ndarray], GroupScores]:
    """A saved classifier's scores of all negative training images and of some synthesised ones.

    Args:
        record: Its record.
        dataset: Its dataset.
        synthetic: The images that its CycleGAN translated.
        out: Folder of the results.
        count: Synthesised images, at even steps.

    Returns:
        Both groups' scores, and their counts.

    Raises:
        InputError: If the model was not saved, or is damaged.
    """
    training = set(training_ids(dataset))
    negatives = [id for id in dataset.ids(label=dataset.info.labels[0]) if id in training]
    model = load_classifier(record, out)
    scores = [
        score_images(model, record, dataset, negatives),
        score_images(model, record, synthetic, evenly_spaced(synthetic.ids(), count)),
    ]
    false_alarms, found = (int((group >= THRESHOLD).sum()) for group in scores)
    return scores, GroupScores(len(scores[0]), false_alarms, len(scores[1]), found)


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
    left.hist(
        scores,
        bins,
        weights=[np.full(len(values), 100 / len(values)) for values in scores],
        color=[NEGATIVE[0], SYNTHETIC[0]],
        label=[f"{name}: {len(values)}" for name, values in zip(names, scores, strict=True)],
    )
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
    alarms, f_score = result.false_alarms, result.positive_f_score
    label = f"{name}: {alarms} false alarms, F {f_score:.1f}% of {result.positives}"
    axes.plot(counts, values, color=colour, label=label)
    axes.plot(result.positives, f_score, "o", color=colour, clip_on=False, zorder=3)
