"""Figure 3.1: the layers of Sharp U-Net, or of another model of chapter 3, drawn from the model.

    python -m experiments.figure_3_1

It should show 32 to 512 filters, and on each of four skip connections a depthwise convolution with
K: 4,320 frozen weights, no learnable one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import sharpunet
from experiments.common.diagram import draw_encoder_decoder, encoder_decoder_height
from experiments.common.figure import run_figure
from experiments.common.style import TWO_COLUMNS, readable, styled
from melanet import lazy
from sharpunet.names import MODEL_NAMES

if TYPE_CHECKING:
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure
else:
    plt = lazy.module("matplotlib.pyplot")

NAME = "figure_3_1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(NAME, __doc__, draw, arguments, add_arguments=_add_arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", choices=MODEL_NAMES, default="sharp_unet", metavar="NAME",
        help=", ".join(MODEL_NAMES) + "; default: %(default)s")  # fmt: skip


@styled
def draw(options: argparse.Namespace) -> Figure:
    """The diagram of the model `options.model`."""
    model = sharpunet.MODELS[options.model]((256, 256, 3))
    frozen = sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights)
    figure, axes = plt.subplots(figsize=(TWO_COLUMNS, encoder_decoder_height(model) + 0.2))
    draw_encoder_decoder(axes, model)
    axes.set_title(
        f"{readable(options.model)}: {model.count_params() - frozen:,} trained and {frozen:,} "
        "other parameters; sizes are height × width × channels"
    )
    return figure


if __name__ == "__main__":
    sys.exit(main())
