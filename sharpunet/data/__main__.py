"""`python -m sharpunet.data NAME --download DIR --prepared DIR`: prepare one dataset."""

import sys
from collections.abc import Sequence

from melanet.data.builders import run_prepare
from sharpunet.data import BUILDERS, prepare


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see `run_prepare`."""
    return run_prepare("python -m sharpunet.data", BUILDERS, prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
