"""Downloads of official files that need no account. Interrupted downloads resume."""

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.data.writing import file_lock

#: Name of a file that marks its folder as half downloaded.
UNFINISHED = ".downloading"
BLOCK = 1 << 20
TIMEOUT = 60  # seconds without a byte


def fetch_files(folder: Path, urls: Mapping[str, str]) -> None:
    """Downloads the files that `folder` lacks, and unpacks zip files.

    Until all are there, `folder` holds the file `UNFINISHED`. If two processes download to the
    same folder, the second waits for the first.

    Args:
        folder: Where the files will be.
        urls: The files' addresses by their names.

    Raises:
        InputError: If a file cannot be downloaded or unpacked.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.download import fetch_files
        >>> n = Path("table.csv").write_text("id,label")
        >>> fetch_files(Path("official"), {"table.csv": Path("table.csv").resolve().as_uri()})
        >>> Path("official/table.csv").read_text()
        'id,label'
    """
    mark = folder / UNFINISHED
    with os_errors_as_input_errors("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not mark.exists():
            mark.touch()
        waiting = f"{folder}: another process is writing it; waiting ..."
        with file_lock(folder / ".download.lock", waiting):
            for file, url in urls.items():
                path = folder / file
                if path.suffix != ".zip":
                    fetch(url, path)
                elif not path.with_suffix("").is_dir():
                    fetch(url, path)
                    unpack(path)
            mark.unlink(missing_ok=True)


def fetch(url: str, path: str | Path, sha256: str | None = None) -> Path:
    """Downloads `url` to `path`, whole or not at all; a file that is there is kept.

    An interrupted download stays in `PATH.partial`; the next call asks for the rest.

    Args:
        url: The address.
        path: The file.
        sha256: What the file's SHA-256 must be; None if it is not known.

    Returns:
        `path`.

    Raises:
        InputError: If the file cannot be downloaded or written, is cut off, or has another
            SHA-256.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.download import fetch
        >>> n = Path("table.csv").write_text("id,label")
        >>> fetch(Path("table.csv").resolve().as_uri(), "copy.csv").read_text()
        'id,label'
    """
    path = Path(path)
    if path.is_file():
        return path
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = _download(url, partial, path.name)
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
        raise InputError(
            f"{path}: cannot be downloaded from {url} ({error}); the next try resumes "
            "where this one stopped"
        ) from None
    there = partial.stat().st_size
    if size is not None and there < size:
        raise InputError(
            f"{path}: {url} was cut off after {there} of {size} bytes; the next try resumes where "
            "this one stopped"
        )
    if (size is not None and there > size) or (sha256 and _sha256(partial) != sha256):
        partial.unlink()
        raise InputError(f"{path}: what came from {url} is damaged and was removed; try again")
    partial.replace(path)
    return path


def _download(url: str, partial: Path, name: str) -> int | None:
    """Appends what `partial` lacks; returns the size of the whole, None if it is not known."""
    start = partial.stat().st_size if partial.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing is left to send
            total = error.headers.get("Content-Range", "").rpartition("/")[2]
            return int(total) if total.isdecimal() else None
        raise
    with response:
        if response.status != 206:  # the server sends all of it again
            start = 0
        length = response.headers["Content-Length"]
        size = None if length is None else start + int(length)
        bar = tqdm(total=size, initial=start, desc=name, unit="B", unit_scale=True)
        with bar, partial.open("ab" if start else "wb") as file:
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
    return size


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path) -> Path:
    """Unpacks `NAME.zip`, which holds a folder NAME, beside itself, and removes the zip file.

    Returns:
        The folder.

    Raises:
        InputError: If the zip file is damaged or holds no such folder. Nothing is left
            half-unpacked.

    Example:
        >>> import zipfile
        >>> from pathlib import Path
        >>> from melanet.data.download import unpack
        >>> with zipfile.ZipFile("masks.zip", "w") as archive:
        ...     archive.writestr("masks/LICENSE.txt", "CC-0")
        >>> [path.name for path in unpack(Path("masks.zip")).iterdir()]
        ['LICENSE.txt']
    """
    folder = archive.with_suffix("")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as content:
            content.extractall(partial)
        (partial / folder.name).replace(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise InputError(
            f"{archive}: cannot be unpacked ({error}); remove it and try again"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    archive.unlink()
    return folder
