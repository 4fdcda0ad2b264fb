"""Files that an interruption cannot damage, and hashes that are not computed twice."""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from melanet.console import progress_bar
from melanet.data.errors import InputError, os_errors_as_input_errors

#: Names in a message.
LISTED = 10


def atomic_write(path: str | Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Writes a file whole or not at all; readers never see half of it.

    Several processes and hosts may write the same file; the last one wins. What a killed process
    left half-written is overwritten and removed by the next write.

    Args:
        path: The file. Its folder is made if it is missing.
        content: Text, bytes, or a function that writes the file whose path it is given.

    Raises:
        InputError: If the file system refuses.

    Example:
        >>> from melanet.data.files import atomic_write
        >>> atomic_write("notes.txt", "seed 0")
        >>> open("notes.txt").read()
        'seed 0'
    """
    path = Path(path)
    partial, lock = _leftovers(path)
    with os_errors_as_input_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(lock):
            try:
                if callable(content):
                    content(partial)
                else:
                    partial.write_bytes(content.encode() if isinstance(content, str) else content)
                with partial.open("rb") as file:
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)


def remove_file(path: str | Path) -> None:
    """Removes a file written by `atomic_write`, if it is there, with what a killed write left.

    Example:
        >>> from melanet.data.files import atomic_write, remove_file
        >>> atomic_write("notes.txt", "seed 0")
        >>> remove_file("notes.txt")
    """
    for file in (Path(path), *_leftovers(Path(path))):
        file.unlink(missing_ok=True)


def _leftovers(path: Path) -> tuple[Path, Path]:
    """The partial file, which keeps the suffix that Keras looks at, and the lock."""
    return path.with_name(f".partial-{path.name}"), path.with_name(f".{path.name}.lock")


@contextlib.contextmanager
def file_lock(lock: Path, waiting: str = "") -> Iterator[None]:
    """Holds the file `lock` exclusively; waits while another process does.

    Args:
        lock: The file, which is there only while it is held.
        waiting: A line to print if there is need to wait.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.files import file_lock
        >>> with file_lock(Path("training.lock")):
        ...     Path("training.lock").exists()
        True
    """
    with contextlib.ExitStack() as opened:
        while True:
            file = opened.enter_context(lock.open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    print(waiting, flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            # The previous holder may have removed the file, which leaves no file locked: again.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                    break
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


class HashCache:
    """Hashes of files, which are not read again while their sizes and times stay the same.

    Args:
        path: JSON file that keeps the hashes. It is only read until `save` is called.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.files import HashCache
        >>> n = Path("a.txt").write_text("seed 0")
        >>> cache = HashCache(Path(".hashes.json"))
        >>> cache.hash({"a": [Path("a.txt")]}, Path.read_text, "checking")
        {'a': 'seed 0'}
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            known = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            known = {}
        self._known: dict[str, list] = known if isinstance(known, dict) else {}

    def hash(
        self, files: Mapping[str, Sequence[Path]], hash_of: Callable[..., str], title: str
    ) -> dict[str, str]:
        """Hashes files in parallel.

        Args:
            files: Files that are hashed together, by key.
            hash_of: From the files of a key to their hash.
            title: Heads the progress bar, which appears after a second.

        Returns:
            The hashes by the same keys.

        Raises:
            InputError: If a file is missing, or `hash_of` raises one.
        """

        def entry(key: str) -> list:
            stats = [path.stat() for path in files[key]]
            stamp = [[stat.st_size, stat.st_mtime_ns] for stat in stats]
            known = self._known.get(key)
            if isinstance(known, list) and known[1:] == [stamp]:
                return known
            return [hash_of(*files[key]), stamp]

        with os_errors_as_input_errors("read"), ThreadPoolExecutor() as pool:
            bar = progress_bar(pool.map(entry, files), title, len(files), unit="file", delay=1)
            self._known = dict(zip(files, bar, strict=True))
        return {key: known[0] for key, known in self._known.items()}

    def save(self) -> None:
        """Keeps the hashes for the next time, if the file can be written."""
        with contextlib.suppress(InputError):
            atomic_write(self.path, json.dumps(self._known))


def free_id(stem: str, taken: set[str]) -> str:
    """An id for a file's stem: `-` for what an id may not hold, and a number if it is taken.

    Args:
        stem: Name of the file without its suffix.
        taken: Ids that are in use, in lower case; the new one joins them.

    Example:
        >>> from melanet.data.files import free_id
        >>> taken = set()
        >>> free_id("left eye", taken), free_id("left-eye", taken)
        ('left-eye', 'left-eye-2')
    """
    clean = re.sub(r"[^A-Za-z0-9._-]+|^\.+", "-", stem)[:190]
    id, number = clean, 1
    while id.lower() in taken:
        number += 1
        id = f"{clean}-{number}"
    taken.add(id.lower())
    return id


def list_files(names: Sequence[str]) -> str:
    """Lists up to ten names, and how many more there are.

    Example:
        >>> from melanet.data.files import list_files
        >>> list_files(["a.png", "b.png"])
        'a.png, b.png'
    """
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
