"""Diagrams of Keras models, drawn from their graphs: what a figure shows is what was built."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.common.style import COLOURS, QUIET, SMALL, TWO_COLUMNS
from melanet import lazy

if TYPE_CHECKING:
    import keras
    from matplotlib import patches
    from matplotlib.axes import Axes
else:
    keras = lazy.module("keras")
    patches = lazy.module("matplotlib.patches")

#: Fills of boxes.
WORK_FILL, DATA_FILL, SHARP_FILL = "#dcebf5", "#f2f2f2", "#fbe3c8"
_EDGE: Any = {"edgecolor": "#444444", "linewidth": 0.6, "zorder": 3}
_UPWARD = {
    "Conv2DTranspose": "up-conv",
    "UpSampling2D": "upsample",
    "UpsampledConv2D": "upsample",
}
_POOLINGS = {"MaxPooling2D": "max pool", "AveragePooling2D": "average pool"}
_VECTORS = {"GlobalAveragePooling2D": "global average pool", "Dense": "dense", "Flatten": "flatten"}
_SHOWN = {"Conv2D", "Concatenate", *_UPWARD, *_POOLINGS, *_VECTORS}
# In inches: a line of small print, a box with three of them, and a row of boxes.
CHAIN_HEIGHT = 1.72
_LINE, _BOX, _ROW = 0.135, (1.12, 0.46), 0.66


@dataclasses.dataclass(frozen=True)
class Stage:
    """Successive layers at one resolution.

    Attributes:
        size: `(height, width, channels)` of its last feature maps, or `(channels,)`.
        entry: How it is reached from the stage before, such as `"max pool 2×2"`.
        work: What its layers do, a line each.
        decoder: Whether it comes after the first upsampling.
        skip: Kind of its skip connection: `"plain"`, `"sharp"`, or empty if it has none.
        skipped: Feature maps that the skip connection carries.
    """

    size: tuple[int, ...]
    entry: str
    work: tuple[str, ...]
    decoder: bool = False
    skip: str = ""
    skipped: int = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands in its box."""
        return (" × ".join(map(str, self.size)), *self.work)


def read_stages(model: keras.Model) -> list[Stage]:
    """The stages of a functional model from its input to its output, which are stages of their own.

    Preprocessing, normalisations and activations belong to the layer before them and are not shown.
    """
    operations = model.operations
    producer = {id(operation.output): operation for operation in operations}
    parents = {
        operation.name: [producer[id(x)] for x in keras.tree.flatten(operation.input)]
        for operation in operations
        if not isinstance(operation, keras.layers.InputLayer)
    }
    last = producer[id(model.output)]
    decoding: set[str] = set()
    groups: dict[Any, list[Any]] = {"input": [producer[id(model.input)]]}
    for operation in operations:
        before = parents.get(operation.name, [])
        upward = type(operation).__name__ in _UPWARD
        if upward or any(parent.name in decoding for parent in before):
            decoding.add(operation.name)
        if not _is_shown(operation, before):
            continue
        shape = operation.output.shape
        key: Any = (operation.name in decoding, *shape[1:3]) if len(shape) == 4 else operation.name
        groups.setdefault("output" if operation is last else key, []).append(operation)
    return [_stage(key, group, parents, decoding) for key, group in groups.items()]


def _is_shown(operation: Any, before: Sequence[Any]) -> bool:
    # A grey image made three channels is no meeting of encoder and decoder.
    repeated = len({parent.name for parent in before}) < len(before)
    return type(operation).__name__ in _SHOWN and not repeated


