"""The figure of all differences."""

import math
from itertools import pairwise

import matplotlib.pyplot as plt
import pytest

from experiments.common.conclusions import Claim, Comparison
from experiments.common.forest import forest_plot

CLAIM = Claim("sharp is better", "section 3")


def compared(dataset, difference, printed=math.nan, setting="128 × 128"):
    return Comparison(
        CLAIM, dataset, "thesis", setting, "Sharp U-Net", "U-Net", "Jaccard", difference,
        difference - 1, difference + 1, "better", printed=printed,
    )  # fmt: skip


def test_every_dataset_has_a_panel_with_its_settings_as_headings_and_its_own_scale():
    figure = forest_plot(
        [
            compared("ISBI-2012", 1.0, printed=3.05),
            compared("COVID-19", 40.0),
            compared("ISBI-2012", 2.0),
            compared("ISBI-2012", 1.5, setting="256 × 256"),
        ]
    )
    isbi, covid = figure.axes
    assert [axes.get_title(loc="left") for axes in (isbi, covid)] == ["ISBI-2012", "COVID-19"]
    words = [label.get_text().replace("\n", " ") for label in isbi.get_yticklabels()]
    line = "Jaccard: Sharp U-Net less U-Net"
    headings = [f"protocol thesis, {side} × {side}" for side in (128, 256)]
    assert words == [headings[0], line, line, headings[1], line]
    bold = [label.get_fontweight() == "bold" for label in isbi.get_yticklabels()]
    assert bold == [True, False, False, True, False]
    drawn = [line.get_xdata()[0] for line in isbi.lines if line.get_marker() == "o"]
    assert drawn == [1.0, 2.0, 1.5]
    assert [line.get_xdata()[0] for line in isbi.lines if line.get_marker() == "D"] == [3.05]
    assert isbi.get_xlim()[1] < 10 < covid.get_xlim()[1]
    plt.close(figure)


@pytest.mark.parametrize("words", [1, 30])
def test_labels_of_many_words_do_not_touch(words):
    one = compared("ISBI-2012", 1.0, setting=" ".join(words * ["words"]))
    figure = forest_plot([one, one])
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
    plt.close(figure)
