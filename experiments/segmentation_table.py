"""A table of chapter 3: models compared on datasets by a protocol's splits."""

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras

from experiments.published import Scores
from experiments.report import Section
from experiments.segmentation import Settings, Trial, has_encoder
from experiments.segmentation_report import make_section
from experiments.sweep import (
    EarlyExit,
    Parser,
    add_common_arguments,
    bounded_int,
    check_dataset_name,
    download_folder,
    list_trials,
    run_command,
    run_sweep,
    take_shard,
)
from experiments.trial import resolve_precision
from melanet.data.dataset import METADATA_FILE
from melanet.distribution import chief_first, make_strategy, resolve
from sharpunet import LOSSES, MODELS
from sharpunet.data import BUILDERS, ImageDataset, InputError, open_dataset, prepare
from sharpunet.losses import OF_WHOLE_BATCH
from sharpunet.models import check_sides
from sharpunet.splits import PROTOCOLS, splits

#: Every model with its sharp twin.
SHARP_PAIRS = (
    ("unet", "sharp_unet"),
    ("wide_unet", "wide_sharp_unet"),
    ("ternausnet16", "sharp_ternausnet16"),
    ("unet_resnet50", "sharp_unet_resnet50"),
)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of chapter 3 as data: what is compared on what, and what the thesis printed.

    Attributes:
        name, title: Of the command, and of the page.
        datasets, models: What is run unless the command says otherwise.
        published: Scores by dataset and model.
        pairs: Models whose difference is tested, `(baseline, contender)`.
        builders: Model builders by name.
    """

    name: str
    title: str
    datasets: Sequence[str]
    models: Sequence[str]
    published: dict[tuple[str, str], Scores]
    pairs: Sequence[tuple[str, str]] = SHARP_PAIRS
    builders: Mapping[str, Callable[..., keras.Model]] = dataclasses.field(
        default_factory=lambda: MODELS
    )


def run_table(table: Table, arguments: Sequence[str] | None = None) -> int:
    """The command line of a table, from official files to its report; returns the exit code."""
    options = parse(table, arguments)
    return run_command(lambda: [run(table, options)], options.out, table.title)


def run(table: Table, options: argparse.Namespace) -> Section:
    """Prepares, trains and reports.

    Raises:
        InputError: If something that the user gave is wrong.
        Finished: After a dry run.
    """
    make_strategy(options.distribute)  # that of several hosts must be the first thing made
    names = options.datasets or _datasets_there(table, options.data)
    sets = [prepare_dataset(name, options) for name in dict.fromkeys(names)]
    trials = plan(table, sets, options)
    if options.dry_run:
        list_trials(take_shard(trials, options.shard), options.out)
        raise EarlyExit
    records = run_sweep(trials, options.out, options.shard)
    return make_section(table, records, sets, options.out)


def plan(table: Table, sets: Sequence[ImageDataset], options: argparse.Namespace) -> list[Trial]:
    """The trials of every set, model and split, one dataset after another.

    Raises:
        InputError: If a size does not suit the models, or the images do not suffice.
    """
    builders = {model: table.builders[model] for model in options.models}
    weights = {
        model: options.weights if has_encoder(build) and options.weights != "none" else None
        for model, build in builders.items()
    }
    trials = []
    for dataset in sets:
        size = tuple(options.image_size or dataset.info.image_size)
        for build in builders.values():
            _check_size(build, size)
        settings = Settings(
            protocol=options.protocol,
            epochs=options.epochs,
            batch_size=options.batch_size,
            image_size=size,
            precision=resolve_precision(options.precision),
            deterministic=options.deterministic,
            distribute=_distribute(options),
            loss=options.loss,
        )
        protocol = {"folds": options.folds, "repeats": options.repeats}
        for split in splits(dataset.metadata, options.protocol, **protocol):
            for model, build in builders.items():
                own = dataclasses.replace(settings, weights=weights[model])
                trials.append(Trial(dataset, model, split, own, options.seed, build))
    if not options.dry_run:
        waiting = [trial for trial in trials if not trial.record_path(options.out).exists()]
        for model in dict.fromkeys(trial.model for trial in waiting if trial.settings.weights):
            _check_weights(model, builders[model], options.weights)
    return trials


def _distribute(options: argparse.Namespace) -> str:
    """How a batch is shared; not at all where the loss is of the whole batch."""
    distribute = resolve(options.distribute)
    if options.loss not in OF_WHOLE_BATCH or distribute == "none":
        return distribute
    if options.distribute == "auto":
        return "none"
    raise InputError(
        f"--loss {options.loss}: is of the whole batch, which devices cannot share; say "
        "--distribute none"
    )


def _check_size(build: Callable[..., keras.Model], size: tuple[int, int]) -> None:
    try:
        check_sides(size, 5 if has_encoder(build) else 4)
    except ValueError as error:
        raise InputError(f"--image-size: {error}") from None


def _datasets_there(table: Table, data: Path) -> list[str]:
    """The table's datasets of which `data` has the folder; the others are named."""
    generated = {name for name, source in BUILDERS.items() if source.generated}
    there = [
        name for name in table.datasets if name in generated or download_folder(data, name).is_dir()
    ]
    missing = [name for name in table.datasets if name not in there]
    if not there:
        raise InputError(f"--data {data}: has none of the folders {', '.join(missing)}; see --help")
    if missing:
        print(f"{data} has no folder {', '.join(missing)}: left out")
    return there


