"""Do conditions differ? Paired tests on the same test images, corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.common.published import CLASSIFIER_TITLES
from melanet import lazy

if TYPE_CHECKING:
    import pandas as pd

    from experiments.common import significance
    from melanet import statistics
else:
    pd = lazy.module("pandas")
    significance = lazy.module("experiments.common.significance")
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


def compare_conditions(records: Sequence[dict[str, Any]], titles: dict[str, str]) -> pd.DataFrame:
    """One row per model, seed and condition: how it differs from the first condition, as text.

    Args:
        records: Records of classifier trials.
        titles: Titles of the conditions by name.
    """
    rows: list[dict[str, str]] = []
    p_values: list[float] = []
    trainings = dict.fromkeys((record["model"], record["seed"]) for record in records)
    several_models, several_seeds = (len(set(names)) > 1 for names in zip(*trainings, strict=True))
    for model, seed in trainings:
        alike = [r for r in records if (r["model"], r["seed"]) == (model, seed)]
        baseline, *others = sorted(alike, key=lambda r: list(titles).index(r["condition"]))
        for record in others:
            found = _compare(baseline, record)
            names = {"Model": CLASSIFIER_TITLES.get(model, model)} if several_models else {}
            if several_seeds:
                names["Seed"] = str(seed)
            pair = f"{titles[record['condition']]} less {titles[baseline['condition']]}"
            rows.append({**names, "Pair": pair, **found["cells"]})
            p_values += found["p_values"]
    corrected = significance.holm(p_values).reshape(-1, 3)
    for row, (auc, sensitivity, specificity) in zip(rows, corrected, strict=True):
        row["p, AUC"] = _format_p_value(auc)
        row["p, sensitivity"] = _format_p_value(sensitivity)
        row["p, specificity"] = _format_p_value(specificity)
    return pd.DataFrame(rows)


def _compare(baseline: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    true, first, groups = _scores(baseline)
    _, second, _ = _scores(other)
    auc = statistics.bootstrap_auc_difference(true, second, first, groups)
    right = [(scores >= THRESHOLD) == true for scores in (second, first)]
    parts = [(true, "Sensitivity"), (~true, "Specificity")]
    interval = f"{100 * auc.low:+.2f} to {100 * auc.high:+.2f}"
    cells = {"AUC": f"{100 * auc.difference:+.2f} ({interval})"}
    p_values = [auc.p_value]
    for part, name in parts:
        cells[name] = f"{100 * (right[0][part].mean() - right[1][part].mean()):+.2f}"
        p_values.append(statistics.mcnemar_test(right[0][part], right[1][part]))
    return {"cells": cells, "p_values": p_values}


def _scores(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    scores = record["scores"]
    true = np.array([score["positive"] for score in scores])
    return true, np.array([s["score"] for s in scores]), [s["group"] for s in scores]


def _format_p_value(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3f}" + (" *" if value < SIGNIFICANCE_LEVEL else "")
