"""Masks of new images by a saved segmentation network, in the images' own sizes."""

from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from melanet.inference import (
    Images,
    Predictions,
    check_model,
    checked_outputs,
    model_info,
    run_predictions,
    to_original,
    write_png,
)
from melanet.saving import ModelInfo, load_model, to_float32
from sharpunet.outlines import outlined
from sharpunet.volume_inference import predict_volumes


def predict(
    model_path: str | Path,
    images: Images,
    out: str | Path,
    *,
    batch_size: int = 16,
    threshold: float | None = None,
    info: ModelInfo | None = None,
) -> Predictions:
    """Segments new images with a saved model, or new volumes with a model of volumes.

    `out` gets `masks/NAME.png` in the image's own size (0 and 255, or a class index per pixel),
    `overlays/NAME.png`, the image with outlines, and `predictions.csv` with each class's share.
    Margins are taken off and probabilities resized before they are thresholded. One batch is in
    memory at a time. Interrupted runs resume. For volumes, see
    `sharpunet.volume_inference.predict_volumes`.

    Args:
        model_path: A `.keras` file.
        images: A folder or files: PNG, JPEG, TIFF, BMP, GIF or DICOM; NIfTI for a model of volumes.
        out: Folder of the results.
        batch_size: Images, or windows of a volume, per batch.
        threshold: Probability above which a pixel is foreground (one class only); the model's own
            if None.
        info: What the model needs; what its file says if None.

    Raises:
        InputError: If the model or all images cannot be read, or `out` holds other predictions.

    Example:
        >>> from PIL import Image
        >>> from melanet.saving import ModelInfo, save_model
        >>> from sharpunet import sharp_unet
        >>> from sharpunet.inference import predict
        >>> model = sharp_unet((16, 16, 1), filters=(4, 4))
        >>> save_model(model, "sharp_unet.keras", ModelInfo("segmentation", (16, 16), 1))
        >>> Image.new("L", (40, 30)).save("scan.png")
        >>> predict("sharp_unet.keras", "scan.png", "predicted").count
        1
        >>> Image.open("predicted/masks/scan.png").size
        (40, 30)
    """
    needed = model_info("segmentation", model_path, info, threshold)
    if needed.takes_volumes:
        model = to_float32(load_model(model_path))
        check_model(model, needed, model_path)
        return predict_volumes(model, needed, model_path, images, out, batch_size=batch_size)
    return run_predictions(
        "segmentation",
        model_path,
        images,
        Path(out),
        partial(_segment, Path(out)),
        folders=("masks", "overlays"),
        batch_size=batch_size,
        threshold=threshold,
        info=info,
    )


def _segment(
    out: Path,
    model: keras.Model,
    info: ModelInfo,
    batch: np.ndarray,
    originals: list[np.ndarray],
    names: list[str],
) -> list[dict[str, Any]]:
    rows = []
    for name, original, output in zip(
        names, originals, checked_outputs(model, batch, names), strict=True
    ):
        classes = pixel_classes(output, original.shape[:2], info)
        several = output.shape[-1] > 1
        stored = classes if several else classes * np.uint8(255)
        write_png(out / "masks" / f"{name}.png", stored)
        write_png(out / "overlays" / f"{name}.png", outlined(original, classes))
        titles = info.class_names or ("foreground",)
        indices = range(len(titles)) if several else [1]
        shares = {
            f"share_{title}": round(float((classes == index).mean()), 6)
            for index, title in zip(indices, titles, strict=True)
        }
        rows.append({"height": len(original), "width": original.shape[1], **shares})
    return rows


def pixel_classes(output: np.ndarray, size: tuple[int, ...], info: ModelInfo) -> np.ndarray:
    """The class of every pixel in the original size; of one class, 0 and 1.

    Args:
        output: Probabilities, `(height, width, classes)`, as the model gives them.
        size: `(height, width)` of the original.
        info: What the model needs.

    Returns:
        uint8 `size`.

    Example:
        >>> import numpy as np
        >>> from melanet import ModelInfo
        >>> from sharpunet.inference import pixel_classes
        >>> pixel_classes(np.ones((8, 8, 1)), (4, 4), ModelInfo("segmentation", (8, 8), 1)).sum()
        np.uint64(16)
    """
    if output.shape[-1] == 1:
        return (to_original(output[:, :, 0], size, info) > info.threshold).astype("uint8")
    best = np.full(size, -np.inf, "float32")
    classes = np.zeros(size, "uint8")
    for index in range(output.shape[-1]):  # all at once would not fit into memory
        plane = to_original(output[:, :, index], size, info)
        classes[plane > best] = index
        best = np.maximum(best, plane)
    return classes
