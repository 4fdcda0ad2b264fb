"""Scores of a saved model against given truth, with 95% intervals."""

import dataclasses
import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from melanet.console import progress_bar
from melanet.data import ImageDataset, InputError, load_dataset
from melanet.data.files import atomic_write
from melanet.data.own import open_own
from melanet.inference import check_model, checked_outputs, model_info
from melanet.metrics import auc, sensitivity, specificity
from melanet.saving import ModelInfo, load_model, to_float32
from melanet.statistics import (
    Score,
    bootstrap_auc_difference,
    exact_interval,
    sensitivity_interval,
    specificity_interval,
)

SCORES_FILE = "scores.json"
IMAGES_FILE = "scores.csv"
#: Of a classifier that tells the classes apart, if at another threshold.
MIN_AUC = 0.6
INTERVALS = (
    "95%: exact (Clopper-Pearson) for shares of images; a bootstrap of whole groups for means and "
    "the AUC"
)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a model on images with truth.

    Attributes:
        scores: Each score with its 95% interval, by name.
        images: One row per image: `id`, `group`, and its own scores.
        unit: What a row is: `"images"` or `"volumes"`.

    Example:
        >>> import pandas as pd
        >>> from melanet.evaluation import Evaluation
        >>> from melanet.statistics import Score
        >>> images = pd.DataFrame({"id": ["a"], "group": ["a"], "dice": [0.8]})
        >>> print(Evaluation({"dice": Score(0.8, 0.7, 0.9)}, images))
        dice  0.800  (0.700 to 0.900)
        1 images in 1 groups; intervals of 95%
    """

    scores: dict[str, Score]
    images: pd.DataFrame
    unit: str = "images"

    def __str__(self) -> str:
        width = max(map(len, self.scores))
        lines = [
            f"{name:{width}}  {score.value:.3f}  "
            + (
                "(no interval)"
                if math.isnan(score.low)
                else f"({score.low:.3f} to {score.high:.3f})"
            )
            for name, score in self.scores.items()
        ]
        count, groups = len(self.images), self.images["group"].nunique()
        return "\n".join([*lines, f"{count} {self.unit} in {groups} groups; intervals of 95%"])

    def write(self, out: Path, info: ModelInfo, **more: Any) -> None:
        """Writes `scores.json` and `scores.csv`, each whole or not at all.

        Args:
            out: Their folder.
            info: What the model says of itself.
            **more: Other entries of `scores.json`.
        """
        scores = {
            name: {key: None if math.isnan(v) else round(v, 6) for key, v in s._asdict().items()}
            for name, s in self.scores.items()
        }
        about = dataclasses.asdict(info)
        text = {"scores": scores, "intervals": INTERVALS, self.unit: len(self.images)}
        text |= {"groups": self.images["group"].nunique(), **more, "model": about}
        atomic_write(out / IMAGES_FILE, self.images.to_csv(index=False, lineterminator="\n"))
        atomic_write(out / SCORES_FILE, json.dumps(text, indent=2) + "\n")


def evaluate_model(
    model_path: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    batch_size: int = 16,
    threshold: float | None = None,
    group_by: str = "",
) -> Evaluation:
    """Scores a saved classifier on images whose classes are known.

    Two classes: AUC, sensitivity and specificity of the last class, and accuracy. More: accuracy,
    and the sensitivity of each. `out` gets `scores.json` and `scores.csv`, a row per image.

    Args:
        model_path: A `.keras` file.
        data: A folder per class, `images` with `labels.csv`, or a dataset.
        out: Folder of the results.
        batch_size: Images per batch.
        threshold: Of two classes, the last one is predicted from this probability on; the model's
            own if None.
        group_by: Rule for groups, as in `melanet.data.groups.compile_rule`.

    Raises:
        InputError: If the model or an image cannot be read, or the classes are not the model's.

    Example:
        >>> import keras
        >>> from melanet import ModelInfo, save_model, vgg_gap
        >>> from melanet.data import prepare
        >>> from melanet.evaluation import evaluate_model
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> info = ModelInfo("classification", (32, 32), 3, lesions.info.labels)
        >>> save_model(vgg_gap((32, 32, 3), weights=None), "vgg.keras", info)
        >>> list(evaluate_model("vgg.keras", lesions.folder, "evaluated").scores)
        ['auc', 'sensitivity', 'specificity', 'accuracy']
    """
    evaluation = run_evaluation(
        "classification",
        model_path,
        out,
        lambda: open_own(data, out, group_by),
        score_images,
        batch_size=batch_size,
        threshold=threshold,
    )
    warn_if_constant(
        model_path, model_info("classification", model_path, None, threshold), evaluation
    )
    return evaluation


def run_evaluation(
    task: Literal["segmentation", "classification"],
    model_path: str | Path,
    out: str | Path,
    open_data: Callable[[], ImageDataset],
    score: Callable[..., Evaluation],
    *,
    batch_size: int,
    threshold: float | None,
) -> Evaluation:
    """Scores a saved model on a dataset and writes the scores; what tasks share.

    Args:
        task: What the model must be made for.
        model_path: A `.keras` file.
        out: Folder of the results.
        open_data: Opens the dataset, once the model was found to be usable.
        score: From the model, its info, the dataset, ids and the size of a batch to the scores.
        batch_size: Images per batch.
        threshold: The model's own if None.

    Example:
        >>> from melanet.evaluation import run_evaluation
        >>> options = {"batch_size": 1, "threshold": None}
        >>> run_evaluation("segmentation", "no.keras", "out", print, print, **options)
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: no.keras: no such file
    """
    info = model_info(task, model_path, None, threshold)
    model = to_float32(load_model(model_path))
    check_model(model, info, model_path)
    dataset = open_data()
    evaluation = score(model, info, dataset, dataset.ids(), batch_size)
    evaluation.write(Path(out), info, data=dataset.info.name, data_fingerprint=dataset.fingerprint)
    return evaluation


def score_images(
    model: keras.Model,
    info: ModelInfo,
    dataset: ImageDataset,
    ids: Sequence[str],
    batch_size: int = 16,
) -> Evaluation:
    """Scores a classifier on images of a dataset.

    Args:
        model: The classifier.
        info: What it needs.
        dataset: The images with their labels.
        ids: Those that are scored.
        batch_size: Images per batch.

    Raises:
        InputError: If a label is not one of the model's classes.

    Example:
        >>> from melanet import ModelInfo, vgg_gap
        >>> from melanet.data import prepare
        >>> from melanet.evaluation import score_images
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> info = ModelInfo("classification", (32, 32), 3, lesions.info.labels)
        >>> model = vgg_gap((32, 32, 3), weights=None)
        >>> len(score_images(model, info, lesions, lesions.ids()[:5]).images)
        5
    """
    unknown = sorted(set(dataset.info.labels) - set(info.class_names))
    if unknown:
        raise InputError(
            f"{dataset.folder}: has images of {', '.join(unknown)}, which are none of the model's "
            f"classes ({', '.join(info.class_names)}); leave them out"
        )
    dataset = dataclasses.replace(
        dataset, info=dataclasses.replace(dataset.info, labels=info.class_names)
    )
    outputs = [
        output for _, output, _ in predicted(model, info, dataset, ids, batch_size, load_dataset)
    ]
    probabilities = np.array(outputs)
    labels = dataset.values("label", ids)
    truth = np.array([info.class_names.index(label) for label in labels])
    chosen = probabilities.argmax(axis=-1)
    if len(info.class_names) == 2:
        chosen = (probabilities[:, 1] >= info.threshold).astype(int)
    images = pd.DataFrame({"id": list(ids), "group": dataset.values("group", ids), "label": labels})
    images["predicted"] = [info.class_names[index] for index in chosen]
    for index, name in enumerate(info.class_names):
        images[f"probability_{name}"] = np.round(probabilities[:, index].astype("float64"), 6)
    return Evaluation(_scores(truth, probabilities, chosen, info, images["group"]), images)


def warn_if_constant(model_path: str | Path, info: ModelInfo, evaluation: Evaluation) -> None:
    """Warns if a classifier calls all images one class, though they are of several.

    Args:
        model_path: Its file.
        info: What it says of itself.
        evaluation: Its scores, as `score_images` returns them.

    Example:
        >>> import pandas as pd
        >>> from melanet import ModelInfo
        >>> from melanet.evaluation import Evaluation, warn_if_constant
        >>> images = pd.DataFrame({"label": ["a", "b"], "predicted": ["a", "b"]})
        >>> info = ModelInfo("classification", (32, 32), 3, ("a", "b"))
        >>> warn_if_constant("vgg.keras", info, Evaluation({}, images))
    """
    images = evaluation.images
    if images["predicted"].nunique() > 1 or images["label"].nunique() < 2:
        return
    warnings.warn(
        f"{model_path}: calls all {len(images)} images {images['predicted'].iloc[0]}; "
        + _cure_of_constant(info, images),
        stacklevel=3,
    )


def _cure_of_constant(info: ModelInfo, images: pd.DataFrame) -> str:
    """Another threshold, where one tells the classes apart; another training, where none does."""
    cures = ["more --epochs", "another --seed"]
    if info.training.get("weights") is None:
        cures = ["--weights imagenet", *cures]
    anew = f"train one anew, in another --out, with {', '.join(cures[:-1])} or {cures[-1]}"
    if len(info.class_names) != 2:
        return anew
    positive = images[f"probability_{info.class_names[1]}"]
    reach = f"its probabilities of {info.class_names[1]} reach from {positive.min():.3f} to "
    if auc(images["label"] == info.class_names[1], positive) <= MIN_AUC:
        return f"{reach}{positive.max():.3f} and do not tell them apart: {anew}"
    return (
        f"{reach}{positive.max():.3f}: predict and evaluate with a --threshold between, or {anew}"
    )


def _scores(
    truth: np.ndarray,
    probabilities: np.ndarray,
    chosen: np.ndarray,
    info: ModelInfo,
    groups: pd.Series,
) -> dict[str, Score]:
    accuracy = {"accuracy": _share(chosen == truth)}
    if len(info.class_names) == 2:
        return _of_two(truth, probabilities[:, 1], info.threshold, groups) | accuracy
    return accuracy | {
        f"sensitivity_{name}": _share(chosen[truth == index] == index)
        for index, name in enumerate(info.class_names)
    }


def _of_two(
    truth: np.ndarray, positive: np.ndarray, threshold: float, groups: pd.Series
) -> dict[str, Score]:
    # A constant has an AUC of one half, with which the difference is the AUC itself.
    found = bootstrap_auc_difference(truth, positive, np.zeros(len(truth)), groups)
    return {
        "auc": Score(auc(truth, positive), found.low + 0.5, found.high + 0.5),
        "sensitivity": Score(
            sensitivity(truth, positive, threshold),
            *sensitivity_interval(truth, positive, threshold),
        ),
        "specificity": Score(
            specificity(truth, positive, threshold),
            *specificity_interval(truth, positive, threshold),
        ),
    }


def _share(right: np.ndarray) -> Score:
    count, total = int(right.sum()), len(right)
    return Score(count / total if total else float("nan"), *exact_interval(count, total))


def predicted(
    model: keras.Model,
    info: ModelInfo,
    dataset: ImageDataset,
    ids: Sequence[str],
    batch_size: int,
    load: Callable[..., Any],
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Predicts images of a dataset, one batch after the other, in the model's size and channels.

    Args:
        model: The model.
        info: What it needs.
        dataset: The images.
        ids: Those that are predicted.
        batch_size: Images per batch.
        load: The package's `load_dataset`.

    Yields:
        The id, the model's output and the truth of each image.

    Example:
        >>> from melanet import ModelInfo, vgg_gap
        >>> from melanet.data import load_dataset, prepare
        >>> from melanet.evaluation import predicted
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> info = ModelInfo("classification", (32, 32), 3, lesions.info.labels)
        >>> model = vgg_gap((32, 32, 3), weights=None)
        >>> [id for id, _, _ in predicted(model, info, lesions, lesions.ids()[:1], 1, load_dataset)]
        ['phantom-0000']
    """
    taken = dataclasses.replace(dataset.info, channels=info.channels)
    batches = load(
        (dataclasses.replace(dataset, info=taken), ids),
        image_size=info.image_size,
        batch_size=batch_size,
        cache="none",
        keep_aspect_ratio=info.keep_aspect_ratio,
        scaling=info.scaling,
    )
    left = iter(ids)
    for images, truths in progress_bar(batches, desc="testing", unit="batch", leave=False):
        names = [next(left) for _ in range(len(images))]
        outputs = checked_outputs(model, images.numpy(), names)
        yield from zip(names, outputs, truths.numpy(), strict=True)
