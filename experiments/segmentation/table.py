"""Tables of chapter 3: segmentation networks compared on datasets by a protocol's splits."""

from __future__ import annotations

import argparse
import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import sharpunet
from experiments.common.cli import add_common_arguments, bounded_int, download_folder
from experiments.common.conclusions import Claim
from experiments.common.own_models import (
    HELP,
    check_model,
    display_names,
    find_builder,
    is_own,
    model_name,
    rename_models,
)
from experiments.common.published import MODEL_TITLES, Scores
from experiments.common.table import Table, prepare_dataset
from experiments.common.weights import file_hash, initial_weights
from experiments.segmentation.protocols import (
    SEGMENTATION_PROTOCOLS,
    SegmentationProtocol,
    trial_title,
)
from melanet import lazy
from melanet.data.groups import group_copies
from melanet.precision import resolve_precision
from sharpunet.data import BUILDERS, ImageDataset, InputError, OwnOptions, prepare
from sharpunet.data.folder import GROUPS_CURE, add_own_arguments, own_options
from sharpunet.data.vanishing import warn_of_vanished
from sharpunet.names import LOSS_NAMES, MODEL_NAMES, OF_WHOLE_BATCH
from sharpunet.splits import splits

if TYPE_CHECKING:
    from experiments.common.conclusions import Comparison, Conclusions
    from experiments.common.report import Section
    from experiments.segmentation import conclusions, report
    from experiments.segmentation.trial import (
        ModelBuilder,
        SegmentationSettings,
        SegmentationTrial,
    )
    from melanet import distribution
else:
    conclusions = lazy.module("experiments.segmentation.conclusions")
    report = lazy.module("experiments.segmentation.report")
    distribution = lazy.module("melanet.distribution")

