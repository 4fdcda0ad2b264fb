"""The same pieces of work in PyTorch: the networks written from their papers, and two libraries.

All run channels last, which is PyTorch's fastest layout on CPUs and on recent GPUs; on a GPU where
there is one.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

Work = Callable[[], Any]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) with the filters of the thesis."""

    def __init__(self, channels: int = 3, filters: tuple[int, ...] = (32, 64, 128, 256, 512)):
        super().__init__()
        inputs = (channels, *filters[:-1])
        self.down = nn.ModuleList(map(_double, inputs, filters))
        pairs = list(zip(filters[:0:-1], filters[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs)
        self.join = nn.ModuleList(_double(2 * b, b) for _, b in pairs)
        self.head = nn.Conv2d(filters[0], 1, 1)

    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(nn.functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1], strict=True):
            x = join(torch.cat((up(x), skip), 1))
        return self.head(x)


class Generator(nn.Module):
    """The generator of section 2.3.2."""

    def __init__(self, filters: int = 32):
        super().__init__()
        sizes = [scale * filters for scale in (1, 2, 4, 8)]
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2), _norm(b))
            for a, b in zip((3, *sizes[:-1]), sizes, strict=True)
        )
        inputs = (sizes[3], 2 * sizes[2], 2 * sizes[1])
        self.up = nn.ModuleList(
            nn.Sequential(*_upsampled(a, b), nn.ReLU(), _norm(b))
            for a, b in zip(inputs, sizes[2::-1], strict=True)
        )
        self.image = nn.Sequential(*_upsampled(2 * sizes[0], 3), nn.Tanh())

    def forward(self, x):
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = torch.cat((block(x), skip), 1)
        return self.image(x)


class Discriminator(nn.Sequential):
    """The PatchGAN discriminator of section 2.3.2."""

    def __init__(self, filters: int = 64):
        layers: list[nn.Module] = []
        before = 3
        for scale in (1, 2, 4, 8):
            layers += [nn.Conv2d(before, scale * filters, 4, 2, 1), nn.LeakyReLU(0.2)]
            before = scale * filters
            layers += [_norm(before)] if scale > 1 else []
        super().__init__(*layers, nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(before, 1, 4))


def segmentation_training(network: str, side: int, batch: int, precision: str) -> Work:
    """A training step of a network below, with the cross-entropy and Adam."""
    model = _channels_last(_NETWORKS[network]())
    images, masks = _images(batch, side), (_images(batch, side)[:, :1] > 0.5).float()
    return _training(model, images, masks, precision)


def volume_training(network: str, shape: tuple[int, ...], batch: int, precision: str) -> Work:
    """A training step of a network of volumes, `(depth, height, width)`, likewise."""
    layout = torch.channels_last_3d
    model = _NETWORKS[network]().to(DEVICE, memory_format=layout)
    volumes = torch.rand(batch, 1, *shape, device=DEVICE).contiguous(memory_format=layout)
    return _training(model, volumes, (volumes > 0.5).float(), precision)


def _training(model: nn.Module, images: torch.Tensor, masks: torch.Tensor, precision: str) -> Work:
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with _autocast(precision):
            logits = model(images)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), masks)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def segmentation_prediction(network: str, side: int, batch: int, precision: str) -> Work:
    """A prediction of a network below."""
    model, images = _channels_last(_NETWORKS[network]()).eval(), _images(batch, side)

    def predict():
        with torch.inference_mode(), _autocast(precision):
            return model(images).sigmoid().float().cpu().numpy()

    return predict


def cyclegan_training(side: int, precision: str) -> Work:
    """A training step of a CycleGAN on a pair of images, least squares, no identity loss."""
    generators = [_channels_last(Generator()) for _ in range(2)]
    discriminators = [_channels_last(Discriminator()) for _ in range(2)]
    optimizers = [_adam(generators), _adam(discriminators)]
    pair = [2 * _images(1, side) - 1 for _ in range(2)]

    def step():
        with _autocast(precision):
            fakes = [g(image).float() for g, image in zip(generators, pair, strict=True)]
            cycles = [g(fake).float() for g, fake in zip(generators[::-1], fakes, strict=True)]
            judged = [d(fake).float() for d, fake in zip(discriminators, fakes, strict=True)]
        loss = sum(((logits - 1) ** 2).mean() for logits in judged)
        loss += 10 * sum((a - b).abs().mean() for a, b in zip(cycles, pair, strict=True))
        _update(optimizers[0], loss, frozen=discriminators)
        with _autocast(precision):
            # Each judges translations and the real images of the class that they imitate.
            real = [d(image).float() for d, image in zip(discriminators, pair[::-1], strict=True)]
            fake = [d(f.detach()).float() for d, f in zip(discriminators, fakes, strict=True)]
        terms = zip(real, fake, strict=True)
        _update(optimizers[1], sum(((r - 1) ** 2).mean() + (f**2).mean() for r, f in terms) / 2)
        return float(loss.detach())

    return step


def _monai_unet() -> nn.Module:
    from monai.networks.nets import BasicUNet

    return BasicUNet(2, 3, 1, features=(32, 64, 128, 256, 512, 32))


def _monai_unet3d() -> nn.Module:
    """Convolutions of stride 2 in place of pooling, and 1.4 million parameters, as `unet3d` has."""
    from monai.networks.nets import UNet

    return UNet(3, 1, 1, channels=(27, 54, 108, 216), strides=(2, 2, 2))


def _monai_basic_unet3d() -> nn.Module:
    """The U-Net with pooling, with the filters of `unet3d` and a level more, which MONAI wants."""
    from monai.networks.nets import BasicUNet

    return BasicUNet(3, 1, 1, features=(16, 32, 64, 128, 256, 16))


def _smp_unet() -> nn.Module:
    import segmentation_models_pytorch

    return segmentation_models_pytorch.Unet("vgg16", encoder_weights=None)


_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet": UNet,
    "monai": _monai_unet,
    "monai_unet3d": _monai_unet3d,
    "monai_basic_unet3d": _monai_basic_unet3d,
    "smp_vgg16": _smp_unet,
}


def _double(inputs: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU(inplace=True)),
    )


def _upsampled(inputs: int, filters: int) -> tuple[nn.Module, ...]:
    # Nearest upsampling and a 4x4 convolution that pads as Keras's "same".
    return nn.Upsample(scale_factor=2), nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(inputs, filters, 4)


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, eps=1e-3, affine=True)


def _channels_last(model: nn.Module) -> nn.Module:
    return model.to(DEVICE, memory_format=torch.channels_last)


def _images(batch: int, side: int) -> torch.Tensor:
    images = torch.rand(batch, 3, side, side, device=DEVICE)
    return images.contiguous(memory_format=torch.channels_last)


def _autocast(precision: str) -> torch.autocast:
    return torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "mixed_bfloat16")


def _adam(models: Iterable[nn.Module]) -> torch.optim.Adam:
    weights = [weight for model in models for weight in model.parameters()]
    return torch.optim.Adam(weights, 2e-4, betas=(0.5, 0.999))


def _update(
    optimizer: torch.optim.Optimizer, loss: torch.Tensor, frozen: Iterable[nn.Module] = ()
) -> None:
    """Follows the gradients of a loss, but for those of frozen models, which are dropped."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    for model in frozen:
        model.zero_grad(set_to_none=True)
