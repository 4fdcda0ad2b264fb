"""Figure 2.1: CycleGAN's two cycles, and the layers of its generators and discriminators.

    python -m experiments.figure_2_1

It should show generators of 1,546,819 parameters and discriminators of 2,766,529, which score
16 × 16 patches of an image of 256 × 256.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.common.diagram import (
    CHAIN_HEIGHT,
    DATA_FILL,
    arrow,
    box,
    canvas,
    draw_chain,
    draw_encoder_decoder,
    encoder_decoder_height,
)
from experiments.common.figure import run_figure
from experiments.common.style import COLOURS, SMALL, TWO_COLUMNS, styled
from melanet import lazy

if TYPE_CHECKING:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from melanet import cyclegan
else:
    plt = lazy.module("matplotlib.pyplot")
    cyclegan = lazy.module("melanet.cyclegan")

NAME = "figure_2_1"
CYCLES_HEIGHT = 2.8  # inches


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(NAME, __doc__, draw, arguments)


@styled
def draw(options: argparse.Namespace | None = None) -> Figure:
    """The diagram; it has no options."""
    model = cyclegan.build_cyclegan((256, 256, 3))
    generator, discriminator = model.first_to_second, model.first_discriminator
    heights = [CYCLES_HEIGHT, encoder_decoder_height(generator), CHAIN_HEIGHT]
    figure, (cycles, upper, lower) = plt.subplots(
        3, 1, figsize=(TWO_COLUMNS, sum(heights) + 0.55), height_ratios=heights
    )
    _draw_cycles(cycles, model)
    draw_encoder_decoder(upper, generator)
    draw_chain(lower, discriminator)
    for axes, title in (
        (cycles, "(a) Training: both cycles run on every batch"),
        (
            upper,
            f"(b) Generator: {generator.count_params():,} parameters; height × width × channels",
        ),
        (lower, f"(c) Discriminator: {discriminator.count_params():,} parameters"),
    ):
        axes.set_title(title, loc="left", fontweight="bold")
    return figure


def _draw_cycles(axes: Axes, model: cyclegan.CycleGAN) -> None:
    """The forward above the backward cycle: translate, discriminate, translate back, compare."""
    canvas(axes, TWO_COLUMNS, CYCLES_HEIGHT)
    first, second = model.domains
    to_second, to_first = f"G_{first[0].upper()}", f"G_{second[0].upper()}"
    for y, own, other, there, back in (
        (2.2, first, second, to_second, to_first),
        (0.75, second, first, to_first, to_second),
    ):
        symbol = own[0]
        places = [0.6, 1.9, 3.3, 4.7, 6.2]
        texts = [
            [f"image {symbol}", own],
            [there, f"{own} to {other}"],
            [f"{there}({symbol})", f"as {other}"],
            [back, f"{other} to {own}"],
            [f"{back}({there}({symbol}))", f"{own} again"],
        ]
        for number, (x, lines) in enumerate(zip(places, texts, strict=True)):
            data = number % 2 == 0
            fill = {"fill": DATA_FILL} if data else {}
            box(axes, (x, y), (1.1 if data else 1.15, 0.36), lines, **fill)
        for left, right in itertools.pairwise(places):
            arrow(axes, (left + 0.57, y), (right - 0.57, y))
        discriminator = f"D_{other[0].upper()}"
        box(axes, (3.3, y - 0.55), (1.1, 0.36), [discriminator, f"real {other}?"])
        arrow(axes, (3.3, y - 0.18), (3.3, y - 0.37))
        box(axes, (1.7, y - 0.55), (1.1, 0.36), [f"image {other[0]}", other], DATA_FILL)
        arrow(axes, (2.25, y - 0.55), (2.75, y - 0.55))
        arrow(axes, (3.85, y - 0.55), (4.25, y - 0.55))
        axes.text(4.3, y - 0.55, "adversarial loss", va="center", size=SMALL)
        bend = y + 0.36
        colour = COLOURS[1]
        axes.plot([0.6, 0.6, 6.2, 6.2], [y + 0.18, bend, bend, y + 0.18], color=colour, lw=0.8)
        text = f"cycle loss: mean |{back}({there}({symbol})) − {symbol}|"
        axes.text(3.4, bend + 0.03, text, ha="center", va="bottom", size=SMALL, color=colour)


if __name__ == "__main__":
    sys.exit(main())
