"""What a dataset is to the library: how it is described, where it comes from, how it is read.

This file stands in both packages, the same to the letter, because neither imports the other.
"""

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from .prepared import (
    MANIFEST,
    Description,
    InputError,
    Item,
    PreparedSet,
    read_prepared,
    refusals_named,
    write_prepared,
)

#: A file of this name says that a download into its folder is not finished.
DOWNLOADING = ".downloading"


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset that `prepare` knows.

    Attributes:
        description: Name, title, size, channels, classes.
        read: From the folder of the official download to its items. It lists without decoding.
        download: Where to get it: page, files, licence, whether an account is needed.
        published_count: Number of images that the thesis or the publisher names; None if free.
        allow_empty_masks: Whether an image without foreground is normal.
        generated: Whether it is made by code, so that there is no download.
        parts: Folders in the download that are read; the whole download if empty.
        notes: From the folder of the download to what is left out of it, a sentence with counts.
        fetch: Downloads the official files into a folder; None where that needs an account.
    """

    description: Description
    read: Callable[[Path], Sequence[Item]]
    download: str
    published_count: int | None = None
    allow_empty_masks: bool = False
    generated: bool = False
    parts: tuple[str, ...] = ()
    notes: Callable[[Path], str] | None = None
    fetch: Callable[[Path], None] | None = None


@refusals_named()
def prepare_source(source: Source, download: str | Path, folder: str | Path) -> PreparedSet:
    """Brings an official download into a prepared set, or opens the one that is there.

    Args:
        source: The dataset.
        download: Folder with the official files. It is only read; but where a source needs no
            account, a folder that is empty, not there, or left by an interrupted download is
            filled first.
        folder: Where the prepared set is or will be.

    Raises:
        InputError: If the download or something in it is missing or wrong, or `folder` holds
            something else; nothing is left half-written, and what was in `folder` stays.
    """
    folder, download = Path(folder), Path(download)
    prepared = read_prepared(folder) if (folder / MANIFEST).is_file() else None
    if prepared is None and source.fetch is not None and _is_to_be_filled(download):
        print(f"{source.description.title}: downloading its official files to {download}")
        source.fetch(download)
    missing = [part for part in _folders(source, download) if not part.is_dir()]
    if missing and not source.generated:
        if prepared is not None and prepared.description.name == source.description.name:
            return prepared  # the download may be gone by now
        raise InputError(f"{missing[0]}: no such folder. {source.download}")
    items = source.read(download)
    origin = _origin(source, download, items)
    if prepared is not None:
        there = prepared.description
        if (there.name, there.origin) != (source.description.name, origin):
            if there.name != source.description.name:
                reason = f"holds the set {there.name!r}"
            elif source.generated:
                reason = "was made by another version of the generator"
            else:
                reason = f"was prepared from other files than {download}"
            raise InputError(
                f"{folder}: {reason}; remove it, or choose another folder for the prepared set"
            )
        return prepared
    expected = source.published_count
    if expected is not None and len(items) not in (0, expected):
        warnings.warn(
            f"{source.description.title}: {len(items)} images found, {expected} are published",
            stacklevel=2,
        )
    notes = source.notes(download) if source.notes else ""
    description = dataclasses.replace(source.description, origin=origin, notes=notes)
    return write_prepared(folder, description, items, allow_empty_masks=source.allow_empty_masks)


def _is_to_be_filled(download: Path) -> bool:
    if not download.is_dir():
        return not download.exists()
    return (download / DOWNLOADING).exists() or not any(download.iterdir())


def _folders(source: Source, download: Path) -> list[Path]:
    return [download / part for part in source.parts] or [download]


def _origin(source: Source, download: Path, items: Sequence[Item]) -> str:
    """A mark of the official files: their names and sizes; of a generated set, its first pixels."""
    if source.generated:
        content = items[0].image().tobytes() + str(len(items)).encode()
    else:
        files = [path for part in _folders(source, download) for path in part.rglob("*")]
        names = [path.relative_to(download) for path in sorted(files) if path.is_file()]
        listed = [
            f"{name} {(download / name).stat().st_size}"
            for name in names
            # A clone's .git and a file manager's hidden files change by themselves.
            if not any(part.startswith(".") for part in name.parts)
        ]
        # A name may be no Unicode.
        content = "\n".join(listed).encode(errors="surrogateescape")
    return hashlib.sha256(content).hexdigest()[:16]


def require_file(folder: Path, name: str, source_download: str) -> Path:
    """The file `name` in `folder`, or an InputError that says where to get it."""
    path = folder / name
    if not path.is_file():
        raise InputError(f"{path}: no such file. {source_download}")
    return path
