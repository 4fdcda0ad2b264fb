"""What a split must keep together: groups by a table or a rule on the names, and copies."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from melanet.data.copies import merge_groups
from melanet.data.dataset import ImageDataset
from melanet.data.errors import InputError
from melanet.data.files import list_files
from melanet.data.readers.csv import read_rows
from melanet.data.writing import Sample

GROUPS_FILE = "groups.csv"
GROUP_BY_HELP = (
    "own images: the first group of REGEX in a file's name is its patient, whose images a split "
    f"keeps together, as '(.+)_[LR]'; default: {GROUPS_FILE} (name,group) beside them"
)
#: As in `find_copies`: pictures of one's own that were saved anew, not ones that look alike.
COPIES_THRESHOLD = 0.05


def compile_rule(rule: str) -> re.Pattern[str]:
    """Compiles a regular expression whose first group names what a split must keep together.

    Args:
        rule: Matches the start of every image's name.

    Raises:
        InputError: If it is no regular expression, or has no group.

    Example:
        >>> from melanet.data.groups import compile_rule
        >>> compile_rule("(.+)_[LR]").match("eye-7_L")[1]
        'eye-7'
    """
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise InputError(f"--group-by {rule!r}: {error}; correct it") from None
    if not pattern.groups:
        raise InputError(f"--group-by {rule!r}: has no group in parentheses, as '(.+)_[LR]' has")
    return pattern


def stem(path: Path) -> str:
    """The name of a file without its suffix, which `.nii.gz` is as a whole.

    Example:
        >>> from pathlib import Path
        >>> from melanet.data.groups import stem
        >>> stem(Path("images/anna.1.png")), stem(Path("anna.1.nii.gz"))
        ('anna.1', 'anna.1')
    """
    return Path(path.name.removesuffix(".gz")).stem


def find_groups(folder: Path, samples: Sequence[Sample], rule: str = "") -> dict[str, str]:
    """Finds the group of each image of one's own: by a rule, or else in `groups.csv`.

    In the table, an image is called by the name of its file, with or without the suffix; where
    files of several folders have the same name, with the folder before it.

    Args:
        folder: Where `groups.csv` may be.
        samples: The images.
        rule: As in `compile_rule`; no rule if empty.

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
    if rule:
        return dict(zip(paths, _match(rule, [stem(path) for path in paths.values()]), strict=True))
    if not listed.is_file():
        return {}
    groups = _read_groups(listed, paths)
    missing = [paths[id].name for id in paths if not groups[id]]
    if missing:
        raise InputError(f"{listed}: has no group for {list_files(missing)}; add what is missing")
    return groups


def group_by(dataset: ImageDataset, rule: str) -> ImageDataset:
    """A dataset whose groups follow from the images' names.

    Args:
        dataset: The images.
        rule: As in `compile_rule`.

    Raises:
        InputError: If the rule is wrong, or finds no group in a name.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.groups import group_by
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> group_by(lesions, "phantom-(..)").metadata["group"].nunique()
        3
    """
    return _with_groups(dataset, _match(rule, dataset.ids()))


def group_copies(dataset: ImageDataset) -> ImageDataset:
    """A dataset in which the groups of copies of one picture are one group.

    Example:
        >>> from melanet.data import prepare
        >>> from melanet.data.groups import group_copies
        >>> lesions = prepare("phantom", ".", "prepared/melanet/phantom")
        >>> group_copies(lesions).metadata["group"].nunique()
        225
    """
    return _with_groups(dataset, merge_groups(dataset, COPIES_THRESHOLD))


def _match(rule: str, names: Sequence[str]) -> list[str]:
    """The group of each name, by a rule."""
    pattern = compile_rule(rule)
    matches = [pattern.match(name) for name in names]
    groups = [match[1] or "" if match else "" for match in matches]
    missing = [name for name, group in zip(names, groups, strict=True) if not group]
    if missing:
        raise InputError(
            f"--group-by {rule!r}: finds no group in {len(missing)} of {len(names)} names "
            f"({list_files(missing)}); correct it"
        )
    return groups


def _read_groups(table: Path, paths: Mapping[str, Path]) -> dict[str, str]:
    rows = {
        row["name"]: (row["group"], place) for place, row in read_rows(table, ("name", "group"))
    }
    groups: dict[str, str] = {}
    used: dict[str, Path] = {}
    for id, path in paths.items():
        names = (f"{path.parent.name}/{path.name}", path.name, stem(path))
        name = next((name for name in names if name in rows), "")
        groups[id], place = rows.get(name, ("", ""))
        if name and name in used:
            both = [f"{each.parent.name}/{each.name}" for each in (used[name], path)]
            raise InputError(f"{place}: {name} could be {' or '.join(both)}; write it like that")
        used[name] = path
    return groups


def _with_groups(dataset: ImageDataset, groups: list[str]) -> ImageDataset:
    return dataclasses.replace(dataset, metadata=dataset.metadata.assign(group=groups))
