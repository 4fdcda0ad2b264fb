"""One model on one set of images: split, trained, saved with what it needs, and tested."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from melanet.checkpoint import EpochCheckpoint
from melanet.classifiers import CLASSIFIERS
from melanet.data import ImageDataset, InputError, load_dataset
from melanet.data.errors import os_errors_as_input_errors
from melanet.data.own import open_own
from melanet.data.pipelines import make_epoch_counter
from melanet.evaluation import Evaluation, score_images, warn_if_constant
from melanet.losses import WeightedCrossentropy
from melanet.optimizers import Adam
from melanet.precision import describe_precision, precision_policy, resolve_precision
from melanet.saving import ModelInfo, load_model, read_model_info, save_model, to_float32
from melanet.splits import Holdout, hold_out
from melanet.training import EpochBar, EventLog, seed_everything, train

MODEL_FILE = "model.keras"


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    Attributes:
        model: Name of the model.
        epochs: Epochs at most.
        batch_size: Images per batch.
        learning_rate: Of Adam; divided by ten when validation stops to improve for half of
            `patience`.
        patience: Epochs without a better validation loss after which training stops.
        weights: Initial weights: `"imagenet"`, a file, or None for random ones.
        precision: A Keras dtype policy.
        seed: Seed of the split, the weights and the order of the images.

    Example:
        >>> from melanet.fitting import TrainingSettings
        >>> TrainingSettings("vgg_gap", epochs=10, batch_size=8, learning_rate=1e-4).patience
        20
    """

    model: str
    epochs: int
    batch_size: int
    learning_rate: float
    patience: int = 20
    weights: str | None = None
    precision: str = "float32"
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained model and its scores on held-out images.

    Attributes:
        model_path: The `.keras` file.
        test: Scores of the held-out images.

    Example:
        >>> import pandas as pd
        >>> from pathlib import Path
        >>> from melanet.evaluation import Evaluation
        >>> from melanet.fitting import Fitted
        >>> Fitted(Path("out/model.keras"), Evaluation({}, pd.DataFrame())).model_path.name
        'model.keras'
    """

    model_path: Path
    test: Evaluation


def train_model(
    data: str | Path,
    out: str | Path,
    *,
    model: str = "vgg_gap",
    image_size: tuple[int, int] | None = None,
    epochs: int = 100,
    batch_size: int = 8,
    weights: str | Path | None = "imagenet",
    precision: str = "auto",
    seed: int = 0,
    tensorboard: bool = False,
    group_by: str = "",
    positive: str | None = None,
) -> Fitted:
    """Trains one classifier on images of one's own and tests it on a fifth of them.

    Whole groups (patients) are held out: a fifth to test, a tenth to validate, which stops the
    training. Rare classes weigh more. `out` gets `model.keras`, which says what it needs to be
    used, `scores.json` and `scores.csv` of the test images. Interrupted runs resume.

    Args:
        data: A folder per class, `images` with `labels.csv`, or a dataset.
        out: Folder of the results.
        model: A name in `melanet.CLASSIFIERS`.
        image_size: `(height, width)` in pixels, multiples of 16; the dataset's own if None.
        epochs: Epochs at most.
        batch_size: Images per batch.
        weights: `"imagenet"`, a file, or None for random ones.
        precision: A name in `melanet.precision.PRECISIONS`.
        seed: Seed of the split, the weights and the order of the images.
        tensorboard: Whether every epoch is logged in the folder `tensorboard` of `out`.
        group_by: Rule for groups, as in `melanet.data.groups.compile_rule`.
        positive: The positive class, as in `melanet.data.find_builder`.

    Raises:
        InputError: If an argument or an image is wrong, or `out` holds another model.

    Example:
        >>> from melanet import train_model
        >>> from melanet.data import prepare
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom").folder
        >>> small = {"image_size": (32, 32), "epochs": 1, "weights": None, "batch_size": 64}
        >>> train_model(lesions, "trained", **small).model_path.name
        'model.keras'
    """
    build = find_model(model, CLASSIFIERS)
    dataset = open_own(data, out, group_by, positive)
    size = image_size or dataset.info.image_size
    if any(side % 16 or side < 32 for side in size):
        raise InputError(f"--image-size {size[0]} {size[1]}: must be multiples of 16, 32 or more")
    weights = None if weights is None else str(weights)
    policy = resolve_precision(precision)
    settings = TrainingSettings(
        model, epochs, batch_size, 1e-4, weights=weights, precision=policy, seed=seed
    )
    split = hold_out(dataset, seed)
    info = describe("classification", dataset, split, settings, size, dataset.info.labels)
    shape = (*size, dataset.info.channels)
    options = {"weights": weights, "preprocessing": "imagenet"}
    load = partial(load_dataset, image_size=size, batch_size=batch_size)
    counts = Counter(dataset.values("label", split.train))
    balance = [len(split.train) / len(counts) / counts[label] for label in dataset.info.labels]

    def build_compiled() -> keras.Model:
        network = with_weights(build, weights, shape, len(balance), **options)
        adam = Adam(settings.learning_rate)
        network.compile(adam, WeightedCrossentropy(balance))
        return network

    events = Path(out) / "tensorboard" if tensorboard else None
    done = fit_and_test(
        Path(out), dataset, split, settings, info, build_compiled, load, score_images, events
    )
    warn_if_constant(done.model_path, info, done.test)
    return done


def find_model(name: str, builders: Any) -> Callable[..., keras.Model]:
    """The model builder called `name`.

    Raises:
        InputError: If there is none.

    Example:
        >>> from melanet import CLASSIFIERS
        >>> from melanet.fitting import find_model
        >>> find_model("vgg_gap", CLASSIFIERS).__name__
        'vgg_gap'
    """
    if name not in builders:
        raise InputError(f"--model {name}: is unknown; choose from {', '.join(builders)}")
    return builders[name]


def with_weights(
    build: Callable[..., keras.Model], given: str | None, *arguments: Any, **options: Any
) -> keras.Model:
    """Builds a model; weights that are not available are an InputError.

    Args:
        build: The model builder.
        given: The weights as the user gave them, for the message.
        *arguments: Of the builder.
        **options: Of the builder.

    Raises:
        InputError: If the weights cannot be had or do not fit.

    Example:
        >>> from melanet import vgg_gap
        >>> from melanet.fitting import with_weights
        >>> with_weights(vgg_gap, None, (32, 32, 3), 2, weights=None).name
        'vgg_gap'
    """
    if given is None:
        return build(*arguments, **options)
    try:
        return build(*arguments, **options)
    except Exception as error:  # Keras has no class of its own for a failed download
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"--weights {given}: not available ({reason}); use none for random weights"
        ) from None


def describe(
    task: Any,
    dataset: ImageDataset,
    split: Holdout,
    settings: TrainingSettings,
    image_size: Sequence[int],
    class_names: Sequence[str],
) -> ModelInfo:
    """What a model will say of itself: all that it needs, and all that made it.

    Args:
        task: As in `ModelInfo`.
        dataset: The images.
        split: The images of each part.
        settings: How it is trained.
        image_size: `(height, width)` in pixels; of windows of volumes, `(depth, height, width)`.
        class_names: As in `ModelInfo`.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.fitting import TrainingSettings, describe
        >>> from melanet.splits import hold_out
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> settings = TrainingSettings("vgg_gap", 10, 8, 1e-4)
        >>> labels = lesions.info.labels
        >>> describe(
        ...     "classification", lesions, hold_out(lesions), settings, (64, 64), labels
        ... ).dataset
        'phantom'
    """
    parts = dataclasses.asdict(split)
    return ModelInfo(
        task,
        tuple(map(int, image_size)),
        dataset.info.channels,
        tuple(class_names),
        keep_aspect_ratio=dataset.info.keep_aspect_ratio,
        dataset=dataset.info.name,
        dataset_fingerprint=dataset.fingerprint,
        training={
            **dataclasses.asdict(settings),
            "images": {name: len(ids) for name, ids in parts.items()},
            "split_sha256": hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        },
        spacing=dataset.info.spacing if len(image_size) == 3 else (),
    )


def fit_and_test(
    out: Path,
    dataset: ImageDataset,
    split: Holdout,
    settings: TrainingSettings,
    info: ModelInfo,
    build: Callable[[], keras.Model],
    load: Callable[..., Any],
    score: Callable[..., Evaluation],
    events: Path | None = None,
) -> Fitted:
    """Trains a model unless it is there already, saves it, and scores it on the test images.

    Args:
        out: Folder of the results.
        dataset: The images.
        split: The images of each part.
        settings: How it is trained.
        info: What the saved model says of itself.
        build: Makes the compiled model.
        load: The package's `load_dataset` with its image size and size of a batch.
        score: As in `melanet.evaluation.run_evaluation`.
        events: Folder of the logged epochs, if they are.

    Raises:
        InputError: If `out` holds another model, or the training diverged.

    Example:
        >>> from functools import partial
        >>> from pathlib import Path
        >>> import keras
        >>> from melanet.data import load_dataset, prepare
        >>> from melanet.evaluation import score_images
        >>> from melanet.fitting import TrainingSettings, describe, fit_and_test
        >>> from melanet.splits import hold_out
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> split, settings = hold_out(lesions), TrainingSettings("mean", 1, 32, 1e-3)
        >>> labels = lesions.info.labels
        >>> info = describe("classification", lesions, split, settings, (8, 8), labels)
        >>> def build():
        ...     pooled = [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()]
        ...     model = keras.Sequential([*pooled, keras.layers.Dense(2, "softmax")])
        ...     model.compile("adam", "categorical_crossentropy")
        ...     return model
        >>> load = partial(load_dataset, image_size=(8, 8), batch_size=32)
        >>> done = fit_and_test(
        ...     Path("mean"), lesions, split, settings, info, build, load, score_images
        ... )
        >>> len(done.test.images)
        75
    """
    path = out / MODEL_FILE
    if not _is_trained(path, info):
        model, checkpoint = _fit(out, dataset, split, settings, info, build, load, events)
        save_model(model, path, info, include_optimizer=False)
        checkpoint.remove()
    model = to_float32(load_model(path))
    test = score(model, info, dataset, split.test, settings.batch_size)
    test.write(out, info, precision=describe_precision(settings.precision))
    return Fitted(path, test)


def _fit(
    out, dataset, split, settings, info, build, load, events
) -> tuple[keras.Model, EpochCheckpoint]:
    seed_everything(settings.seed)
    counter = make_epoch_counter()
    batches = load((dataset, split.train), shuffle=True, seed=settings.seed, epoch_counter=counter)
    callbacks = [
        keras.callbacks.EarlyStopping(patience=settings.patience, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=max(1, settings.patience // 2)),
        EpochBar(settings.epochs, settings.model, "val_loss"),
        EventLog(events),
    ]
    name = hashlib.sha256(_identity(info).encode()).hexdigest()[:8]
    checkpoint = EpochCheckpoint(out / f".training-{name}.npz", callbacks, counter)
    with os_errors_as_input_errors("write", out):
        out.mkdir(parents=True, exist_ok=True)
    with precision_policy(settings.precision):
        model = train(
            build,
            batches,
            epochs=settings.epochs,
            checkpoint=checkpoint,
            validation_data=load((dataset, split.validation)),
            callbacks=callbacks,
        )
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise InputError(f"{out}: the training diverged; try --precision float32 or another --seed")
    return model, checkpoint


def _is_trained(path: Path, info: ModelInfo) -> bool:
    """Whether the model is there already.

    Raises:
        InputError: If another one is.
    """
    if not path.exists():
        return False
    found = read_model_info(path)
    if found is None or _identity(found) != _identity(info):
        raise InputError(
            f"{path}: was trained on other images or with other settings; choose another --out"
        )
    return True


def _identity(info: ModelInfo) -> str:
    """All that determines a model, but versions of packages."""
    values = {**dataclasses.asdict(info), "versions": None}
    if not info.spacing:  # models of images have none
        del values["spacing"]
    return json.dumps(values, sort_keys=True)
