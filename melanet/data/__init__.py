"""Datasets on disk, shared by both packages; the sources of chapter 2, and their `tf.data`."""

from pathlib import Path
from typing import TYPE_CHECKING

from melanet import lazy
from melanet.data import covid19, isic2016, phantom, xray_phantom
from melanet.data.builders import DatasetBuilder
from melanet.data.dataset import DatasetInfo, ImageDataset, open_dataset
from melanet.data.errors import InputError
from melanet.data.writing import Sample, write_dataset

if TYPE_CHECKING:
    from melanet.data.loading import (
        load_dataset,
        load_for_translation,
        load_images,
        load_unpaired,
    )

__getattr__ = lazy.attributes(  # these need TensorFlow
    __name__,
    {
        "melanet.data.loading": (
            "load_dataset",
            "load_for_translation",
            "load_images",
            "load_unpaired",
        )
    },
)

#: Every dataset by its short name. A new one is one module and one name.
BUILDERS: dict[str, DatasetBuilder] = {
    builder.info.name: builder
    for builder in (isic2016.BUILDER, *covid19.BUILDERS, phantom.BUILDER, *xray_phantom.BUILDERS)
}

__all__ = [
    "BUILDERS",
    "DatasetBuilder",
    "DatasetInfo",
    "ImageDataset",
    "InputError",
    "Sample",
    "load_dataset",
    "load_for_translation",
    "load_images",
    "load_unpaired",
    "open_dataset",
    "prepare",
    "write_dataset",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def prepare(name: str, download: str | Path, folder: str | Path) -> ImageDataset:
    """Turns the official download of a dataset into a folder of PNGs, or opens it again.

    Args:
        name: A name in `BUILDERS`.
        download: Folder with the official files. It is only read.
        folder: Where the dataset is or will be.

    Raises:
        InputError: If `name` is unknown, or the download is incomplete or wrong. Nothing is left
            half-written, and what was in `folder` stays.

    Example:
        >>> from melanet.data import prepare
        >>> prepare("phantom", ".", "prepared/melanet/phantom").info.labels
        ('benign', 'malignant')
    """
    if name not in BUILDERS:
        raise InputError(f"{name!r} is not a known dataset ({', '.join(BUILDERS)})")
    return BUILDERS[name].build(download, folder)
