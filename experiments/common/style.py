"""One look for all figures: sizes in print, colours, image panels, axes, legends."""

from __future__ import annotations

import functools
import itertools
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from experiments.common.published import MODEL_TITLES, SEGMENTATION_TITLES
from melanet import lazy

if TYPE_CHECKING:
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    import pandas as pd
    from matplotlib import ticker
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    mpl = lazy.module("matplotlib")
    plt = lazy.module("matplotlib.pyplot")
    ticker = lazy.module("matplotlib.ticker")

#: Widths of a figure in print, in inches.
ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9
#: Font sizes in points, as printed.
NORMAL, SMALL = 8, 7
STYLE: Any = {
    "figure.constrained_layout.use": True,
    "savefig.dpi": 220,
    "pdf.fonttype": 42,  # text stays text
    "text.parse_math": False,  # names of datasets and classes may hold "$"
    "font.size": NORMAL,
    "figure.titlesize": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.5,
}

#: Colours of models and conditions (Okabe and Ito's, with a grey for their yellow), in order.
COLOURS = (
    "#7f7f7f", "#d55e00", "#56b4e9", "#0072b2", "#e69f00", "#cc79a7", "#009e73", "#000000",
)  # fmt: skip
#: Models and conditions that have one colour in every figure: baselines grey, the thesis's red.
_NAMED_COLOURS = {
    **dict(zip(SEGMENTATION_TITLES, COLOURS, strict=True)),
    **dict(zip(("unet3d", "sharp_unet3d"), COLOURS, strict=False)),
    **dict(zip(("vgg_gap", "melanet", "augment_5x", "augment_10x"), COLOURS, strict=False)),
    **dict(zip(("real", "both", "own", "synthetic"), COLOURS, strict=False)),
}
#: Colours of the negative classes, of the positive one, and of synthetic images.
NEGATIVE, POSITIVE, SYNTHETIC = ("#0072b2", "#56b4e9"), "#e69f00", ("#009e73", "#cc79a7", "#000000")
#: Colours of what is right, invented and missed.
FOUND, INVENTED, MISSED = "#009e73", "#e69f00", "#cc79a7"
QUIET = "#666666"
#: Colour map of heat maps: even steps, for every kind of colour vision.
HEAT = "plasma"

Draw = TypeVar("Draw", bound=Callable[..., Any])


def styled(draw: Draw) -> Draw:
    """Decorates a function so that what it draws has the common look."""

    @functools.wraps(draw)
    def styled_draw(*args: Any, **kwargs: Any) -> Any:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled_draw  # type: ignore[return-value]


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each model or condition: its own if it has one, else the next free one."""
    names = list(dict.fromkeys(names))
    taken = {_NAMED_COLOURS.get(name) for name in names}
    free = itertools.cycle([colour for colour in COLOURS if colour not in taken] or COLOURS)
    return {name: _NAMED_COLOURS.get(name) or next(free) for name in names}


def class_colours(labels: Sequence[str], others: Iterable[str] = ()) -> dict[str, str]:
    """A colour for each class, the positive one last, and for groups of synthetic images."""
    *negatives, positive = labels
    colours = dict(zip(negatives, itertools.cycle((*NEGATIVE, *SYNTHETIC)), strict=False))
    colours[positive] = POSITIVE
    found = dict.fromkeys(name for name in others if name not in colours)
    return colours | dict(zip(found, itertools.cycle(SYNTHETIC), strict=False))


def readable(name: str, titles: Mapping[str, str] = MODEL_TITLES) -> str:
    """The title of a model or condition; its name without underscores if it has none."""
    return titles.get(name) or name.replace("_", " ").strip()


def class_title(name: str) -> str:
    """The name of a class or of a group of images, for a reader."""
    return name.replace("covid19", "COVID-19").replace("_", " ").strip()


def shorten(text: str, length: int = 20) -> str:
    """The text, its middle left out if it is longer than `length`."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def wrap(text: str, inches: float) -> str:
    """The text in lines that fit into a width, in small print; long words break at hyphens."""
    width = max(int(72 * inches / (0.64 * SMALL)), 6)
    words = [word.replace("-", "- ") if len(word) > width else word for word in text.split(" ")]
    lines = " ".join(words).split("\n")
    return "\n".join(textwrap.fill(line, width, break_long_words=False) for line in lines)


def image_grid(
    rows: int, columns: int, cell: tuple[float, float] = (1.6, 1.7), extra: float = 0.35
) -> tuple:
    """A figure of image panels, at most two columns wide; returns it and its `(rows, columns)`.

    Args:
        rows: Panels above each other.
        columns: Panels beside each other.
        cell: Width and height of a panel with its labels, in inches.
        extra: Height of what is above and below all panels, in inches.
    """
    shrink = min(1, TWO_COLUMNS / (cell[0] * columns))
    labels = 0.2  # they do not shrink
    height = (cell[1] - labels) * shrink + labels
    size = (cell[0] * columns * shrink, height * rows + extra)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draws an image in [0, 1], grey or in colour, without a frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    hide_frame(axes)


