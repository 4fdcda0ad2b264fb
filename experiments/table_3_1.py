"""Table 3.1: U-Net against Sharp U-Net, Jaccard and Dice (percent), on every dataset.

    python -m experiments.table_3_1 --data DIR

It should give (Jaccard, U-Net and Sharp U-Net): ISBI-2012 83.95 and 87.00, Data Science Bowl 2018
84.95 and 85.26; all cells are in `published.TABLE_3_1`.
"""

import sys

from experiments.common.published import TABLE_3_1
from experiments.common.table import run_table
from experiments.segmentation.table import SegmentationTable
from sharpunet.data import BUILDERS

TABLE = SegmentationTable(
    name="table_3_1",
    title="Table 3.1: U-Net and Sharp U-Net by cross-validation",
    datasets=[name for name, builder in BUILDERS.items() if not builder.generated],
    models=["unet", "sharp_unet"],
    published=TABLE_3_1,
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
