"""A synthetic minority: images of the majority, translated (section 2.2.3)."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from melanet.cyclegan import CycleGAN
from melanet.data import DatasetInfo, ImageDataset, InputError, Sample, write_dataset
from melanet.data.dataset import open_existing
from melanet.data.loading import load_for_translation
from melanet.data.subsets import training_ids
from melanet.stargan import StarGAN

#: What translates between two classes, and among any number.
Translator = CycleGAN | StarGAN


def plan_translations(metadata: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Plans which images of the majority to translate so that every class becomes as large.

    Stage one of Algorithm 1 for any number of classes (section 4.3.1). For two classes the thesis
    translates all of the majority instead, see `translate_majority`.

    Args:
        metadata: One row per image, with columns `id` and `label`.
        seed: Seed of the draw of the parents.

    Returns:
        One row per image to make: its `parent`, of the largest class (of equally large ones, the
        first by name), and its `target` class. No image has the same parent and target twice.

    Example:
        >>> import pandas as pd
        >>> from melanet.synthesis import plan_translations
        >>> images = pd.DataFrame({"id": range(9), "label": list("aaaaabbbc")})
        >>> plan_translations(images)["target"].value_counts().to_dict()
        {'c': 4, 'b': 2}
    """
    counts = metadata["label"].value_counts().sort_index()
    majority = metadata["id"][metadata["label"] == counts.idxmax()]
    random = np.random.default_rng(seed)
    drawn = {
        target: np.sort(random.choice(len(majority), len(majority) - count, replace=False))
        for target, count in counts.items()
    }
    plans = [
        pd.DataFrame({"parent": majority.iloc[places], "target": target})
        for target, places in drawn.items()
    ]
    return pd.concat(plans, ignore_index=True)


def check_imbalance(dataset: ImageDataset, ids: Sequence[str] | None = None) -> None:
    """Checks that a class has fewer images than another, before a training for nothing.

    Args:
        dataset: A dataset with labels.
        ids: Its training images; all but the official test images if None.

    Raises:
        InputError: If a class has no image, or all classes have equally many.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.synthesis import check_imbalance
        >>> check_imbalance(prepare("phantom", ".", "prepared/melanet/phantom"))
    """
    counts = chosen_rows(dataset, ids, dataset.info.labels)["label"].value_counts()
    if counts.nunique() == 1:
        raise InputError(
            f"{dataset.folder}: all classes have {counts.iloc[0]} training images; there is "
            "nothing to over-sample"
        )


def translate_majority(
    model: Translator,
    dataset: ImageDataset,
    folder: str | Path,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    keep_aspect_ratio: bool | None = None,
    seed: int = 0,
) -> ImageDataset:
    """Translates the majority to the minority and writes the results as a dataset.

    A CycleGAN translates every image of the majority, as the thesis does. A StarGAN translates as
    many to each rarer class as `plan_translations` says, so that all classes become equal.

    Each translated image is stretched to [0, 255] by its own minimum and maximum. Its `source` is
    `"synthetic"`, its `parent` the image that it was made from, its `label` the class that it was
    translated to. Memory holds one batch, and interrupted runs resume with the next image.

    Args:
        model: A CycleGAN from the dataset's first label to its second, or a StarGAN among its
            labels.
        dataset: The dataset whose majority is translated.
        folder: Where the synthetic dataset will be. If it is there already, made by the same
            generator from the same images, it is opened.
        ids: Images of which those of the majority are translated; all but the official test
            images if None.
        image_size: `(height, width)` that the model was trained at; the dataset's own if None.
        batch_size: Images per batch.
        keep_aspect_ratio: As the model was trained.
        seed: Seed of the drawing of the images that a StarGAN translates.

    Returns:
        The synthetic dataset, one image per translation.

    Raises:
        InputError: If there is nothing to translate, the dataset's labels are not the model's, the
            generator's output is not finite, or `folder` holds something else.

    Example:
        >>> from melanet import build_cyclegan, translate_majority
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> small = build_cyclegan((16, 16, 3), generator_filters=4, discriminator_filters=4)
        >>> ids = lesions.ids()[:3]  # the first is malignant
        >>> translate_majority(small, lesions, "synthetic", ids, image_size=(16, 16)).ids()
        ['phantom-0001-as-malignant', 'phantom-0002-as-malignant']
    """
    plan = _plan(model, dataset, ids, seed)
    parents = list(plan["parent"])
    size = image_size or dataset.info.image_size
    targets = dict.fromkeys(plan["target"])
    info = DatasetInfo(
        name=f"{dataset.info.name}_synthetic",
        title=f"{dataset.info.title}, {_majority(dataset, parents)} translated to "
        f"{' and '.join(targets)}",
        image_size=size,
        channels=dataset.info.channels,
        labels=dataset.info.labels,
        source_fingerprint=_fingerprint(model, dataset, plan, size, keep_aspect_ratio),
    )
    if existing := open_existing(folder, info):
        return existing

    def translate_from(number: int) -> Iterator[np.ndarray]:
        left = plan.iloc[number:]
        images = load_for_translation(
            (dataset, list(left["parent"])),
            image_size=size,
            batch_size=batch_size,
            keep_aspect_ratio=keep_aspect_ratio,
        )
        return _stretched(_translate(model, images, list(left["target"])).as_numpy_iterator())

    translated = _Stream(translate_from, batch_size)
    return write_dataset(folder, info, _translated_samples(dataset, plan, translated))