def show_heat(axes: Axes, image: np.ndarray, heat: np.ndarray) -> None:
    """Draws an image, and a heat map in [0, 1] over it that is see-through where it is 0."""
    show_image(axes, image)
    axes.imshow(heat, cmap=HEAT, vmin=0, vmax=1, alpha=0.6 * heat**0.5)
    if not heat.any():
        paper = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
        middle: Any = {"transform": axes.transAxes, "ha": "center", "va": "bottom"}
        axes.text(0.5, 0.03, "no evidence", fontsize=SMALL, bbox=paper, **middle)


def heat_bar(figure: Figure, grid: np.ndarray) -> None:
    """Draws the colours of heat maps, each scaled by its own peak, below all axes."""
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), HEAT)
    place: Any = {"location": "bottom", "shrink": 0.3, "aspect": 30, "pad": 0.03}
    bar = figure.colorbar(colours, ax=grid, ticks=[0, 1], **place)
    bar.set_ticklabels(["no evidence", "most"])


def hide_frame(axes: Axes) -> None:
    """Removes ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def percent_axis(axes: Axes, label: str) -> None:
    """A vertical axis from 0 to 100 percent, with room above it for numbers."""
    axes.set_ylabel(label)
    axes.set_ylim(0, 112)
    axes.set_yticks(range(0, 101, 20))
    axes.spines["left"].set_bounds(0, 100)
    axes.grid(axis="y")


def whole_numbers(axes: Axes) -> None:
    """Ticks of the horizontal axis at whole numbers only, such as epochs."""
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def draw_bars(
    axes: Axes,
    places: np.ndarray,
    scores: pd.DataFrame,
    width: float,
    *,
    form: str = "{:.1f}",
    limit: float = np.inf,
    marks: tuple[np.ndarray, np.ndarray] | None = None,
    **style,
) -> None:
    """Draws bars with their means written above them; a bar of height 0 shows as a thin line.

    Error bars are ± 1 sample sd of several runs, cut off at 0 and at `limit`.

    Args:
        axes: Where to draw.
        places: Centre of each bar.
        scores: One row per run and one column per bar.
        width: Width of a bar.
        form: Format of the numbers.
        limit: The highest possible value.
        marks: Lower and upper ends of marks beside the bars, which the numbers must not cover.
        style: Passed to `Axes.bar`; needs `color`.
    """
    means = scores.mean().to_numpy()
    errors = None
    highest = np.nan_to_num(means)
    if len(scores) > 1:
        deviations = scores.std().to_numpy()
        errors = np.array(
            [np.fmin(deviations, means), np.fmin(deviations, np.fmax(limit - means, 0))]
        )
        highest = np.nan_to_num(means + errors[1])
    if marks is not None:
        low, high = marks
        number = 0.07 * (axes.get_ylim()[1] if np.isinf(limit) else limit)
        highest = np.where(highest + number > low, np.fmax(highest, high), highest)
    line_colour = "#999999" if style["color"] == "#000000" else "black"  # seen on the bar, too
    thin = {"elinewidth": 0.8, "capsize": 2, "capthick": 0.8, "ecolor": line_colour}
    axes.bar(places, means, width, yerr=errors, error_kw=thin, **style)
    zeros = places[means == 0]
    line = {"color": style["color"], "linewidth": 2, "clip_on": False, "zorder": 3}
    axes.hlines(np.zeros(len(zeros)), zeros - width / 2, zeros + width / 2, **line)
    for place, mean, top in zip(places, means, highest, strict=True):
        text = "–" if np.isnan(mean) else form.format(mean)
        axes.annotate(
            text, (place, top), (0, 2), textcoords="offset points", ha="center", fontsize=SMALL
        )


def to_rgb(image: np.ndarray) -> np.ndarray:
    """A copy of an image with three channels."""
    return np.repeat(image, 3, axis=2) if image.shape[-1] == 1 else image.copy()


def evenly_spaced(values: Sequence, count: int) -> list:
    """`count` values at even steps, the first and the last among them; all if there are fewer."""
    places = np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)
    return [values[place] for place in places]


def legend_below(
    figure: Figure, handles: Sequence | None = None, columns: int = 4, **style
) -> None:
    """Draws the legend below all axes."""
    named = {} if handles is None else {"handles": handles}
    figure.legend(loc="outside lower center", ncols=columns, **named, **style)
