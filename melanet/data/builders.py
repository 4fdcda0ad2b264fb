"""From official files to a dataset: what a source must declare, and the command `prepare`."""

import argparse
import dataclasses
import hashlib
import sys
import textwrap
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from melanet.data.dataset import METADATA_FILE, DatasetInfo, ImageDataset, open_dataset
from melanet.data.download import UNFINISHED
from melanet.data.errors import (
    InputError,
    escape_unprintable,
    one_line_warnings,
    os_errors_as_input_errors,
)
from melanet.data.files import HashCache, list_files
from melanet.data.writing import Sample, write_dataset

#: Hashes of the official files; hidden, and no part of the dataset.
SOURCE_FILE = ".source.json"
#: What `--positive` is for, wherever it is.
POSITIVE_HELP = "the positive class of your own images; default: the one with the fewest images"
#: What `DatasetBuilder.options` come from.
OPTION_FLAGS = "--group-by, --positive, --classes or --colours"
#: What file managers leave in folders and zip files.
SYSTEM_FILES = {"__macosx", "thumbs.db", "desktop.ini"}


#: From a download, its info and samples to the final info and samples.
Finish = Callable[[Path, DatasetInfo, Sequence[Sample]], tuple[DatasetInfo, Sequence[Sample]]]


@dataclasses.dataclass(frozen=True)
class DatasetBuilder:
    """A source of images that `prepare` knows.

    Attributes:
        info: What holds for all its images.
        read: From the folder of the official download to its samples, without decoding them.
        instructions: Where to get the download: page, files, licence, whether it needs an account.
        published_count: Number of images that the thesis or the publisher states, if any.
        allow_empty_masks: Whether an image without foreground is normal.
        generated: Whether the images are made by code, so that there is no download.
        folders: Folders of the download that must be there; the download itself if empty.
        files: Files and folders of the download that are read; all of it if empty.
        notes: From the folder of the download to a sentence on what is left out of it.
        fetch: Downloads the official files into a folder; None where that needs an account.
        finish: From the folder of the download, `info` and the samples to those that only the
            files themselves decide on, such as the number of classes.
        options: Settings of `read` and `finish` that make another dataset of the same files.
        replace: Whether a dataset of other files is prepared anew, rather than refused.

    Example:
        >>> from melanet.data import BUILDERS
        >>> BUILDERS["isic2016"].published_count
        1279
    """

    info: DatasetInfo
    read: Callable[[Path], Sequence[Sample]]
    instructions: str
    published_count: int | None = None
    allow_empty_masks: bool = False
    generated: bool = False
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    notes: Callable[[Path], str] | None = None
    fetch: Callable[[Path], None] | None = None
    finish: Finish | None = None
    options: str = ""
    replace: bool = False

    @os_errors_as_input_errors("read")
    def build(self, download: str | Path, folder: str | Path) -> ImageDataset:
        """Turns an official download into a dataset, or opens the one that is there.

        Args:
            download: Folder with the official files. It is only read; but where no account is
                needed, a folder that is missing, empty or half downloaded is filled first.
            folder: Where the dataset is or will be.

        Raises:
            InputError: If the download is incomplete or wrong, or `folder` holds something else.
                Nothing is left half-written, and what was in `folder` stays.
        """
        folder, download = Path(folder), Path(download)
        existing = open_dataset(folder) if (folder / METADATA_FILE).is_file() else None
        if existing is None and self.fetch is not None and _needs_filling(download):
            print(f"{self.info.title}: downloading its official files to {download}")
            self.fetch(download)
        needed = [download / name for name in self.folders] or [download]
        missing = [each for each in needed if not each.is_dir()]
        if missing and not self.generated:
            if existing is not None and existing.info.name == self.info.name:
                return existing  # the download may have been deleted since
            raise InputError(f"{missing[0]}: no such folder. {self.instructions}")
        hashes = HashCache(folder / SOURCE_FILE)
        fingerprint = self._fingerprint(download, folder, hashes)
        if existing is not None and self._is_same(existing, fingerprint, download):
            hashes.save()
            return existing
        samples = self.read(download)
        if self.published_count is not None and len(samples) not in (0, self.published_count):
            warnings.warn(
                f"{self.info.title}: {len(samples)} images found, "
                f"{self.published_count} are published",
                stacklevel=2,
            )
        notes = self.notes(download) if self.notes else ""
        info = dataclasses.replace(self.info, source_fingerprint=fingerprint, notes=notes)
        if self.finish is not None and samples:
            info, samples = self.finish(download, info, samples)
        dataset = write_dataset(
            folder,
            info,
            samples,
            allow_empty_masks=self.allow_empty_masks,
            replace=self.replace,
        )
        hashes.save()
        return dataset

    def _fingerprint(self, download: Path, folder: Path, hashes: HashCache) -> str:
        """Identifies the official files by their names and contents; phantoms by a first image."""
        if self.generated:
            samples = self.read(download)
            content = samples[0].image().tobytes() + str(len(samples)).encode()
        else:
            files = {
                str(path.relative_to(download)): [path]
                for path in self._official_files(download)
                if folder.absolute() not in path.absolute().parents
            }
            found = hashes.hash(files, _sha256, f"reading the files of {self.info.title}")
            # Not all names are Unicode.
            listed = "\n".join(f"{name} {found[name]}" for name in found)
            content = listed.encode(errors="surrogateescape")
        of_files = hashlib.sha256(content).hexdigest()[:16]
        if not self.options:
            return of_files
        return f"{of_files}-{hashlib.sha256(self.options.encode()).hexdigest()[:8]}"

    def _official_files(self, download: Path) -> Iterator[Path]:
        for name in self.files or [""]:
            path = download / name
            for file in [path] if path.is_file() else sorted(path.rglob("*")):
                # A clone's .git and a file manager's hidden files change by themselves.
                if file.is_file() and not any(map(is_hidden, file.relative_to(download).parts)):
                    yield file

    def _is_same(self, existing: ImageDataset, fingerprint: str, download: Path) -> bool:
        """Whether a dataset is of these files; False if it is to be replaced.

        Without options, one that was prepared with some is the same.
        """
        before = existing.info.source_fingerprint
        of_files, _, with_options = before.partition("-")
        if existing.info.name != self.info.name:
            reason = f"holds the dataset {existing.info.name!r}"
        elif existing.info.labels != self.info.labels and not self.replace:
            reason = f"has the classes {', '.join(existing.info.labels)}, the positive one last"
        elif fingerprint in (before, of_files):
            return True
        elif self.replace and with_options and not self.options:
            raise InputError(
                f"{existing.folder}: was prepared from other files than {download} holds now, with "
                f"{OPTION_FLAGS}; give them again and it is prepared anew, or remove it"
            )
        elif self.replace:
            self._warn_of_positive_class(existing)
            return False
        elif self.generated:
            reason = "was made by another version of the generator"
        else:
            reason = f"was prepared from other files than {download} holds now"
        raise InputError(
            f"{existing.folder}: {reason}; remove it and prepare it anew, or choose another folder"
        )

    def _warn_of_positive_class(self, existing: ImageDataset) -> None:
        """Warns if a dataset that is prepared anew gets another positive class."""
        before, now = existing.info.labels[-1:], self.info.labels[-1:]
        if before != now:
            warnings.warn(
                f"{existing.folder}: is prepared anew, and its positive class is {''.join(now)} "
                f"now, not {''.join(before)}; --positive says which",
                stacklevel=2,
            )


