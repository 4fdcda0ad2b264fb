"""Stage one of Algorithm 1: undersample, train a translation, translate (sections 2.2.3, 4.3.1)."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from melanet.checkpoint import EpochCheckpoint
from melanet.cyclegan import CycleGAN, build_cyclegan
from melanet.data import ImageDataset, InputError
from melanet.data.caching import Cache
from melanet.data.loading import load_unpaired, with_labels
from melanet.data.pipelines import make_epoch_counter
from melanet.distribution import count_replicas, make_strategy
from melanet.optimizers import Adam
from melanet.stargan import build_stargan
from melanet.synthesis import (
    Translator,
    check_imbalance,
    checked_labels,
    chosen_rows,
    translate_majority,
)
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


def train_translator(
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
    model: Translator | None = None,
    kept: tuple[KeptModels, Hashable] | None = None,
    **compile_arguments: Any,
) -> Translator:
    """Trains a translation among the classes of a dataset, undersampled to equal counts.

    Of two classes it is a CycleGAN, of more a StarGAN (section 4.3.1). An epoch has as many images
    of each class as the rarest class has.

    Args:
        dataset: A dataset with two labels, the majority first, or more.
        ids: Images to train with; all but the official test images if None.
        image_size: `(height, width)` in pixels, multiples of 16; the dataset's own if None.
        epochs: The thesis trains for 500.
        batch_size: Images of each class per batch; the thesis trains with 1.
        seed: Seed of the undersampling, the weights and the order of the images.
        redraw: Whether every epoch draws its images of the other classes from all of them, as the
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
        model: A CycleGAN or a StarGAN to train, instead of a new one with `filters`.
        kept: As in `melanet.training.train`.
        **compile_arguments: Passed to `compile` of the model. Optimizers replace those with
            `rates`.

    Returns:
        The trained model, on one device.

    Raises:
        InputError: If the dataset has fewer than two labels, or not those of `model`, a label has
            too few images, or a batch has fewer images than there are replicas.
        ValueError: If a given model or optimizer is to be distributed.

    Example:
        >>> from melanet import build_cyclegan, train_translator
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> small = build_cyclegan((16, 16, 3), generator_filters=4, discriminator_filters=4)
        >>> ids = lesions.ids()[:3]  # the first is malignant
        >>> train_translator(lesions, ids, image_size=(16, 16), epochs=1, model=small).domains
        ('benign', 'malignant')
    """
    strategy = make_strategy(distribute)  # before TensorFlow does anything else
    labels = checked_labels(dataset, model)
    size = image_size or dataset.info.image_size
    keras.utils.set_random_seed(seed)
    chosen = chosen_rows(dataset, ids, labels)
    if not redraw:
        chosen = undersample(chosen, seed)
    # `load_unpaired` shuffles each class in every epoch and stops when the rarest one ends.
    # Given all of a larger one, every epoch therefore draws from all of it, without replacement.
    domains = [(dataset, list(chosen["id"][chosen["label"] == label])) for label in labels]
    epoch_counter = make_epoch_counter()
    batches = load_unpaired(
        *domains,
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
    steps = epochs * int(batches.cardinality())

    def compiled_model() -> Translator:
        built = model or build_translator(
            (*size, dataset.info.channels), labels, filters=filters, norm=norm
        )
        adams = _make_adams(rates, steps, decay, compile_arguments.get("update_order"))
        built.compile(**{**adams, **compile_arguments})
        return built

    takes_pairs = isinstance(model, CycleGAN) if model else len(labels) == 2
    checkpoint = checkpoint or EpochCheckpoint(None)
    checkpoint.epoch_counter = epoch_counter
    return train(
        compiled_model,
        batches if takes_pairs else with_labels(batches),
        epochs=epochs,
        callbacks=callbacks,
        checkpoint=checkpoint,
        distribute=distribute,
        kept=kept,
    )


def train_cyclegan(
    dataset: ImageDataset, ids: Sequence[str] | None = None, **training: Any
) -> CycleGAN:
    """Trains a CycleGAN between the two classes of a dataset, undersampled to equal counts.

    Args:
        dataset: A dataset with two labels, the majority first.
        ids: Images to train with; all but the official test images if None.
        **training: Other arguments of `train_translator`.

    Returns:
        The trained CycleGAN, on one device.

    Raises:
        InputError: If the dataset does not have two labels; or see `train_translator`.

    Example:
        >>> from melanet import build_cyclegan, train_cyclegan
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> small = build_cyclegan((16, 16, 3), generator_filters=4, discriminator_filters=4)
        >>> ids = lesions.ids()[:3]  # the first is malignant
        >>> train_cyclegan(lesions, ids, image_size=(16, 16), epochs=1, model=small).domains
        ('benign', 'malignant')
    """
    if len(dataset.info.labels) != 2:
        raise InputError(
            f"{dataset.folder}: has {len(dataset.info.labels)} classes; a CycleGAN needs two, use "
            "train_translator"
        )
    return train_translator(dataset, ids, **training)


def build_translator(
    input_shape: tuple[int, ...],
    labels: Sequence[str],
    *,
    filters: tuple[int, int] = (32, 64),
    norm: str = "instance",
) -> Translator:
    """Builds a CycleGAN between two classes, a StarGAN among more.

    Args:
        input_shape: `(height, width, channels)`; sides are multiples of 16.
        labels: Names of the classes.
        filters: Filters of the first block of the generators and of the discriminators.
        norm: As in `build_cyclegan`.

    Raises:
        ValueError: See `build_cyclegan`.

    Example:
        >>> from melanet.oversampling import build_translator
        >>> build_translator((16, 16, 1), ["cat", "dog", "owl"], filters=(2, 2)).name
        'stargan'
    """
    build: Callable[..., Translator] = build_cyclegan if len(labels) == 2 else build_stargan
    generator, discriminator = filters
    return build(
        input_shape,
        tuple(labels),
        generator_filters=generator,
        discriminator_filters=discriminator,
        norm=norm,
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


def oversample(
    dataset: ImageDataset,
    folder: str | Path,
    ids: Sequence[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    keep_aspect_ratio: bool | None = None,
    **training: Any,
) -> tuple[Translator, ImageDataset]:
    """Lines 1 to 13 of Algorithm 1: from an imbalanced dataset to its synthetic minority.

    Of more than two classes, every one is filled up to the largest (section 4.3.1). The merged
    training set of line 14 is `load_dataset((dataset, ids), synthetic, shuffle=True)`.

    Args:
        dataset: A dataset with two labels, the majority first, or more.
        folder: Where the synthetic dataset will be; it must be missing or empty.
        ids: Images to train with and to translate; all but the official test images if None.
        image_size: `(height, width)` of the translation in pixels; the dataset's own if None.
        keep_aspect_ratio: Whether resizing pads instead of stretching; as the dataset says if
            None.
        **training: Other arguments of `train_translator`.

    Returns:
        The trained model and the synthetic dataset, see `translate_majority`.

    Raises:
        InputError: See `train_translator`; or, before the training, if `folder` is not empty.

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
    if len(dataset.info.labels) > 2:
        check_imbalance(dataset, ids)
    resizing: dict[str, Any] = {"image_size": image_size, "keep_aspect_ratio": keep_aspect_ratio}
    model = train_translator(dataset, ids, **resizing, **training)
    seed = training.get("seed", 0)
    return model, translate_majority(model, dataset, folder, ids, seed=seed, **resizing)


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