def _stage(key: Any, group: list[Any], parents: dict[str, list[Any]], decoding: set[str]) -> Stage:
    size = tuple(group[-1].output.shape[1:])
    if key == "input":
        return Stage(size, "", ())
    entry, work, skip, skipped = "", [], "", 0
    first, *rest = group
    name = type(first).__name__
    titles = {**_POOLINGS, **_UPWARD, **_VECTORS}
    if name in titles:
        entry = titles[name] + _window(first)
        if name == "UpsampledConv2D" and key == "output":
            entry += f", {_convolution(first)}"
        elif name == "UpsampledConv2D":
            rest = group  # the convolution after its upsampling
    elif key == "output" or first.strides != (1, 1):
        entry = _convolution(first)
    else:
        rest = group
    if key == "output" and getattr(first, "activation", None):
        work.append(first.activation.__name__)
    for operation in rest:
        if isinstance(operation, keras.layers.Concatenate):
            work.append(f"concat to {operation.output.shape[-1]}")
            skips = [p for p in parents[operation.name] if p.name not in decoding]
            if skips:
                skip = "sharp" if type(skips[0]).__name__ == "SharpBlock" else "plain"
                skipped = skips[0].output.shape[-1]
    kinds = Counter(_convolution(each) for each in rest if isinstance(each, keras.layers.Conv2D))
    if len(kinds) > 2:
        work.append(f"{kinds.total()} convolutions")
    else:
        work += [f"{n} × {kind}" if n > 1 else kind for kind, n in kinds.items()]
    return Stage(size, entry, tuple(work), group[-1].name in decoding, skip, skipped)


def _convolution(layer: Any) -> str:
    stride = f", stride {layer.strides[0]}" if layer.strides != (1, 1) else ""
    return "conv {}×{}".format(*layer.kernel_size) + stride


def _window(layer: Any) -> str:
    for name in ("pool_size", "size", "kernel_size"):
        if window := getattr(layer, name, None):
            return " {}×{}".format(*window)
    return ""


def canvas(axes: Axes, width: float, height: float) -> None:
    """Makes the axes a drawing area measured in inches, its origin at the lower left."""
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal", xticks=[], yticks=[])
    axes.set_axis_off()


def box(
    axes: Axes,
    centre: tuple[float, float],
    size: tuple[float, float],
    lines: Sequence[str],
    fill: str = WORK_FILL,
) -> None:
    """Draws a box with centred lines of text, the first one bold."""
    x, y = centre
    width, height = size
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(patches.Rectangle(corner, width, height, facecolor=fill, **_EDGE))
    top = y + (len(lines) - 1) / 2 * _LINE
    for number, line in enumerate(lines):
        style: Any = {"size": SMALL, "weight": "normal" if number else "bold", "zorder": 4}
        axes.text(x, top - number * _LINE, line, ha="center", va="center", **style)


