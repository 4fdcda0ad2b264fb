"""MelaNet (chapter 2): a rare class over-sampled by translating the common class into it."""

from melanet.augmentation import augment_offline
from melanet.classifiers import CLASSIFIERS, densenet121_gap, resnet50_gap, vgg_gap
from melanet.cyclegan import CycleGAN, cyclegan
from melanet.explain import grad_cam
from melanet.losses import focal_loss
from melanet.networks import patchgan_discriminator, unet_generator
from melanet.oversampling import oversample, train_cyclegan, translate_majority, undersample

__all__ = [
    "CLASSIFIERS",
    "CycleGAN",
    "augment_offline",
    "cyclegan",
    "densenet121_gap",
    "focal_loss",
    "grad_cam",
    "oversample",
    "patchgan_discriminator",
    "resnet50_gap",
    "train_cyclegan",
    "translate_majority",
    "undersample",
    "unet_generator",
    "vgg_gap",
]
