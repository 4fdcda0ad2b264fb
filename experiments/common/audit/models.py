"""Parameter counts of the built models beside those of the formulas."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from experiments.common.audit.finding import Finding, verdict
from experiments.common.audit.parameters import (
    RESNET50_SKIPS,
    TERNAUSNET16_SKIPS,
    sharp_weights,
    ternausnet16_parameters,
    unet_parameters,
    unet_resnet50_parameters,
    vgg_gap_parameters,
)
from experiments.common.published import (
    FILTERS,
    PRINTED,
    SEGMENTATION_TITLES,
    UNET_IMAGE_SIZE,
    WIDE_FILTERS,
)

if TYPE_CHECKING:
    import keras

SHARP_NAMES = {
    "unet": "sharp_unet",
    "wide_unet": "wide_sharp_unet",
    "ternausnet16": "sharp_ternausnet16",
    "unet_resnet50": "sharp_unet_resnet50",
}


def expected_parameters() -> dict[str, tuple[int, int]]:
    """Parameters of the models of section 3.3.2 for 3 channels, and frozen ones when sharp."""
    return {
        "unet": (unet_parameters(3), sharp_weights(FILTERS[:-1])),
        "wide_unet": (
            unet_parameters(3, WIDE_FILTERS, FILTERS[-2::-1]),
            sharp_weights(WIDE_FILTERS[:-1]),
        ),
        "ternausnet16": (ternausnet16_parameters(), sharp_weights(TERNAUSNET16_SKIPS)),
        "unet_resnet50": (unet_resnet50_parameters()[0], sharp_weights(RESNET50_SKIPS)),
    }


def _trainable_parameters(model: "keras.Model") -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def built_models() -> Iterator[Finding]:
    """Builds every model of chapter 3, and VGG-GAP, and counts their parameters."""
    import melanet
    import sharpunet

    shape = (*UNET_IMAGE_SIZE, 3)
    for name, (count, frozen) in expected_parameters().items():
        model = sharpunet.MODELS[name](shape)
        built, trainable = model.count_params(), _trainable_parameters(model)
        sharp = sharpunet.MODELS[SHARP_NAMES[name]](shape).count_params()
        yield Finding(
            f"{PRINTED[f'{name}_million'].place}, {SEGMENTATION_TITLES[name]}, as built here",
            f"{PRINTED[f'{name}_million'].value} million parameters",
            f"built {built:,}{f' ({trainable:,} trainable)' if trainable != built else ''}, by "
            f"formula {count:,}; sharp: {sharp:,} - {built:,} = "
            f"{sharp - built:,} frozen, by formula {frozen:,}",
            verdict(built == count and sharp - built == frozen),
        )
    built = melanet.vgg_gap(weights=None).count_params()
    yield Finding(
        "section 2.2.2, VGG-GAP, as built here",
        "13 convolutional layers and one dense layer of two units",
        f"built {built:,}, by formula {vgg_gap_parameters():,}",
        verdict(built == vgg_gap_parameters()),
    )
