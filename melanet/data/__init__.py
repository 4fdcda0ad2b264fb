"""Official downloads to prepared sets (`prepare`), and prepared sets to `tf.data`."""

from pathlib import Path

from melanet.data import covid19, isic2016, phantom, xray_phantom
from melanet.data.pipeline import load_dataset, load_symmetric, load_unpaired
from melanet.data.prepared import InputError, PreparedSet, read_prepared
from melanet.data.sources import Source, prepare_source

#: Every dataset by its short name. A new one is one module and one word.
SOURCES: dict[str, Source] = {
    source.description.name: source
    for source in (isic2016.SOURCE, *covid19.SOURCES, phantom.SOURCE, *xray_phantom.SOURCES)
}

__all__ = [
    "SOURCES",
    "InputError",
    "PreparedSet",
    "load_dataset",
    "load_symmetric",
    "load_unpaired",
    "prepare",
    "read_prepared",
]


def prepare(name: str, download: str | Path, prepared: str | Path) -> PreparedSet:
    """Brings a dataset's official download into a prepared set, or opens the one that is there.

    Args:
        name: A name in `SOURCES`.
        download: Folder with the official files. It is only read.
        prepared: Where the prepared set is or will be.

    Raises:
        InputError: If `name` is unknown, or the download or something in it is missing or wrong;
            nothing is left half-written, and what was in `prepared` stays.
    """
    if name not in SOURCES:
        raise InputError(f"{name!r} is no known dataset ({', '.join(SOURCES)})")
    return prepare_source(SOURCES[name], download, prepared)
