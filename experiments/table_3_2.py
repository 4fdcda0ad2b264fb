"""Table 3.2 and figure 3.5: sharp blocks in wider U-Nets, and in those with ImageNet encoders.

    python -m experiments.table_3_2 --data DIR

It should give, on CVC-ClinicDB, a mean Jaccard from 70.02 (U-Net) to 83.98 (Sharp U-Net with a
ResNet-50 encoder), and for the wide models of figure 3.5, whose code has the numbers, 73.98 and
75.93.
"""

import sys

from experiments.common.published import FIGURE_3_5, TABLE_3_2
from experiments.common.table import run_table
from experiments.segmentation.table import SegmentationTable
from sharpunet.names import MODEL_NAMES

TABLE = SegmentationTable(
    name="table_3_2",
    title="Table 3.2: plain and sharp skip connections with other encoders",
    datasets=["cvc_clinicdb"],
    models=list(MODEL_NAMES),
    published={**FIGURE_3_5, **TABLE_3_2},
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
