"""How long commands take to start."""

import subprocess
import sys
import time
from collections.abc import Sequence

COMMANDS = {
    "bare Python": ("-c", "pass"),
    "import keras": ("-c", "import keras"),
    "import sharpunet": ("-c", "import sharpunet"),
    "import sharpunet, and its models": ("-c", "import sharpunet; sharpunet.unet"),
    "table_3_1 --help": ("-m", "experiments.table_3_1", "--help"),
    "table_2_1 --help": ("-m", "experiments.table_2_1", "--help"),
    "table_3_1, a wrong argument": ("-m", "experiments.table_3_1", "--folds", "x"),
    "sharpunet train --help": ("-m", "sharpunet", "train", "--help"),
}


def seconds(command: Sequence[str]) -> float:
    """Seconds from the start of a Python command to its end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], capture_output=True, check=False)
    return time.perf_counter() - started
