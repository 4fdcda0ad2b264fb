"""Tables of chapter 2: classifiers in several conditions on one dataset."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.classification.conditions import BAGGED_TREES, LOSSES, Condition, trial_title
from experiments.classification.protocols import ClassifierProtocol, CycleGANConfig
from experiments.classification.splits import Split, split_images
from experiments.common.cli import (
    add_common_arguments,
    bounded_int,
    non_negative_float,
    positive_float,
)
from experiments.common.conclusions import Question
from experiments.common.own_models import (
    HELP,
    accepted,
    check_model,
    display_names,
    is_own,
    load_builder,
    model_name,
    rename_models,
)
from experiments.common.published import CLASSIFIER_TITLES
from experiments.common.table import Table, prepare_dataset
from experiments.common.weights import file_hash, initial_weights
from melanet import lazy
from melanet.data import BUILDERS, ImageDataset, InputError, prepare
from melanet.data.builders import POSITIVE_HELP
from melanet.data.groups import GROUP_BY_HELP
from melanet.data.own import warn_of_contradictions
from melanet.precision import resolve_precision

if TYPE_CHECKING:
    from experiments.classification import conclusions, report
    from experiments.classification.synthesis import SyntheticSetStage
    from experiments.classification.trial import ClassifierSettings, ClassifierTrial
    from experiments.common.conclusions import Comparison, Conclusions
    from experiments.common.report import Figures, Section
    from melanet import distribution
else:
    conclusions = lazy.module("experiments.classification.conclusions")
    report = lazy.module("experiments.classification.report")
    distribution = lazy.module("melanet.distribution")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationTable(Table):
    """A table of chapter 2 as data.

    Attributes:
        protocols: What each protocol does, by name.
        datasets: The dataset that is classified; then those whose synthetic images can join.
        models: Names of the classifiers that are run by default.
        model_choices: Names of all that can be run.
        conditions: What they are trained on.
        condition_header: Heading of the conditions in the table.
        loss: As in `ClassifierSettings`, unless an option says otherwise.
        metrics: Headings of the metrics in the table, by name.
        published_cells: From model and condition to the thesis's cells, by heading; None if it
            prints nothing.
        questions: What is asked of its records.
        figures: Draws the figures of the section.
        caption: What a reader must know of the table.
        default_data: Default of `--data`; it must be given if None.
    """

    protocols: Mapping[str, ClassifierProtocol]
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    model_choices: tuple[str, ...]
    conditions: tuple[Condition, ...]
    metrics: Mapping[str, str]
    published_cells: Callable[[str, str], dict[str, str] | None]
    figures: Callable[[report.Results], Figures]
    questions: tuple[Question, ...] = ()
    condition_header: str = "Trained on"
    loss: str = "focal"
    caption: str = ""
    default_data: Path | None = None

    @property
    def trial(self) -> type[ClassifierTrial]:
        """What trains and tests one classifier."""
        from experiments.classification.trial import ClassifierTrial

        return ClassifierTrial

    @property
    def scoring(self) -> report.Scoring:
        """What its page says of records."""
        return report.TWO_CLASSES

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the conditions by name."""
        return {condition.name: condition.title for condition in self.conditions}

    def add_arguments(self, parser: argparse.ArgumentParser, out: Path) -> None:
        add = parser.add_argument
        add("--data", type=Path, default=self.default_data, required=self.default_data is None,
            help="folder with one folder per dataset: its official download, a dataset, or images "
            "of your own in classes")  # fmt: skip
        add("--datasets", "--dataset", nargs=len(self.datasets), default=list(self.datasets),
            metavar=("OWN", "OTHER")[: len(self.datasets)], help="the dataset, then those whose "
            "synthetic images can join it; phantoms need no download")  # fmt: skip
        add("--positive", metavar="CLASS", help=POSITIVE_HELP)
        add("--group-by", default="", metavar="REGEX", help=GROUP_BY_HELP)
        add("--models", "--model", nargs="+", default=list(self.models), metavar="NAME",
            type=model_name(self.model_choices),
            help=f"{', '.join(self.model_choices)}, {HELP}")  # fmt: skip
        add("--conditions", nargs="+", default=list(self.titles), choices=self.titles,
            metavar="NAME", help=", ".join(self.titles))  # fmt: skip
        add("--protocol", choices=self.protocols, default="thesis")
        add("--weights", default="imagenet", help="imagenet, none, or a weights file")
        add("--repeats", type=bounded_int(1, 1000), default=1, help="seeds; the thesis trains once")
        add("--epochs", type=bounded_int(1),
            help="at most, early stopping may end sooner; default: the protocol's")  # fmt: skip
        pair = ("GENERATOR", "DISCRIMINATOR")
        of_protocol = "default: the protocol's"
        add("--equal-steps", action=argparse.BooleanOptionalAction, default=False,
            help="every condition takes as many optimizer steps as the real images alone in all "
            "their epochs, without early stopping; default: as many epochs")  # fmt: skip
        add("--loss", choices=LOSSES, default=self.loss, help="default: %(default)s")
        add("--gan-epochs", type=bounded_int(1), help=of_protocol)
        add("--gan-batch-size", type=bounded_int(1), help=of_protocol)
        add("--gan-filters", type=bounded_int(1, 1024), nargs=2, metavar=pair,
            help=f"filters of their first blocks; {of_protocol}")  # fmt: skip
        add("--gan-rates", type=positive_float, nargs=2, metavar=pair,
            help=f"learning rates of Adam; {of_protocol}")  # fmt: skip
        add("--gan-norm", choices=("instance", "layer"),
            help="layer, which is the released code's, leaves the colours of an image as they are; "
            f"{of_protocol}")  # fmt: skip
        add("--gan-decay", action="store_const", const=True,
            help="let the learning rates of the CycleGAN fall linearly to 0; default: constant, as "
            "in the thesis")  # fmt: skip
        add("--adversarial-loss", choices=("log", "least_squares"), help=of_protocol)
        add("--identity-weight", type=non_negative_float, help=of_protocol)
        add_common_arguments(parser, out)

    def prepare(self, options: argparse.Namespace) -> list[ImageDataset]:
        if options.group_by and all(name in BUILDERS for name in options.datasets):
            raise InputError(
                "--group-by: is for images of your own; name their folder by --datasets, or leave "
                "it out"
            )
        return [_prepared(name, options) for name in options.datasets]

    def plan(
        self, datasets: Sequence[ImageDataset], options: argparse.Namespace
    ) -> list[ClassifierTrial]:
        """The trials of every seed, model and condition.

        All datasets are split as one, by patient: else a synthetic image could be made from, or a
        CycleGAN trained with, an image of somebody who is tested.

        Raises:
            InputError: If a size or weights do not suit the networks, or a class cannot be split.
        """
        self.check_classes(datasets)
        models, protocol = list(dict.fromkeys(options.models)), self.protocols[options.protocol]
        display_names(models, CLASSIFIER_TITLES)  # before hours of training
        settings = {model: self._settings(datasets[0], options, model) for model in models}
        config = cyclegan_config(protocol.cyclegan, options)
        trials = []
        for seed in range(options.seed, options.seed + options.repeats):
            splits = [
                split_images(dataset, protocol, seed, [d for d in datasets if d is not dataset])
                for dataset in datasets
            ]
            stages = tuple(
                dataclasses.replace(
                    _synthetic_stage(dataset, split, settings[models[0]], config, seed),
                    log_events=options.tensorboard,
                )
                for dataset, split in zip(datasets, splits, strict=True)
            )
            for model in models:
                of_model = [
                    self.trial(
                        datasets[0],
                        condition,
                        splits[0],
                        settings[model],
                        seed,
                        stages[: condition.synthetic_sets],
                        options.save_models,
                        options.tensorboard,
                    )
                    for condition in self.conditions
                ]
                trials += choose_trials(of_model, options.conditions)
        return trials

    def check_classes(self, datasets: Sequence[ImageDataset]) -> None:
        """Checks that the datasets have the classes that the table is about.

        Raises:
            InputError: If they have others.
        """
        _check_positive_class(datasets)
        if len(labels := datasets[0].info.labels) != 2:
            raise InputError(
                f"{datasets[0].folder}: has {len(labels)} classes; two are expected. "
                "python -m experiments.table_multiclass takes more"
            )

    def report(
        self,
        datasets: Sequence[ImageDataset],
        trials: Sequence[ClassifierTrial],  # type: ignore[override]
        records: Sequence[dict[str, Any]],
        out: Path,
    ) -> Section:
        names = display_names((trial.settings.model for trial in trials), CLASSIFIER_TITLES)
        renamed = rename_models(records, names)
        return report.make_section(report.Results(self, datasets, trials, renamed, out))

    def trial_titles(self, options: argparse.Namespace) -> list[str]:
        return [
            trial_title(options.datasets[0], model, condition, seed)
            for seed in range(options.seed, options.seed + options.repeats)
            for model in dict.fromkeys(options.models)
            for condition in self.titles
            if condition in options.conditions
        ]

    def conclude(
        self, records: Sequence[dict[str, Any]], options: argparse.Namespace
    ) -> Conclusions:
        return conclusions.conclude(self, records, options)

    def compare_protocols(self, records: Sequence[dict[str, Any]]) -> list[Comparison]:
        return conclusions.compare_protocols(self, records)

    def _settings(
        self, dataset: ImageDataset, options: argparse.Namespace, model: str
    ) -> ClassifierSettings:
        from experiments.classification.trial import ClassifierSettings

        size = tuple(options.image_size or dataset.info.image_size)
        if any(side % 16 or side < 32 for side in size):
            raise InputError(
                f"--image-size {size[0]} {size[1]}: must be multiples of 16, 32 or more"
            )
        classes = len(dataset.info.labels)
        protocol = self.protocols[options.protocol]
        epochs = options.epochs or protocol.epochs
        weights = initial_weights(options.weights)
        preprocessing = "imagenet" if protocol.imagenet_preprocessing else "none"
        if is_own(model):
            shape = (*size, dataset.info.channels)
            used = _check_own(model, shape, classes, weights, preprocessing)
            weights, preprocessing = used.get("weights"), used.get("preprocessing", "none")
        elif not options.dry_run:
            _check_weights(model, weights, (*size, dataset.info.channels), classes)
        return ClassifierSettings(
            protocol=options.protocol,
            model=model,
            weights=weights,
            weights_sha256=file_hash(weights),
            epochs=epochs,
            batch_size=options.batch_size,
            image_size=size,
            precision=resolve_precision(options.precision),
            loss=options.loss,
            patience=epochs if options.equal_steps else protocol.patience,
            plateau=protocol.plateau,
            watch=protocol.watch,
            loss_form=protocol.loss_form,
            keep_aspect_ratio=protocol.keep_aspect_ratio,
            scaling=protocol.scaling,
            augmentation=protocol.augmentation,
            preprocessing=preprocessing,
            deterministic=options.deterministic,
            distribute=distribution.resolve(options.distribute),
            cache=options.cache,
            choose_threshold=protocol.choose_threshold,
            equal_steps=options.equal_steps,
        )


