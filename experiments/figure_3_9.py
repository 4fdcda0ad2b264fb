"""Figure 3.9: where U-Net and Sharp U-Net look: Grad-CAM at their concatenation layers.

    python -m experiments.figure_3_9 --data DIR --dataset lung

According to the thesis (feature visualization, chapter 3), U-Net's evidence lies on the regions in
the early concatenations and fades in the last, where Sharp U-Net's resembles the mask. A few epochs
on the phantom do not show this.

Concatenation 1 is the deepest, next to the bridge; the last is the finest, next to the output.
Grad-CAM explains one score: here the mean over pixels of the probability of a class. Each heat map
is scaled by its own peak, so that colours compare places within a map, not maps with each other.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.common.cli import EarlyExit, bounded_int, check_writable, exit_worker, run_cli
from experiments.common.report import save_figure
from experiments.common.style import (
    QUIET,
    SMALL,
    TWO_COLUMNS,
    evenly_spaced,
    heat_bar,
    image_grid,
    readable,
    shorten,
    show_heat,
    show_image,
    styled,
    wrap,
)
from experiments.common.table import parse as parse_table
from experiments.segmentation.table import SegmentationTable
from melanet import lazy
from melanet.precision import precision_policy
from sharpunet.data import InputError

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from experiments.segmentation.trial import SegmentationTrial
    from melanet import checkpoint, distribution, explain, saving
else:
    keras = lazy.module("keras")
    checkpoint = lazy.module("melanet.checkpoint")
    distribution = lazy.module("melanet.distribution")
    explain = lazy.module("melanet.explain")
    saving = lazy.module("melanet.saving")

NAME = "figure_3_9"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeatMapFigure(SegmentationTable):
    """The trainings of the figure: the first fold of a segmentation table, with its flags."""

    def add_arguments(self, parser: argparse.ArgumentParser, out: Path) -> None:
        super().add_arguments(parser, out)
        add = parser.add_argument
        add("--images", type=bounded_int(1), default=2,
            help="test images, at even steps of the split's; default: %(default)s")  # fmt: skip
        add("--class-index", type=bounded_int(0),
            help="class explained; default: 1, or 0 if there is only one")  # fmt: skip
        add("--weights-from", type=Path, metavar="DIR", help="train nothing: weights are in "
            "DIR/MODEL.keras or .weights.h5, or as training left them in OUT/weights")  # fmt: skip
        parser.set_defaults(repeats=1)


TABLE = HeatMapFigure(
    name=NAME,
    title="Figure 3.9: Grad-CAM at the concatenation layers of trained models",
    datasets=["lung"],
    models=["unet", "sharp_unet"],
    published={},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what has no weights yet and draws the figure; returns the exit code."""
    options = parse_table(TABLE, arguments)
    return run_cli(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Prepares, trains and draws `figures/figure_3_9.png` and `.pdf`.

    Raises:
        InputError: If the user's input is wrong.
        EarlyExit: After a dry run.
    """
    from sharpunet.data import load_dataset

    if options.distribute == "multiworker":  # must be made before anything else
        distribution.make_strategy(options.distribute)
    dataset, *others = TABLE.prepare(options)
    if others:
        raise InputError("--datasets: the figure shows one dataset; name one")
    class_index = _class_index(options.class_index, dataset.info.classes)
    trials = [trial for trial in TABLE.plan([dataset], options) if trial.split.fold == 0]
    if options.dry_run:
        for trial in trials:
            done = weights_path(trial, options.out).exists()
            print(f"{'trained' if done else 'to train':8} {trial.key}  seed {trial.seed}")
        raise EarlyExit
    if options.weights_from is None:
        check_writable(options.out)  # before hours of training
    models = {
        trial.model: trained_model(trial, options.out, options.weights_from) for trial in trials
    }
    if not distribution.is_chief():
        exit_worker()
    ids = evenly_spaced(trials[0].split.test, options.images)
    height, width = trials[0].settings.image_size
    keep = trials[0].settings.keep_aspect_ratio
    loaded = load_dataset((dataset, ids), image_size=(height, width), keep_aspect_ratio=keep)
    batches = loaded.as_numpy_iterator()
    images, masks = map(np.concatenate, zip(*batches, strict=True))
    save_figure(options.out, NAME, heat_maps(models, ids, images, masks, class_index))
    print(f"Open {options.out / 'figures' / NAME}.png")
    distribution.barrier()


def trained_model(
    trial: SegmentationTrial, out: Path, weights_from: Path | None = None
) -> keras.Model:
    """The model of `trial` in float32, with existing weights or those of a training made now.

    Args:
        trial: What to train, and how.
        out: The results folder; a training leaves `weights/KEY.keras` there.
        weights_from: Folder with `KEY` or `MODEL`, `.keras` or `.weights.h5`; then nothing is
            trained.

    Raises:
        InputError: If `weights_from` has no such file, or a file does not fit the model.
    """
    path = weights_path(trial, out) if weights_from is None else _find(trial, weights_from)
    if not path.exists():
        trained = trial.train(out).model
        if distribution.is_chief():
            saving.save_model(trained, path, include_optimizer=False)
        distribution.barrier()
        checkpoint.EpochCheckpoint(trial.checkpoint_path(out)).remove()
    # Half precision would round small gradients away: training scales them, Grad-CAM does not.
    with precision_policy("float32"):
        model = trial.build_model()
    try:
        with warnings.catch_warnings(action="ignore"):  # Keras also raises if something is missing
            model.load_weights(path)
    except Exception as error:  # a damaged file makes its readers raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: does not fit {trial.model} ({reason}); move it away") from None
    return model


def weights_path(trial: SegmentationTrial, out: Path) -> Path:
    """Where its trained weights are or will be."""
    return out / "weights" / f"{trial.key}.keras"


@styled
def heat_maps(
    models: dict[str, keras.Model],
    ids: Sequence[str],
    images: np.ndarray,
    masks: np.ndarray,
    class_index: int,
) -> Figure:
    """One row per image and model: image, ground truth, heat map of each concatenation.

    Args:
        models: Segmentation models by name.
        ids: Names of the images.
        images: `(images, height, width, channels)` in [0, 1].
        masks: True masks, `(images, height, width, classes)`.
        class_index: Class whose evidence and ground truth are shown.
    """
    found = {name: concatenation_maps(model, images, class_index) for name, model in models.items()}
    depth = max(map(len, found.values()))
    rows = [(index, name) for index in range(len(ids)) for name in models]
    width = TWO_COLUMNS / (2 + depth)
    height = width * images.shape[1] / images.shape[2]
    figure, grid = image_grid(len(rows), 2 + depth, (width, height + 0.2), extra=0.75)
    for axes, title in zip(grid[0], ["image", "ground truth", *_column_titles(depth)], strict=True):
        axes.set_title(wrap(title, width), fontsize=SMALL)
    for axes_row, (index, name) in zip(grid, rows, strict=True):
        show_image(axes_row[0], images[index])
        axes_row[0].set_ylabel(wrap(readable(name), width), fontsize=SMALL)
        axes_row[0].set_xlabel(shorten(ids[index], 16), fontsize=SMALL, color=QUIET)
        show_image(axes_row[1], masks[index, :, :, class_index])
        for axes, (side, maps) in zip(axes_row[2:], found[name], strict=False):
            show_heat(axes, images[index], maps[index])
            axes.set_xlabel(f"{side[0]} × {side[1]}", fontsize=SMALL, color=QUIET)
        for axes in axes_row[2 + len(found[name]) :]:
            axes.set_axis_off()
    heat_bar(figure, grid)
    return figure


def concatenation_maps(
    model: keras.Model, images: np.ndarray, class_index: int
) -> list[tuple[tuple[int, int], np.ndarray]]:
    """Grad-CAM of the mean probability of a class, at each concatenation, deepest first.

    Returns:
        One pair per layer: height and width of its feature maps, and the heat maps, `(images,
        height, width)` in [0, 1].
    """
    mean = keras.Model(model.input, keras.ops.mean(model.output, axis=(1, 2)), name=model.name)
    return [
        (
            layer.output.shape[1:3],
            explain.grad_cam(mean, images, layer.name, class_index, batch_size=4),
        )
        for layer in concatenations(model)
    ]


def concatenations(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers where encoder and decoder meet, deepest first."""
    # An encoder may begin by repeating one channel three times, which joins nothing.
    joining = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Concatenate) and len(set(map(id, layer.input))) > 1
    ]
    return sorted(joining, key=lambda layer: layer.output.shape[1])


def _class_index(chosen: int | None, classes: int) -> int:
    index = (0 if classes == 1 else 1) if chosen is None else chosen
    if index >= classes:
        raise InputError(f"--class-index {index}: the dataset's classes are 0 to {classes - 1}")
    return index


def _find(trial: SegmentationTrial, folder: Path) -> Path:
    for name in (trial.key, trial.model):
        for kind in (".keras", ".weights.h5"):
            if (path := folder / f"{name}{kind}").is_file():
                return path
    raise InputError(f"--weights-from {folder}: has no {trial.model}.weights.h5")


def _column_titles(depth: int) -> list[str]:
    suffixes = {1: "\n(deepest)", depth: "\n(finest)"}
    return [f"concat {number}{suffixes.get(number, '')}" for number in range(1, depth + 1)]


if __name__ == "__main__":
    sys.exit(main())
