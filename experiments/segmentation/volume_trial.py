"""One segmentation network on patches of volumes, to a record (section 4.3.3)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.segmentation.trial import (
    SegmentationSettings,
    SegmentationTrial,
    best_constant,
    write_predictions,
)
from sharpunet.data.volumes import load_patches, read_volume, volume_slices
from sharpunet.evaluation import mask_scores
from sharpunet.surface import surface_distance
from sharpunet.windows import predict_volume


@dataclasses.dataclass(frozen=True)
class VolumeSettings(SegmentationSettings):
    """Training configuration. `image_size` is that of patches and windows.

    Attributes:
        patches: Patches of every volume in an epoch.
        foreground: Share of them that are centred on the foreground.
        overlap: Share of a side that neighbouring windows have in common.
    """

    patches: int = 4
    foreground: float = 0.5
    overlap: float = 0.5


class VolumeTrial(SegmentationTrial):
    """One training on patches of volumes, tested on whole ones."""

    settings: VolumeSettings

    def test(self, model: keras.Model, out: Path) -> dict[str, Any]:
        """Scores of every test volume, window by window; writes the predictions of all slices."""
        classes, scores, constants = self.dataset.info.classes, [], []
        for name, slices in volume_slices(self.split.test).items():
            volume = read_volume(self.dataset, slices)
            probabilities = predict_volume(
                model, volume.scaled(), self.settings.image_size, overlap=self.settings.overlap
            )
            write_predictions(out / "predictions" / self.key, slices, probabilities)
            truth = volume.targets(classes)[None]
            [score] = mask_scores(truth, probabilities[None])
            [group] = set(self.dataset.values("group", slices))
            distances = self._distances(volume.mask, probabilities)
            scores.append({"id": name, "group": group, **score, **distances})
            constants.append(best_constant(truth))
        mean = {
            name: round(float(np.mean([each[name] for each in constants])), 6)
            for name in constants[0]
        }
        return {"best_constant": mean, "scores": scores}

    def _distances(self, mask: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
        """Surface distances of every class but the background, where the spacing is known."""
        spacing = self.dataset.info.spacing
        if not spacing:
            return {}
        one = probabilities.shape[-1] == 1
        found = (probabilities[..., 0] > 0.5) if one else probabilities.argmax(axis=-1)
        distances = [
            surface_distance(mask == label, found == label, spacing)
            for label in range(1, max(2, probabilities.shape[-1]))
        ]
        # JSON has no infinity: null stands for a surface that one of the masks lacks.
        columns = {
            f"{name}_mm": [getattr(each, field) for each in distances]
            for name, field in (("surface_distance", "mean"), ("hausdorff_95", "percentile_95"))
        }
        return {
            name: [round(value, 4) if np.isfinite(value) else None for value in values]
            for name, values in columns.items()
        }

    def _load(self, ids: Sequence[str], **order: Any) -> tf.data.Dataset:
        settings = self.settings
        return load_patches(
            self.dataset,
            ids,
            patch_size=settings.image_size,
            patches=settings.patches,
            foreground=settings.foreground,
            batch_size=settings.batch_size,
            fixed=not order.pop("shuffle", False),
            **order,
        )