Shape = tuple[int, ...]
#: Every model with its sharp twin.
SHARP_PAIRS = (
    ("unet", "sharp_unet"),
    ("wide_unet", "wide_sharp_unet"),
    ("ternausnet16", "sharp_ternausnet16"),
    ("unet_resnet50", "sharp_unet_resnet50"),
)
SHARP_CLAIM = Claim("sharp skip connections segment better than plain ones", "section 3.3.5")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationTable(Table):
    """A table of chapter 3 as data: what is compared on what, and what the thesis prints.

    Attributes:
        datasets: Names of the datasets that are run by default, where they are there.
        models: Names of the models that are run by default.
        published: The thesis's scores by dataset and model.
        pairs: Models whose difference is tested, `(baseline, contender)`.
        claims: What a gain over a baseline is evidence for, by the baseline, if it is not
            `SHARP_CLAIM`.
        builders: Model builders by name.
    """

    protocols: Mapping[str, SegmentationProtocol] = dataclasses.field(
        default_factory=lambda: SEGMENTATION_PROTOCOLS
    )
    datasets: Sequence[str]
    models: Sequence[str]
    published: Mapping[tuple[str, str], Scores]
    pairs: Sequence[tuple[str, str]] = SHARP_PAIRS
    claims: Mapping[str, Claim] = dataclasses.field(default_factory=dict)
    builders: Mapping[str, ModelBuilder] = dataclasses.field(
        default_factory=lambda: lazy.LazyMapping(MODEL_NAMES, lambda: sharpunet.MODELS)
    )

    def add_arguments(self, parser: argparse.ArgumentParser, out: Path) -> None:
        add = parser.add_argument
        generated = all(map(_is_generated, self.datasets))
        add("--data", type=Path, required=not generated, default=Path(), help="folder with one "
            "folder per dataset: its official download, a dataset, or images and masks of your own"
            + "; generated ones need none" * generated)  # fmt: skip
        add("--datasets", "--dataset", nargs="+", metavar="NAME",
            help=f"default: those of {', '.join(self.datasets)} that are there")  # fmt: skip
        add("--models", nargs="+", default=list(self.models), type=model_name(self.builders),
            metavar="NAME", help=f"{', '.join(self.builders)}, {HELP}")  # fmt: skip
        add("--weights", default="imagenet", help="initial weights of the encoders of TernausNet "
            "and ResNet-50: imagenet, none, or a file: of an encoder without its top, as Keras "
            "publishes it, or of a whole model; then name the --models that it fits")  # fmt: skip
        add("--loss", choices=LOSS_NAMES, default="cross_entropy", help="default: %(default)s")
        add("--folds", type=bounded_int(2), default=5, help="default: %(default)s")
        add("--repeats", type=bounded_int(1, 1000), default=5, help="default: %(default)s")
        add("--epochs", type=bounded_int(1),
            help="at most, early stopping may end sooner; default: the protocol's")  # fmt: skip
        add("--protocol", choices=self.protocols, default=next(iter(self.protocols)))
        add_own_arguments(parser)
        add_common_arguments(parser, out, self.sides, self.size_help)

    def prepare(self, options: argparse.Namespace) -> list[ImageDataset]:
        names = list(dict.fromkeys(options.datasets or self._datasets_there(options.data)))
        own = own_options(options)
        if own != OwnOptions() and all(name in BUILDERS for name in names):
            raise InputError(
                "--classes, --colours and --group-by: are for images of your own; name their "
                "folder by --datasets, or leave these flags out"
            )
        datasets = []
        for name in names:
            given = OwnOptions() if name in BUILDERS else own
            build = partial(prepare, name, options=given)
            folder, flags = options.prepared / name, given.flags()
            dataset = prepare_dataset(options.data, name, folder, build, flags)
            datasets.append(self.finish_dataset(dataset, options))
        return datasets

    def finish_dataset(self, dataset: ImageDataset, options: argparse.Namespace) -> ImageDataset:
        """The dataset as the protocol splits it, after a look at what might be lost."""
        keep = self.protocols[options.protocol].keep_aspect_ratio
        warn_of_vanished(dataset, options.image_size, keep)
        return _grouped(dataset) if options.protocol == "clean" else dataset

    def plan(
        self, datasets: Sequence[ImageDataset], options: argparse.Namespace
    ) -> list[SegmentationTrial]:
        """The trials of every dataset, split and model.

        Raises:
            InputError: If a size does not suit the models, or there are too few images.
        """
        from experiments.segmentation.trial import has_encoder

        builders = {name: find_builder(name, self.builders) for name in options.models}
        display_names(builders, MODEL_TITLES)  # before hours of training
        protocol, trials = self.protocols[options.protocol], []
        for dataset in datasets:
            classes = dataset.info.classes
            size = tuple(options.image_size or self.default_size(dataset))
            for name, build in builders.items():
                self.check_model(name, build, (*size, dataset.info.channels), classes, options)
            settings = self.settings(
                options,
                protocol=options.protocol,
                epochs=options.epochs or protocol.epochs,
                batch_size=options.batch_size,
                image_size=size,
                precision=resolve_precision(options.precision),
                deterministic=options.deterministic,
                distribute=_distribute(options),
                cache=options.cache,
                loss=options.loss,
                watch=protocol.watch if classes == 1 else "val_loss",
                patience=protocol.patience if classes == 1 else protocol.multiclass_patience,
                plateau=protocol.plateau,
                keep_aspect_ratio=protocol.keep_aspect_ratio,
            )
            numbers = {"folds": options.folds, "repeats": options.repeats, "classes": classes}
            for split in splits(dataset.metadata, options.protocol, **numbers):
                for name, build in builders.items():
                    weights = initial_weights(options.weights) if has_encoder(build) else None
                    own = dataclasses.replace(
                        settings, weights=weights, weights_sha256=file_hash(weights)
                    )
                    trials.append(
                        self.trial(
                            dataset,
                            name,
                            split,
                            own,
                            build,
                            options.seed,
                            options.save_models,
                            options.tensorboard,
                        )
                    )
        if not options.dry_run:
            waiting = [trial for trial in trials if not trial.record_path(options.out).exists()]
            pretrained = {trial.model: trial for trial in waiting if trial.settings.weights}
            for name, trial in pretrained.items():
                if not is_own(name):
                    _check_weights(trial, options.weights)
        return trials

    sides: ClassVar[tuple[str, ...]] = ("H", "W")
    size_help: ClassVar[str] = "in pixels; default: the thesis's"

    @property
    def trial(self) -> type[SegmentationTrial]:
        """The class of its trainings."""
        from experiments.segmentation.trial import SegmentationTrial

        return SegmentationTrial

    def settings(self, options: argparse.Namespace, **settings: Any) -> SegmentationSettings:
        """Settings of a training, with those that only this kind of table has."""
        from experiments.segmentation.trial import SegmentationSettings

        return SegmentationSettings(**settings)

    def default_size(self, dataset: ImageDataset) -> tuple[int, ...]:
        """At which images are trained without `--image-size`."""
        return dataset.info.image_size

    def check_model(
        self,
        name: str,
        build: ModelBuilder,
        input_shape: tuple[int, ...],
        classes: int,
        options: argparse.Namespace,
    ) -> None:
        """Checks that a model suits the images.

        Raises:
            InputError: If it does not.
        """
        _check_model(name, build, input_shape, classes, options.weights)

    def report(
        self,
        datasets: Sequence[ImageDataset],
        trials: Sequence[SegmentationTrial],  # type: ignore[override]
        records: Sequence[dict[str, Any]],
        out: Path,
    ) -> Section:
        names = display_names((trial.model for trial in trials), MODEL_TITLES)
        first, *others = names.values()
        pairs = [(first, other) for other in others] if any(map(is_own, names)) else self.pairs
        published = self._published_beside(datasets)
        table = dataclasses.replace(self, pairs=pairs, published=published)
        return report.make_section(table, rename_models(records, names), datasets, out)

    def trial_titles(self, options: argparse.Namespace) -> list[str]:
        runs = self.protocols[options.protocol].runs(options.folds, options.repeats)
        return [
            trial_title(dataset, model, repeat, fold)
            for dataset in dict.fromkeys(options.datasets or self.datasets)
            for repeat, fold in runs
            for model in dict.fromkeys(options.models)
        ]

    def conclude(
        self, records: Sequence[dict[str, Any]], options: argparse.Namespace
    ) -> Conclusions:
        return conclusions.conclude(self, records, options)

    def compare_protocols(self, records: Sequence[dict[str, Any]]) -> list[Comparison]:
        return conclusions.compare_protocols(records)

    def _published_beside(
        self, datasets: Sequence[ImageDataset]
    ) -> Mapping[tuple[str, str], Scores]:
        """The thesis's scores; none beside own images alone, which it says nothing of."""
        return self.published if any(each.info.name in BUILDERS for each in datasets) else {}

    def _datasets_there(self, data: Path) -> list[str]:
        """The table's datasets whose folder is in `data`; the others are named.

        Where there is none, those of your own images.
        """
        there = [
            name
            for name in self.datasets
            if _is_generated(name) or download_folder(data, name).is_dir()
        ]
        missing = [name for name in self.datasets if name not in there]
        official = [name for name in there if not _is_generated(name)]
        generated = all(map(_is_generated, self.datasets))
        own = [] if official or generated else _own_datasets(data)
        if own:
            print(f"{data}: found images of your own in {', '.join(own)}")
            return own
        if not there:
            raise InputError(
                f"--data {data}: has none of the folders {', '.join(missing)}; see --help"
            )
        if missing:
            print(f"{data} has no folder {', '.join(missing)}: left out")
        return there


