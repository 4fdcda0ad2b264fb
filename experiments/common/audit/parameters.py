"""Parameters and multiply-adds of the networks of chapter 3 and of VGG-GAP, by formula."""

import dataclasses
from collections.abc import Iterator, Sequence

from experiments.common.published import FILTERS

VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
RESNET50_BLOCKS = ((3, 64), (4, 128), (6, 256), (3, 512))
DECODER_FILTERS = (256, 128, 64, 32, 16)
#: Channels of the skip connections, coarsest first.
TERNAUSNET16_SKIPS = (512, 512, 256, 128)
RESNET50_SKIPS = (1024, 512, 256, 64)
KERNEL_WEIGHTS = 9


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution of `size` × `size`; `level` halvings lie above the side that it works on."""

    size: int
    inputs: int
    filters: int
    level: int = 0
    bias: bool = True

    @property
    def parameters(self) -> int:
        """Weights and, if there are any, biases."""
        return self.size**2 * self.inputs * self.filters + self.bias * self.filters

    def multiply_adds(self, height: int, width: int) -> int:
        """Multiply-adds for an image."""
        return self.size**2 * self.inputs * self.filters * height * width // 4**self.level


def unet_convolutions(
    channels: int, filters: Sequence[int] = FILTERS, up_filters: Sequence[int] | None = None
) -> Iterator[Convolution]:
    """The convolutions of U-Net; `up_filters` are those of its transposed ones, coarsest first."""
    inputs = channels
    for level, count in enumerate(filters):
        yield Convolution(3, inputs, count, level)
        yield Convolution(3, count, count, level)
        inputs = count
    skips = list(filters[-2::-1])
    for step, (skip, up) in enumerate(zip(skips, up_filters or skips, strict=True)):
        level = len(skips) - 1 - step
        yield Convolution(2, inputs, up, level + 1)  # works on each pixel that it takes
        yield Convolution(3, up + skip, skip, level)
        yield Convolution(3, skip, skip, level)
        inputs = skip
    yield Convolution(1, inputs, 1)


def unet_parameters(
    channels: int, filters: Sequence[int] = FILTERS, up_filters: Sequence[int] | None = None
) -> int:
    """Parameters of U-Net for one class.

    Example:
        >>> unet_parameters(1), unet_parameters(3)
        (7759521, 7760097)
    """
    return sum(each.parameters for each in unet_convolutions(channels, filters, up_filters))


def sharp_weights(filters: Sequence[int]) -> int:
    """Frozen weights of the sharp blocks on skip connections of these channels.

    Example:
        >>> sharp_weights((32, 64, 128, 256))
        4320
    """
    return KERNEL_WEIGHTS * sum(filters)


def sharp_multiply_adds(height: int, width: int, filters: Sequence[int] = FILTERS[:-1]) -> int:
    """Multiply-adds of the sharp blocks for an image, finest skip connection first.

    Example:
        >>> sharp_multiply_adds(192, 256)
        26542080
    """
    return sum(
        KERNEL_WEIGHTS * count * height * width // 4**level for level, count in enumerate(filters)
    )


def vgg16_parameters() -> int:
    """Parameters of the 13 convolutions of VGG-16.

    Example:
        >>> vgg16_parameters()
        14714688
    """
    total, inputs = 0, 3
    for depth, count in VGG16_BLOCKS:
        for _ in range(depth):
            total += Convolution(3, inputs, count).parameters
            inputs = count
    return total


def vgg_gap_parameters(classes: int = 2) -> int:
    """VGG-16 without top, global average pooling and one dense layer.

    Example:
        >>> vgg_gap_parameters()
        14715714
    """
    return vgg16_parameters() + 512 * classes + classes


def resnet50_parameters() -> tuple[int, int]:
    """Parameters of ResNet-50 without top, all and the trainable ones (`keras.applications`).

    Example:
        >>> resnet50_parameters()
        (23587712, 23534592)
    """
    convolutions, inputs = [Convolution(7, 3, 64)], 64
    for depth, count in RESNET50_BLOCKS:
        convolutions.append(Convolution(1, inputs, 4 * count))
        for _ in range(depth):
            convolutions.append(Convolution(1, inputs, count))
            convolutions.append(Convolution(3, count, count))
            convolutions.append(Convolution(1, count, 4 * count))
            inputs = 4 * count
    return _with_batch_norm(convolutions)


def encoder_unet_parameters(
    encoder: tuple[int, int], inputs: int, skips: Sequence[int], centre: int = 0
) -> tuple[int, int]:
    """Parameters of a U-Net with an encoder, all and the trainable ones.

    Args:
        encoder: Those of the encoder.
        inputs: Channels of its last feature map.
        skips: Channels of the skip connections, coarsest first; without one for the finest blocks.
        centre: Filters of the two convolutions in the centre; 0 for none.

    Example:
        >>> encoder_unet_parameters((vgg16_parameters(),) * 2, 512, TERNAUSNET16_SKIPS, 512)[0]
        23752273
    """
    normed = []
    if centre:
        normed += [Convolution(3, inputs, centre, bias=False)]
        normed += [Convolution(3, centre, centre, bias=False)]
        inputs = centre
    for step, count in enumerate(DECODER_FILTERS):
        skip = skips[step] if step < len(skips) else 0
        normed += [Convolution(3, inputs + skip, count, bias=False)]
        normed += [Convolution(3, count, count, bias=False)]
        inputs = count
    head = Convolution(3, inputs, 1).parameters
    total, trainable = _with_batch_norm(normed)
    return encoder[0] + total + head, encoder[1] + trainable + head


def ternausnet16_parameters(skips: Sequence[int] = TERNAUSNET16_SKIPS) -> int:
    """Parameters of TernausNet-16, all of the encoder's trainable."""
    encoder = vgg16_parameters()
    return encoder_unet_parameters((encoder, encoder), VGG16_BLOCKS[-1][1], skips, centre=512)[0]


def unet_resnet50_parameters() -> tuple[int, int]:
    """Parameters of U-Net + ResNet-50, all and the trainable ones.

    Example:
        >>> unet_resnet50_parameters()
        (32602769, 32547665)
    """
    return encoder_unet_parameters(resnet50_parameters(), 4 * 512, RESNET50_SKIPS)


def _with_batch_norm(convolutions: Sequence[Convolution]) -> tuple[int, int]:
    """All and the trainable parameters, with a batch norm (4 per filter, 2 of them learned)."""
    filters = sum(each.filters for each in convolutions)
    total = sum(each.parameters for each in convolutions)
    return total + 4 * filters, total + 2 * filters
