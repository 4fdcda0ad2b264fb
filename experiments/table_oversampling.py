"""Does over-sampling by translation help more than it costs? MelaNet beside what one tries first.

    python -m experiments.table_oversampling --data DIR [--equal-steps]

The thesis gives no numbers for it. SMOTE, which it argues against, interpolates between features of
the global average pooling, not between pixels: of the network that was trained on the real images
alone, a new softmax layer is trained on over-sampled features, and no other layer changes.
`--dataset normal_covid19 --loss cross_entropy` asks the same of chest X-rays.
"""

import sys
from typing import TYPE_CHECKING

from experiments.classification.conditions import Condition
from experiments.classification.protocols import OVERSAMPLING_PROTOCOLS
from experiments.classification.table import ClassificationTable
from experiments.common.conclusions import Claim, Question
from experiments.common.table import run_table
from melanet import lazy
from melanet.names import CLASSIFIER_NAMES

if TYPE_CHECKING:
    from experiments.classification import page_figures
else:
    page_figures = lazy.module("experiments.classification.page_figures")

SIMPLE = tuple((name, "melanet") for name in ("real", "class_weights", "repeated"))
SMOTE = (("smote", "melanet"),)
TABLE = ClassificationTable(
    name="table_oversampling",
    title="Over-sampling by translation beside class weights, repeated images and SMOTE",
    protocols=OVERSAMPLING_PROTOCOLS,
    datasets=("isic2016",),
    models=("vgg_gap",),
    model_choices=CLASSIFIER_NAMES,
    conditions=(
        Condition("real", "Real images alone"),
        Condition("class_weights", "Class weights", balance="class_weights"),
        Condition("repeated", "Rare class repeated", balance="repeat"),
        Condition("smote", "SMOTE of features", balance="smote"),
        Condition("melanet", "Translated (MelaNet)", synthetic_sets=1),
    ),
    metrics={
        "auc": "AUC",
        "sensitivity": "Sensitivity at 0.5",
        "specificity": "Specificity at 0.5",
        "chosen_sensitivity": "Sensitivity, chosen",
        "chosen_specificity": "Specificity, chosen",
        "ece": "ECE",
        "brier": "Brier",
        "skew": "Skew",
    },
    published_cells=lambda model, condition: None,
    questions=(
        Question(
            Claim("translation ranks better than what one tries first", made=False), "auc", SIMPLE
        ),
        Question(Claim("translation ranks better than SMOTE", "section 2.3.6"), "auc", SMOTE),
        Question(
            Claim("translation detects more than it costs at a threshold of 0.5", made=False),
            "balanced_accuracy",
            (*SIMPLE, *SMOTE),
        ),
        Question(
            Claim("translation detects more than it costs at a chosen threshold", made=False),
            "chosen_balanced_accuracy",
            (*SIMPLE, *SMOTE),
        ),
    ),
    figures=lambda results: page_figures.oversampling_figures(results),
    caption="Chosen: the threshold of the highest sensitivity + specificity on validation images. "
    "ECE: calibration error of ten bins; Brier: 100 times the score; both of the positive class, "
    "lower is better. Skew (eq. 2.8): of training images, or of features. Class weights scale the "
    "loss, on top of the focal loss's own. SMOTE: a new softmax layer on over-sampled features "
    "(global average pooling) of the network trained on the real images alone; its steps are "
    "counted without those of that network.",
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
