"""Table 2.3: Pneumonia vs. COVID-19, with real and synthetic chest X-rays.

    python -m experiments.table_2_3 --data DIR

It should give a sensitivity from 4.34 (DenseNet-121, real images alone) to 52.17 (VGG-16, real
images and both synthetic datasets); from synthetic positives alone, 39.13 at most.
DIR holds both downloads, `covid-chestxray-dataset` and `rsna-pneumonia-detection-challenge`.
"""

import sys

from experiments.classification.covid import covid_table
from experiments.common.published import TABLE_2_3
from experiments.common.table import run_table

TABLE = covid_table(
    "table_2_3",
    "Table 2.3: detection of COVID-19, Pneumonia vs. COVID-19",
    ("pneumonia_covid19", "normal_covid19"),
    TABLE_2_3,
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
