"""New images translated by a saved generator, in the images' own sizes."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from melanet.data.errors import InputError
from melanet.inference import (
    Images,
    Predictions,
    checked_outputs,
    predict_batches,
    to_original,
    write_png,
)
from melanet.saving import ModelInfo, load_model, to_float32

TRANSLATIONS_FILE = "translations.csv"


def translate_images(
    generator: str | Path,
    images: Images,
    out: str | Path,
    *,
    batch_size: int = 16,
    image_size: tuple[int, int] | None = None,
    target: str | None = None,
) -> Predictions:
    """Translates new images to another class with a saved generator.

    `out` gets `images/NAME.png` in the image's own size, and `translations.csv`. Images are
    stretched to the generator's size, translated, and resized back. One batch is in memory at a
    time. Interrupted runs resume.

    Args:
        generator: A `.keras` file of a generator from [-1, 1] to [-1, 1], of a whole CycleGAN, of
            which the one from the first class to the second is taken, or of a StarGAN.
        images: A folder or files: PNG, JPEG, TIFF, BMP, GIF or DICOM.
        out: Folder of the results.
        batch_size: Images per batch.
        image_size: `(height, width)` at which images are translated; the generator's own if None.
        target: The class to translate to; for a StarGAN, and only for one.

    Raises:
        InputError: If the generator or all images cannot be read, `target` is missing, unknown or
            not needed, or `out` holds other results.

    Example:
        >>> from PIL import Image
        >>> from melanet import save_model, translate_images, unet_generator
        >>> save_model(unet_generator((16, 16, 3), filters=4), "generator.keras")
        >>> Image.new("RGB", (40, 30)).save("mole.png")
        >>> translate_images("generator.keras", "mole.png", "translated").count
        1
        >>> Image.open("translated/images/mole.png").size
        (40, 30)
    """
    out = Path(out)
    model = load_model(generator)
    network = to_float32(_generator(model, generator, target))
    info = generator_info(network, generator, image_size)
    if target is not None:  # results of another target are other results
        info = dataclasses.replace(info, training={"target": target})

    def write(
        network: keras.Model,
        info: ModelInfo,
        batch: np.ndarray,
        originals: list[np.ndarray],
        names: list[str],
    ) -> list[dict[str, Any]]:
        outputs = checked_outputs(network, batch / 127.5 - 1, names)
        for name, original, output in zip(names, originals, outputs, strict=True):
            size = original.shape[:2]
            planes = [to_original(output[..., c], size, info) for c in range(info.channels)]
            pixels = np.round(127.5 * (np.clip(np.stack(planes, axis=-1), -1, 1) + 1))
            pixels = pixels[..., 0] if info.channels == 1 else pixels
            write_png(out / "images" / f"{name}.png", pixels.astype("uint8"))
        return [{"height": len(each), "width": each.shape[1]} for each in originals]

    return predict_batches(
        network,
        info,
        generator,
        images,
        out,
        write,
        folders=("images",),
        batch_size=batch_size,
        table_file=TRANSLATIONS_FILE,
    )


def _generator(model: Any, path: str | Path, target: str | None) -> keras.Model:
    """What translates: of a StarGAN, its generator with the target fixed."""
    if hasattr(model, "generator_to"):
        if target not in model.domains:
            given = "--target" if target is None else f"--target {target}"
            classes = ", ".join(model.domains)
            raise InputError(f"{given}: must be a class that {path} translates to: {classes}")
        return model.generator_to(target)
    if target is not None:
        raise InputError(f"--target {target}: {path} translates to one class only; leave it out")
    return getattr(model, "first_to_second", model)


def generator_info(
    network: keras.Model, path: str | Path, size: tuple[int, int] | None
) -> ModelInfo:
    """How images are read for a generator: its size and channels, in [0, 255].

    Args:
        network: The generator.
        path: Its file, for messages.
        size: `(height, width)` at which it shall translate; its own if None.

    Raises:
        InputError: If it is no generator, or does not translate images of this size.

    Example:
        >>> from melanet import unet_generator
        >>> from melanet.translation import generator_info
        >>> generator_info(unet_generator((16, 16, 3), filters=4), "generator.keras", None).channels
        3
    """
    given: Any
    made: Any
    given, made = (getattr(network, name, None) for name in ("input_shape", "output_shape"))
    if not all(isinstance(each, tuple) and len(each) == 4 for each in (given, made)):
        raise InputError(f"{path}: is no generator, from an image to an image; give one")
    height, width, channels = given[1:]
    if made[1:] != given[1:] or channels not in (1, 3):
        raise InputError(
            f"{path}: is no generator, from an image to an image of the same shape; it makes "
            f"{made} of {given}"
        )
    if size is None and None in (height, width):
        raise InputError(f"{path}: takes images of any size; say which by --image-size H W")
    size = size or (height, width)
    if any(own not in (None, side) for own, side in zip((height, width), size, strict=True)):
        raise InputError(f"--image-size {size[0]} {size[1]}: {path} takes {height} {width}")
    if None in (height, width):
        _try(network, (1, *size, channels), path)
    return ModelInfo("segmentation", size, channels, scaling="none")  # from image to image


def _try(network: keras.Model, shape: tuple[int, ...], path: str | Path) -> None:
    """Checks that a generator of any size also takes this one, which its strides may not divide."""
    try:
        made = network.predict_on_batch(np.zeros(shape, "float32")).shape
    except Exception:  # of Keras or of its backend
        made = None
    if made != shape:
        raise InputError(
            f"--image-size {shape[1]} {shape[2]}: {path} cannot translate images of this size; "
            "choose multiples of 32"
        )
