"""The sharp block: a frozen depthwise convolution with a sharpening kernel (section 3.2.4)."""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

#: A name in `KERNELS` or `KERNELS_3D`, or an array of two or three dimensions with odd sides.
Kernel = str | ArrayLike


def _laplacian(dimensions: int, *, diagonal: bool) -> np.ndarray:
    """The negative discrete Laplacian: its centre is positive, as in eq. 3.1, and its sum 0.

    With `diagonal`, all 8 or 26 neighbours count, otherwise the 4 or 6 that share a face.
    """
    distances = np.abs(np.indices((3,) * dimensions) - 1).sum(axis=0)
    kernel = np.where((distances > 0) & (diagonal | (distances == 1)), -1, 0)
    kernel[(1,) * dimensions] = -kernel.sum()
    return kernel


def _identity(dimensions: int) -> np.ndarray:
    kernel = np.zeros((3,) * dimensions, int)
    kernel[(1,) * dimensions] = 1
    return kernel


def _binomial(dimensions: int) -> np.ndarray:
    return functools.reduce(np.multiply.outer, [np.array([1, 4, 6, 4, 1]) / 16] * dimensions)


def _laplacian_of_gaussian(dimensions: int, sigma: float = 1.0, size: int = 7) -> np.ndarray:
    """The negative Laplacian of Gaussian: its centre is positive, as in eq. 3.1, and its sum 0."""
    axes = np.indices((size,) * dimensions) - size // 2
    squared_radius = (axes**2).sum(axis=0) / (2 * sigma**2)
    normal = (2 * np.pi * sigma**2) ** (-dimensions / 2)
    kernel = (dimensions - 2 * squared_radius) / sigma**2 * normal * np.exp(-squared_radius)
    # Sampling and truncation leave a small sum, but a flat region must give 0.
    return kernel - kernel.mean()


def _kernels(dimensions: int) -> dict[str, np.ndarray]:
    full, faces = (_laplacian(dimensions, diagonal=diagonal) for diagonal in (True, False))
    kernels = {
        "laplacian": full,
        "laplacian_identity": _identity(dimensions) + full,
        f"laplacian_{2 * dimensions}": faces,
        "sharpen": _identity(dimensions) + faces,
        "gaussian": _binomial(dimensions),
        "log": _laplacian_of_gaussian(dimensions),
    }
    return {name: kernel.astype("float32") for name, kernel in kernels.items()}


#: Kernels by name, as in `sharpunet.names`. ``laplacian`` is K of eq. 3.1; ``laplacian_identity``
#: is I + K of eq. 3.2; ``log`` is the Laplacian of Gaussian that section 4.3.2 proposes.
KERNELS = _kernels(2)
#: The same for volumes (section 4.3.3): 26 neighbours in place of 8, and 6 in place of 4.
KERNELS_3D = _kernels(3)
_BY_DIMENSIONS = {2: KERNELS, 3: KERNELS_3D}


