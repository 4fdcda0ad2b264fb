"""`make reproduce`: the main comparison on the embedded phantom, in minutes, without a download.

    python -m experiments.reproduce

It should give a mean Jaccard above 60 for both models after a few minutes on two cores. It is a
rehearsal of table 3.1: the same code and the same networks, on small generated images.
"""

import dataclasses
import sys
from collections.abc import Sequence

from experiments.segmentation_table import run_table
from experiments.table_3_1 import TABLE

PHANTOM = dataclasses.replace(
    TABLE,
    name="reproduce",
    title="U-Net and Sharp U-Net on the phantom, beside table 3.1 of the thesis",
    datasets=["phantom"],
)
ARGUMENTS = [
    "--data",
    ".",
    "--repeats",
    "1",
    "--epochs",
    "25",
    "--batch-size",
    "4",
    "--out",
    "results/phantom",
]


def main(arguments: Sequence[str]) -> int:
    """Runs the phantom comparison; `arguments` come after the defaults and win."""
    code = run_table(PHANTOM, [*ARGUMENTS, *arguments])
    if code == 0:
        print("The real thing: .venv/bin/python -m experiments.table_3_1 --data DIR")
        print("  DIR holds isbi2012/ and dsb2018/ with the official files; --help says more")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
