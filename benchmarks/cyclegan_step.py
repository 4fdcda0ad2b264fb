"""Times one training step of the CycleGAN against the released loop.

    python -m benchmarks.cyclegan_step [--image-size 256] [--steps 20]

For each pair of images the author's code calls `predict` twice, `train_on_batch` of a discriminator
four times, and `train_on_batch` of both generators with frozen discriminators once. It has an
identity loss and the thesis has none, so our step is timed with and without it. The steps of all
variants alternate, so that a drift of the machine's speed affects them alike.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from melanet.cyclegan import build_cyclegan
from melanet.networks import patchgan_discriminator, unet_generator

WARM_UP_STEPS = 2  # they build the graphs


def our_step(size: int, precision: str, identity_weight: float = 0.0) -> Callable:
    """Returns a function that trains our CycleGAN on one pair of images."""
    keras.config.set_dtype_policy(precision)
    model = build_cyclegan((size, size, 3))
    model.compile(adversarial_loss="least_squares", identity_weight=identity_weight)
    keras.config.set_dtype_policy("float32")
    model.make_train_function()

    def run(benign, malignant):
        pair = tf.data.Dataset.from_tensors((benign, malignant))
        return float(model.train_function(iter(pair))["generator_loss"])

    return run


def released_step(size: int) -> Callable:
    """Returns a function that runs the released loop on one pair of images."""
    shape = (size, size, 3)
    adam = {"learning_rate": 2e-4, "beta_1": 0.5}
    to_malignant, to_benign = (unet_generator(shape, name=name) for name in ("there", "back"))
    discriminators = [patchgan_discriminator(shape, name=name) for name in ("first", "second")]
    for discriminator in discriminators:
        discriminator.compile(keras.optimizers.Adam(**adam), "mse")
    inputs = [keras.Input(shape), keras.Input(shape)]
    fake_malignant, fake_benign = to_malignant(inputs[0]), to_benign(inputs[1])
    frozen = [keras.models.clone_model(discriminator) for discriminator in discriminators]
    for discriminator in frozen:
        discriminator.trainable = False
    combined = keras.Model(
        inputs,
        [
            frozen[0](fake_benign),
            frozen[1](fake_malignant),
            to_benign(fake_malignant),
            to_malignant(fake_benign),
            to_benign(inputs[0]),
            to_malignant(inputs[1]),
        ],
    )
    combined.compile(
        keras.optimizers.Adam(**adam),
        ["mse", "mse", "mae", "mae", "mae", "mae"],
        loss_weights=[1, 1, 10, 10, 1, 1],
    )
    patches = (1, size // 16, size // 16, 1)
    real, fake = np.ones(patches, "float32"), np.zeros(patches, "float32")

    def run(benign, malignant):
        fakes = to_benign.predict(malignant, verbose=0), to_malignant.predict(benign, verbose=0)
        for discriminator, images, translated in zip(
            discriminators, (benign, malignant), fakes, strict=True
        ):
            discriminator.train_on_batch(images, real)
            discriminator.train_on_batch(translated, fake)
        targets = [real, real, benign, malignant, benign, malignant]
        return combined.train_on_batch([benign, malignant], targets)

    return run


def main() -> None:
    """Prints the median time per step of each variant, and its speed relative to released."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    size = options.image_size
    released = "released loop, float32"
    runs = {
        released: released_step(size),
        "ours, float32": our_step(size, "float32"),
        "ours, mixed_bfloat16": our_step(size, "mixed_bfloat16"),
        "ours with identity, float32": our_step(size, "float32", 1.0),
        "ours with identity, mixed_bfloat16": our_step(size, "mixed_bfloat16", 1.0),
    }
    random = np.random.default_rng(0)
    pair = [random.uniform(-1, 1, (1, size, size, 3)).astype("float32") for _ in range(2)]
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for step in range(options.steps + WARM_UP_STEPS):
        for name, run in runs.items():
            started = time.perf_counter()
            run(*pair)
            if step >= WARM_UP_STEPS:
                seconds[name].append(time.perf_counter() - started)
    for name, times in seconds.items():
        ratios = [slow / quick for slow, quick in zip(seconds[released], times, strict=True)]
        print(
            f"{name:36} {statistics.median(times):.3f} s per step, "
            f"{statistics.median(ratios):.2f} times as fast as released "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
