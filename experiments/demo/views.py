"""What the demo shows of one image: pictures and numbers, made by a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from experiments.demo.models import load, load_skips, load_translator
from melanet import lazy
from melanet.data import InputError
from melanet.data.new_images import read_new_image
from sharpunet.names import KERNEL_NAMES

if TYPE_CHECKING:
    import keras
    import matplotlib as mpl

    from melanet import explain, inference, saving
    from melanet.data import loading
    from sharpunet import inference as masks
    from sharpunet import layers, outlines
else:
    keras = lazy.module("keras")
    mpl = lazy.module("matplotlib")
    explain = lazy.module("melanet.explain")
    inference = lazy.module("melanet.inference")
    saving = lazy.module("melanet.saving")
    loading = lazy.module("melanet.data.loading")
    masks = lazy.module("sharpunet.inference")
    outlines = lazy.module("sharpunet.outlines")
    layers = lazy.module("sharpunet.layers")

#: Larger images are made smaller as they come in: no model here sees more.
MAX_SIDE = 1024
#: Share of a feature map's values that its colours span; the few others are cut off.
SPAN = 99
#: Feature maps are shown with at least as many pixels per side, each of theirs as a square.
SHOWN_SIDE = 256


def read_upload(path: Path) -> np.ndarray:
    """An image file in colour, of at most `MAX_SIDE` pixels per side.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        InputError: If it cannot be read; the message names the file alone, without its folder.
    """
    try:
        pixels = read_new_image(path, 3)
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from None
    if max(pixels.shape) <= MAX_SIDE:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=3)
    return np.asarray(image)


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What a classifier says of an image.

    Attributes:
        probabilities: Of each class, by its name.
        predicted: The class that is predicted at the threshold.
        evidence: The image under the heat map of Grad-CAM for that class.
    """

    probabilities: dict[str, float]
    predicted: str
    evidence: np.ndarray


def classify(path: Path, pixels: np.ndarray, threshold: float) -> Diagnosis:
    """Classifies an image; of two classes, the second from the threshold on.

    Raises:
        InputError: If the model cannot be loaded, or the image is too thin to resize.
    """
    model, info = load(path)
    batch = _batch(pixels, info)
    outputs = inference.checked_outputs(model, batch, ["image"])
    chosen = inference.predicted_classes(outputs, threshold)
    [heat] = explain.grad_cam(model, batch, class_index=chosen)
    return Diagnosis(
        dict(zip(info.class_names, map(float, outputs[0]), strict=True)),
        info.class_names[chosen[0]],
        inference.heat_overlay(_with_channels(pixels, info.channels), heat, info),
    )


def translate(path: Path, pixels: np.ndarray, backward: bool) -> dict[str, np.ndarray]:
    """An image as the other class, the way back, and what has changed.

    Returns:
        Pictures in the image's size by their titles. In the difference grey is no change.

    Raises:
        InputError: If the generators cannot be loaded, or the image is too thin to resize.
    """
    translator = load_translator(path)
    domains, generators = translator.domains, translator.generators
    if backward:
        domains, generators = domains[::-1], generators[::-1]
    image = _batch(pixels, translator.info) / 127.5 - 1
    made = [image]
    for generator in generators:
        made.append(inference.checked_outputs(generator, made[-1], ["image"]))
    shown = [_picture(each[0], pixels.shape[:2], translator.info) for each in made]
    before, after = (picture.astype("float32") for picture in shown[:2])
    pictures = {"as the generator sees it": shown[0], f"as {domains[1]}": shown[1]}
    if len(shown) > 2:
        pictures[f"and back, as {domains[0]}"] = shown[2]
    difference = np.clip(np.round(127.5 + (after - before) / 2), 0, 255).astype("uint8")
    return pictures | {"difference (grey: none)": difference}


