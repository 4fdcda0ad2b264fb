"""`python -m melanet.data NAME --download DIR --prepared DIR`: prepare one dataset."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from melanet.data import BUILDERS, ImageDataset, prepare
from melanet.data.builders import POSITIVE_HELP, run_prepare
from melanet.data.groups import GROUP_BY_HELP


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see `run_prepare`."""
    return run_prepare("python -m melanet.data", BUILDERS, _build, arguments, _add_arguments)


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--positive", metavar="CLASS", help=POSITIVE_HELP)
    parser.add_argument("--group-by", default="", metavar="REGEX", help=GROUP_BY_HELP)


def _build(name: str, download: Path, folder: Path, options: Namespace) -> ImageDataset:
    return prepare(name, download, folder, positive=options.positive, group_by=options.group_by)


if __name__ == "__main__":
    sys.exit(main())
