"""Table 2.3: Pneumonia vs. COVID-19, with real and synthetic chest X-rays.

    python -m experiments.table_2_3 --data DIR

It should give a sensitivity from 4.34 (DenseNet-121, real images alone) to 52.17 (VGG-16, real
images and both synthetic sets); from synthetic positives alone, 39.13 at most.
DIR holds both downloads, `covid-chestxray-dataset` and `rsna-pneumonia-detection-challenge`.
"""

import sys

from experiments.covid_table import Table, run_table
from experiments.published import TABLE_2_3

TABLE = Table(
    name="table_2_3",
    title="Table 2.3: detection of COVID-19, Pneumonia vs. COVID-19",
    datasets=("pneumonia_covid19", "normal_covid19"),
    published=TABLE_2_3,
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
