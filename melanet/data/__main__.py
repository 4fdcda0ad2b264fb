"""`python -m melanet.data NAME --download DIR --prepared DIR`: prepare one dataset."""

import sys

from melanet.data import BUILDERS, prepare
from melanet.data.builders import run_prepare

if __name__ == "__main__":
    sys.exit(run_prepare("python -m melanet.data", BUILDERS, prepare))
