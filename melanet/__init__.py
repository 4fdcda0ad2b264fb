"""MelaNet (chapter 2): a rare class over-sampled by translating the common class into it."""

from melanet.augmentation import augment_offline
from melanet.checkpoint import EpochCheckpoint
from melanet.classifiers import (
    CLASSIFIERS,
    densenet121_features,
    densenet121_gap,
    resnet50_gap,
    vgg_gap,
)
from melanet.cyclegan import CycleGAN, cyclegan
from melanet.explain import features, grad_cam, umap_embedding
from melanet.losses import focal_loss
from melanet.networks import patchgan_discriminator, unet_generator
from melanet.oversampling import oversample, train_cyclegan, translate_majority, undersample
from melanet.privacy import closeness, nearest, reidentification
from melanet.quality import kernel_distance
from melanet.trees import BaggedTrees

__all__ = [
    "CLASSIFIERS",
    "BaggedTrees",
    "CycleGAN",
    "EpochCheckpoint",
    "augment_offline",
    "closeness",
    "cyclegan",
    "densenet121_features",
    "densenet121_gap",
    "features",
    "focal_loss",
    "grad_cam",
    "kernel_distance",
    "nearest",
    "oversample",
    "patchgan_discriminator",
    "reidentification",
    "resnet50_gap",
    "train_cyclegan",
    "translate_majority",
    "umap_embedding",
    "undersample",
    "unet_generator",
    "vgg_gap",
]
