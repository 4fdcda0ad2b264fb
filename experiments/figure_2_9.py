"""Figure 2.9: Grad-CAM of all methods of table 2.1 on malignant images that they find.

    python -m experiments.figure_2_9 --out results/table_2_1

Like figure 2.8, with the malignant test images that most methods find, those with the highest mean
score first. According to the thesis, MelaNet takes in the context of the lesion.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from experiments.common.figure import run_figure
from experiments.figure_2_8 import add_arguments, draw
from experiments.table_2_1 import TABLE

NAME = "figure_2_9"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figure; returns the exit code."""
    return run_figure(
        NAME,
        __doc__,
        partial(draw, found=True),
        arguments,
        add_arguments=add_arguments,
        out=Path("results") / TABLE.name,
    )


if __name__ == "__main__":
    sys.exit(main())
