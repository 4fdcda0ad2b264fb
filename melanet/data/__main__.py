"""`python -m melanet.data NAME --download DIR --prepared DIR`: prepare one dataset."""

import sys
from collections.abc import Sequence

from melanet.data import BUILDERS, prepare
from melanet.data.builders import run_prepare


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see `run_prepare`."""
    return run_prepare("python -m melanet.data", BUILDERS, prepare, arguments, classes=True)


if __name__ == "__main__":
    sys.exit(main())
