"""Which of your own images belong together (a patient, a video), from `groups.csv` or the names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from melanet.data.errors import InputError
from melanet.data.files import list_files
from melanet.data.readers.csv import read_rows
from melanet.data.writing import Sample

GROUPS_FILE = "groups.csv"
GROUP_BY_HELP = (
    "own images: the first group of REGEX in a file's name is its patient, as '(.+)_[LR]'; "
    f"default: {GROUPS_FILE} (name,group) beside them"
)


def check_group_rule(group_by: str) -> None:
    r"""Checks the regular expression of `--group-by`.

    Args:
        group_by: It matches the start of every image's name; its first group names what a split
            must keep together. No rule if empty.

    Raises:
        InputError: If it is not one, or has no group.

    Example:
        >>> from melanet.data.groups import check_group_rule
        >>> check_group_rule("(.+)_[LR]")
    """
    try:
        groups = re.compile(group_by).groups
    except re.error as error:
        raise InputError(f"--group-by {group_by!r}: {error}; correct it") from None
    if group_by and not groups:
        raise InputError(
            f"--group-by {group_by!r}: has no group in parentheses, as '(.+)_[LR]' has"
        )


def find_groups(folder: Path, samples: Sequence[Sample], group_by: str = "") -> dict[str, str]:
    """Finds the group of each image: by the rule if there is one, else in `groups.csv`.

    In the table, an image is called by the name of its file, with or without the suffix; where
    files of several folders have the same name, with the folder before it.

    Args:
        folder: Where `groups.csv` may be.
        samples: The images.
        group_by: See `check_group_rule`.

    Returns:
        Groups by ids; empty if nothing says which images belong together.

    Raises:
        InputError: If an image has no group, or a row of the table could be of several.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data import Sample
        >>> from melanet.data.groups import find_groups
        >>> eye = Sample("eye", "eye", None, None, "images/anna_L.png")
        >>> find_groups(Path("nowhere"), [eye], "(.+)_[LR]")
        {'eye': 'anna'}
    """
    paths = {sample.id: Path(sample.image_name) for sample in samples}
    listed = folder / GROUPS_FILE
    if group_by:
        matches = {id: re.match(group_by, path.stem) for id, path in paths.items()}
        groups = {id: match[1] or "" if match else "" for id, match in matches.items()}
        source = f"--group-by {group_by!r}: finds no group in the name of"
    elif listed.is_file():
        groups = _read_groups(listed, paths)
        source = f"{listed}: has no group for"
    else:
        return {}
    missing = [paths[id].name for id in paths if not groups[id]]
    if missing:
        raise InputError(f"{source} {list_files(missing)}; add what is missing")
    return groups


def _read_groups(table: Path, paths: Mapping[str, Path]) -> dict[str, str]:
    rows = {
        row["name"]: (row["group"], place) for place, row in read_rows(table, ("name", "group"))
    }
    groups, used = {}, {}
    for id, path in paths.items():
        names = (f"{path.parent.name}/{path.name}", path.name, path.stem)
        name = next((name for name in names if name in rows), "")
        groups[id], place = rows.get(name, ("", ""))
        if name and name in used:
            both = [f"{each.parent.name}/{each.name}" for each in (used[name], path)]
            raise InputError(f"{place}: {name} could be {' or '.join(both)}; write it like that")
        used[name] = path
    return groups
