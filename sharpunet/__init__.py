"""Sharp U-Net (chapter 3): U-Nets whose skip connections sharpen what they carry."""

from sharpunet.layers import KERNELS, SharpBlock
from sharpunet.metrics import Dice, Jaccard, dice, jaccard
from sharpunet.models import MODELS, sharp_unet, unet, wide_sharp_unet, wide_unet

__version__ = "0.1.0"

__all__ = [
    "KERNELS",
    "MODELS",
    "Dice",
    "Jaccard",
    "SharpBlock",
    "dice",
    "jaccard",
    "sharp_unet",
    "unet",
    "wide_sharp_unet",
    "wide_unet",
]
