"""Tables of chapter 2 on several classes (section 4.3.1): what differs from two."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.classification.table import ClassificationTable
from melanet import lazy
from melanet.data import BUILDERS, ImageDataset, InputError

if TYPE_CHECKING:
    from experiments.classification import multiclass_report, multiclass_trial, report
    from experiments.classification.trial import ClassifierTrial
    from experiments.common.conclusions import Conclusions
    from experiments.common.report import Section
    from melanet import synthesis
else:
    multiclass_report = lazy.module("experiments.classification.multiclass_report")
    multiclass_trial = lazy.module("experiments.classification.multiclass_trial")
    synthesis = lazy.module("melanet.synthesis")

#: What generated images take, from random weights, in minutes; `--help` and the page name it.
PHANTOM_OPTIONS = {
    "models": ["experiments.classification.small:small_gap"],
    "weights": "none",
    "image_size": (32, 32),
    "epochs": 20,
    "gan_epochs": 18,
    "gan_filters": (16, 16),
    "gan_rates": (1e-3, 1e-3),
    "gan_norm": "layer",
    "gan_decay": True,
    "adversarial_loss": "least_squares",
    "identity_weight": 5.0,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MulticlassTable(ClassificationTable):
    """A table of several classes as data: one StarGAN fills all of them up to the largest.

    Attributes:
        See `ClassificationTable`. The page adds the sensitivity of each class to `metrics`.
    """

    @property
    def trial(self) -> type[ClassifierTrial]:
        return multiclass_trial.MulticlassTrial

    @property
    def scoring(self) -> report.Scoring:
        return multiclass_report.SEVERAL_CLASSES

    def add_arguments(self, parser: argparse.ArgumentParser, out: Path) -> None:
        super().add_arguments(parser, out)
        parser.set_defaults(
            protocol="clean", equal_steps=True, repeats=3, models=None, weights=None
        )
        parser.epilog = (
            f"{parser.epilog}. Options of generated images, which are the default: "
            f"{_as_words(PHANTOM_OPTIONS)}. Of others: --models {' '.join(self.models)} --weights "
            "imagenet, and the rest is the protocol's"
        )

    def complete(self, options: argparse.Namespace) -> argparse.Namespace:
        builder = BUILDERS.get(options.datasets[0])
        generated = builder is not None and builder.generated
        others = {"models": list(self.models), "weights": "imagenet"}
        defaults = PHANTOM_OPTIONS if generated else others
        for name, value in defaults.items():
            if getattr(options, name) is None:
                setattr(options, name, value)
        return options

    def check_classes(self, datasets: Sequence[ImageDataset]) -> None:
        if len(labels := datasets[0].info.labels) < 3:
            raise InputError(
                f"{datasets[0].folder}: has {len(labels)} classes; three or more are expected. "
                "python -m experiments.table_oversampling takes two"
            )

    def plan(
        self, datasets: Sequence[ImageDataset], options: argparse.Namespace
    ) -> list[ClassifierTrial]:
        trials = super().plan(datasets, options)
        for trial in trials:
            for stage in trial.synthetic_stages:
                synthesis.check_imbalance(stage.dataset, stage.train)
        return trials

    def report(
        self,
        datasets: Sequence[ImageDataset],
        trials: Sequence[ClassifierTrial],  # type: ignore[override]
        records: Sequence[dict[str, Any]],
        out: Path,
    ) -> Section:
        table = self._of_classes(records)
        return super(MulticlassTable, table).report(datasets, trials, records, out)

    def conclude(
        self, records: Sequence[dict[str, Any]], options: argparse.Namespace
    ) -> Conclusions:
        return super(MulticlassTable, self._of_classes(records)).conclude(records, options)

    def _of_classes(self, records: Sequence[dict[str, Any]]) -> MulticlassTable:
        """The table with a column for each class."""
        columns = {
            f"sensitivity_{n}": name for n, name in enumerate(records[0]["dataset"]["labels"])
        }
        return dataclasses.replace(self, metrics={**self.metrics, **columns})


def _as_words(options: dict[str, Any]) -> str:
    """Options as one writes them on a command line."""
    words = []
    for name, value in options.items():
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words += map(str, value if isinstance(value, list | tuple) else [value])
    return " ".join(words)
