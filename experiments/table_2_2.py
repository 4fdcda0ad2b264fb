"""Table 2.2: Normal vs. COVID-19, with real and synthetic chest X-rays.

    python -m experiments.table_2_2 --data DIR

It should give a sensitivity from 19.56 (VGG-16, real images alone) to 63.04 (VGG-16, real images
and both synthetic datasets); from synthetic positives alone, 50.00 at most.
DIR holds both downloads, `covid-chestxray-dataset` and `rsna-pneumonia-detection-challenge`.
"""

import sys

from experiments.classification.covid import covid_table
from experiments.common.published import TABLE_2_2
from experiments.common.table import run_table

TABLE = covid_table(
    "table_2_2",
    "Table 2.2: detection of COVID-19, Normal vs. COVID-19",
    ("normal_covid19", "pneumonia_covid19"),
    TABLE_2_2,
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
