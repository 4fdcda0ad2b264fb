"""Figure 3.2: the sharp block: every feature map convolved with the same fixed kernel.

    python -m experiments.figure_3_2

It should show H × W × M feature maps, M frozen copies of K (eq. 3.1), and as many sharpened maps of
the same size. Maps, weights and results are those of a real block on a phantom image.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import sharpunet
from experiments.common.diagram import arrow, box, canvas
from experiments.common.figure import run_figure
from experiments.common.style import QUIET, SMALL, TWO_COLUMNS, styled
from melanet import lazy
from melanet.data import phantom
from sharpunet.names import KERNEL_NAMES

if TYPE_CHECKING:
    import matplotlib.pyplot as plt
    from matplotlib import patches
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    plt = lazy.module("matplotlib.pyplot")
    patches = lazy.module("matplotlib.patches")

NAME = "figure_3_2"
MAPS, HEIGHT = 3, 2.85


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(NAME, __doc__, draw, arguments, add_arguments=_add_arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kernel", choices=KERNEL_NAMES, default="laplacian", metavar="NAME",
        help=", ".join(KERNEL_NAMES) + "; default: %(default)s")  # fmt: skip


@styled
def draw(options: argparse.Namespace) -> Figure:
    """The diagram of a block with the kernel `options.kernel`."""
    maps = phantom.generate(0, malignant=True, size=96)[None].astype("float32") / 255
    block = sharpunet.SharpBlock(options.kernel)
    sharpened = np.asarray(block(maps))
    weights = np.asarray(block.depthwise_kernel)[:, :, :, 0]
    figure, axes = plt.subplots(figsize=(TWO_COLUMNS, HEIGHT))
    canvas(axes, TWO_COLUMNS, HEIGHT)
    side, top = 0.66, HEIGHT - 0.8
    columns = (0.7, 3.3, 6.2)
    for number in range(MAPS):
        y = top - number * 0.76
        _draw_image(axes, (columns[0], y), side, maps[0, :, :, number])
        _draw_kernel(axes, (columns[1], y), side, weights[:, :, number])
        _draw_image(axes, (columns[2], y), side, sharpened[0, :, :, number])
        for tail, head in ((columns[0], columns[1]), (columns[1], columns[2])):
            arrow(axes, (tail + 0.4, y), (head - 0.45, y))
        text = f"map {number + 1}" if number < MAPS - 1 else "map M"
        axes.text(columns[0] + 0.42, y + 0.05, text, size=SMALL, color=QUIET)
        axes.text(columns[1] + 0.45, y + 0.05, "convolution, stride 1", size=SMALL, color=QUIET)
    titles = ("feature maps", "one kernel, M times", "sharpened maps")
    notes = ("H × W × M", f"{weights[:, :, 0].size} M frozen weights", "H × W × M")
    for x, title, note in zip(columns, titles, notes, strict=True):
        box(axes, (min(max(x, 0.72), 6.18), HEIGHT - 0.2), (1.42, 0.34), [title, note])
    return figure


def _draw_image(axes: Axes, centre: tuple[float, float], side: float, image: np.ndarray) -> None:
    x, y = centre
    half = side / 2
    inner = image[4:-4, 4:-4]  # zero padding makes the border of a sharpened map far brighter
    extent = (x - half, x + half, y - half, y + half)
    axes.imshow(image, "gray", vmin=inner.min(), vmax=inner.max(), extent=extent, zorder=2)
    edge = patches.Rectangle(
        (x - half, y - half), side, side, fill=False, edgecolor="#444444", lw=0.6
    )
    axes.add_patch(edge)


def _draw_kernel(axes: Axes, centre: tuple[float, float], side: float, values: np.ndarray) -> None:
    rows, columns = values.shape
    cell = side / max(rows, columns)
    whole = np.allclose(values, values.round())
    for row in range(rows):
        for column in range(columns):
            x = centre[0] + (column - columns / 2) * cell
            y = centre[1] + (rows / 2 - 1 - row) * cell
            strong = values[row, column] > 0
            axes.add_patch(
                patches.Rectangle(
                    (x, y), cell, cell, facecolor="#fbe3c8" if strong else "white",
                    edgecolor="#444444", linewidth=0.5,
                )
            )  # fmt: skip
            if whole and rows <= 3:
                value = f"{values[row, column]:.0f}".replace("-", "−")
                axes.text(x + cell / 2, y + cell / 2, value, ha="center", va="center", size=SMALL)


if __name__ == "__main__":
    sys.exit(main())
