"""One look for all figures: colours, image panels, axes."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Colours of models and conditions, in their order.
COLOURS = ("#7a7a85", "#d1495b", "#00798c", "#edae49", "#5b8e7d", "#8e6c8a", "#30638e", "#b56576")
QUIET = "#666666"


def image_grid(rows: int, columns: int, cell: tuple[float, float] = (2.1, 2.15)) -> tuple:
    """A figure of image panels; returns it and its axes, `(rows, columns)`."""
    size = (cell[0] * columns, cell[1] * rows + 0.5)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draws an image in [0, 1], grey or in colour, without a frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    hide_frame(axes)


def hide_frame(axes: Axes) -> None:
    """Removes ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def open_axes(axes: Axes, grid: bool = False) -> None:
    """Removes the upper and right frame; draws faint horizontal lines with `grid`."""
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)


def to_rgb(image: np.ndarray) -> np.ndarray:
    """A copy of an image with three channels."""
    return np.repeat(image, 3, axis=2) if image.shape[-1] == 1 else image.copy()


def evenly_spaced(items: Sequence, count: int) -> list:
    """`count` items at even steps, the first and the last among them; all if there are fewer."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def legend_below(
    figure: Figure, handles: Sequence | None = None, columns: int = 4, **style
) -> None:
    """Draws the legend below all axes."""
    named = {} if handles is None else {"handles": handles}
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, **named, **style)
