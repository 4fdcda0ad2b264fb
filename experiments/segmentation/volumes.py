"""Tables of chapter 3 on volumes (section 4.3.3): what differs from images."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import sharpunet
from experiments.common.cli import bounded_int
from experiments.common.own_models import check_model, is_own
from experiments.segmentation.protocols import SEGMENTATION_PROTOCOLS, SegmentationProtocol
from experiments.segmentation.table import SegmentationTable
from melanet import lazy
from melanet.data import ImageDataset, InputError
from sharpunet.data.volumes import PATCH_SIZE, check_volumes
from sharpunet.names import VOLUME_MODEL_NAMES

if TYPE_CHECKING:
    from experiments.segmentation import volume_trial
    from experiments.segmentation.trial import ModelBuilder, SegmentationTrial
    from experiments.segmentation.volume_trial import VolumeSettings
else:
    volume_trial = lazy.module("experiments.segmentation.volume_trial")

EPOCHS = 20  # of several patches of every volume


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeTable(SegmentationTable):
    """A table of volumes as data. All slices of a volume are in one part of a split.

    Attributes:
        See `SegmentationTable`.
    """

    protocols: Mapping[str, SegmentationProtocol] = dataclasses.field(
        default_factory=lambda: {
            "clean": dataclasses.replace(SEGMENTATION_PROTOCOLS["clean"], epochs=EPOCHS)
        }
    )
    builders: Mapping[str, ModelBuilder] = dataclasses.field(
        default_factory=lambda: lazy.LazyMapping(
            VOLUME_MODEL_NAMES, lambda: sharpunet.VOLUME_MODELS
        )
    )
    sides: ClassVar[tuple[str, ...]] = ("D", "H", "W")
    size_help: ClassVar[str] = (
        f"of patches and windows, in voxels; default: {' '.join(map(str, PATCH_SIZE))}"
    )

    @property
    def trial(self) -> type[SegmentationTrial]:
        return volume_trial.VolumeTrial

    def add_arguments(self, parser: argparse.ArgumentParser, out: Path) -> None:
        super().add_arguments(parser, out)
        parser.add_argument("--patches", type=bounded_int(1), default=4,
            help="of every volume in an epoch; default: %(default)s")  # fmt: skip
        parser.set_defaults(batch_size=2, folds=3, repeats=1)

    def finish_dataset(self, dataset: ImageDataset, options: argparse.Namespace) -> ImageDataset:
        check_volumes(dataset)
        return dataset

    def settings(self, options: argparse.Namespace, **settings: Any) -> VolumeSettings:
        return volume_trial.VolumeSettings(patches=options.patches, **settings)

    def default_size(self, dataset: ImageDataset) -> tuple[int, ...]:
        return PATCH_SIZE

    def check_model(
        self,
        name: str,
        build: ModelBuilder,
        input_shape: tuple[int, ...],
        classes: int,
        options: argparse.Namespace,
    ) -> None:
        if is_own(name):
            check_model(name, build, input_shape, classes, (*input_shape[:-1], classes))
            return
        try:
            build(input_shape, classes)
        except ValueError as error:
            raise InputError(f"--image-size: {error}") from None
