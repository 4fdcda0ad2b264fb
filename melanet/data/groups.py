"""What a split must keep together: groups by a rule on the names, and copies of one picture."""

import dataclasses
import re

from melanet.data.copies import merge_groups
from melanet.data.dataset import ImageDataset
from melanet.data.errors import InputError

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
    pattern = compile_rule(rule)
    matches = [pattern.match(id) for id in dataset.ids()]
    groups = [match[1] or "" if match else "" for match in matches]
    missing = [id for id, group in zip(dataset.ids(), groups, strict=True) if not group]
    if missing:
        raise InputError(
            f"--group-by {rule!r}: finds no group in {len(missing)} names, as {missing[0]}; "
            "correct it"
        )
    return _with_groups(dataset, groups)


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


def _with_groups(dataset: ImageDataset, groups: list[str]) -> ImageDataset:
    return dataclasses.replace(dataset, metadata=dataset.metadata.assign(group=groups))
