"""Datasets on disk, shared by both packages; the sources of chapter 2, and their `tf.data`."""

from pathlib import Path
from typing import TYPE_CHECKING

from melanet import lazy
from melanet.data import covid19, isic2016, phantom, xray_phantom
from melanet.data import folder as own_images
from melanet.data.builders import DatasetBuilder
from melanet.data.dataset import DatasetInfo, ImageDataset, open_dataset
from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.data.writing import Sample, write_dataset

if TYPE_CHECKING:
    from melanet.data.loading import load_dataset, load_for_translation, load_images, load_unpaired

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
    for builder in (isic2016.BUILDER, *covid19.BUILDERS, *phantom.BUILDERS, *xray_phantom.BUILDERS)
}

__all__ = [
    "BUILDERS",
    "DatasetBuilder",
    "DatasetInfo",
    "ImageDataset",
    "InputError",
    "Sample",
    "find_builder",
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


@os_errors_as_input_errors("read")
def find_builder(
    name: str, download: str | Path, *, positive: str | None = None, group_by: str = ""
) -> DatasetBuilder:
    """Finds the dataset called `name`; a folder of images in classes is one of your own.

    Args:
        name: A name in `BUILDERS`, or one of your choice.
        download: Folder of its official files, or of your own: a folder per class, or `images`
            with a CSV file.
        positive: The positive class of your own images; the one with the fewest images if None.
        group_by: A regular expression whose first group is the patient in the names of your own
            images; if empty, patients are those of `groups.csv` or of the CSV file, if any.

    Raises:
        InputError: If `name` is unknown and `download` has no images in classes, or `positive` is
            none of them.

    Example:
        >>> from melanet.data import find_builder
        >>> find_builder("isic2016", ".").info.title
        'ISIC-2016'
    """
    if name in BUILDERS:
        if positive not in (None, BUILDERS[name].info.labels[-1]):
            raise InputError(
                f"--positive {positive}: the positive class of {name} is "
                f"{BUILDERS[name].info.labels[-1]}; --positive is for images of your own"
            )
        if group_by:
            raise InputError(f"--group-by: is for images of your own; {name} is known")
        return BUILDERS[name]
    if own_images.is_own(Path(download)):
        return own_images.make_builder(name, Path(download), positive, group_by)
    instructions = own_images.INSTRUCTIONS
    raise InputError(
        f"{download}: {name!r} is not a known dataset ({', '.join(BUILDERS)}). For images of your "
        f"own: {instructions[0].lower()}{instructions[1:]}"
    )


def prepare(
    name: str,
    download: str | Path,
    folder: str | Path,
    *,
    positive: str | None = None,
    group_by: str = "",
) -> ImageDataset:
    """Turns the official download of a dataset into a folder of PNGs, or opens it again.

    Args:
        name: A name in `BUILDERS`, or any name for images of your own, see `find_builder`.
        download: Folder with the official files. It is only read.
        folder: Where the dataset is or will be. One of your own images is prepared anew if they
            have changed.
        positive, group_by: See `find_builder`.

    Raises:
        InputError: If `name` is unknown, or the download is incomplete or wrong. Nothing is left
            half-written, and what was in `folder` stays.

    Example:
        >>> from melanet.data import prepare
        >>> prepare("phantom", ".", "prepared/melanet/phantom").info.labels
        ('benign', 'malignant')
    """
    return find_builder(name, download, positive=positive, group_by=group_by).build(
        download, folder
    )
