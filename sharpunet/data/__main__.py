"""`python -m sharpunet.data NAME --download DIR --prepared DIR`: prepare one dataset."""

import sys

from melanet.data.builders import run_prepare
from sharpunet.data import BUILDERS, prepare

if __name__ == "__main__":
    sys.exit(run_prepare("python -m sharpunet.data", BUILDERS, prepare))
