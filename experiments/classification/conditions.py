"""What the classifiers of chapter 2 are trained on."""

import dataclasses

#: The one classifier that is not trained from end to end; the others are in `CLASSIFIERS`.
BAGGED_TREES = "densenet121_bagged_trees"


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
    """

    name: str
    title: str
    augment: int = 0
    synthetic_sets: int = 0
    real_positives: bool = True
