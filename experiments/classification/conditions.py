"""What the classifiers of chapter 2 are trained on."""

import dataclasses
from typing import Literal

from experiments.common.own_models import file_part
from experiments.common.records import ADDED

#: The one classifier that is not trained from end to end; the others are in `CLASSIFIERS`.
BAGGED_TREES = "densenet121_bagged_trees"
LOSSES = ("focal", "cross_entropy")
#: Nothing; a weight per class in the loss; images of the rare class repeated; SMOTE of features.
Balance = Literal["none", "class_weights", "repeat", "smote"]


@dataclasses.dataclass(frozen=True)
class Condition:
    """What a classifier is trained on.

    Attributes:
        name: Name in records.
        title: Name in tables.
        augment: Augmented copies of each real training image.
        synthetic_sets: Number of synthetic datasets that join; the first is made from the
            dataset's own majority.
        real_positives: Whether real images of the positive class take part.
        balance: What is done with the real images against their imbalance.
    """

    name: str
    title: str
    augment: int = 0
    synthetic_sets: int = 0
    real_positives: bool = True
    balance: Balance = dataclasses.field(default="none", metadata=ADDED)

    @property
    def is_plain(self) -> bool:
        """Whether it is the real images alone, as they are."""
        return self == Condition(self.name, self.title)


def trial_title(dataset: str, model: str, condition: str, seed: int) -> str:
    """The readable part of the name of a trial."""
    return f"{dataset}-{file_part(model)}-{condition}-s{seed}"