def choose_trials(
    trials: Sequence[ClassifierTrial], conditions: Sequence[str]
) -> list[ClassifierTrial]:
    """Trials of some of the conditions; one with SMOTE gets the network of the real images alone.

    Args:
        trials: One of each condition, otherwise alike.
        conditions: Names of those that are run.

    Raises:
        InputError: If SMOTE is wanted and imbalanced-learn is not installed.
    """
    chosen = [trial for trial in trials if trial.condition.name in conditions]
    if all(trial.condition.balance != "smote" for trial in chosen):
        return chosen
    from experiments.classification.balancing import load_smote

    load_smote()  # reported before hours of training
    plain = next(trial for trial in trials if trial.condition.is_plain)
    saved = dataclasses.replace(plain, save_model=True)

    def with_network(trial: ClassifierTrial) -> ClassifierTrial:
        if trial.condition.balance == "smote":
            return dataclasses.replace(trial, network=saved)
        return saved if trial is plain else trial

    return [with_network(trial) for trial in chosen]


def cyclegan_config(own: CycleGANConfig, options: argparse.Namespace) -> CycleGANConfig:
    """How the CycleGAN is trained: as the protocol's own, unless an option says otherwise."""
    chosen = {
        "epochs": options.gan_epochs,
        "batch_size": options.gan_batch_size,
        "filters": options.gan_filters and tuple(options.gan_filters),
        "rates": options.gan_rates and tuple(options.gan_rates),
        "adversarial_loss": options.adversarial_loss,
        "identity_weight": options.identity_weight,
        "norm": options.gan_norm,
        "decay": options.gan_decay,
    }
    changes = {name: value for name, value in chosen.items() if value is not None}
    return dataclasses.replace(own, **changes)


