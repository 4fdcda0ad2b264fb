"""`python -m melanet COMMAND`, see `melanet.command`."""

import sys

from melanet.command import run


def main() -> int:
    """Runs the command."""
    return run("melanet")


if __name__ == "__main__":
    sys.exit(main())