def _is_generated(name: str) -> bool:
    return name in BUILDERS and BUILDERS[name].generated


def _own_datasets(data: Path) -> list[str]:
    """Names of the folders in `data` that hold images and masks of your own."""
    return [
        path.name
        for path in sorted(data.iterdir())
        if path.name not in BUILDERS
        and not path.name.startswith(".")
        and (path / "images").is_dir()
        and (path / "masks").is_dir()
    ]


def _grouped(dataset: ImageDataset) -> ImageDataset:
    """The dataset as `clean` splits it: of one's own pictures, copies are one group.

    Warns where no groups of one's own images are known.
    """
    if dataset.info.name in BUILDERS:
        return dataset
    grouped = group_copies(dataset)
    if grouped.metadata["group"].is_unique:
        warnings.warn(
            f"{dataset.info.name}: no groups (patients, videos) are known, so that clean equals "
            f"thesis here; {GROUPS_CURE}",
            stacklevel=2,
        )
    return grouped


def _distribute(options: argparse.Namespace) -> str:
    """How a batch is shared; not at all where the loss is of the whole batch."""
    distribute = distribution.resolve(options.distribute)
    if options.loss not in OF_WHOLE_BATCH or distribute == "none":
        return distribute
    if options.distribute == "auto":
        return "none"
    raise InputError(
        f"--loss {options.loss}: is computed over the whole batch, which devices cannot share; use "
        "--distribute none"
    )


def _check_model(
    name: str, build: ModelBuilder, input_shape: Shape, classes: int, weights: str
) -> None:
    """Checks that a model suits the images, one's own by building it."""
    from experiments.segmentation.trial import has_encoder

    if not is_own(name):
        _check_size(build, input_shape[:2])
        return
    encoder = {"weights": initial_weights(weights)} if has_encoder(build) else {}
    check_model(name, build, input_shape, classes, (*input_shape[:2], classes), **encoder)


def _check_size(build: ModelBuilder, size: tuple[int, ...]) -> None:
    from experiments.segmentation.trial import has_encoder
    from sharpunet.models import check_sides

    try:
        check_sides(size, 5 if has_encoder(build) else 4)
    except ValueError as error:
        raise InputError(f"--image-size: {error}") from None


def _check_weights(trial: SegmentationTrial, weights: str) -> None:
    """Builds its model once: unavailable weights are reported before hours of work."""
    try:
        trial.build_model()
    except Exception as error:  # Keras has no class of its own for a failed download
        reason = str(error).strip().splitlines()[0]
        cure = "use none for random weights"
        if file_hash(weights):
            cure = f"name the --models that it fits, or {cure}"
        raise InputError(
            f"--weights {weights}: not available for {trial.model} ({reason}); {cure}"
        ) from None
