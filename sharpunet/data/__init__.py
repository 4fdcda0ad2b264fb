"""The datasets of chapter 3, your own images and masks, and their `tf.data` pipelines."""

from pathlib import Path
from typing import TYPE_CHECKING

from melanet import lazy
from melanet.data import (
    DatasetBuilder,
    DatasetInfo,
    ImageDataset,
    InputError,
    Sample,
    open_dataset,
    write_dataset,
)
from melanet.data.errors import os_errors_as_input_errors
from sharpunet.data import (
    covid_ct,
    cvc_clinicdb,
    dsb2018,
    isbi2012,
    isic2018,
    lung,
    phantom,
    phantom3d,
)
from sharpunet.data import folder as own_images
from sharpunet.data import nifti_folder as own_volumes
from sharpunet.data.folder import OwnOptions

if TYPE_CHECKING:
    from melanet.data.loading import load_images
    from sharpunet.data.loading import load_dataset

__getattr__ = lazy.attributes(  # these need TensorFlow
    __name__,
    {"melanet.data.loading": ["load_images"], "sharpunet.data.loading": ["load_dataset"]},
)

#: Every dataset by its short name, in the order of table 3.1. A new one is one module and one name.
BUILDERS: dict[str, DatasetBuilder] = {
    module.BUILDER.info.name: module.BUILDER
    for module in (cvc_clinicdb, isbi2012, covid_ct, isic2018, dsb2018, lung, phantom, phantom3d)
}

_NO_OPTIONS = OwnOptions()

__all__ = [
    "BUILDERS",
    "DatasetBuilder",
    "DatasetInfo",
    "ImageDataset",
    "InputError",
    "OwnOptions",
    "Sample",
    "find_builder",
    "load_dataset",
    "load_images",
    "open_dataset",
    "prepare",
    "write_dataset",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@os_errors_as_input_errors("read")
def find_builder(
    name: str, download: str | Path, options: OwnOptions = _NO_OPTIONS
) -> DatasetBuilder:
    """Finds the dataset called `name`; a folder with `images` and `masks` is one of your own.

    Volumes of your own (NIfTI) become a dataset of their slices, see `sharpunet.data.volumes`.

    Args:
        name: A name in `BUILDERS`, or one of your choice.
        download: Folder of its official files, or with `images` and `masks` for your own.
        options: What the files of your own images do not say by themselves.

    Raises:
        InputError: If `name` is unknown and `download` has no images and masks, or there are
            options for a known dataset.

    Example:
        >>> from sharpunet.data import find_builder
        >>> find_builder("isbi2012", ".").info.title
        'ISBI-2012'
    """
    if name in BUILDERS:
        if options != _NO_OPTIONS:
            raise InputError(
                f"--classes, --colours and --group-by are for images of your own; {name} is known"
            )
        return BUILDERS[name]
    if own_volumes.holds_volumes(Path(download)):
        return own_volumes.make_builder(name, options)
    if (Path(download) / "images").is_dir():
        return own_images.make_builder(name, options)
    instructions = own_images.INSTRUCTIONS
    raise InputError(
        f"{download}: {name!r} is not a known dataset ({', '.join(BUILDERS)}). For images of your "
        f"own: {instructions[0].lower()}{instructions[1:]}"
    )


def prepare(
    name: str, download: str | Path, folder: str | Path, options: OwnOptions = _NO_OPTIONS
) -> ImageDataset:
    """Turns the official download of a dataset into a folder of PNGs, or opens it again.

    Args:
        name: A name in `BUILDERS`, or any name for a folder with `images` and `masks`.
        download: Folder with the official files. It is only read; but where no account is needed,
            a folder that is missing, empty or half downloaded is filled first.
        folder: Where the dataset is or will be. One of your own images is prepared anew if they
            have changed.
        options: What the files of your own images do not say by themselves: class names, colours
            and groups.

    Raises:
        InputError: If the download is incomplete or wrong. Nothing is left half-written, and what
            was in `folder` stays.

    Example:
        >>> from sharpunet.data import prepare
        >>> len(prepare("phantom", ".", "prepared/phantom").ids())
        40
    """
    return find_builder(name, download, options).build(download, folder)
