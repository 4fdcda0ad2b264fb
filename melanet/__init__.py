"""MelaNet (chapter 2): over-samples a rare class by translating the common class into it."""

from melanet import lazy

_EXPORTS = {
    "melanet.augmentation": ["augment_offline"],
    "melanet.checkpoint": ["EpochCheckpoint"],
    "melanet.classifiers": [
        "CLASSIFIERS",
        "densenet121_features",
        "densenet121_gap",
        "resnet50_gap",
        "vgg_gap",
    ],
    "melanet.cyclegan": ["CycleGAN", "build_cyclegan"],
    "melanet.evaluation": ["evaluate_model"],
    "melanet.explain": ["features", "grad_cam", "umap_embedding"],
    "melanet.export": ["export_model"],
    "melanet.fitting": ["train_model"],
    "melanet.inference": ["predict"],
    "melanet.losses": ["focal_loss"],
    "melanet.metrics": [
        "auc",
        "brier_score",
        "expected_calibration_error",
        "f_score",
        "false_negatives",
        "negative_predictive_value",
        "reliability",
        "sensitivity",
        "skew",
        "specificity",
        "youden_threshold",
    ],
    "melanet.multiclass": [
        "accuracy",
        "class_metrics",
        "confusion",
        "confusion_shares",
        "macro_auc",
        "macro_f_score",
        "macro_sensitivity",
    ],
    "melanet.networks": ["patchgan_discriminator", "unet_generator"],
    "melanet.oversampling": [
        "oversample",
        "train_cyclegan",
        "train_translator",
        "undersample",
    ],
    "melanet.privacy": ["closeness", "nearest", "reidentification"],
    "melanet.quality": ["kernel_distance"],
    "melanet.saving": ["ModelInfo", "load_model", "read_model_info", "save_model"],
    "melanet.stargan": ["StarGAN", "build_stargan"],
    "melanet.statistics": [
        "bootstrap_auc_difference",
        "delong_test",
        "exact_interval",
        "mcnemar_test",
        "sensitivity_interval",
        "specificity_interval",
    ],
    "melanet.synthesis": ["plan_translations", "translate_majority"],
    "melanet.translation": ["translate_images"],
    "melanet.trees": ["BaggedTrees"],
}
__all__ = sorted(name for names in _EXPORTS.values() for name in names)
__getattr__ = lazy.attributes(__name__, _EXPORTS)
lazy.import_with_keras("melanet.classifiers", "melanet.layers", "melanet.losses")
lazy.import_with_keras("melanet.cyclegan", "melanet.stargan", backend="tensorflow")