def is_hidden(name: str) -> bool:
    """Whether a file or folder is the system's own: hidden, or made by a file manager.

    Example:
        >>> from melanet.data.builders import is_hidden
        >>> [is_hidden(name) for name in ("._a.png", "__MACOSX", "Thumbs.db", "a.png")]
        [True, True, True, False]
    """
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def list_images(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files in a folder of one's own images, in order; the system's own are left out.

    Args:
        folder: The folder.
        suffixes: Those of the formats that are read, in lower case.

    Raises:
        InputError: If there is something else in it.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.builders import list_images
        >>> Path("photos").mkdir()
        >>> for name in ("b.png", "a.PNG", "Thumbs.db"):
        ...     Path("photos", name).touch()
        >>> [path.name for path in list_images(Path("photos"), {".png"})]
        ['a.PNG', 'b.png']
    """
    paths = [path for path in sorted(folder.iterdir()) if not is_hidden(path.name)]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: is a link to a file that is missing; mend or remove it")
        if path.is_dir():
            raise InputError(f"{path}: is a folder; move its images to {folder}, or it away")
    others = [path.name for path in paths if path.suffix.lower() not in suffixes]
    if others:
        more = f" ({len(others)}: {list_files(others)})" if len(others) > 1 else ""
        raise InputError(
            f"{folder / others[0]}: is none of {', '.join(sorted(suffixes))}; convert images to "
            f"PNG and move other files away{more}"
        )
    return paths


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _needs_filling(download: Path) -> bool:
    if not download.is_dir():
        return not download.exists()
    return (download / UNFINISHED).exists() or not any(download.iterdir())


def require_file(folder: Path, name: str, instructions: str) -> Path:
    """The file `name` in `folder`.

    Raises:
        InputError: If it is missing; the message says where to get it.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.builders import require_file
        >>> require_file(Path("isbi2012"), "train-volume.tif", "Get it from the challenge's page")
        Traceback (most recent call last):
            ...
        melanet.data.errors.InputError: isbi2012/train-volume.tif: no such file. Get it from ...
    """
    path = folder / name
    if not path.is_file():
        raise InputError(f"{path}: no such file. {instructions}")
    return path


def run_prepare(
    program: str,
    builders: Mapping[str, DatasetBuilder],
    prepare: Callable[..., ImageDataset],
    arguments: Sequence[str] | None = None,
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None,
) -> int:
    """The command `python -m PACKAGE.data NAME --download DIR --prepared DIR`.

    Args:
        program: Name of the command, for its help.
        builders: The datasets that the help lists.
        prepare: The package's `prepare`; with `add_arguments` it takes the options as well.
        arguments: Those of the command line if None.
        add_arguments: Adds flags of the package's own.

    Returns:
        The exit code: 0, 2 for bad input, 130 if interrupted.

    Example:
        >>> from melanet.data import BUILDERS, prepare
        >>> from melanet.data.builders import run_prepare
        >>> run_prepare("demo", BUILDERS, prepare, ["phantom", "--prepared", "lesions"])
        lesions: 225 images of Phantom
        0
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description="Turns the official download of a dataset into a folder of PNGs with a "
        "metadata.csv.",
        epilog="\n\n".join(["datasets:", *map(_paragraph, builders.values())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", help="dataset, see below, or any name for images of your own")
    add("--download", type=Path, default=Path(), help="folder with the official files; default: .")
    add("--prepared", type=Path, required=True, help="where the dataset will be")
    if add_arguments is not None:
        add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        with one_line_warnings():
            dataset = prepare(
                options.name,
                options.download,
                options.prepared,
                *([options] if add_arguments else []),
            )
    except InputError as error:
        print("error:", error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command resumes", file=sys.stderr)
        return 130
    count, title = len(dataset.metadata), dataset.info.title
    print(escape_unprintable(f"{options.prepared}: {count} images of {title}"))
    if dataset.info.notes:
        print(dataset.info.notes)
    return 0


def _paragraph(builder: DatasetBuilder) -> str:
    return textwrap.fill(
        f"{builder.info.name} ({builder.info.title}): {builder.instructions}",
        width=80,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,  # so that addresses can be copied
        break_on_hyphens=False,
    )
