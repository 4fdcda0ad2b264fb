"""`python -m sharpunet.data NAME --download DIR --prepared DIR`: prepare one dataset."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from melanet.data.builders import run_prepare
from sharpunet.data import BUILDERS, ImageDataset, prepare
from sharpunet.data.folder import add_own_arguments, own_options
from sharpunet.data.vanishing import warn_of_vanished


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see `run_prepare`."""

    def build(name: str, download: Path, folder: Path, options: Namespace) -> ImageDataset:
        dataset = prepare(name, download, folder, own_options(options))
        warn_of_vanished(dataset)
        return dataset

    return run_prepare("python -m sharpunet.data", BUILDERS, build, arguments, add_own_arguments)


if __name__ == "__main__":
    sys.exit(main())
