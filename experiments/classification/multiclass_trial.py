"""One classifier of several classes, to a record (section 4.3.1)."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from experiments.classification.trial import ClassifierTrial


@dataclasses.dataclass(frozen=True)
class MulticlassTrial(ClassifierTrial):
    """One training on several classes: its record holds the probability of each."""

    saves_features: ClassVar[bool] = False

    def outcome(self, label: str, probabilities: np.ndarray) -> dict[str, Any]:
        return {"label": label, "probabilities": [round(float(p), 6) for p in probabilities]}
