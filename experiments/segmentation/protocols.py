"""What each protocol of chapter 3 does beside its splits, which are in `sharpunet.splits`."""

import dataclasses

from experiments.common.own_models import file_part
from sharpunet.splits import PROTOCOLS as SPLITS


@dataclasses.dataclass(frozen=True)
class SegmentationProtocol:
    """A protocol as data. Defaults are the thesis's where it names them (section 3.3.3).

    Attributes:
        text: What it does, in a sentence.
        watch: What stops the training and chooses the weights: `"val_loss"`, or `"val_jaccard"`
            for a foreground mask (several classes watch the loss).
        epochs: Epochs at most, unless an option says otherwise; not in the thesis.
        patience: Epochs without a better score before training stops; not in the thesis.
        multiclass_patience: The same for several classes.
        plateau: Epochs without a better score before the learning rate falls to a tenth, if any.
        keep_aspect_ratio: Whether images are padded; as their dataset says if None.
        one_split: Whether all repeats are of one split, instead of as many as there are folds.
        ddof: Of the standard deviation over runs: 1 for a sample's, 0 for a population's.
    """

    text: str
    watch: str = "val_loss"
    epochs: int = 200
    patience: int = 20
    multiclass_patience: int = 20
    plateau: int | None = None
    keep_aspect_ratio: bool | None = None
    ddof: int = 1
    one_split: bool = False

    def runs(self, folds: int, repeats: int) -> list[tuple[int, int]]:
        """The repeat and the fold of every training."""
        return [(r, f) for r in range(repeats) for f in range(1 if self.one_split else folds)]


SEGMENTATION_PROTOCOLS = {
    "thesis": SegmentationProtocol(SPLITS["thesis"]),
    "released": SegmentationProtocol(
        SPLITS["released"],
        watch="val_jaccard",
        epochs=100_000,
        multiclass_patience=10,
        plateau=10,
        keep_aspect_ratio=False,
        ddof=0,
        one_split=True,
    ),
    "clean": SegmentationProtocol(SPLITS["clean"]),
}


def trial_title(dataset: str, model: str, repeat: int, fold: int) -> str:
    """The readable part of the name of a trial."""
    return f"{dataset}-{file_part(model)}-r{repeat}-f{fold}"
