"""Layers that Keras lacks."""

import math
from typing import Any, ClassVar

import keras
import numpy as np
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


@keras.saving.register_keras_serializable("melanet")
class AppendClass(keras.layers.Layer):
    """Appends a class to images: one constant channel per class, 1 where it is that class.

    Called on `[images, classes]`, `(batch, height, width, channels)` and one-hot
    `(batch, classes)`, it returns `(batch, height, width, channels + classes)` (Choi et al.,
    arXiv:1711.09020, section 3.1).

    Example:
        >>> import numpy as np
        >>> from melanet.layers import AppendClass
        >>> image, second_of_two = np.zeros((1, 4, 4, 3)), np.array([[0.0, 1.0]])
        >>> np.asarray(AppendClass()([image, second_of_two]))[0, 0, 0].tolist()
        [0.0, 0.0, 0.0, 0.0, 1.0]
    """

    def call(self, inputs):
        images, classes = inputs
        shape = (*ops.shape(images)[:3], classes.shape[-1])
        planes = ops.broadcast_to(classes[:, None, None, :], shape)
        return ops.concatenate([images, planes], axis=-1)

    def compute_output_shape(self, input_shape):
        images, classes = input_shape
        return (*images[:-1], images[-1] + classes[-1])


@keras.saving.register_keras_serializable("melanet")
class UpsampledConv2D(keras.layers.Conv2D):
    """`UpSampling2D(2)` and `Conv2D(filters, kernel_size, padding="same")` as one convolution.

    Nearest upsampling repeats each pixel, so that several taps of the kernel fall on the same pixel
    of the input. They are summed, and one convolution at the input's resolution computes the four
    pixels that each input pixel becomes (sub-pixel convolution, Shi et al., arXiv:1609.07009). For
    a 4x4 kernel that is 9 taps of 4 filters at a quarter of the pixels: 9 products in place of 16.
    Kernel and bias are those of the `Conv2D`, so weights of the two layers load, and results are
    equal up to rounding.

    Args:
        filters: Number of filters.
        kernel_size: Height and width of the kernel at the upsampled resolution.
        **kwargs: Other arguments of `keras.layers.Conv2D`, such as `activation`; strides, padding,
            dilation and groups are fixed.

    Raises:
        ValueError: If an argument that is fixed has another value.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from melanet.layers import UpsampledConv2D
        >>> image = np.random.default_rng(0).random((1, 5, 7, 3)).astype("float32")
        >>> plain, fused = keras.layers.Conv2D(8, 4, padding="same"), UpsampledConv2D(8, 4)
        >>> expected, _ = plain(keras.layers.UpSampling2D(2)(image)), fused(image)
        >>> fused.set_weights(plain.get_weights())
        >>> bool(np.allclose(fused(image), expected, atol=1e-5))
        True
    """

    size = (2, 2)  # of the upsampling, as that of UpSampling2D
    _FIXED: ClassVar[dict[str, Any]] = {
        "strides": (1, 1),
        "padding": "same",
        "dilation_rate": (1, 1),
        "groups": 1,
    }

    def __init__(self, filters: int, kernel_size: int | tuple[int, int], **kwargs: Any):
        super().__init__(filters, kernel_size, **{"padding": "same", **kwargs})
        for name, value in self._FIXED.items():
            if getattr(self, name) != value:
                raise ValueError(f"`{name}` must be {value!r}. Received: {getattr(self, name)!r}")

    def convolution_op(self, inputs, kernel):
        rows, columns = map(_tap_sums, self.kernel_size)
        sums = np.einsum("uat,vbw->uvabtw", rows, columns)
        size, channels = sums.shape[:2], kernel.shape[2]
        # One matrix product and a transposition: an einsum of all three takes five times as long.
        sums = ops.cast(sums.reshape(-1, math.prod(self.kernel_size)), kernel.dtype)
        taps = ops.matmul(sums, ops.reshape(kernel, (sums.shape[1], -1)))
        taps = ops.transpose(ops.reshape(taps, (-1, 4, channels, self.filters)), (0, 2, 1, 3))
        taps = ops.reshape(taps, (*size, channels, 4 * self.filters))
        quarters = ops.conv(inputs, taps, padding="same", data_format=self.data_format)
        return ops.depth_to_space(quarters, 2, data_format=self.data_format)

    def compute_output_shape(self, input_shape):
        shape = super().compute_output_shape(input_shape)
        axes = (1, 2) if self.data_format == "channels_last" else (2, 3)
        return tuple(2 * n if at in axes and n is not None else n for at, n in enumerate(shape))

    def get_config(self):
        return {k: v for k, v in super().get_config().items() if k not in self._FIXED}


def _tap_sums(size: int) -> np.ndarray:
    """Which taps of a kernel fall on which pixel before an upsampling, along one axis.

    Returns:
        float32 of shape `(offsets, 2, size)`: 1 where the tap, for an even or an odd pixel of the
        output, falls on the input's pixel at the offset. "same" padding of the input centres the
        offsets as it centres the taps.
    """
    before = (size - 1) // 2  # the padding on that side, as TensorFlow has it
    places = (np.arange(2)[:, None] + np.arange(size) - before) // 2
    offsets = np.arange(places.min(), places.max() + 1)
    return (places == offsets[:, None, None]).astype("float32")
