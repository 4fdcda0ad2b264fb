"""Sharp U-Net (chapter 3): U-Nets whose skip connections sharpen their features."""

from melanet import lazy

__version__ = "0.1.0"

_EXPORTS = {
    "melanet.export": ["export_model"],
    "sharpunet.evaluation": ["evaluate_model"],
    "sharpunet.fitting": ["train_model"],
    "sharpunet.inference": ["predict"],
    "sharpunet.layers": ["KERNELS", "KERNELS_3D", "SharpBlock"],
    "sharpunet.losses": ["LOSSES"],
    "sharpunet.metrics": ["Dice", "Jaccard", "best_constant_scores", "dice", "jaccard"],
    "sharpunet.models": [
        "MODELS",
        "VOLUME_MODELS",
        "encoder_unet",
        "sharp_ternausnet16",
        "sharp_unet",
        "sharp_unet3d",
        "sharp_unet_resnet50",
        "ternausnet16",
        "unet",
        "unet3d",
        "unet_resnet50",
        "wide_sharp_unet",
        "wide_unet",
    ],
    "sharpunet.skips": ["sharpen_skips"],
}
__all__ = sorted(name for names in _EXPORTS.values() for name in names)
__getattr__ = lazy.attributes(__name__, _EXPORTS)
lazy.import_with_keras("sharpunet.layers", "sharpunet.losses", "sharpunet.metrics")
