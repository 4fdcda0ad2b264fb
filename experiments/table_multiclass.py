"""MelaNet for several classes (section 4.3.1): one StarGAN fills every class up to the largest.

    python -m experiments.table_multiclass

It runs on generated images of four kinds of lesions; `--data DIR --dataset NAME` takes images of
your own in three classes or more. The thesis prints no number for it.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.classification.conditions import Condition
from experiments.classification.multiclass import MulticlassTable
from experiments.classification.protocols import MELANOMA_PROTOCOLS
from experiments.common.conclusions import Claim, Question
from experiments.common.table import run_table
from melanet import lazy
from melanet.names import CLASSIFIER_NAMES

if TYPE_CHECKING:
    from experiments.classification import multiclass_report
else:
    multiclass_report = lazy.module("experiments.classification.multiclass_report")

SIMPLE = tuple((name, "melanet") for name in ("real", "class_weights", "repeated"))
TABLE = MulticlassTable(
    name="table_multiclass",
    title="MelaNet for several classes beside class weights and repeated images",
    protocols={name: MELANOMA_PROTOCOLS[name] for name in ("thesis", "clean")},
    datasets=("phantom_lesions",),
    default_data=Path(),
    models=("vgg_gap",),
    model_choices=CLASSIFIER_NAMES,
    conditions=(
        Condition("real", "Real images alone"),
        Condition("class_weights", "Class weights", balance="class_weights"),
        Condition("repeated", "Rare classes repeated", balance="repeat"),
        Condition("melanet", "Translated (MelaNet)", synthetic_sets=1),
    ),
    metrics={
        "macro_auc": "Macro AUC",
        "macro_sensitivity": "Macro sensitivity",
        "macro_f_score": "Macro F",
        "accuracy": "Accuracy",
    },
    published_cells=lambda model, condition: None,
    questions=(
        Question(
            Claim("translation ranks the classes better", "section 4.3.1", made=False),
            "macro_auc",
            SIMPLE,
        ),
        Question(
            Claim("translation finds more of the rare classes than it costs", made=False),
            "macro_sensitivity",
            SIMPLE,
        ),
    ),
    figures=lambda results: multiclass_report.multiclass_figures(results),
    caption="Class weights scale the loss, on top of the focal loss, whose weight is the same for "
    "all classes. Translated: images of the largest class, as many to each other class as it "
    "lacks.",
)

if __name__ == "__main__":
    sys.exit(run_table(TABLE))