def _check_weights(model: str, build: Callable[..., keras.Model], weights: str) -> None:
    """Builds the model once: weights that do not come are said before hours of work."""
    try:
        build((32, 32, 3), weights=weights)
    except Exception as error:  # Keras has no class of its own for a failed download
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"--weights {weights}: those of {model} cannot be had ({reason}); say none for "
            "random weights"
        ) from None


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of how a segmentation model starts and what it minimises."""
    add = parser.add_argument
    add("--weights", choices=("imagenet", "none"), default="imagenet",
        help="of the encoders of TernausNet and ResNet-50 at the start")  # fmt: skip
    add("--loss", choices=LOSSES, default="cross_entropy")


def parse(table: Table, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a table's command line; defaults are the thesis's."""
    parser = Parser(
        prog=f"python -m experiments.{table.name}",
        info=table.title,
        epilog="; ".join(f"{name}: {meaning}" for name, meaning in PROTOCOLS.items()),
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with a folder for each dataset: its "
        "official download, a prepared set, or images and masks of your own")  # fmt: skip
    add("--datasets", nargs="+", metavar="NAME",
        help=f"default: those of {', '.join(table.datasets)} that are there")  # fmt: skip
    add("--models", nargs="+", default=list(table.models), choices=table.builders, metavar="NAME",
        help=", ".join(table.builders))  # fmt: skip
    add_training_arguments(parser)
    add("--folds", type=bounded_int(2), default=5, help="default: %(default)s")
    add("--repeats", type=bounded_int(1, 1000), default=5, help="default: %(default)s")
    add("--epochs", type=bounded_int(1), default=200,
        help="at most, early stopping may end sooner; default: %(default)s")  # fmt: skip
    add("--protocol", choices=PROTOCOLS, default="thesis")
    add_common_arguments(parser, Path("results") / table.name)
    return parser.parse_args(arguments)


def prepare_dataset(name: str, options: argparse.Namespace) -> ImageDataset:
    """The dataset `name` in `--data`, made ready in `--prepared` if it is a download."""
    download = download_folder(options.data, name)
    if (download / METADATA_FILE).is_file():
        dataset = open_dataset(download)
        check_dataset_name(dataset, name)
    else:
        with chief_first():
            dataset = prepare(name, download, options.prepared / name)
    dataset.verify()
    return dataset
