"""Scores of a saved segmentation network against given masks, with 95% intervals."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from melanet.console import progress_bar
from melanet.data.own import open_or_prepare
from melanet.evaluation import Evaluation, predicted, run_evaluation
from melanet.saving import ModelInfo
from melanet.statistics import Score, bootstrap_mean
from sharpunet.data import BUILDERS, ImageDataset, InputError, OwnOptions, load_dataset, prepare
from sharpunet.data.vanishing import warn_of_vanished
from sharpunet.data.volumes import check_volumes, read_volume, volume_slices
from sharpunet.metrics import dice, jaccard
from sharpunet.volume_inference import volume_probabilities

METRICS = {"jaccard": jaccard, "dice": dice}
_NO_OPTIONS = OwnOptions()


def evaluate_model(
    model_path: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    batch_size: int = 16,
    threshold: float | None = None,
    options: OwnOptions = _NO_OPTIONS,
) -> Evaluation:
    """Scores a saved network on images whose masks are known: Jaccard index and Dice coefficient.

    Images and masks are compared in the model's size, as when it was trained. Of several classes,
    each one's scores are given as well. `out` gets `scores.json` and `scores.csv`, a row per image.
    A model of volumes is scored on whole volumes, each on its own grid.

    Args:
        model_path: A `.keras` file.
        data: A folder with `images` and `masks`, or a dataset.
        out: Folder of the results.
        batch_size: Images, or windows of a volume, per batch.
        threshold: Probability above which a pixel is foreground (one class only); the model's own
            if None.
        options: What the files do not say by themselves.

    Raises:
        InputError: If the model or an image cannot be read, or the classes are not the model's.

    Example:
        >>> from melanet.saving import ModelInfo, save_model
        >>> from sharpunet import sharp_unet
        >>> from sharpunet.data import prepare
        >>> from sharpunet.evaluation import evaluate_model
        >>> phantom = prepare("phantom", ".", "prepared/phantom")
        >>> model = sharp_unet((16, 16, 1), filters=(4, 4))
        >>> save_model(model, "sharp_unet.keras", ModelInfo("segmentation", (16, 16), 1))
        >>> list(evaluate_model("sharp_unet.keras", phantom.folder, "evaluated").scores)
        ['jaccard', 'dice']
    """
    return run_evaluation(
        "segmentation",
        model_path,
        out,
        lambda: open_own(data, out, options),
        score_images,
        batch_size=batch_size,
        threshold=threshold,
    )


def score_images(
    model: keras.Model,
    info: ModelInfo,
    dataset: ImageDataset,
    ids: Sequence[str],
    batch_size: int = 16,
) -> Evaluation:
    """Scores a network on images of a dataset.

    Args:
        model: The network.
        info: What it needs.
        dataset: The images with their masks.
        ids: Those that are scored.
        batch_size: Images per batch.

    Raises:
        InputError: If the masks have another number of classes than the model.

    Example:
        >>> from melanet.saving import ModelInfo
        >>> from sharpunet import sharp_unet
        >>> from sharpunet.data import prepare
        >>> from sharpunet.evaluation import score_images
        >>> phantom = prepare("phantom", ".", "prepared/phantom")
        >>> info = ModelInfo("segmentation", (16, 16), 1)
        >>> model = sharp_unet((16, 16, 1), filters=(4, 4))
        >>> len(score_images(model, info, phantom, phantom.ids()[:3]).images)
        3
    """
    if info.takes_volumes:
        return score_volumes(model, info, dataset, ids, batch_size)
    _check_classes(model, dataset)
    warn_of_vanished(dataset, info.image_size, info.keep_aspect_ratio)
    groups = dict(zip(ids, dataset.values("group", ids), strict=True))
    rows = []
    for id, output, truth in predicted(model, info, dataset, ids, batch_size, load_dataset):
        (scores,) = mask_scores(truth[None], output[None], info.threshold)
        rows.append({"id": id, "group": groups[id], **_flat(scores, info.class_names)})
    return _summary(rows)


def score_volumes(
    model: keras.Model,
    info: ModelInfo,
    dataset: ImageDataset,
    ids: Sequence[str],
    batch_size: int = 1,
) -> Evaluation:
    """Scores a network on whole volumes of a dataset, window by window.

    Args:
        model: The network.
        info: What it needs.
        dataset: Slices of volumes with their masks, see `sharpunet.data.volumes`.
        ids: The slices that are scored, whole volumes.
        batch_size: Windows per batch.

    Raises:
        InputError: If the masks have another number of classes than the model, or the dataset holds
            images.

    Example:
        >>> from melanet.saving import ModelInfo
        >>> from sharpunet import unet3d
        >>> from sharpunet.data import prepare
        >>> from sharpunet.evaluation import score_volumes
        >>> phantom = prepare("phantom3d", ".", "prepared/phantom3d")
        >>> info = ModelInfo("segmentation", (8, 16, 16), 1)
        >>> model = unet3d((8, 16, 16, 1), filters=(2, 4))
        >>> len(score_volumes(model, info, phantom, phantom.ids()[:24]).images)
        1
    """
    check_volumes(dataset)
    _check_classes(model, dataset)
    spacing = dataset.info.spacing
    rows = []
    slices_of = volume_slices(ids)
    for name in progress_bar(list(slices_of), desc="testing", unit="volume"):
        slices = slices_of[name]
        volume = read_volume(dataset, slices)
        values = volume.pixels[..., 0].astype("float32")
        output = volume_probabilities(model, info, values, spacing, name, batch_size)
        truth = volume.targets(dataset.info.classes)
        (scores,) = mask_scores(truth[None], output[None], info.threshold)
        group = dataset.values("group", slices[:1])[0]
        rows.append({"id": name, "group": group, **_flat(scores, info.class_names)})
    return _summary(rows, "volumes")


def _check_classes(model: keras.Model, dataset: ImageDataset) -> None:
    classes = model.output_shape[-1]
    if dataset.info.classes != classes:
        raise InputError(
            f"{dataset.folder}: its masks have {dataset.info.classes} classes, the model has "
            f"{classes}; give masks of the model's classes"
        )


def _summary(rows: Sequence[dict[str, Any]], unit: str = "images") -> Evaluation:
    images = pd.DataFrame(rows)
    means = {name: _mean(images[name], images["group"]) for name in images.columns[2:]}
    return Evaluation(means, images, unit)


def mask_scores(
    truth: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5
) -> list[dict[str, Any]]:
    """Jaccard and Dice of every image.

    Args:
        truth: Masks, `(images, height, width, classes)`.
        probabilities: The same of the predictions.
        threshold: As in `sharpunet.jaccard`.

    Returns:
        For each image `jaccard` and `dice`, averaged over classes. Of several classes also each
        class's, and `jaccard_micro` and `dice_micro`: over all channels together, background
        included, which is what table 3.1 prints for COVID-19 CT.

    Example:
        >>> import numpy as np
        >>> from sharpunet.evaluation import mask_scores
        >>> mask = np.eye(4).reshape(1, 4, 4, 1)
        >>> mask_scores(mask, mask)
        [{'jaccard': 1.0, 'dice': 1.0}]
    """
    values = {
        name: of(truth, probabilities, threshold, average=None) for name, of in METRICS.items()
    }
    micro = {
        f"{name}_micro": of(truth, probabilities, threshold, average="micro", per_image=True)
        for name, of in METRICS.items()
        if truth.shape[-1] > 1
    }
    scores = []
    for row in range(len(truth)):
        score: dict[str, Any] = {}
        for name, value in values.items():
            score[name] = round(float(value[row].mean()), 6)
            if value.shape[1] > 1:
                score[f"{name}_per_class"] = [round(float(v), 6) for v in value[row]]
        scores.append(score | {name: round(float(value[row]), 6) for name, value in micro.items()})
    return scores


def open_own(data: str | Path, out: str | Path, options: OwnOptions = _NO_OPTIONS) -> ImageDataset:
    """Opens images and masks of one's own, which are prepared first unless they are a dataset.

    Args:
        data: A folder with `images` and `masks`, or a dataset.
        out: Folder of the results; the dataset is prepared in it.
        options: What the files do not say by themselves.

    Raises:
        InputError: If the images cannot be read, or have no masks.

    Example:
        >>> from sharpunet.data import prepare
        >>> from sharpunet.evaluation import open_own
        >>> open_own(prepare("phantom", ".", "prepared/phantom").folder, "results").info.name
        'phantom'
    """

    def build(name: str, folder: Path) -> ImageDataset:
        own_rule = "" if name in BUILDERS else options.group_by
        return prepare(name, data, folder, dataclasses.replace(options, group_by=own_rule))

    given = dataclasses.replace(options, group_by="").flags()  # a rule is for datasets too
    dataset = open_or_prepare(data, out, build, BUILDERS, options.group_by, given)
    if dataset.info.labels:
        raise InputError(f"{data}: has labels but no masks; python -m melanet takes it")
    return dataset


def _flat(scores: dict[str, Any], class_names: Sequence[str]) -> dict[str, float]:
    """Scores with one entry per class, by its name."""
    flat: dict[str, float] = {}
    for name, value in scores.items():
        if not isinstance(value, list):
            flat[name] = value
            continue
        of = name.removesuffix("_per_class")
        flat |= {f"{of}_{label}": v for label, v in zip(class_names, value, strict=True)}
    return flat


def _mean(values: pd.Series, groups: pd.Series) -> Score:
    if groups.nunique() < 2:  # nothing is known of other groups
        return Score(float(values.mean()), float("nan"), float("nan"))
    return bootstrap_mean(values, groups)
