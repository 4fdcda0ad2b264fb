"""Times training on a GPU with Keras's JAX or PyTorch backend; writes `docs/benchmarks-gpu.md`.

    KERAS_BACKEND=jax python -m benchmarks.gpu

TensorFlow is not needed, since models, layers and losses run on every backend of Keras.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.tables import markdown, ratio
from benchmarks.turns import Variant, measure
from melanet.data.files import atomic_write
from sharpunet import LOSSES, MODELS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks-gpu.md"
STEPS = 20  # in an epoch


def epoch(model: str, side: int, batch: int, precision: str) -> Callable[[], Any]:
    """An epoch of 20 steps of a model of chapter 3, with the cross-entropy and Adam."""
    keras.config.set_dtype_policy(precision)
    network = MODELS[model]((side, side, 3))
    network.compile(keras.optimizers.Adam(1e-3), LOSSES["cross_entropy"](1))
    random = np.random.default_rng(0)
    images = random.random((batch * STEPS, side, side, 3), dtype="float32")
    masks = (images[..., :1] > 0.5).astype("float32")
    return lambda: network.fit(images, masks, batch_size=batch, verbose=0)


def peer_epoch(network: str, side: int, batch: int, precision: str) -> Callable[[], Any]:
    """As many steps of PyTorch's U-Net."""
    from benchmarks.peers import segmentation_training

    step = segmentation_training(network, side, batch, precision)
    return lambda: [step() for _ in range(STEPS)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=main.__doc__)
    add = parser.add_argument
    add("--sides", type=int, nargs="+", default=[256, 512], help="default: %(default)s")
    add("--batch-size", type=int, default=16, help="default: %(default)s")
    add("--rounds", type=int, default=5, help="turns of each variant; default: %(default)s")
    add("--out", type=Path, default=PAGE, help="default: %(default)s")
    options = parser.parse_args(arguments)
    backend, rows = keras.backend.backend(), []
    for side in options.sides:
        for precision in ("float32", "mixed_bfloat16"):
            shape = {"side": side, "batch": options.batch_size, "precision": precision}
            ours = {"U-Net": "unet", "Sharp U-Net": "sharp_unet"}
            variants = [
                *(
                    Variant(f"{title}, Keras on {backend}", "benchmarks.gpu:epoch",
                            {"model": model, **shape})
                    for title, model in ours.items()
                ),
                Variant("PyTorch U-Net", "benchmarks.gpu:peer_epoch", {"network": "unet", **shape}),
            ]  # fmt: skip
            timings = measure(variants, options.rounds, 1)
            for name, timing in timings.items():
                seconds = timing.reason or f"{statistics.median(timing.seconds) / STEPS:.4f}"
                versus = ratio(timing, timings["PyTorch U-Net"])
                rows.append((str(side), precision, name, seconds, versus))
    header = ("side", "precision", "", "s a step", "times as fast as PyTorch U-Net")
    title = f"# Benchmarks on a GPU\n\nBatches of {options.batch_size}; {_device()}.\n"
    atomic_write(options.out, f"{title}\n{markdown(header, rows)}")
    print(f"Open {options.out}")
    return 0


def _device() -> str:
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed, so that the device has no name here"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU was found"


if __name__ == "__main__":
    sys.exit(main())