def _prepared(name: str, options: argparse.Namespace) -> ImageDataset:
    # Chapter 3 has a phantom too: the datasets of chapter 2 are kept in a folder of their own.
    folder = options.prepared / "melanet" / name
    builder = BUILDERS.get(name)
    if builder is not None and builder.folders:  # made of several downloads side by side
        return prepare_dataset(
            options.data, name, folder, lambda _, folder: prepare(name, options.data, folder)
        )
    group_by = "" if builder is not None else options.group_by
    build = partial(prepare, name, positive=options.positive, group_by=group_by)
    flags = {"--positive": options.positive, "--group-by": group_by}
    given = " and ".join(flag for flag, value in flags.items() if value)
    dataset = prepare_dataset(options.data, name, folder, build, given)
    if builder is None:
        warn_of_contradictions(dataset)
    return dataset


def _synthetic_stage(
    dataset: ImageDataset,
    split: Split,
    settings: ClassifierSettings,
    config: CycleGANConfig,
    seed: int,
) -> SyntheticSetStage:
    from experiments.classification.synthesis import SyntheticSetStage

    # Devices can share a batch that has an image of each class for every one of them.
    replicas = distribution.count_replicas(distribution.make_strategy(settings.distribute))
    return SyntheticSetStage(
        dataset=dataset,
        train=split.train,
        cyclegan=config,
        image_size=settings.image_size,
        keep_aspect_ratio=settings.keep_aspect_ratio,
        precision=settings.precision,
        deterministic=settings.deterministic,
        seed=seed,
        distribute=settings.distribute if config.batch_size >= replicas else "none",
        cache=settings.cache,
    )


