"""The sharp block: a frozen depthwise convolution with a sharpening kernel (section 3.2.4)."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

#: A name in `KERNELS`, or a 2-D array with odd sides.
Kernel = str | ArrayLike

_BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def _laplacian_of_gaussian(sigma: float = 1.0, size: int = 7) -> np.ndarray:
    """The negative Laplacian of Gaussian: its centre is positive, as in eq. 3.1, and its sum 0."""
    axis = np.arange(size) - size // 2
    squared_radius = (axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * sigma**2)
    kernel = (1 - squared_radius) * np.exp(-squared_radius) / (np.pi * sigma**4)
    # Sampling and truncation leave a small sum, but a flat region must give 0.
    return kernel - kernel.mean()


#: Kernels by name, as in `sharpunet.names`. ``laplacian`` is K of eq. 3.1; ``laplacian_identity``
#: is I + K of eq. 3.2; ``log`` is the Laplacian of Gaussian that section 4.3.2 proposes.
KERNELS: dict[str, np.ndarray] = {
    "laplacian": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], "float32"),
    "laplacian_identity": np.array([[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]], "float32"),
    "laplacian_4": np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], "float32"),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], "float32"),
    "gaussian": _BINOMIAL.astype("float32"),
    "log": _laplacian_of_gaussian().astype("float32"),
}


def sharpening_kernel(kernel: Kernel) -> np.ndarray:
    """Returns the kernel of a name, or checks one given as an array.

    Args:
        kernel: A name in `KERNELS`, or an odd-sized 2-D array of finite numbers.

    Returns:
        A float32 array of shape `(height, width)`, both odd.

    Raises:
        ValueError: If the name is unknown, or the array is not 2-D, odd-sized and finite.

    Example:
        >>> from sharpunet.layers import sharpening_kernel
        >>> sharpening_kernel("laplacian_identity").sum()
        np.float32(1.0)
    """
    if isinstance(kernel, str):
        if kernel not in KERNELS:
            names = ", ".join(KERNELS)
            raise ValueError(
                f"`kernel` must be one of {names}, or a 2-D array. Received: {kernel!r}"
            )
        return KERNELS[kernel].copy()
    values = np.asarray(kernel, dtype="float32")
    if values.ndim != 2 or not all(side % 2 for side in values.shape):
        raise ValueError(
            "`kernel` must be a 2-D array with odd sides, so that it has a centre. "
            f"Received an array of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("`kernel` must hold finite numbers only. Received NaN or infinity")
    return values


@keras.saving.register_keras_serializable("sharpunet")
class SharpBlock(keras.layers.Layer):
    """Sharpens every channel of a feature map with the same fixed kernel (section 3.2.4).

    A depthwise convolution with stride 1, zero padding to the same size and no bias. As usual in
    deep learning, the kernel is not flipped. The weights stay frozen even if `trainable` is set:
    the block adds `height * width` fixed weights per channel and no trainable one. Input and output
    are `(batch, height, width, channels)`.

    Args:
        kernel: A name in `KERNELS` (`"laplacian"` is K of eq. 3.1), or an odd-sized 2-D array.
        learned: Whether training changes the kernel of each channel. The thesis's is fixed; this
            is for comparison.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `kernel` is neither a known name nor an odd-sized 2-D array.

    Example:
        >>> import numpy as np
        >>> from sharpunet import SharpBlock
        >>> float(SharpBlock()(np.ones((1, 5, 5, 1)))[0, 2, 2, 0])
        0.0
    """

    def __init__(self, kernel: Kernel = "laplacian", learned: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.learned = learned
        self._values = sharpening_kernel(kernel)
        self.kernel = kernel if isinstance(kernel, str) else self._values.tolist()

    def build(self, input_shape):
        channels = input_shape[-1]
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(*self._values.shape, channels, 1),
            initializer=self._kernel_per_channel,
            # Frozen here and not on the layer, where `model.trainable = True` would undo it.
            trainable=self.learned,
        )
        self.built = True

    def _kernel_per_channel(self, shape, dtype=None):
        values = np.broadcast_to(self._values[:, :, None, None], shape)
        return ops.convert_to_tensor(values, dtype=dtype)

    def call(self, inputs):
        return ops.depthwise_conv(inputs, self.depthwise_kernel, strides=1, padding="same")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kernel": self.kernel, "learned": self.learned}
