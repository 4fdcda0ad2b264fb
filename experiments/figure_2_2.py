"""Figure 2.2: the layers of VGG-GAP, drawn from the model.

    python -m experiments.figure_2_2

It should show five blocks of convolutions, 64 to 512 filters, a global average pooling, and a
softmax of two units; 14,715,714 parameters.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import melanet
from experiments.common.diagram import CHAIN_HEIGHT, draw_chain
from experiments.common.figure import run_figure
from experiments.common.style import TWO_COLUMNS, styled
from melanet import lazy

if TYPE_CHECKING:
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure
else:
    plt = lazy.module("matplotlib.pyplot")

NAME = "figure_2_2"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(NAME, __doc__, draw, arguments)


@styled
def draw(options: argparse.Namespace | None = None) -> Figure:
    """The diagram; it has no options."""
    model = melanet.vgg_gap((256, 256, 3), 2, weights=None)
    figure, axes = plt.subplots(figsize=(TWO_COLUMNS, CHAIN_HEIGHT + 0.2))
    draw_chain(axes, model)
    axes.set_title(
        f"VGG-GAP: {model.count_params():,} parameters; sizes are height × width × channels"
    )
    return figure


if __name__ == "__main__":
    sys.exit(main())