def _check_positive_class(datasets: Sequence[ImageDataset]) -> None:
    positive = datasets[0].info.labels[-1:]
    for other in datasets[1:]:
        if other.info.labels[-1:] != positive:
            raise InputError(
                f"--datasets: {other.info.name} translates to {''.join(other.info.labels[-1:])}, "
                f"not to {''.join(positive)}; all must have the same positive class"
            )


def _check_own(
    model: str,
    input_shape: tuple[int, int, int],
    classes: int,
    weights: str | None,
    preprocessing: str,
) -> dict[str, Any]:
    """Checks a classifier of one's own; returns those of the options that it takes."""
    from melanet.explain import features

    build = load_builder(model)
    options = accepted(build, weights=weights, preprocessing=preprocessing)
    network = check_model(model, build, input_shape, classes, (classes,), **options)
    try:
        features(network, np.zeros((1, *input_shape), "float32"))
    except ValueError as error:
        raise InputError(f"--models {model}: {error}") from None
    return options


def _check_weights(
    model: str, weights: str | None, input_shape: tuple[int, ...], classes: int
) -> None:
    """Builds the classifier once: unsuitable weights are reported before hours of work."""
    from melanet.classifiers import CLASSIFIERS
    from melanet.trees import BaggedTrees

    build = BaggedTrees if model == BAGGED_TREES else CLASSIFIERS[model]
    try:
        build(input_shape, classes, weights=weights)
    except ValueError as error:
        raise InputError(f"--weights {weights}: {error}") from None
    except Exception as error:  # Keras has no class of its own for a failed download
        raise InputError(
            f"--weights {weights}: cannot be downloaded ({error}); give a weights file, or none"
        ) from None
