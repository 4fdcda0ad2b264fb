"""Figure 3.9: where U-Net and Sharp U-Net look: Grad-CAM at their concatenation layers.

    python -m experiments.figure_3_9 --data DIR --dataset lung

The thesis sees in it (feature visualization, chapter 3) U-Net's evidence on the regions in the
early concatenations and little in the last, and Sharp U-Net's in the last, like the mask. After
few epochs on the phantom it is not so.

Concatenation 1 is the deepest, next to the bridge, the last the finest, next to the output.
Grad-CAM explains one score: here the mean over pixels of the probability of a class. Each heat map
is scaled by its own peak: its colours tell places apart within it, not one map from another.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.figure_cases import evenly, show
from experiments.published import MODELS as TITLES
from experiments.report import save_figure
from experiments.segmentation import Trial, build_model, train
from experiments.segmentation_table import add_training_arguments, plan, prepare_dataset
from experiments.sweep import (
    EarlyExit,
    Parser,
    add_common_arguments,
    bounded_int,
    check_writable,
    exit_worker,
    run_cli,
)
from experiments.synthesis import save_model
from experiments.table_3_1 import TABLE
from experiments.trial import checkpoint_path, precision_policy
from melanet.checkpoint import EpochCheckpoint
from melanet.distribution import barrier, is_chief, make_strategy
from melanet.explain import grad_cam
from sharpunet import MODELS
from sharpunet.data import InputError, load_dataset
from sharpunet.splits import PROTOCOLS

NAME = "figure_3_9"


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains what has no weights yet and draws the figure; returns the exit code."""
    options = parse(arguments)
    return run_cli(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Prepares, trains and draws `figures/figure_3_9.png`.

    Raises:
        InputError: If something that the user gave is wrong.
        Finished: After a dry run.
    """
    make_strategy(options.distribute)  # that of several hosts must be the first thing made
    dataset = prepare_dataset(options.dataset, options)
    class_index = _class_index(options.class_index, dataset.info.classes)
    trials = [trial for trial in plan(TABLE, [dataset], options) if trial.split.fold == 0]
    if options.dry_run:
        for trial in trials:
            there = weights_path(trial, options.out).exists()
            print(f"{'trained' if there else 'to train':8} {trial.key}  seed {trial.seed}")
        raise EarlyExit
    if options.weights_from is None:
        check_writable(options.out)  # before hours of training
    models = {
        trial.model: trained_model(trial, options.out, options.weights_from) for trial in trials
    }
    if not is_chief():
        exit_worker()
    ids = evenly(trials[0].split.test, options.images)
    size = trials[0].settings.image_size
    batches = load_dataset(dataset, ids, image_size=size).as_numpy_iterator()
    images, masks = map(np.concatenate, zip(*batches, strict=True))
    figure = heat_maps(models, ids, images, masks, class_index)
    save_figure(options.out, NAME, figure)
    print(f"Open {options.out / 'figures' / NAME}.png")
    barrier()


def trained_model(trial: Trial, out: Path, weights_from: Path | None = None) -> keras.Model:
    """The model of `trial` in float32, with the weights that are there or else a training gives.

    Args:
        trial: What to train, and how.
        out: The results folder; a training leaves `weights/KEY.keras` there.
        weights_from: Folder of `KEY` or `MODEL`, `.keras` or `.weights.h5`, and nothing is trained.

    Raises:
        InputError: If `weights_from` has no such file, or a file does not fit the model.
    """
    path = weights_path(trial, out) if weights_from is None else _find(trial, weights_from)
    if not path.exists():
        checkpoint = checkpoint_path(out, trial.key)
        trained = train(trial, checkpoint).model
        if is_chief():
            save_model(trained, path, include_optimizer=False)
        barrier()
        EpochCheckpoint(checkpoint).remove()
    # Half precision would round small gradients away, which a training scales and this does not.
    with precision_policy("float32"):
        model = build_model(trial)
    try:
        with warnings.catch_warnings(action="ignore"):  # Keras raises besides, if it lacks any
            model.load_weights(path)
    except Exception as error:  # whatever a damaged file makes its readers raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: does not fit {trial.model} ({reason}); move it away") from None
    return model


def weights_path(trial: Trial, out: Path) -> Path:
    """Where its trained weights are or will be."""
    return out / "weights" / f"{trial.key}.keras"


def heat_maps(
    models: dict[str, keras.Model],
    ids: Sequence[str],
    images: np.ndarray,
    masks: np.ndarray,
    class_index: int,
) -> Figure:
    """A row an image and model: image, ground truth, and the heat map of each concatenation.

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
    figure, grid = plt.subplots(
        len(rows), 2 + depth, figsize=(1.75 * (2 + depth), 1.8 * len(rows) + 0.6), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, title in zip(grid[0], ["image", "ground truth", *_columns(depth)], strict=True):
        axes.set_title(title, fontsize=10)
    for axes_row, (index, name) in zip(grid, rows, strict=True):
        show(axes_row[0], images[index])
        axes_row[0].set_ylabel(TITLES.get(name, name), fontsize=10)
        axes_row[0].set_xlabel(ids[index][:20], fontsize=7, color="#666666")
        show(axes_row[1], masks[index, :, :, class_index])
        for axes, (side, maps) in zip(axes_row[2:], found[name], strict=False):
            show(axes, images[index])
            heat = axes.imshow(maps[index], cmap="jet", vmin=0, vmax=1, alpha=0.6)
            axes.set_xlabel(f"{side[0]} × {side[1]}", fontsize=7, color="#666666")
        for axes in axes_row[2 + len(found[name]) :]:
            axes.set_axis_off()
    bar = figure.colorbar(heat, ax=grid, shrink=0.6, aspect=30, ticks=[0, 1])
    bar.set_ticklabels(["none", "most"])
    return figure


def concatenation_maps(
    model: keras.Model, images: np.ndarray, class_index: int
) -> list[tuple[tuple[int, int], np.ndarray]]:
    """Grad-CAM of the mean probability of a class, at each concatenation, deepest first.

    Returns:
        A pair a layer: height and width of its feature maps, and the heat maps, `(images, height,
        width)` in [0, 1].
    """
    mean = keras.Model(model.input, keras.ops.mean(model.output, axis=(1, 2)), name=model.name)
    return [
        (layer.output.shape[1:3], grad_cam(mean, images, layer.name, class_index, batch_size=4))
        for layer in concatenations(model)
    ]


def concatenations(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers where encoder and decoder meet, deepest first."""
    # An encoder of three channels may begin with one channel thrice: that is no meeting.
    meeting = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Concatenate) and len(set(map(id, layer.input))) > 1
    ]
    return sorted(meeting, key=lambda layer: layer.output.shape[1])


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = Parser(
        prog=f"python -m experiments.{NAME}",
        info="Figure 3.9: Grad-CAM at the concatenation layers of trained models.",
        epilog="; ".join(f"{name}: {meaning}" for name, meaning in PROTOCOLS.items()),
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with a folder of the dataset: its "
        "official download, a prepared set, or images and masks of your own")  # fmt: skip
    add("--dataset", default="lung", metavar="NAME")
    add("--models", nargs="+", default=["unet", "sharp_unet"], choices=MODELS, metavar="NAME",
        help=", ".join(MODELS))  # fmt: skip
    add(
        "--images", type=bounded_int(1), default=2, help="test images, at even steps of the split's"
    )
    add(
        "--class-index",
        type=bounded_int(0),
        help="class explained: 1 if none, 0 if there is but one",
    )
    add("--weights-from", type=Path, metavar="DIR", help="train nothing: weights are in "
        "DIR/MODEL.keras or .weights.h5, or as a training left them in OUT/weights")  # fmt: skip
    add("--folds", type=bounded_int(2), default=5, help="the first of them is tested")
    add("--epochs", type=bounded_int(1), default=200, help="at most; early stopping may end sooner")
    add("--protocol", choices=PROTOCOLS, default="thesis")
    parser.set_defaults(repeats=1)
    add_training_arguments(parser)
    add_common_arguments(parser, Path("results") / NAME)
    return parser.parse_args(arguments)


def _class_index(asked: int | None, classes: int) -> int:
    index = (0 if classes == 1 else 1) if asked is None else asked
    if index >= classes:
        raise InputError(f"--class-index {index}: the set's classes are 0 to {classes - 1}")
    return index


def _find(trial: Trial, folder: Path) -> Path:
    for name in (trial.key, trial.model):
        for kind in (".keras", ".weights.h5"):
            if (path := folder / f"{name}{kind}").is_file():
                return path
    raise InputError(f"--weights-from {folder}: has no {trial.model}.weights.h5")


def _columns(depth: int) -> list[str]:
    notes = {1: "\n(deepest)", depth: "\n(finest)"}
    return [f"concatenation {number}{notes.get(number, '')}" for number in range(1, depth + 1)]


if __name__ == "__main__":
    sys.exit(main())
