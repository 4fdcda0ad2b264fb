"""Figure 3.4: every model's class map beside the ground truth, for sets of more than one class.

Chosen by rule, not by hand: at even steps of the ranking of all test images of the first repeat.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from experiments.figure_cases import (
    evenly,
    in_colour,
    jaccard_by_id,
    load_images,
    load_predictions,
    show,
)
from experiments.published import MODELS
from sharpunet.data import ImageDataset

#: Names of the classes after the background, where they have some.
CLASSES = {"covid_ct": ("ground-glass", "consolidation", "pleural effusion")}
_TAB20 = mpl.colormaps["tab20"](range(20))[:, :3]
#: Of class 1 and on; the strong colours of the map come before the pale ones.
CLASS_COLOURS = np.concatenate([_TAB20[::2], _TAB20[1::2]])


def class_maps(
    records: Sequence[dict[str, Any]], dataset: ImageDataset, out: Path, count: int = 4
) -> Figure:
    """Rows of image, ground truth and every model's class map; the background is see-through.

    Test images that hold more than background are ranked by Jaccard, averaged over classes and
    models, and `count` of them shown, from the worst to the best.

    Args:
        records: Records of one dataset of two classes or more.
        prepared: Its prepared set.
        out: The results folder, with the predictions.
        count: Images shown.
    """
    first = [record for record in records if record["repeat"] == 0]
    models = list(dict.fromkeys(record["model"] for record in first))
    images, masks = load_images(dataset, first)
    truth = {id: mask.argmax(axis=-1) for id, mask in masks.items()}
    predicted = {model: load_predictions(first, model, out) for model in models}
    jaccard = {model: jaccard_by_id(first, model) for model in models}
    ids = [id for id in truth if all(id in predicted[model] for model in models)]
    rows = choose(ids, truth, jaccard, count)

    columns = 2 + len(models)
    figure, grid = plt.subplots(
        len(rows), columns, figsize=(2.1 * columns, 2.15 * len(rows) + 0.5), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    titles = ["image", "ground truth", *(MODELS.get(model, model) for model in models)]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=11)
    for axes_row, id in zip(grid, rows, strict=True):
        show(axes_row[0], images[id])
        axes_row[0].set_xlabel(id[:20], fontsize=7, color="#666666")
        show(axes_row[1], tint(images[id], truth[id]))
        for axes, model in zip(axes_row[2:], models, strict=True):
            show(axes, tint(images[id], predicted[model][id]))
            axes.set_xlabel(f"Jaccard {100 * jaccard[model][id]:.1f}", fontsize=9)
    legend = [
        Patch(color=colour, label=name)
        for name, colour in zip(class_names(dataset), CLASS_COLOURS, strict=False)
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=4, frameon=False)
    return figure


def class_names(dataset: ImageDataset) -> Sequence[str]:
    """Names of the classes after the background; their numbers where they have no names."""
    info = dataset.info
    numbered = [f"class {index}" for index in range(1, info.classes)]
    return CLASSES.get(info.name, numbered)


def choose(
    ids: Sequence[str],
    truth: dict[str, np.ndarray],
    jaccard: dict[str, dict[str, float]],
    count: int,
) -> list[str]:
    """The ids shown, by the rule of `class_maps`; of images of background only if all are."""
    candidates = [id for id in ids if truth[id].any()] or list(ids)
    ranked = sorted(candidates, key=lambda id: np.mean([of[id] for of in jaccard.values()]))
    return evenly(ranked, count)


def tint(image: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The image in colour, each pixel mixed with the colour of its class, background as it is."""
    shown = in_colour(image)
    found = classes > 0
    colours = CLASS_COLOURS[(classes[found].astype(int) - 1) % len(CLASS_COLOURS)]
    shown[found] = 0.35 * shown[found] + 0.65 * colours
    return shown
