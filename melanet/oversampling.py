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
from melanet.cyclegan import CycleGAN, cyclegan
from melanet.data.pipeline import load_symmetric, load_unpaired, training_ids
from melanet.data.prepared import (
    Description,
    InputError,
    Item,
    PreparedSet,
    reopen,
    write_prepared,
)
from melanet.data.stream import pass_counter
from melanet.distribution import count_replicas, fit, make_strategy, on_one_device, scope

OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")


def undersample(manifest: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """As many rows of every label as the rarest has, drawn by `seed`, in the manifest's order.

    Args:
        manifest: Rows with a `label`.
        seed: Seed of the drawing.
    """
    rarest = manifest["label"].value_counts().min()
    drawn = manifest.groupby("label", sort=True).sample(int(rarest), random_state=seed)
    return drawn.sort_index()


def train_cyclegan(
    prepared: PreparedSet,
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
    first, second = _two_labels(prepared)
    size = image_size or prepared.description.image_size
    keras.utils.set_random_seed(seed)
    balanced = undersample(_chosen(prepared, ids), seed)
    domains = [list(balanced["id"][balanced["label"] == label]) for label in (first, second)]
    passes = pass_counter()
    pairs = load_unpaired(
        (prepared, domains[0]),
        (prepared, domains[1]),
        image_size=size,
        batch_size=batch_size,
        seed=seed,
        flip=flip,
        keep_aspect_ratio=keep_aspect_ratio,
        passes=passes,
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
        built = model or cyclegan(
            (*size, prepared.description.channels),
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
    checkpoint.passes = passes
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
    prepared: PreparedSet,
    folder: str | Path,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 16,
    keep_aspect_ratio: bool | None = None,
) -> PreparedSet:
    """Translates every majority image into the minority and keeps the results as a prepared set.

    Each translated image is stretched to [0, 255] by its own minimum and maximum. In the manifest
    its `source` is `synthetic`, its `parent` the image it was made from, and the set's `origin`
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
    first, second = _two_labels(prepared)
    chosen = _chosen(prepared, ids)
    parents = list(chosen["id"][chosen["label"] == first])
    size = image_size or prepared.description.image_size
    description = Description(
        name=f"{prepared.description.name}_synthetic",
        title=f"{prepared.description.title}, {first} translated to {second}",
        image_size=size,
        channels=prepared.description.channels,
        labels=prepared.description.labels,
        origin=_mark(model.first_to_second, prepared, parents, size, keep_aspect_ratio),
    )
    if there := reopen(folder, description):
        return there
    if not parents:
        raise InputError(f"{prepared.folder}: has no {first} image to translate")

    def translate_from(number: int) -> Iterator[np.ndarray]:
        images = load_symmetric(
            (prepared, parents[number:]),
            image_size=size,
            batch_size=batch_size,
            keep_aspect_ratio=keep_aspect_ratio,
        )
        return _pixels(model.translate(images, f"{first}_to_{second}"))

    translated = _Stream(translate_from, batch_size)
    groups = chosen.set_index("id")["group"]
    items = [
        Item(
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
    return write_prepared(folder, description, items)


def oversample(
    prepared: PreparedSet,
    folder: str | Path,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    keep_aspect_ratio: bool | None = None,
    **training,
) -> tuple[CycleGAN, PreparedSet]:
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
    model = train_cyclegan(prepared, ids, **shape, **training)
    return model, translate_majority(model, prepared, folder, ids, **shape)


def _two_labels(prepared: PreparedSet) -> tuple[str, str]:
    labels = prepared.description.labels
    if len(labels) != 2:
        raise InputError(f"{prepared.folder}: has {len(labels)} classes; translation needs two")
    return labels[0], labels[1]


def _chosen(prepared: PreparedSet, ids: Sequence[str] | None) -> pd.DataFrame:
    manifest = prepared.manifest
    chosen = manifest[manifest["id"].isin(set(training_ids(prepared, ids)))]
    for label in prepared.description.labels:
        if not (chosen["label"] == label).any():
            raise InputError(f"{prepared.folder}: there is no {label} image to train with")
    return chosen


def _mark(generator, prepared, parents, size, keep_aspect_ratio) -> str:
    """Hash of the generator's weights, of what it translates and at which size."""
    mark = hashlib.sha256()
    for weight in generator.get_weights():
        mark.update(np.ascontiguousarray(weight).tobytes())
    mark.update("\n".join([prepared.digest, f"{size} {keep_aspect_ratio}", *parents]).encode())
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
