"""What tables 2.2 and 2.3 have in common: classifiers, conditions and metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.classification.conditions import BAGGED_TREES, Condition
from experiments.classification.protocols import COVID_PROTOCOLS
from experiments.classification.table import ClassificationTable
from experiments.common.conclusions import Claim, Question
from experiments.common.published import Detection, covid_cells
from melanet import lazy
from melanet.names import CLASSIFIER_NAMES

if TYPE_CHECKING:
    from experiments.classification import page_figures
else:
    page_figures = lazy.module("experiments.classification.page_figures")

#: Every classifier of section 2.3.6.
COVID_MODELS = (*CLASSIFIER_NAMES, BAGGED_TREES)
COVID_CONDITIONS = (
    Condition("real", "Real"),
    Condition("own", "Real + own synthetic", synthetic_sets=1),
    Condition("both", "Real + both synthetic", synthetic_sets=2),
    Condition("synthetic", "Only synthetic", synthetic_sets=1, real_positives=False),
)
ADDED = (("real", "own"), ("real", "both"))
COVID_QUESTIONS = (
    Question(
        Claim("synthetic images beside real ones raise the sensitivity", "section 2.3.6"),
        "sensitivity",
        ADDED,
    ),
    Question(Claim("synthetic images keep the specificity", made=False), "specificity", ADDED),
    Question(Claim("synthetic images improve the ranking", made=False), "auc", ADDED),
    Question(
        Claim("synthetic images alone detect more than real ones", "section 2.3.6", made=False),
        "sensitivity",
        (("real", "synthetic"),),
    ),
)


def covid_table(
    name: str,
    title: str,
    datasets: tuple[str, str],
    published: Mapping[tuple[str, str], Detection],
) -> ClassificationTable:
    """A table of section 2.3.6.

    Args:
        name: Name of its command.
        title: Title of its page.
        datasets: Its own dataset, and the one whose synthetic images join in "both".
        published: What the thesis prints, by model and condition.
    """
    return ClassificationTable(
        name=name,
        title=title,
        protocols=COVID_PROTOCOLS,
        results="covid19",
        datasets=datasets,
        models=COVID_MODELS,
        model_choices=COVID_MODELS,
        conditions=COVID_CONDITIONS,
        loss="cross_entropy",
        metrics={
            "sensitivity": "Sensitivity",
            "false_negatives": "FN",
            "specificity": "Specificity",
            "auc": "AUC",
            "skew": "Skew",
        },
        published_cells=lambda model, condition: covid_cells(published.get((model, condition))),
        questions=COVID_QUESTIONS,
        figures=lambda results: page_figures.covid_figures(results),
        caption="Skew is that of the training images (eq. 2.8). Own synthetic: images of the "
        "table's own negative class translated to COVID-19; both: those of the other table too. "
        "Sensitivity alone can mislead: a classifier that calls everyone positive has 100. (!) "
        "marks where the thesis contradicts itself: a sensitivity and its own FN; a skew and the "
        "numbers of images in section 2.2.4. Its 16,537 normal images are 80% of all 20,672 "
        "without opacity, abnormal ones included; the RSNA class Normal alone has 8,851.",
        default_data=Path(),
    )
