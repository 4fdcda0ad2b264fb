"""How long training waits for images, and how memory grows with their number."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from melanet.data import DatasetInfo, ImageDataset, Sample, write_dataset


def make_dataset(folder: Path, count: int, side: int) -> ImageDataset:
    """A dataset of noisy images in two classes, such as cameras make."""

    def image(number: int) -> np.ndarray:
        random = np.random.default_rng(number)
        coarse = random.integers(0, 200, (side // 16, side // 16, 3), dtype="uint8")
        smooth = coarse.repeat(16, 0).repeat(16, 1)
        return smooth + random.integers(0, 32, smooth.shape, dtype="uint8")

    names = [f"image-{number:06d}" for number in range(count)]
    samples = [
        Sample(name, name, lambda n=n: image(n), None, f"{name}.png", label="ab"[n % 2])
        for n, name in enumerate(names)
    ]
    info = DatasetInfo("generated", "Generated", (side, side), 3, labels=("a", "b"))
    return write_dataset(folder, info, samples)


def waits(dataset: ImageDataset, side: int, batch: int, cache: str) -> list[float]:
    """Seconds per batch of the first epoch, of the second and of the third."""
    from melanet.data import load_dataset

    batches = load_dataset(
        dataset, image_size=(side, side), batch_size=batch, shuffle=True, cache=cache
    )
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        number = sum(1 for _ in batches)
        seconds.append((time.perf_counter() - started) / number)
    return seconds


def peak_memory(count: int, cache: str, side: int = 64) -> float:
    """Peak memory in MiB of a process that prepares `count` images and reads them twice."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.loading", folder, str(count), str(side), cache]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Prints the peak memory of this process in MiB, for `peak_memory`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("side", type=int)
    parser.add_argument("cache")
    options = parser.parse_args()
    dataset = make_dataset(options.folder / "generated", options.count, options.side)
    waits(dataset, options.side, 16, options.cache)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
