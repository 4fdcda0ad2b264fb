"""One segmentation network on one set of images: split, trained, saved, and tested."""

import inspect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras

from melanet.data import DatasetInfo
from melanet.fitting import (
    Fitted,
    TrainingSettings,
    describe,
    find_model,
    fit_and_test,
    with_weights,
)
from melanet.optimizers import Adam
from melanet.precision import resolve_precision
from melanet.splits import hold_out
from sharpunet.data import ImageDataset, InputError, OwnOptions, load_dataset
from sharpunet.data.volumes import PATCH_SIZE, check_volumes, load_patches
from sharpunet.evaluation import open_own, score_images
from sharpunet.losses import LOSSES
from sharpunet.metrics import Dice, Jaccard
from sharpunet.models import MODELS, VOLUME_MODELS, check_sides

_NO_OPTIONS = OwnOptions()


def train_model(
    data: str | Path,
    out: str | Path,
    *,
    model: str = "sharp_unet",
    image_size: tuple[int, int] | None = None,
    patch_size: tuple[int, int, int] | None = None,
    epochs: int = 100,
    batch_size: int = 8,
    weights: str | None = "imagenet",
    precision: str = "auto",
    seed: int = 0,
    tensorboard: bool = False,
    options: OwnOptions = _NO_OPTIONS,
) -> Fitted:
    """Trains one network on images or volumes and masks of one's own; tests it on a fifth of them.

    Whole groups (patients, videos) are held out: a fifth to test, a tenth to validate, which stops
    the training. `out` gets `model.keras`, which says what it needs to be used, `scores.json` and
    `scores.csv` of the test images. Interrupted runs resume.

    A network of volumes trains on random patches, four of every volume in an epoch, and is tested
    on whole volumes. A network of images takes volumes slice by slice.

    Args:
        data: A folder with `images` and `masks`, or a dataset.
        out: Folder of the results.
        model: A name in `sharpunet.MODELS` or `sharpunet.VOLUME_MODELS`.
        image_size: `(height, width)` in pixels; the dataset's own if None.
        patch_size: `(depth, height, width)` in voxels of what a network of volumes takes;
            `sharpunet.data.volumes.PATCH_SIZE` if None.
        epochs: Epochs at most.
        batch_size: Images or patches per batch.
        weights: Of the encoder, where the model has one: `"imagenet"`, or None for random ones.
        precision: A name in `melanet.precision.PRECISIONS`.
        seed: Seed of the split, the weights and the order of the images.
        tensorboard: Whether every epoch is logged in the folder `tensorboard` of `out`.
        options: What the files do not say by themselves: class names, colours and groups.

    Raises:
        InputError: If an argument or an image is wrong, or `out` holds another model.

    Example:
        >>> from sharpunet import train_model
        >>> from sharpunet.data import prepare
        >>> phantom = prepare("phantom", ".", "prepared/phantom").folder
        >>> small = {"image_size": (16, 16), "epochs": 1}
        >>> train_model(phantom, "trained", **small).model_path.name
        'model.keras'
    """
    build = find_model(model, {**MODELS, **VOLUME_MODELS})
    encoder = "weights" in inspect.signature(build).parameters
    dataset = open_own(data, out, options)
    if model in VOLUME_MODELS:
        if image_size:
            raise InputError(f"--image-size: is of images; {model} takes --patch-size")
        check_volumes(dataset)
        size = _checked("--patch-size", patch_size or PATCH_SIZE, 3)
    else:
        if patch_size:
            volume_models = " or ".join(VOLUME_MODELS)
            raise InputError(f"--patch-size: is of volumes, for --model {volume_models}")
        size = _checked("--image-size", image_size or dataset.info.image_size, 4 + encoder)
    initial = weights if encoder else None
    settings = TrainingSettings(
        model,
        epochs,
        batch_size,
        1e-3,
        weights=initial,
        precision=resolve_precision(precision),
        seed=seed,
    )
    split = hold_out(dataset, seed)
    names = class_titles(dataset.info)
    info = describe("segmentation", dataset, split, settings, size, names)
    load = (
        partial(_load_patches, patch_size=size, batch_size=batch_size)
        if model in VOLUME_MODELS
        else partial(load_dataset, image_size=(size[0], size[1]), batch_size=batch_size)
    )

    def build_compiled() -> keras.Model:
        given: dict[str, Any] = {"weights": initial} if encoder else {}
        shape = (*size, dataset.info.channels)
        network = with_weights(build, initial, shape, dataset.info.classes, **given)
        loss = LOSSES["cross_entropy"](dataset.info.classes)
        network.compile(Adam(settings.learning_rate), loss, metrics=[Jaccard(), Dice()])
        return network

    events = Path(out) / "tensorboard" if tensorboard else None
    return fit_and_test(
        Path(out), dataset, split, settings, info, build_compiled, load, score_images, events
    )


def _checked(flag: str, size: tuple[int, ...], poolings: int) -> tuple[int, ...]:
    try:
        check_sides(size, poolings)
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from None
    return size


def _load_patches(
    part: tuple[ImageDataset, Sequence[str]], *, shuffle: bool = False, **options: Any
) -> Any:
    """Random patches to train, anew in every epoch; the same ones to validate."""
    return load_patches(*part, fixed=not shuffle, **options)


def class_titles(info: DatasetInfo) -> tuple[str, ...]:
    """Names of what a network's outputs stand for, as `ModelInfo` has them.

    Args:
        info: Of the dataset on which it is trained.

    Example:
        >>> from sharpunet.data import DatasetInfo
        >>> from sharpunet.fitting import class_titles
        >>> class_titles(DatasetInfo("polyps", "Polyps", (64, 64), 3))
        ('foreground',)
    """
    if info.classes == 1:
        return info.class_names[1:] or ("foreground",)
    return info.class_names or (
        "background",
        *(f"class {index}" for index in range(1, info.classes)),
    )
