"""Stage one of Algorithm 1: undersample, train a CycleGAN, translate (section 2.2.3)."""

import hashlib
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from melanet.checkpoint import EpochCheckpoint
from melanet.cyclegan import CycleGAN, build_cyclegan
from melanet.data import DatasetInfo, ImageDataset, InputError, Sample, write_dataset
from melanet.data.caching import Cache
from melanet.data.dataset import open_existing
from melanet.data.loading import (
    load_for_translation,
    load_unpaired,
    make_epoch_counter,
    training_ids,
)
from melanet.distribution import count_replicas, make_strategy
from melanet.optimizers import Adam
from melanet.training import KeptModels, train

OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")


def undersample(metadata: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Draws as many rows of every label as the rarest label has.

    Args:
        metadata: One row per image, with a column `label`.
        seed: Seed of the draw.

    Returns:
        The drawn rows, in the order of `metadata`.

    Example:
        >>> import pandas as pd
        >>> from melanet import undersample
        >>> images = pd.DataFrame({"id": range(900), "label": 727 * ["benign"] + 173 * ["mel"]})
        >>> undersample(images)["label"].value_counts().to_dict()
        {'benign': 173, 'mel': 173}
    """
    rarest = metadata["label"].value_counts().min()
    drawn = metadata.groupby("label", sort=True).sample(int(rarest), random_state=seed)
    return drawn.sort_index()


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
        >>> from melanet.oversampling import plan_translations
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


def train_cyclegan(
    dataset: ImageDataset,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    epochs: int = 500,
    batch_size: int = 1,
    seed: int = 0,
    redraw: bool = False,
    flip: bool = False,
    cache: Cache = "memory",
    keep_aspect_ratio: bool | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    filters: tuple[int, int] = (32, 64),
    rates: tuple[float, float] = (2e-4, 2e-4),
    decay: bool = False,
    norm: str = "instance",
    distribute: str = "none",
    checkpoint: EpochCheckpoint | None = None,
    model: CycleGAN | None = None,
    kept: tuple[KeptModels, Hashable] | None = None,
    **compile_arguments: Any,
) -> CycleGAN:
    """Trains a CycleGAN between the two classes of a dataset, undersampled to equal counts.

    An epoch has as many images of each class as the rarer class has.

    Args:
        dataset: A dataset with two labels, the majority first.
        ids: Images to train with; all but the official test images if None.
        image_size: `(height, width)` in pixels, multiples of 16; the dataset's own if None.
        epochs: The thesis trains for 500.
        batch_size: Images of each class per batch; the thesis trains with 1.
        seed: Seed of the undersampling, the weights and the order of the images.
        redraw: Whether every epoch draws its images of the majority anew from all of them, as the
            released code does for ISIC-2016. The thesis draws once, before the training.
        flip: Whether to mirror half of the images at random, as the released code does.
        cache: As in `melanet.data.load_dataset`.
        keep_aspect_ratio: Whether resizing pads instead of stretching; as the dataset says if
            None.
        callbacks: Keras callbacks.
        filters: Filters of the first block of the generators and of the discriminators.
        rates: Learning rates of Adam for the generators and for the discriminators.
        decay: Whether the learning rates fall linearly to 0 over the training, so that it ends on
            quiet weights; the thesis keeps them constant. (Zhu et al., arXiv:1703.10593, let them
            fall over the second half.)
        norm: As in `build_cyclegan`.
        distribute: Name of a strategy, see `melanet.distribution.make_strategy`.
        checkpoint: Saves the training, which resumes from it; the file stays until `remove`.
        model: A CycleGAN to train, instead of a new one with `filters`.
        kept: As in `melanet.training.train`.
        **compile_arguments: Passed to `CycleGAN.compile`. Optimizers replace those with `rates`.

    Returns:
        The trained CycleGAN, on one device.

    Raises:
        InputError: If the dataset does not have two labels, a label has too few images, or a batch
            has fewer images than there are replicas.
        ValueError: If a given model or optimizer is to be distributed.

    Example:
        >>> from melanet import build_cyclegan, train_cyclegan
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> small = build_cyclegan((16, 16, 3), generator_filters=4, discriminator_filters=4)
        >>> ids = lesions.ids()[:3]  # the first is malignant
        >>> train_cyclegan(lesions, ids, image_size=(16, 16), epochs=1, model=small).domains
        ('benign', 'malignant')
    """
    strategy = make_strategy(distribute)  # before TensorFlow does anything else
    first, second = _two_labels(dataset)
    size = image_size or dataset.info.image_size
    keras.utils.set_random_seed(seed)
    chosen = _chosen_rows(dataset, ids, (first, second))
    if not redraw:
        chosen = undersample(chosen, seed)
    # `load_unpaired` shuffles each class anew in every epoch and stops when the rarer one ends.
    # Given the whole majority, it therefore draws from it anew, without replacement.
    domains = [list(chosen["id"][chosen["label"] == label]) for label in (first, second)]
    epoch_counter = make_epoch_counter()
    pairs = load_unpaired(
        (dataset, domains[0]),
        (dataset, domains[1]),
        image_size=size,
        batch_size=batch_size,
        seed=seed,
        flip=flip,
        cache=cache,
        keep_aspect_ratio=keep_aspect_ratio,
        epoch_counter=epoch_counter,
    )
    given = [name for name in OPTIMIZERS if name in compile_arguments]
    given += [] if model is None else ["model"]
    _check_distributable(strategy, batch_size, given)
    steps = epochs * int(pairs.cardinality())

    def compiled_model() -> CycleGAN:
        built = model or build_cyclegan(
            (*size, dataset.info.channels),
            (first, second),
            generator_filters=filters[0],
            discriminator_filters=filters[1],
            norm=norm,
        )
        adams = _make_adams(rates, steps, decay, compile_arguments.get("update_order"))
        built.compile(**{**adams, **compile_arguments})
        return built

    checkpoint = checkpoint or EpochCheckpoint(None)
    checkpoint.epoch_counter = epoch_counter
    return train(
        compiled_model,
        pairs,
        epochs=epochs,
        callbacks=callbacks,
        checkpoint=checkpoint,
        distribute=distribute,
        kept=kept,
    )


def _make_adams(
    rates: tuple[float, float], steps: int, decay: bool, update_order: str | None
) -> dict[str, Adam]:
    """An optimizer for the generators and one for the discriminators.

    With `"discriminators_first"`, a discriminator takes two steps per batch.
    """
    updates = (steps, 2 * steps if update_order == "discriminators_first" else steps)
    schedules = [
        keras.optimizers.schedules.PolynomialDecay(rate, count, 0.0) if decay else rate
        for rate, count in zip(rates, updates, strict=True)
    ]
    return {name: Adam(rate, beta_1=0.5) for name, rate in zip(OPTIMIZERS, schedules, strict=True)}


def translate_majority(
    model: CycleGAN,
    dataset: ImageDataset,
    folder: str | Path,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    keep_aspect_ratio: bool | None = None,
) -> ImageDataset:
    """Translates every majority image to the minority and writes the results as a dataset.

    Each translated image is stretched to [0, 255] by its own minimum and maximum. Its `source` is
    `"synthetic"`, its `parent` the image that it was made from. Memory holds one batch, and
    interrupted runs resume with the next image.

    Args:
        model: A CycleGAN from the dataset's first label to its second.
        dataset: The dataset whose majority is translated.
        folder: Where the synthetic dataset will be. If it is there already, made by the same
            generator from the same images, it is opened.
        ids: Images of which those of the majority are translated; all but the official test
            images if None.
        image_size: `(height, width)` that the model was trained at; the dataset's own if None.
        batch_size: Images per batch.
        keep_aspect_ratio: As the model was trained.

    Returns:
        The synthetic dataset, one image per majority image.

    Raises:
        InputError: If there is no majority image, the generator's output is not finite, or
            `folder` holds something else.

    Example:
        >>> from melanet import build_cyclegan, translate_majority
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> small = build_cyclegan((16, 16, 3), generator_filters=4, discriminator_filters=4)
        >>> ids = lesions.ids()[:3]  # the first is malignant
        >>> translate_majority(small, lesions, "synthetic", ids, image_size=(16, 16)).ids()
        ['phantom-0001-as-malignant', 'phantom-0002-as-malignant']
    """
    first, second = _two_labels(dataset)
    chosen = _chosen_rows(dataset, ids, (first,))
    parents = list(chosen["id"][chosen["label"] == first])
    size = image_size or dataset.info.image_size
    info = DatasetInfo(
        name=f"{dataset.info.name}_synthetic",
        title=f"{dataset.info.title}, {first} translated to {second}",
        image_size=size,
        channels=dataset.info.channels,
        labels=dataset.info.labels,
        source_fingerprint=_fingerprint(
            model.first_to_second, dataset, parents, size, keep_aspect_ratio
        ),
    )
    if existing := open_existing(folder, info):
        return existing

    def translate_from(number: int) -> Iterator[np.ndarray]:
        images = load_for_translation(
            (dataset, parents[number:]),
            image_size=size,
            batch_size=batch_size,
            keep_aspect_ratio=keep_aspect_ratio,
        )
        return _stretched(model.translate(images, f"{first}_to_{second}").as_numpy_iterator())

    translated = _Stream(translate_from, batch_size)
    return write_dataset(folder, info, _translated_samples(dataset, parents, second, translated))


def oversample(
    dataset: ImageDataset,
    folder: str | Path,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    keep_aspect_ratio: bool | None = None,
    **training: Any,
) -> tuple[CycleGAN, ImageDataset]:
    """Lines 1 to 13 of Algorithm 1: from an imbalanced dataset to its synthetic minority.

    The merged training set of line 14 is `load_dataset((dataset, ids), synthetic, shuffle=True)`.

    Args:
        dataset: A dataset with two labels, the majority first.
        folder: Where the synthetic dataset will be; it must be missing or empty.
        ids: Images to train with and to translate; all but the official test images if None.
        image_size: `(height, width)` of the translation in pixels; the dataset's own if None.
        keep_aspect_ratio: Whether resizing pads instead of stretching; as the dataset says if
            None.
        **training: Other arguments of `train_cyclegan`.

    Returns:
        The trained CycleGAN and the synthetic dataset, one image per majority image.

    Raises:
        InputError: See `train_cyclegan`; or, before the training, if `folder` is not empty.

    Example:
        >>> from melanet import build_cyclegan, oversample
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> small = build_cyclegan((16, 16, 3), generator_filters=4, discriminator_filters=4)
        >>> ids = lesions.ids()[:3]  # the first is malignant
        >>> _, synthetic = oversample(
        ...     lesions, "oversampled", ids, image_size=(16, 16), epochs=1, model=small
        ... )
        >>> synthetic.values("parent", synthetic.ids(label="malignant"))
        ['phantom-0001', 'phantom-0002']
    """
    if Path(folder).exists() and any(Path(folder).iterdir()):
        raise InputError(
            f"{folder}: exists already; open it with open_dataset, or choose another folder"
        )
    resizing: dict[str, Any] = {"image_size": image_size, "keep_aspect_ratio": keep_aspect_ratio}
    model = train_cyclegan(dataset, ids, **resizing, **training)
    return model, translate_majority(model, dataset, folder, ids, **resizing)


def _translated_samples(
    dataset: ImageDataset, parents: Sequence[str], label: str, read: Callable[[int], np.ndarray]
) -> list[Sample]:
    """The translation of each of `parents`; `read` returns the one of a number, counted from 0."""
    groups = dataset.values("group", parents)
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
        for number, (parent, group) in enumerate(zip(parents, groups, strict=True))
    ]


def _two_labels(dataset: ImageDataset) -> tuple[str, str]:
    labels = dataset.info.labels
    if len(labels) != 2:
        raise InputError(f"{dataset.folder}: has {len(labels)} classes; translation needs two")
    return labels[0], labels[1]


def _check_distributable(strategy: Any, batch_size: int, given: Sequence[str]) -> None:
    """Checks that replicas can share a training, and build the model and optimizers themselves."""
    replicas = count_replicas(strategy)
    if batch_size < replicas:
        raise InputError(
            f"`batch_size`: {batch_size} images of each class cannot be shared by {replicas} "
            "devices; give more, or distribute='none'"
        )
    if strategy is not None and given:
        raise ValueError(
            f"`{given[0]}`: a given one cannot be distributed; use `filters` and `rates`"
        )


def _chosen_rows(
    dataset: ImageDataset, ids: Sequence[str] | None, labels: Sequence[str]
) -> pd.DataFrame:
    """Rows of the chosen images; every one of `labels` must be among them."""
    metadata = dataset.metadata
    chosen = metadata[metadata["id"].isin(set(training_ids(dataset, ids)))]
    for label in labels:
        if not (chosen["label"] == label).any():
            raise InputError(f"{dataset.folder}: there is no {label} image")
    return chosen


def _fingerprint(
    generator: keras.Model,
    dataset: ImageDataset,
    parents: Sequence[str],
    size: tuple[int, int],
    keep_aspect_ratio: bool | None,
) -> str:
    """Hash of the generator's weights, of the images that it translates and of their size."""
    digest = hashlib.sha256()
    for weight in generator.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    config = [dataset.fingerprint, f"{size} {keep_aspect_ratio}", *parents]
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
