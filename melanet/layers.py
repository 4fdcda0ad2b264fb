"""Layers of the CycleGAN's networks that Keras lacks."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("melanet")
class ScalarLayerNormalization(keras.layers.Layer):
    """Layer norm over all axes of an image, with one scalar scale and one scalar offset.

    The released code normalises by (x - mean) / (standard deviation + ε) over height, width and
    channels, where the thesis names instance norm: it uses a layer of that name with its default
    axis. Statistics are float32 under any precision.

    Args:
        epsilon: ε, added to the standard deviation and not to the variance.

    Example:
        >>> import numpy as np
        >>> from melanet.layers import ScalarLayerNormalization
        >>> layer = ScalarLayerNormalization()
        >>> normed = np.asarray(layer(np.random.default_rng(0).random((2, 8, 8, 3))))
        >>> layer.count_params(), bool(abs(normed[0].mean()) < 1e-5)
        (2, True)
    """

    def __init__(self, epsilon: float = 1e-3, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale", autocast=False)
        self.offset = self.add_weight(shape=(), initializer="zeros", name="offset", autocast=False)

    def call(self, inputs):
        x = ops.cast(inputs, "float32")
        mean, variance = ops.moments(x, axes=tuple(range(1, len(x.shape))), keepdims=True)
        # The square root has no finite gradient at 0, where all values of an image are equal.
        deviation = ops.sqrt(ops.maximum(variance, 1e-12)) + self.epsilon
        normed = (x - mean) * (self.scale / deviation) + self.offset
        return ops.cast(normed, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