def sharpening_kernel(kernel: Kernel, dimensions: int = 2) -> np.ndarray:
    """Returns the kernel of a name, or checks one given as an array.

    Args:
        kernel: A name in `KERNELS` (of volumes `KERNELS_3D`), or an odd-sized array of finite
            numbers.
        dimensions: 2 for images, 3 for volumes.

    Returns:
        A float32 array of shape `(height, width)` or `(depth, height, width)`, all odd.

    Raises:
        ValueError: If the name is unknown, or the array is not of these dimensions, odd-sized and
            finite.

    Example:
        >>> from sharpunet.layers import sharpening_kernel
        >>> sharpening_kernel("laplacian_identity").sum()
        np.float32(1.0)
        >>> sharpening_kernel("laplacian", dimensions=3).max()
        np.float32(26.0)
    """
    known = _BY_DIMENSIONS[dimensions]
    if isinstance(kernel, str):
        if kernel not in known:
            raise ValueError(
                f"`kernel` must be one of {', '.join(known)}, or a {dimensions}-D array. "
                f"Received: {kernel!r}"
            )
        return known[kernel].copy()
    values = np.asarray(kernel, dtype="float32")
    if values.ndim != dimensions or not all(side % 2 for side in values.shape):
        raise ValueError(
            f"`kernel` must be a {dimensions}-D array with odd sides, so that it has a centre. "
            f"Received an array of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("`kernel` must hold finite numbers only. Received NaN or infinity")
    return values


@keras.saving.register_keras_serializable("sharpunet")
class SharpBlock(keras.layers.Layer):
    """Sharpens every channel of a feature map with the same fixed kernel (section 3.2.4).

    A depthwise convolution with stride 1, zero padding to the same size and no bias, of images or
    of volumes (section 4.3.3). As usual in deep learning, the kernel is not flipped. The weights
    stay frozen even if `trainable` is set: the block adds `height * width` (times `depth`) fixed
    weights per channel and no trainable one. Input and output are `(batch, height, width,
    channels)` or `(batch, depth, height, width, channels)`.

    Args:
        kernel: A name in `KERNELS` (`"laplacian"` is K of eq. 3.1; of volumes `KERNELS_3D`), or an
            odd-sized array of two or three dimensions.
        learned: Whether training changes the kernel of each channel. The thesis's is fixed; this
            is for comparison.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `kernel` is neither a known name nor an odd-sized array of the dimensions
            of the input.

    Example:
        >>> import numpy as np
        >>> from sharpunet import SharpBlock
        >>> float(SharpBlock()(np.ones((1, 5, 5, 1)))[0, 2, 2, 0])
        0.0
        >>> tuple(SharpBlock()(np.ones((1, 5, 5, 5, 2))).shape)
        (1, 5, 5, 5, 2)
    """

    def __init__(self, kernel: Kernel = "laplacian", learned: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.learned = learned
        self.kernel = kernel if isinstance(kernel, str) else np.asarray(kernel, "float32").tolist()
        # The dimensions of a name are those of the input, which is not known yet.
        known = isinstance(kernel, str) and kernel in KERNELS_3D
        self._values = sharpening_kernel(kernel, 3 if known or np.ndim(kernel) == 3 else 2)

    def build(self, input_shape):
        if len(input_shape) not in (4, 5):
            raise ValueError(
                "The input must be (batch, height, width, channels), or (batch, depth, height, "
                f"width, channels). Received shape {tuple(input_shape)}"
            )
        channels, dimensions = input_shape[-1], len(input_shape) - 2
        self._values = sharpening_kernel(self.kernel, dimensions)
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(*self._values.shape, channels, 1),
            initializer=self._kernel_per_channel,
            # Frozen here and not on the layer, where `model.trainable = True` would undo it.
            trainable=self.learned,
        )
        self.built = True

    def _kernel_per_channel(self, shape, dtype=None):
        values = np.broadcast_to(self._values[..., None, None], shape)
        return ops.convert_to_tensor(values, dtype=dtype)

    def call(self, inputs):
        if self._values.ndim == 2:
            return ops.depthwise_conv(inputs, self.depthwise_kernel, strides=1, padding="same")
        flat = not self.learned and _has_equal_neighbours(self._values)
        return (_box_difference if flat else _depthwise_3d)(inputs, self.depthwise_kernel)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kernel": self.kernel, "learned": self.learned}


def _has_equal_neighbours(kernel: np.ndarray) -> bool:
    """Whether all values but the centre of a 3 x 3 x 3 kernel are the same."""
    return kernel.shape == (3, 3, 3) and len(set(np.delete(kernel.ravel(), 13).tolist())) == 1


def _box_difference(volumes, kernel):
    """Depthwise convolution with a kernel of equal neighbours, by the sum over each box.

    The Laplacian is 27 x less the sum of x over the box: one average pooling, which takes a third
    of the time of a convolution. In float32, because the difference of two large numbers is small.
    """
    values = ops.cast(kernel, "float32")[..., 0]
    neighbours, centre = 27 * values[0, 0, 0], values[1, 1, 1] - values[0, 0, 0]

    def apply(x):
        whole = ops.cast(x, "float32")
        # Padded with zeros first: a pooling of Keras would leave its own padding out of the mean.
        padded = ops.pad(whole, [[0, 0], [1, 1], [1, 1], [1, 1], [0, 0]])
        means = ops.average_pool(padded, 3, 1, "valid", data_format="channels_last")
        return ops.cast(centre * whole + neighbours * means, x.dtype)

    @ops.custom_gradient
    def convolve(x):
        # The kernel is symmetric, so that the gradient is the same convolution.
        def gradient(*upstreams, upstream=None):
            return apply(upstreams[0] if upstream is None else upstream)

        return apply(x), gradient

    return convolve(volumes)


def _depthwise_3d(volumes, kernel):
    """Depthwise convolution of volumes: one of their slices for each depth of the kernel, summed.

    No backend of Keras has it in three dimensions, and TensorFlow no grouped convolution on CPUs.
    """
    batch, depth, height, width, channels = ops.shape(volumes)
    slices = ops.reshape(volumes, (-1, height, width, channels))
    reach = kernel.shape[0] // 2
    total = None
    for plane in range(kernel.shape[0]):
        convolved = ops.depthwise_conv(
            slices, kernel[plane], strides=1, padding="same", data_format="channels_last"
        )
        convolved = ops.reshape(convolved, (batch, depth, height, width, channels))
        convolved = ops.pad(convolved, [[0, 0], [reach, reach], [0, 0], [0, 0], [0, 0]])
        shifted = convolved[:, plane : plane + depth]
        total = shifted if total is None else total + shifted
    return total