def _picture(values: np.ndarray, size: tuple[int, ...], info: saving.ModelInfo) -> np.ndarray:
    """Values in [-1, 1] as uint8 in colour."""
    planes = [inference.to_original(values[..., c], size, info) for c in range(info.channels)]
    picture = np.round(127.5 * (np.clip(np.stack(planes, axis=-1), -1, 1) + 1)).astype("uint8")
    return _with_channels(picture, 3)


def segment(path: Path, pixels: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The mask of an image, and the image with outlines.

    Returns:
        The mask as a PNG would hold it, uint8 `(height, width)`, and uint8 `(height, width, 3)`.

    Raises:
        InputError: If the model cannot be loaded, or the image is too thin to resize.
    """
    model, info = load(path)
    info = dataclasses.replace(info, threshold=threshold)
    [output] = inference.checked_outputs(model, _batch(pixels, info), ["image"])
    classes = masks.pixel_classes(output, pixels.shape[:2], info)
    mask = np.round(classes * (255 / max(output.shape[-1] - 1, 1))).astype("uint8")
    return mask, outlines.outlined(pixels, classes)


def skip_sizes(path: Path) -> list[tuple[int, ...]]:
    """`(height, width, channels)` of the feature maps on the skip connections.

    Raises:
        InputError: If the network cannot be loaded, or has no long skip connection.
    """
    encoder, _ = load_skips(path)
    return [tuple(output.shape[1:]) for output in encoder.outputs]


def sharpen(
    path: Path, pixels: np.ndarray, kernel: str, skip: int, channel: int
) -> tuple[np.ndarray, np.ndarray]:
    """A feature map on a skip connection, before and after a sharp block (section 3.2.4).

    Args:
        path: A segmentation network.
        pixels: The image.
        kernel: A name in `sharpunet.names.KERNEL_NAMES`.
        skip: Number of the skip connection, 0 the topmost.
        channel: Number of the channel, from 0 on.

    Returns:
        Two pictures of the feature map, enlarged: from low (dark) to high, and from negative
        (blue) over 0 (white) to positive (red).

    Raises:
        InputError: If the network cannot be loaded, the image is too thin to resize, or there is
            no such kernel, skip connection or channel.
    """
    encoder, info = load_skips(path)
    if kernel not in KERNEL_NAMES or not 0 <= skip < len(encoder.outputs):
        raise InputError(f"{kernel}, {skip}: no such kernel or skip connection")
    outputs = encoder([_batch(pixels, info)], training=False)
    maps = np.asarray((outputs if isinstance(outputs, list | tuple) else [outputs])[skip])
    if not 0 <= channel < maps.shape[-1]:
        raise InputError(f"channel {channel}: there are {maps.shape[-1]}")
    before = maps[..., channel : channel + 1]
    after = np.asarray(layers.SharpBlock(kernel)(before))[0, :, :, 0]
    before = before[0, :, :, 0]
    low, high = np.percentile(before, (100 - SPAN, SPAN))
    reach = np.percentile(np.abs(after), SPAN)
    return _coloured(before, "magma", low, high), _coloured(after, "RdBu_r", -reach, reach)


def _coloured(plane: np.ndarray, colours: str, low: float, high: float) -> np.ndarray:
    shares = (plane - low) / max(high - low, float(np.finfo("float32").tiny))
    picture = np.round(255 * mpl.colormaps[colours](np.clip(shares, 0, 1))[..., :3])
    times = -(-SHOWN_SIDE // max(plane.shape))
    return picture.astype("uint8").repeat(times, axis=0).repeat(times, axis=1)


def _batch(pixels: np.ndarray, info: saving.ModelInfo) -> np.ndarray:
    """A batch of one image as a model takes it."""
    if min(inference.original_region(pixels.shape[:2], info)[2:]) < 1:
        raise InputError("the image is too long and thin; cut it")
    return loading.prepare_image(_with_channels(pixels, info.channels), info)[None]


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """A uint8 image in grey or in colour, as prepared datasets are."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 1:
        return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    return np.repeat(pixels, 3, axis=2)
