"""Official downloads to prepared sets (`prepare`), and any prepared set to `tf.data`."""

import dataclasses
from pathlib import Path

from sharpunet.data import (
    covid_ct,
    cvc_clinicdb,
    dsb2018,
    folder,
    isbi2012,
    isic2018,
    lung,
    phantom,
)
from sharpunet.data.pipeline import load_dataset
from sharpunet.data.prepared import InputError, PreparedSet, read_prepared, refusals_named
from sharpunet.data.sources import Source, prepare_source

#: Every dataset by its short name, in the order of table 3.1. A new one is one module and one line.
SOURCES: dict[str, Source] = {
    module.SOURCE.description.name: module.SOURCE
    for module in (cvc_clinicdb, isbi2012, covid_ct, isic2018, dsb2018, lung, phantom)
}

__all__ = [
    "SOURCES",
    "InputError",
    "PreparedSet",
    "find_source",
    "load_dataset",
    "prepare",
    "read_prepared",
]


@refusals_named()
def find_source(name: str, download: str | Path) -> Source:
    """The dataset called `name`; a folder with `images` and `masks` is one of your own.

    Args:
        name: A name in `SOURCES`, or one of your choice.
        download: Folder of its official files, or with `images` and `masks` for your own.

    Raises:
        InputError: If `name` is unknown and `download` has no images and masks.
    """
    if name in SOURCES:
        return SOURCES[name]
    if (Path(download) / "images").is_dir():
        own = folder.SOURCE
        described = dataclasses.replace(own.description, name=name, title=name)
        return dataclasses.replace(own, description=described)
    raise InputError(
        f"{download}: {name!r} is no known dataset ({', '.join(SOURCES)}). For images of your own: "
        f"{folder.DOWNLOAD[0].lower()}{folder.DOWNLOAD[1:]}"
    )


def prepare(name: str, download: str | Path, prepared: str | Path) -> PreparedSet:
    """Brings a dataset's official download into a prepared set, or opens the one that is there.

    Args:
        name: A name in `SOURCES`, or any name for a folder with `images` and `masks`.
        download: Folder with the official files. It is only read.
        prepared: Where the prepared set is or will be.

    Raises:
        InputError: If the download or something in it is missing or wrong; nothing is left
            half-written, and what was in `prepared` stays.
    """
    return prepare_source(find_source(name, download), download, prepared)
