"""Names of models, losses and kernels, which a command line offers before it loads Keras."""

#: Functions of `sharpunet.models`, in the order of tables.
MODEL_NAMES = (
    "unet",
    "sharp_unet",
    "wide_unet",
    "wide_sharp_unet",
    "ternausnet16",
    "sharp_ternausnet16",
    "unet_resnet50",
    "sharp_unet_resnet50",
)
#: Those of volumes.
VOLUME_MODEL_NAMES = ("unet3d", "sharp_unet3d")
#: Those of `sharpunet.losses.LOSSES`.
LOSS_NAMES = ("cross_entropy", "dice", "tversky", "focal_tversky", "boundary")
#: Losses that are not a mean over the images of a batch, so that devices cannot share one.
OF_WHOLE_BATCH = ("dice", "tversky", "focal_tversky")
#: Those of `sharpunet.layers.KERNELS`.
KERNEL_NAMES = ("laplacian", "laplacian_identity", "laplacian_4", "sharpen", "gaussian", "log")
#: Those of `sharpunet.layers.KERNELS_3D`.
KERNEL_NAMES_3D = ("laplacian", "laplacian_identity", "laplacian_6", "sharpen", "gaussian", "log")
