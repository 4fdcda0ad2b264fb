"""Algorithm 1, stage one: undersample, train a CycleGAN, translate the majority (section 2.2.3)."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from melanet.checkpoint import EpochCheckpoint
from melanet.cyclegan import CycleGAN, build_cyclegan
from melanet.data import DatasetInfo, ImageDataset, InputError, Sample, write_dataset
from melanet.data.dataset import open_existing
from melanet.data.loading import (
    load_for_translation,
    load_unpaired,
    make_epoch_counter,
    training_ids,
)
from melanet.distribution import count_replicas, fit, make_strategy, on_one_device, scope

OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")


def undersample(metadata: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """As many rows of every label as the rarest has, drawn by `seed`, in the manifest's order.

    Args:
        manifest: Rows with a `label`.
        seed: Seed of the drawing.
    """
    rarest = metadata["label"].value_counts().min()
    drawn = metadata.groupby("label", sort=True).sample(int(rarest), random_state=seed)
    return drawn.sort_index()


def train_cyclegan(
    dataset: ImageDataset,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    epochs: int = 500,
    batch_size: int = 1,
    seed: int = 0,
    flip: bool = False,
    keep_aspect_ratio: bool | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    filters: tuple[int, int] = (32, 64),
    rates: tuple[float, float] = (2e-4, 2e-4),
    distribute: str = "none",
    checkpoint: EpochCheckpoint | None = None,
    model: CycleGAN | None = None,
    **compile_arguments,
) -> CycleGAN:
    """Trains a CycleGAN between the two classes of a set, undersampled to equal counts.

    Args:
        prepared: A prepared set of two labels, majority first.
        ids: Its training images; all but the official test images if None.
        image_size: `(height, width)`, multiples of 16; the set's own if None.
        epochs, batch_size: The thesis trains for 500 epochs with batches of 1.
        seed: Seed of the undersampling, the weights and the orders.
        flip: Whether images are mirrored at random while training.
        keep_aspect_ratio: Whether resizing pads rather than stretches; as the set says if None.
        callbacks: Keras callbacks of the training.
        filters: Filters of the first block of the generators and of the discriminators.
        rates: Learning rates of Adam, of the generators and of the discriminators.
        distribute: A name in `melanet.distribution.NAMES`: the devices share each batch.
        checkpoint: What a killed training goes on from; it stays until it is removed.
        model: A CycleGAN of your own, whose filters are its own; a new one if None.
        **compile_arguments: Of `CycleGAN.compile`; its optimizers go before `rates`, but they
            cannot be distributed.

    Raises:
        InputError: If the set has not two labels, a label has no or too few images, or a batch is
            too small to be shared.
        ValueError: If a model or an optimizer of your own is to be distributed.
    """
    strategy = make_strategy(distribute)  # that of several hosts must be the first thing made
    first, second = _two_labels(dataset)
    size = image_size or dataset.info.image_size
    keras.utils.set_random_seed(seed)
    balanced = undersample(_chosen(dataset, ids), seed)
    domains = [list(balanced["id"][balanced["label"] == label]) for label in (first, second)]
    epoch_counter = make_epoch_counter()
    pairs = load_unpaired(
        (dataset, domains[0]),
        (dataset, domains[1]),
        image_size=size,
        batch_size=batch_size,
        seed=seed,
        flip=flip,
        keep_aspect_ratio=keep_aspect_ratio,
        epoch_counter=epoch_counter,
    )
    if batch_size < count_replicas(strategy):
        raise InputError(
            f"`batch_size`: {batch_size} images of each class cannot be shared by "
            f"{count_replicas(strategy)} devices; give more, or distribute='none'"
        )
    own = [name for name in OPTIMIZERS if name in compile_arguments]
    own += [] if model is None else ["model"]
    if strategy is not None and own:
        raise ValueError(
            f"`{own[0]}`: one of your own cannot be distributed; see `filters`, `rates`"
        )

    def compiled() -> CycleGAN:
        built = model or build_cyclegan(
            (*size, dataset.info.channels),
            (first, second),
            generator_filters=filters[0],
            discriminator_filters=filters[1],
        )
        adams = {
            name: keras.optimizers.Adam(rate, beta_1=0.5)
            for name, rate in zip(OPTIMIZERS, rates, strict=True)
        }
        built.compile(**{**adams, **compile_arguments})
        return built

    checkpoint = checkpoint or EpochCheckpoint(None)
    checkpoint.epoch_counter = epoch_counter
    with scope(strategy):
        training = compiled()
        first_epoch = checkpoint.restore(training)
    fit(
        training,
        pairs,
        epochs=epochs,
        initial_epoch=first_epoch,
        callbacks=[*callbacks, checkpoint],
        shuffle=False,
        verbose=0,
    )
    return training if strategy is None else on_one_device(training, compiled())


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
    """Translates every majority image into the minority and keeps the results as a prepared set.

    Each translated image is stretched to [0, 255] by its own minimum and maximum. In the manifest
    its `source` is `synthetic`, its `parent` the image it was made from; `source_fingerprint` is
    the mark of the generator, so that stage two can run years later. Memory is that of a batch,
    and a run that was killed goes on with the next image.

    Args:
        model: A CycleGAN from the set's first label to its second.
        prepared: The set whose majority is translated.
        folder: Where the synthetic set is or will be. What was made by the same generator from
            the same images is opened, not made again.
        ids: Images of which the majority ones are translated; all but the official test images
            if None.
        image_size, keep_aspect_ratio: As the model was trained.
        batch_size: Images translated at once.

    Raises:
        InputError: If there is no majority image, or `folder` holds something else.
    """
    first, second = _two_labels(dataset)
    chosen = _chosen(dataset, ids)
    parents = list(chosen["id"][chosen["label"] == first])
    size = image_size or dataset.info.image_size
    info = DatasetInfo(
        name=f"{dataset.info.name}_synthetic",
        title=f"{dataset.info.title}, {first} translated to {second}",
        image_size=size,
        channels=dataset.info.channels,
        labels=dataset.info.labels,
        source_fingerprint=_mark(model.first_to_second, dataset, parents, size, keep_aspect_ratio),
    )
    if there := open_existing(folder, info):
        return there
    if not parents:
        raise InputError(f"{dataset.folder}: has no {first} image to translate")

    def translate_from(number: int) -> Iterator[np.ndarray]:
        images = load_for_translation(
            (dataset, parents[number:]),
            image_size=size,
            batch_size=batch_size,
            keep_aspect_ratio=keep_aspect_ratio,
        )
        return _pixels(model.translate(images, f"{first}_to_{second}"))

    translated = _Stream(translate_from, batch_size)
    groups = chosen.set_index("id")["group"]
    items = [
        Sample(
            id=f"{parent}-as-{second}",
            group=groups[parent],
            image=partial(translated, number),
            mask=None,
            image_name=f"translation of {parent}",
            label=second,
            split="train",
            source="synthetic",
            parent=parent,
        )
        for number, parent in enumerate(parents)
    ]
    return write_dataset(folder, info, items)


def oversample(
    dataset: ImageDataset,
    folder: str | Path,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    keep_aspect_ratio: bool | None = None,
    **training,
) -> tuple[CycleGAN, ImageDataset]:
    """Algorithm 1, lines 1 to 13: from an unbalanced set to its synthetic minority.

    The merged training set of line 14 is `load_dataset((prepared, ids), synthetic, shuffle=True)`.

    Args:
        prepared: A prepared set of two labels, majority first.
        folder: Where the synthetic set will be; it must not exist, or be empty.
        ids: Its training images; all but the official test images if None.
        image_size, keep_aspect_ratio: Size of the translation; the set's own if None.
        **training: The other arguments of `train_cyclegan`.

    Returns:
        The trained CycleGAN and the synthetic set, an image for each majority image.

    Raises:
        InputError: If the set is not fit for it, or `folder` is taken: said before the training.
    """
    if Path(folder).exists() and any(Path(folder).iterdir()):
        raise InputError(
            f"{folder}: exists already; open it with read_prepared, or choose another folder"
        )
    shape: dict[str, Any] = {"image_size": image_size, "keep_aspect_ratio": keep_aspect_ratio}
    model = train_cyclegan(dataset, ids, **shape, **training)
    return model, translate_majority(model, dataset, folder, ids, **shape)


def _two_labels(dataset: ImageDataset) -> tuple[str, str]:
    labels = dataset.info.labels
    if len(labels) != 2:
        raise InputError(f"{dataset.folder}: has {len(labels)} classes; translation needs two")
    return labels[0], labels[1]


def _chosen(dataset: ImageDataset, ids: Sequence[str] | None) -> pd.DataFrame:
    metadata = dataset.metadata
    chosen = metadata[metadata["id"].isin(set(training_ids(dataset, ids)))]
    for label in dataset.info.labels:
        if not (chosen["label"] == label).any():
            raise InputError(f"{dataset.folder}: there is no {label} image to train with")
    return chosen


def _mark(generator, dataset, parents, size, keep_aspect_ratio) -> str:
    """Hash of the generator's weights, of what it translates and at which size."""
    mark = hashlib.sha256()
    for weight in generator.get_weights():
        mark.update(np.ascontiguousarray(weight).tobytes())
    mark.update("\n".join([dataset.fingerprint, f"{size} {keep_aspect_ratio}", *parents]).encode())
    return mark.hexdigest()[:16]


class _Stream:
    """Images by number; those that are asked for in their order are computed once.

    It starts at whole batches, for the last bits of an image depend on those in its batch.
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


def _pixels(batches) -> Iterator[np.ndarray]:
    """Images one by one, each stretched to uint8 by its own minimum and maximum."""
    for batch in batches.as_numpy_iterator():
        if not np.isfinite(batch).all():
            raise InputError(
                "the generator gives values that are no numbers: its training diverged; train it "
                "in float32 or with a smaller learning rate"
            )
        low = batch.min(axis=(1, 2, 3), keepdims=True)
        high = batch.max(axis=(1, 2, 3), keepdims=True)
        stretched = (batch - low) / np.maximum(high - low, 1e-6)
        for image in np.round(255 * stretched).astype("uint8"):
            yield image if image.shape[-1] == 3 else image[:, :, 0]
