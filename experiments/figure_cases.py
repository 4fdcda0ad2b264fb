"""Figures 3.6 to 3.8: the hardest, the most over- and the most under-segmented test images.

Chosen by rule, not by hand: every test image of the first repeat is ranked.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from experiments.published import MODELS
from sharpunet.data import ImageDataset, load_dataset

HIT, EXTRA, MISSED = (0.0, 0.62, 0.52), (0.95, 0.55, 0.1), (0.85, 0.15, 0.55)


def cases(
    records: Sequence[dict[str, Any]], dataset: ImageDataset, out: Path, each: int = 2
) -> Figure:
    """Rows of image, ground truth and every model's mask, `each` of the three kinds.

    The hardest images (figure 3.6) have the lowest Jaccard, averaged over the models. The most
    over-segmented (3.7) have the largest area that the first model invents, the most
    under-segmented (3.8) the largest that it misses, relative to the true area. No image is shown
    twice. Of more than one class, all but the background counts as area.

    Args:
        records: Records of one dataset.
        prepared: Its prepared set.
        out: The results folder, with the predictions.
        each: Images of each kind.
    """
    first = [record for record in records if record["repeat"] == 0]
    models = list(dict.fromkeys(record["model"] for record in first))
    images, masks = load_images(dataset, first)
    truth = {id: _foreground(mask) for id, mask in masks.items()}
    predicted = {model: _masks(first, model, out) for model in models}
    jaccard = {model: jaccard_by_id(first, model) for model in models}
    ids = [id for id in truth if all(id in predicted[model] for model in models)]
    rows = _choose(ids, truth, predicted[models[0]], jaccard, each)

    columns = 2 + len(models)
    figure, grid = plt.subplots(
        len(rows), columns, figsize=(2.1 * columns, 2.15 * len(rows) + 0.5), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    titles = ["image", "ground truth", *(MODELS.get(model, model) for model in models)]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=11)
    for axes_row, (kind, id) in zip(grid, rows, strict=True):
        show(axes_row[0], images[id])
        axes_row[0].set_ylabel(kind, fontsize=9)
        show(axes_row[1], truth[id].astype(float))
        for axes, model in zip(axes_row[2:], models, strict=True):
            show(axes, _overlay(images[id], truth[id], predicted[model][id]))
            axes.set_xlabel(f"Jaccard {100 * jaccard[model][id]:.1f}", fontsize=9)
        axes_row[0].set_xlabel(id[:20], fontsize=7, color="#666666")
    legend = [Patch(color=HIT, label="found"), Patch(color=EXTRA, label="over-segmented"),
              Patch(color=MISSED, label="under-segmented")]  # fmt: skip
    figure.legend(handles=legend, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _choose(ids, truth, baseline, jaccard, each):
    """`(kind, id)` pairs by the rule of `cases`."""
    area = {id: max(truth[id].sum(), 1) for id in ids}
    ranks = {
        "hardest": lambda id: np.mean([of[id] for of in jaccard.values()]),
        "over-segmented": lambda id: -(baseline[id] & ~truth[id]).sum() / area[id],
        "under-segmented": lambda id: -(truth[id] & ~baseline[id]).sum() / area[id],
    }
    chosen: list[tuple[str, str]] = []
    for kind, rank in ranks.items():
        left = [id for id in ids if id not in {id for _, id in chosen}]
        chosen += [(kind, id) for id in sorted(left, key=rank)[:each]]
    return chosen


def load_images(dataset: ImageDataset, records):
    """Test images in [0, 1] and their true masks by id, at the size of the training."""
    ids = list(dict.fromkeys(score["id"] for r in records for score in r["scores"]))
    size = tuple(records[0]["image_size"])
    loaded = load_dataset(dataset, ids, image_size=size, batch_size=1, cache=False)
    arrays = [(image[0], mask[0]) for image, mask in loaded.as_numpy_iterator()]
    images = {id: image for id, (image, _) in zip(ids, arrays, strict=True)}
    return images, {id: mask for id, (_, mask) in zip(ids, arrays, strict=True)}


def load_predictions(records, model: str, out: Path) -> dict[str, np.ndarray]:
    """What the trials of `model` left by id: probabilities times 255, or class indices."""
    predictions = {}
    for record in (record for record in records if record["model"] == model):
        for score in record["scores"]:
            path = out / "predictions" / record["key"] / f"{score['id']}.png"
            if path.exists():
                predictions[score["id"]] = np.asarray(Image.open(path))
    return predictions


def jaccard_by_id(records, model: str) -> dict[str, float]:
    """Jaccard of every test image of `model`, averaged over the classes."""
    of_model = (record for record in records if record["model"] == model)
    return {score["id"]: score["jaccard"] for record in of_model for score in record["scores"]}


def _foreground(mask: np.ndarray) -> np.ndarray:
    return mask[:, :, 0] > 0.5 if mask.shape[-1] == 1 else mask.argmax(axis=-1) > 0


def _masks(records, model, out: Path) -> dict[str, np.ndarray]:
    """Predicted foreground by id, from the predictions that the trials left."""
    threshold = 127.5 if records[0]["dataset"]["classes"] == 1 else 0
    return {id: found > threshold for id, found in load_predictions(records, model, out).items()}


def _overlay(image, truth, predicted) -> np.ndarray:
    """The image in colour, tinted where the prediction hits, invents and misses."""
    shown = in_colour(image)
    for where, colour in (
        (truth & predicted, HIT),
        (predicted & ~truth, EXTRA),
        (truth & ~predicted, MISSED),
    ):
        shown[where] = 0.5 * shown[where] + 0.5 * np.array(colour)
    return shown


def in_colour(image: np.ndarray) -> np.ndarray:
    """A copy of the image with three channels."""
    return np.repeat(image, 3, axis=2) if image.shape[-1] == 1 else image.copy()


def show(axes, image: np.ndarray) -> None:
    """Draws an image in [0, 1], grey or in colour, without a frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def evenly(ids: Sequence[str], count: int) -> list[str]:
    """`count` of the ids, the first and the last among them, at even steps; all if fewer."""
    places = np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)
    return [ids[place] for place in places]
