"""Sharp U-Net (chapter 3): U-Nets whose skip connections sharpen what they carry."""

from sharpunet.layers import KERNELS, SharpBlock
from sharpunet.losses import LOSSES
from sharpunet.metrics import Dice, Jaccard, dice, jaccard
from sharpunet.models import (
    MODELS,
    encoder_unet,
    sharp_ternausnet16,
    sharp_unet,
    sharp_unet_resnet50,
    ternausnet16,
    unet,
    unet_resnet50,
    wide_sharp_unet,
    wide_unet,
)
from sharpunet.surgery import sharpen_skips

__version__ = "0.1.0"

__all__ = [
    "KERNELS",
    "LOSSES",
    "MODELS",
    "Dice",
    "Jaccard",
    "SharpBlock",
    "dice",
    "encoder_unet",
    "jaccard",
    "sharp_ternausnet16",
    "sharp_unet",
    "sharp_unet_resnet50",
    "sharpen_skips",
    "ternausnet16",
    "unet",
    "unet_resnet50",
    "wide_sharp_unet",
    "wide_unet",
]
