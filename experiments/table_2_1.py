"""Table 2.1: VGG-GAP plain, augmented offline, and over-sampled by translation (MelaNet).

    python -m experiments.table_2_1 --data DIR

It should give (AUC, false negatives of 75): VGG-GAP 79.08 and 55, MelaNet 81.18 and 22. What the
thesis prints as sensitivity there is the negative predictive value; `published.audit_table_2_1`
has the true one, 26.67 and 70.67.
"""

import sys
from typing import TYPE_CHECKING

from experiments.classification.conditions import Condition
from experiments.classification.protocols import MELANOMA_PROTOCOLS
from experiments.classification.table import ClassificationTable
from experiments.common.conclusions import Claim, Question
from experiments.common.published import melanoma_cells
from experiments.common.table import run_table
from melanet import lazy
from melanet.names import CLASSIFIER_NAMES

if TYPE_CHECKING:
    from experiments.classification import page_figures
else:
    page_figures = lazy.module("experiments.classification.page_figures")

MELANET = (("vgg_gap", "melanet"),)
TABLE = ClassificationTable(
    name="table_2_1",
    title="Table 2.1: melanoma classification by VGG-GAP and MelaNet",
    protocols=MELANOMA_PROTOCOLS,
    datasets=("isic2016",),
    models=("vgg_gap",),
    model_choices=CLASSIFIER_NAMES,
    conditions=(
        Condition("vgg_gap", "VGG-GAP"),
        Condition("augment_5x", "VGG-GAP + Augment-5x", augment=5),
        Condition("augment_10x", "VGG-GAP + Augment-10x", augment=10),
        Condition("melanet", "MelaNet", synthetic_sets=1),
    ),
    condition_header="Condition",
    metrics={
        "auc": "AUC",
        "sensitivity": "Sensitivity",
        "false_negatives": "FN",
        "specificity": "Specificity",
        "npv": "NPV",
    },
    published_cells=melanoma_cells,
    questions=(
        Question(
            Claim("MelaNet ranks melanomas better than VGG-GAP", "section 2.3.5"), "auc", MELANET
        ),
        Question(
            Claim("MelaNet finds more melanomas than VGG-GAP", "section 2.3.5"),
            "sensitivity",
            MELANET,
        ),
        Question(Claim("MelaNet keeps the specificity", made=False), "specificity", MELANET),
        Question(
            Claim("few synthetic images are better than many augmented ones", "section 2.3.5"),
            "auc",
            (("augment_5x", "melanet"), ("augment_10x", "melanet")),
        ),
    ),
    figures=lambda results: page_figures.melanoma_figures(results),
    caption='What the thesis prints as "sensitivity" is TN / (TN + FN), the NPV; its true '
    "sensitivity and specificity follow from the printed FN.",
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
