"""A dataset, a model and a table from outside the packages.

`run(data, out)` builds the dataset into a folder below `data`, trains both models and writes the
page, with the command line of every other table.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np

from experiments.common.table import run_table
from experiments.segmentation.table import SegmentationTable
from melanet.data import DatasetBuilder, DatasetInfo, Sample
from sharpunet import unet


def disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-8:8, -8:8]
    return np.where(x**2 + y**2 < radius**2, 255, 0).astype("uint8")


def read_discs(folder: Path) -> list[Sample]:
    draws = [partial(disc, radius) for radius in (2, 3, 4, 5, 6)]
    return [Sample(f"disc-{n}", f"disc-{n}", draw, draw, "disc") for n, draw in enumerate(draws)]


def shallow_net(input_shape: tuple[int, int, int], classes: int = 1) -> keras.Model:
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(classes, 1, activation="sigmoid")(x))


INFO = DatasetInfo("discs", "Discs", image_size=(16, 16), channels=1)
BUILDER = DatasetBuilder(INFO, read_discs, instructions="Made by code.", generated=True)
TABLE = SegmentationTable(
    name="table_of_discs",
    title="A shallow network on discs",
    datasets=["discs"],
    models=["unet", "shallow_net"],
    published={},
    pairs=[("unet", "shallow_net")],
    builders={"unet": partial(unet, filters=(4, 4)), "shallow_net": shallow_net},
)


def run(data: Path, out: Path, *options: str) -> int:
    BUILDER.build(data, data / "discs")
    return run_table(TABLE, ["--data", str(data), "--out", str(out), *options])
