"""Figure 2.10: features of the training images of table 2.1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.classification.saved import training_features

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Titles of the panels, by condition.
FEATURE_PANELS = {"vgg_gap": "Original", "melanet": "Balanced"}


def feature_panels(records: Mapping[str, dict[str, Any]], out: Path) -> Figure:
    """UMAP of each classifier's features of the images that it was trained on.

    Args:
        records: Record of each condition of `FEATURE_PANELS`.
        out: Folder of the results.

    Raises:
        InputError: If the features are missing or damaged.
    """
    from experiments.classification.figures import umap_panels

    panels = {}
    for condition, title in FEATURE_PANELS.items():
        table = training_features(records[condition], out)
        panels[f"{title}: {len(table)} training images"] = table
    return umap_panels(panels, records["vgg_gap"]["dataset"]["labels"])
