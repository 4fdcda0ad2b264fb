"""A small classifier for generated images, of which a training takes seconds on a CPU."""

import keras
from keras import layers


def small_gap(
    input_shape: tuple[int, ...], classes: int = 2, *, preprocessing: str = "none"
) -> keras.Model:
    """Four blocks of two convolutions with batch norm, global average pooling, one softmax layer.

    VGG-GAP (figure 2.2) in small: 16 to 128 filters, 295 thousand parameters, from random weights.

    Args:
        input_shape: `(height, width, channels)`.
        classes: Number of classes.
        preprocessing: `"none"` takes [0, 1] as it is; `"imagenet"` centres it on 0.

    Returns:
        A `keras.Model` from images in [0, 1] to probabilities, float32 under any precision.

    Example:
        >>> from experiments.classification.small import small_gap
        >>> small_gap((32, 32, 3), 4).output_shape
        (None, 4)
    """
    inputs = x = keras.Input(input_shape)
    if preprocessing == "imagenet":
        x = layers.Rescaling(4.0, offset=-2.0)(x)
    for filters in (16, 32, 64, 128):
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
            x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="class")(x)
    return keras.Model(inputs, outputs, name="small_gap")


small_gap.title = "Small GAP"  # type: ignore[attr-defined]
