"""Downloads of official files that need no account. Interrupted downloads resume."""

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from email.message import Message
from pathlib import Path

from melanet.console import progress_bar
from melanet.data.errors import InputError, os_errors_as_input_errors
from melanet.data.writing import file_lock

#: Name of a file that marks its folder as half downloaded.
UNFINISHED = ".downloading"
BLOCK = 1 << 20
TIMEOUT = 60  # seconds without a byte


def fetch_files(
    folder: Path, urls: Mapping[str, str], checksums: Mapping[str, str] | None = None
) -> None:
    """Downloads the files that `folder` lacks, and unpacks zip files.

    Until all are there, `folder` holds the file `UNFINISHED`. If two processes download to the
    same folder, the second waits for the first.

    Args:
        folder: Where the files will be.
        urls: The files' addresses by their names.
        checksums: Their checksums by name, where they are known, as in `fetch`.

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
                path, checksum = folder / file, (checksums or {}).get(file)
                if path.suffix != ".zip":
                    fetch(url, path, checksum)
                elif not path.with_suffix("").is_dir():
                    fetch(url, path, checksum)
                    unpack(path)
            mark.unlink(missing_ok=True)


def fetch(url: str, path: str | Path, checksum: str | None = None) -> Path:
    """Downloads `url` to `path`, whole or not at all; a file that is there is kept.

    An interrupted download stays in `PATH.partial`; the next call asks for the rest. If the
    server's file has changed since, or the server does not say, it is downloaded from the start.

    Args:
        url: The address.
        path: The file.
        checksum: The file's SHA-256 or MD5 in hex; None if neither is known.

    Returns:
        `path`.

    Raises:
        InputError: If the file cannot be downloaded or written, is cut off, or has another
            checksum.

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
    validator = path.with_name(partial.name + ".version")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = _download(url, partial, validator, checksum is not None)
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
    validator.unlink(missing_ok=True)
    if (size is not None and there > size) or (checksum and _digest(partial, checksum) != checksum):
        partial.unlink()
        raise InputError(
            f"{path}: what came from {url} is damaged or another version, and was removed; try "
            "again, or download it yourself"
        )
    partial.replace(path)
    return path


def _download(url: str, partial: Path, validator: Path, checked: bool) -> int | None:
    """Appends what `partial` lacks; returns the size of the whole, None if it is not known.

    Args:
        url: The address.
        partial: What has been downloaded.
        validator: Keeps what identifies the version that `partial` is of.
        checked: Whether a checksum will tell if `partial` and the rest are of two versions.
    """
    start = partial.stat().st_size if partial.is_file() else 0
    known = validator.read_text() if validator.is_file() else ""
    if not known and not checked:
        start = 0  # nothing would tell whether the rest is of the same version
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and known:
        headers["If-Range"] = known
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        if _version(error.headers) in ("", known):  # nothing is left to send
            total = error.headers.get("Content-Range", "").rpartition("/")[2]
            return int(total) if total.isdecimal() else None
        partial.unlink()
        return _download(url, partial, validator, checked)
    with response:
        version = _version(response.headers)
        if response.status == 206 and known and version not in ("", known):
            partial.unlink()  # the server disregards If-Range
            return _download(url, partial, validator, checked)
        if response.status != 206:  # the server sends all of it again
            start = 0
            validator.unlink(missing_ok=True)
        with partial.open("ab" if start else "wb") as file:
            if version:
                validator.write_text(version)
            length = response.headers["Content-Length"]
            size = None if length is None else start + int(length)
            name = partial.stem
            with progress_bar(
                total=size, initial=start, desc=name, unit="B", unit_scale=True
            ) as bar:
                while block := response.read(BLOCK):
                    file.write(block)
                    bar.update(len(block))
    return size


def _version(headers: Message) -> str:
    """The strong ETag or the time of a file, which `If-Range` takes; empty if there is none."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _digest(path: Path, like: str) -> str:
    """The checksum of a file, by the method that gives one as long as `like`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256" if len(like) == 64 else "md5").hexdigest()


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