def checked_labels(dataset: ImageDataset, model: Translator | None) -> tuple[str, ...]:
    """The labels of a dataset, which must be those of the model, if one is given.

    Args:
        dataset: A dataset with labels.
        model: What is to translate among them, if there is one already.

    Raises:
        InputError: If the dataset has fewer than two labels, or not the model's.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.synthesis import checked_labels
        >>> checked_labels(prepare("phantom", ".", "prepared/melanet/phantom"), None)
        ('benign', 'malignant')
    """
    labels = tuple(dataset.info.labels)
    if len(labels) < 2:
        raise InputError(f"{dataset.folder}: has {len(labels)} classes; translation needs two")
    if isinstance(model, StarGAN) and model.domains != labels:
        raise InputError(
            f"{dataset.folder}: has the classes {', '.join(labels)}, but the StarGAN translates "
            f"among {', '.join(model.domains)}"
        )
    if isinstance(model, CycleGAN) and len(labels) != 2:
        raise InputError(f"{dataset.folder}: has {len(labels)} classes; a CycleGAN needs two")
    return labels


def chosen_rows(
    dataset: ImageDataset, ids: Sequence[str] | None, labels: Sequence[str]
) -> pd.DataFrame:
    """Rows of the chosen images; every one of `labels` must be among them.

    Args:
        dataset: A dataset with labels.
        ids: The chosen images; all but the official test images if None.
        labels: Classes that must each have an image.

    Raises:
        InputError: If an id is unknown, or a class has no image.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.synthesis import chosen_rows
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> list(chosen_rows(lesions, lesions.ids()[:3], ("benign", "malignant"))["label"])
        ['malignant', 'benign', 'benign']
    """
    metadata = dataset.metadata
    chosen = metadata[metadata["id"].isin(set(training_ids(dataset, ids)))]
    for label in labels:
        if not (chosen["label"] == label).any():
            raise InputError(f"{dataset.folder}: there is no {label} image")
    return chosen


def _plan(
    model: Translator, dataset: ImageDataset, ids: Sequence[str] | None, seed: int
) -> pd.DataFrame:
    """Which images are translated to what: a `parent` and a `target` per row."""
    labels = checked_labels(dataset, model)
    if isinstance(model, CycleGAN):
        if model.domains != labels:
            raise InputError(
                f"{dataset.folder}: has the classes {', '.join(labels)}, but the CycleGAN "
                f"translates from {model.domains[0]} to {model.domains[1]}"
            )
        first, second = labels
        rows = chosen_rows(dataset, ids, (first,))
        return pd.DataFrame({"parent": rows["id"][rows["label"] == first], "target": second})
    check_imbalance(dataset, ids)
    return plan_translations(chosen_rows(dataset, ids, labels), seed)


def _translate(model: Translator, images: Any, targets: Sequence[str]) -> Any:
    if isinstance(model, CycleGAN):
        first, second = model.domains
        return model.translate(images, f"{first}_to_{second}")
    return model.translate(images, targets)


def _majority(dataset: ImageDataset, parents: Sequence[str]) -> str:
    return dataset.values("label", parents[:1])[0]


def _translated_samples(
    dataset: ImageDataset, plan: pd.DataFrame, read: Callable[[int], np.ndarray]
) -> list[Sample]:
    """The translation of each row of a plan; `read` returns the one of a number, from 0."""
    groups = dataset.values("group", list(plan["parent"]))
    rows = zip(plan["parent"], plan["target"], groups, strict=True)
    return [
        Sample(
            id=f"{parent}-as-{label}",
            group=group,
            image=partial(read, number),
            mask=None,
            image_name=f"translation of {parent}",
            label=label,
            split="train",
            source="synthetic",
            parent=parent,
        )
        for number, (parent, label, group) in enumerate(rows)
    ]


def _fingerprint(
    model: Translator,
    dataset: ImageDataset,
    plan: pd.DataFrame,
    size: tuple[int, int],
    keep_aspect_ratio: bool | None,
) -> str:
    """Hash of the generator's weights, of the images that it translates and of their size."""
    digest = hashlib.sha256()
    for weight in getattr(model, model.generators[0]).get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    config = [dataset.fingerprint, f"{size} {keep_aspect_ratio}", *plan["parent"]]
    if isinstance(model, StarGAN):
        config += list(plan["target"])
    digest.update("\n".join(config).encode())
    return digest.hexdigest()[:16]


class _Stream:
    """Random access to images that are computed in order, in batches.

    Reading starts at whole batches, because the last bits of an image depend on its batch.
    """

    def __init__(self, start_at: Callable[[int], Iterator[np.ndarray]], batch_size: int):
        self.start_at, self.batch_size = start_at, batch_size
        self.next_number = -1

    def __call__(self, number: int) -> np.ndarray:
        if number != self.next_number:
            ahead = number % self.batch_size
            self.images = itertools.islice(self.start_at(number - ahead), ahead, None)
        self.next_number = number + 1
        return next(self.images)


def _stretched(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Single uint8 images, each stretched by its own minimum and maximum."""
    for batch in batches:
        if not np.isfinite(batch).all():
            raise InputError(
                "the generator's output is not finite: its training diverged; train it in float32 "
                "or with a smaller learning rate"
            )
        low = batch.min(axis=(1, 2, 3), keepdims=True)
        high = batch.max(axis=(1, 2, 3), keepdims=True)
        stretched = (batch - low) / np.maximum(high - low, 1e-6)
        for image in np.round(255 * stretched).astype("uint8"):
            yield image if image.shape[-1] == 3 else image[:, :, 0]