def arrow(
    axes: Axes,
    *points: tuple[float, float],
    colour: str = "#222222",
    label: str = "",
    at: tuple[float, float] | None = None,
    align: str = "center",
) -> None:
    """Draws an arrow through points, and its label at a place."""
    *bends, tail, head = points
    if bends:
        x, y = zip(*bends, tail, strict=True)
        axes.plot(x, y, color=colour, linewidth=0.8, solid_capstyle="butt")
    style = {"arrowstyle": "-|>", "lw": 0.8, "color": colour, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", head, tail, arrowprops={**style, "mutation_scale": 7})
    if label and at:
        axes.text(*at, label, ha=align, va="center", size=SMALL, color=QUIET, linespacing=1.05)


def draw_encoder_decoder(axes: Axes, model: keras.Model) -> None:
    """Draws a U-shaped model into axes of `TWO_COLUMNS` by `encoder_decoder_height(model)`."""
    first, *middle, last = read_stages(model)
    down = {stage.size[:2]: stage for stage in middle if not stage.decoder}
    up = {stage.size[:2]: stage for stage in middle if stage.decoder}
    *rows, deepest = sorted({*down, *up}, reverse=True)
    height = encoder_decoder_height(model)
    canvas(axes, TWO_COLUMNS, height)
    half_width, half_height = _BOX[0] / 2, _BOX[1] / 2
    inset = min(0.5, 1.9 / len(rows))  # of each row
    left, centre = half_width + 0.02, TWO_COLUMNS / 2
    ends = height - 0.2, 0.18  # of input and output: centre and half of their height

    def place(row: int, side: int) -> tuple[float, float]:
        return centre + side * (centre - left - row * inset), ends[0] - (row + 1) * _ROW

    bridge = (centre, place(len(rows), 0)[1])
    for side, stages in ((-1, down), (1, up)):
        before = (centre + side * (centre - left), ends[0])
        gap = ends[1]
        outer, work = (first, ["image"]) if side < 0 else (last, list(last.work))
        box(axes, before, (_BOX[0], 2 * gap), [outer.lines[0], *work], DATA_FILL)
        entry = last.entry  # of the stage above, which the decoder's arrows lead to
        for row, size in enumerate(rows):
            if size not in stages:
                continue
            stage, (x, y) = stages[size], place(row, side)
            shift = (before[0] + x) / 2
            tail, head = (shift, before[1] - gap), (shift, y + half_height)
            label = stage.entry if side < 0 else entry
            _vertical_arrow(axes, tail, head, label, side)
            box(axes, (x, y), _BOX, stage.lines)
            before, gap, entry = (x, y), half_height, stage.entry
            if stage.skip:
                _skip(axes, stage, place(row, -1)[0] + half_width, x - half_width, y)
        corner = (before[0], bridge[1])
        path = [(before[0], before[1] - gap), corner, (centre + side * half_width, bridge[1])]
        label = down[deepest].entry if side < 0 else entry
        middle_x = (before[0] + centre + side * half_width) / 2
        text = label.replace(", ", "\n")
        below = 0.07 + 0.07 * len(text.split("\n"))
        arrow(axes, *path[::-side], label=text, at=(middle_x, bridge[1] - below))
    box(axes, bridge, _BOX, down[deepest].lines)


def encoder_decoder_height(model: keras.Model) -> float:
    """Height in inches that `draw_encoder_decoder` needs."""
    return _ROW * len({stage.size[:2] for stage in read_stages(model)[1:-1]}) + 0.65


def _vertical_arrow(
    axes: Axes, upper: tuple[float, float], lower: tuple[float, float], label: str, side: int
) -> None:
    """An arrow down in the encoder (`side` -1), up in the decoder; its label is inside the U."""
    ends = (upper, lower) if side < 0 else (lower, upper)
    at = (upper[0] - 0.06 * side, (upper[1] + lower[1]) / 2)
    arrow(axes, *ends, label=label, at=at, align="left" if side < 0 else "right")


def _skip(axes: Axes, stage: Stage, left: float, right: float, y: float) -> None:
    sharp = stage.skip == "sharp"
    arrow(axes, (left, y), (right, y), colour=COLOURS[1] if sharp else "#222222")
    if sharp:
        lines = ["sharp block", f"K ∗ each of {stage.skipped}"]
        box(axes, (TWO_COLUMNS / 2, y), (1.05, 0.34), lines, SHARP_FILL)
    elif right - left > 1.2:
        axes.text(TWO_COLUMNS / 2, y + 0.05, "skip", ha="center", size=SMALL, color=QUIET)


def draw_chain(axes: Axes, model: keras.Model, width: float = TWO_COLUMNS) -> None:
    """Draws a model without a decoder from left to right, into axes of `width` by `CHAIN_HEIGHT`.

    Slabs are as high as the logarithm of the feature maps' height, and as wide as that of their
    number.
    """
    stages = read_stages(model)
    canvas(axes, width, CHAIN_HEIGHT)
    pitch = width / len(stages)
    middle = 1.1
    ends: tuple[float, float] | None = None
    for number, stage in enumerate(stages):
        x = (number + 0.5) * pitch
        vector = len(stage.size) == 1
        high = 0.16 if vector else 0.12 * stage.size[0].bit_length()
        wide = min(0.05 * stage.size[-1].bit_length(), 0.6 * pitch)
        if vector:
            high, wide = 0.09 * stage.size[0].bit_length(), 0.14
        fill = DATA_FILL if number in (0, len(stages) - 1) else WORK_FILL
        corner = (x - wide / 2, middle - high / 2)
        axes.add_patch(patches.Rectangle(corner, wide, high, facecolor=fill, **_EDGE))
        if ends is not None:
            arrow(axes, ends, (x - wide / 2 - 0.02, middle))
        ends = (x + wide / 2 + 0.02, middle)
        title = str(stage.size[0])
        if not vector:
            title = f"{stage.size[0]}×{stage.size[1]}\n× {stage.size[2]}"
        axes.text(x, 0.52, title, ha="center", va="top", size=SMALL, weight="bold")
        entry = stage.entry.replace(", ", "\n").replace("average pool", "average\npool")
        work = [line for line in (entry, *stage.work) if line] or ["image"]
        axes.text(x, 0.26, "\n".join(work), ha="center", va="top", size=SMALL, linespacing=1.05)
