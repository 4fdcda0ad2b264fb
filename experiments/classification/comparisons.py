"""Do conditions differ? Paired tests on the same test images, corrected for their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.common.published import CLASSIFIER_TITLES
from melanet import lazy

if TYPE_CHECKING:
    import pandas as pd

    from experiments.common import significance
    from melanet import metrics, statistics
else:
    pd = lazy.module("pandas")
    significance = lazy.module("experiments.common.significance")
    metrics = lazy.module("melanet.metrics")
    statistics = lazy.module("melanet.statistics")

#: Scores from here on count as positive, as in `melanet.metrics`.
THRESHOLD = 0.5
SIGNIFICANCE_LEVEL = 0.05
COMPARISON_NOTE = (
    "Conditions on the same test images, one row per seed. AUC: a bootstrap of whole patients, in "
    "percent points; sensitivity and specificity: McNemar's exact test. p is corrected by Holm for "
    "all tests of this table. Each p is about other test images and the trainings of one seed. "
    "Seeds can share test images, so that their p are not combined: a difference that depends on "
    "the seed is not shown."
)
#: Where there are validation images.
CHOSEN_NOTE = (
    " Chosen: each condition at the threshold that its validation images choose. Brier: 100 times "
    "the difference, lower is better, by the bootstrap, without a test."
)


def compare_conditions(
    records: Sequence[dict[str, Any]],
    titles: dict[str, str],
    compare: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] | None = None,
) -> pd.DataFrame:
    """One row per model, seed and condition: how it differs from the first condition, as text.

    Args:
        records: Records of classifier trials.
        titles: Titles of the conditions by name.
        compare: From the records of two conditions to `cells` and `p_values` by name; of two
            classes if None.
    """
    compare = compare or _compare
    rows: list[dict[str, str]] = []
    p_values: list[dict[str, float]] = []
    trainings = dict.fromkeys((record["model"], record["seed"]) for record in records)
    several_models, several_seeds = (len(set(names)) > 1 for names in zip(*trainings, strict=True))
    for model, seed in trainings:
        alike = [r for r in records if (r["model"], r["seed"]) == (model, seed)]
        baseline, *others = sorted(alike, key=lambda r: list(titles).index(r["condition"]))
        for record in others:
            found = compare(baseline, record)
            names = {"Model": CLASSIFIER_TITLES.get(model, model)} if several_models else {}
            if several_seeds:
                names["Seed"] = str(seed)
            pair = f"{titles[record['condition']]} less {titles[baseline['condition']]}"
            rows.append({**names, "Pair": pair, **found["cells"]})
            p_values.append(found["p_values"])
    corrected = iter(significance.holm([value for of_row in p_values for value in of_row.values()]))
    for row, of_row in zip(rows, p_values, strict=True):
        row.update({f"p, {name}": _format_p_value(next(corrected)) for name in of_row})
    return pd.DataFrame(rows)


def chosen_threshold(record: dict[str, Any]) -> float:
    """The threshold that the validation images of a record choose; NaN if one class has none."""
    scores = record["validation_scores"]
    true = [int(score["positive"]) for score in scores]
    return metrics.youden_threshold(true, [score["score"] for score in scores])


def _compare(baseline: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    true, first, groups = _scores(baseline)
    _, second, _ = _scores(other)
    auc = statistics.bootstrap_auc_difference(true, second, first, groups)
    cells = {"AUC": format_difference(auc.difference, auc.low, auc.high)}
    p_values = {"AUC": auc.p_value}
    thresholds = {"": (THRESHOLD, THRESHOLD)}
    if "validation_scores" in baseline:
        squares = [(scores - true) ** 2 for scores in (second, first)]
        cells["Brier"] = format_difference(
            *statistics.bootstrap_mean(squares[0] - squares[1], groups)
        )
        thresholds[", chosen"] = (chosen_threshold(other), chosen_threshold(baseline))
    for suffix, pair in thresholds.items():
        called = zip((second, first), pair, strict=True)
        right = [(scores >= threshold) == true for scores, threshold in called]
        for part, name in ((true, "Sensitivity"), (~true, "Specificity")):
            difference = right[0][part].mean() - right[1][part].mean()
            known = not np.isnan(pair).any()  # a class may have no validation image
            cells[name + suffix] = f"{100 * difference:+.2f}" if known else "–"
            p_value = statistics.mcnemar_test(right[0][part], right[1][part]) if known else np.nan
            p_values[name.lower() + suffix] = p_value
    return {"cells": cells, "p_values": p_values}


def format_difference(difference: float, low: float, high: float) -> str:
    """A difference of shares and its interval, in percent points."""
    return f"{100 * difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def _scores(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    scores = record["scores"]
    true = np.array([score["positive"] for score in scores])
    return true, np.array([s["score"] for s in scores]), [s["group"] for s in scores]


def _format_p_value(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3f}" + (" *" if value < SIGNIFICANCE_LEVEL else "")
