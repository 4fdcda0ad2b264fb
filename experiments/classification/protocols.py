"""What each protocol of chapter 2 does: the thesis's, the released code's, and a clean one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from melanet.data.pixels import Scaling


@dataclasses.dataclass(frozen=True)
class CycleGANConfig:
    """How a CycleGAN is built and trained. Defaults are the thesis's (section 2.3.3).

    Attributes:
        epochs: Epochs over the undersampled classes.
        batch_size: Images of each class per batch.
        filters: Filters of the first block of generators and of discriminators.
        rates: Learning rates of Adam for generators and for discriminators.
        adversarial_loss: As in `CycleGAN.compile`.
        identity_weight: As in `CycleGAN.compile`.
        flip: Whether to mirror half of the images at random.
        norm: As in `melanet.build_cyclegan`.
        update_order: As in `CycleGAN.compile`.
        redraw: Whether every epoch draws its images of the majority anew.
        decay: Whether the learning rates fall linearly to 0; neither thesis nor released code.
    """

    epochs: int = 500
    batch_size: int = 1
    filters: tuple[int, int] = (32, 64)
    rates: tuple[float, float] = (2e-4, 2e-4)
    adversarial_loss: str = "log"
    identity_weight: float = 0.0
    flip: bool = False
    norm: str = "instance"
    update_order: str = "together"
    redraw: bool = False
    decay: bool = False


@dataclasses.dataclass(frozen=True)
class ClassifierProtocol:
    """A protocol as data. Defaults are the thesis's where it names them (section 2.3.3).

    Attributes:
        text: What it does, in a sentence.
        split: `"stratified"`: 80/20 by patient, unless the split is official; `"file_order"`: the
            first 80% of each class train.
        watch: Images whose loss stops the training and chooses the weights: `"train"`,
            `"validation"` (a tenth of the training images) or `"test"`.
        epochs: Epochs at most, unless an option says otherwise; not in the thesis.
        patience: Epochs without a better loss before training stops; not in the thesis.
        plateau: Epochs without a better loss before the learning rate falls to a tenth; not in the
            thesis.
        loss_form: As in `melanet.focal_loss`.
        keep_aspect_ratio: Whether images are padded; as their dataset says if None.
        scaling: As in `melanet.data.load_dataset`.
        augmentation: As the `policy` of `melanet.augment_offline`.
        imagenet_preprocessing: Whether classifiers preprocess their inputs as ImageNet weights
            expect them; random weights learn from such inputs sooner, too. The thesis and the
            released code feed them pixels in [0, 1].
        cyclegan: How the CycleGAN is trained.
        choose_threshold: Whether a threshold is chosen on validation images, beside 0.5. They are
            a tenth of the training images, which no training sees, even if none of them stops it.
    """

    text: str
    split: str = "stratified"
    watch: str = "train"
    epochs: int = 100
    patience: int = 8
    plateau: int = 5
    loss_form: str = "thesis"
    keep_aspect_ratio: bool | None = None
    scaling: Scaling = "min_max"
    augmentation: Literal["thesis", "released"] = "thesis"
    imagenet_preprocessing: bool = False
    cyclegan: CycleGANConfig = dataclasses.field(default_factory=CycleGANConfig)
    choose_threshold: bool = False


RELEASED_CYCLEGAN = CycleGANConfig(
    epochs=100,
    adversarial_loss="least_squares",
    identity_weight=1.0,
    flip=True,
    norm="layer",
    update_order="discriminators_first",
    redraw=True,
)
MELANOMA_PROTOCOLS = {
    "thesis": ClassifierProtocol(
        "trained until the training loss stops improving, best weights kept; log loss, no identity "
        "loss, images padded to square, pixels in [0, 1] without ImageNet preprocessing (sections "
        "2.2 and 2.3.3)"
    ),
    "released": ClassifierProtocol(
        "as the author's code: early stopping and best weights by the test set (its score "
        "flatters), released focal loss, images stretched and divided by 255; CycleGAN of 100 "
        "epochs with least squares, identity loss and flips",
        watch="test",
        epochs=300,
        loss_form="released",
        augmentation="released",
        keep_aspect_ratio=False,
        scaling="unit",
        cyclegan=RELEASED_CYCLEGAN,
    ),
    "clean": ClassifierProtocol(
        "as thesis, but stopped by a tenth of the training images, which no training sees, and "
        "inputs preprocessed as ImageNet weights expect them",
        watch="validation",
        imagenet_preprocessing=True,
    ),
}
COVID_PROTOCOLS = {
    "thesis": ClassifierProtocol(
        "trained until the training loss stops improving, best weights kept"
    ),
    "released": ClassifierProtocol(
        "as the author's code: split by file order, not by patient; early stopping and best "
        "weights by the test set (its score flatters); images divided by 255; CycleGAN of 100 "
        "epochs with batches of 16",
        split="file_order",
        watch="test",
        epochs=200,
        patience=15,
        keep_aspect_ratio=False,
        scaling="unit",
        cyclegan=dataclasses.replace(RELEASED_CYCLEGAN, batch_size=16, redraw=False),
    ),
    "clean": ClassifierProtocol(
        "as thesis, but stopped by a tenth of the training patients, whom no training sees, and "
        "inputs preprocessed as ImageNet weights expect them",
        watch="validation",
        imagenet_preprocessing=True,
    ),
}
OVERSAMPLING_PROTOCOLS = {
    "thesis": dataclasses.replace(
        MELANOMA_PROTOCOLS["thesis"],
        text="trained until the training loss stops improving, best weights kept; log loss, no "
        "identity loss, pixels in [0, 1] without ImageNet preprocessing (sections 2.2 and 2.3.3); "
        "a tenth of the training images is held out and chooses nothing but the threshold",
        choose_threshold=True,
    ),
    "clean": dataclasses.replace(
        MELANOMA_PROTOCOLS["clean"],
        text="as thesis, but the images that choose the threshold stop the training too, and "
        "inputs are preprocessed as ImageNet weights expect them",
        choose_threshold=True,
    ),
}
