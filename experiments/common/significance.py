"""Is the difference between two models real? Folds that share training images are no proof."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from melanet.statistics import bootstrap_mean

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean difference with its 95% interval; `p` is two-sided, NaN where there is no test."""

    mean: float
    low: float
    high: float
    p: float = float("nan")


def corrected_t_test(differences: Sequence[float], test_to_training: float) -> Difference:
    """The corrected resampled t-test of Nadeau and Bengio (2003).

    Runs of a cross-validation share training images, so their variance is far too small: with n
    runs, the variance of the mean is taken as (1 / n + test / training) times theirs.

    Args:
        differences: Differences of the paired scores, one per run (a fold of a repeat).
        test_to_training: Test images over training images of a run.

    Raises:
        ValueError: If there are fewer than two differences.
    """
    values = np.asarray(differences, "float64")
    if len(values) < 2:
        raise ValueError(f"a test needs two runs or more. Received: {len(values)}")
    mean = values.mean()
    error = np.sqrt((1 / len(values) + test_to_training) * values.var(ddof=1))
    freedom = len(values) - 1
    reach = error * stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    if error == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    p = 2 * stats.t.sf(abs(mean) / error, freedom)
    return Difference(float(mean), float(mean - reach), float(mean + reach), float(p))


def bootstrap(
    differences: Sequence[float], groups: Sequence[str] | None = None, seed: int = 0
) -> Difference:
    """Mean over images, with the percentile interval of resampled groups of images.

    It answers for other images of the kind, not for other trainings.

    Args:
        differences: Differences of the paired scores, one per image.
        groups: What images belong together (a patient, a video, a block of slices): whole groups
            are drawn. Each image is a group of its own if None.
        seed: Seed of the drawing.
    """
    mean, low, high = bootstrap_mean(
        differences, groups, repeats=RESAMPLES, confidence=CONFIDENCE, seed=seed
    )
    return Difference(mean, low, high)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """P-values corrected for their number by Holm (1979); NaN, which is no test, stays."""
    p = np.asarray(p_values, "float64")
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested])]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p[order]))
    return corrected


def comparisons(
    records: Sequence[dict[str, Any]], pairs: Sequence[tuple[str, str]], metric: str = "jaccard"
) -> pd.DataFrame:
    """One row per dataset and pair of models: the difference, its intervals, and a verdict.

    The verdict follows from the corrected t-test at 5%, after Holm's correction for all rows.
    Where all runs are on one split (protocol `released`), they say nothing of other splits: then
    there is no test and no verdict.

    Args:
        records: Records of segmentation trials.
        pairs: `(baseline, contender)`; pairs of which one was not run are left out.
        metric: `"jaccard"` or `"dice"`.
    """
    rows = []
    for dataset in dict.fromkeys(record["dataset"]["name"] for record in records):
        for baseline, contender in pairs:
            runs_of = [
                {
                    (record["repeat"], record["fold"]): record
                    for record in records
                    if (record["dataset"]["name"], record["model"]) == (dataset, model)
                }
                for model in (baseline, contender)
            ]
            common = sorted(runs_of[0].keys() & runs_of[1].keys())
            if common:
                matched = [(runs_of[0][run], runs_of[1][run]) for run in common]
                names = {"dataset": dataset, "baseline": baseline, "contender": contender}
                rows.append({**names, **_compare(matched, metric)})
    table = pd.DataFrame(rows)
    if rows:
        table["p_holm"] = holm(table["p"])
        table["verdict"] = [
            _verdict(p, mean) for p, mean in zip(table["p_holm"], table["difference"], strict=True)
        ]
    return table


def _compare(matched: Sequence[tuple[dict, dict]], metric: str) -> dict[str, Any]:
    per_run, per_image = [], []
    groups: dict[str, str] = {}
    for records in matched:
        scores = [{s["id"]: 100 * s[metric] for s in record["scores"]} for record in records]
        differences = pd.Series(scores[1]) - pd.Series(scores[0])
        per_run.append(differences.mean())
        per_image.append(differences)
        groups |= {s["id"]: s.get("group", s["id"]) for s in records[0]["scores"]}
    # An image that several repeats tested is still one image.
    of_images = pd.concat(per_image).groupby(level=0).mean()
    images = bootstrap(of_images.to_numpy(), [groups[id] for id in of_images.index])
    row = {
        "runs": len(per_run),
        "difference": float(np.mean(per_run)),
        "images_low": images.low,
        "images_high": images.high,
    }
    # Repeats that split alike, as `clean` does with few groups, are one split trained again.
    tested = [" ".join(sorted(s["id"] for s in record["scores"])) for record, _ in matched]
    per_split = pd.Series(per_run).groupby(np.array(tested)).mean()
    if len(per_split) < 2:
        return {**row, **dict.fromkeys(("low", "high", "p"), float("nan"))}
    counts = [record["images"] for record, _ in matched]
    share = np.mean([c["test"] / (c["train"] + c["validation"]) for c in counts])
    test = corrected_t_test(per_split.to_list(), float(share))
    return {**row, "low": test.low, "high": test.high, "p": test.p}


def _verdict(p: float, difference: float) -> str:
    if np.isnan(p):
        return "one split: no test"
    if p >= 1 - CONFIDENCE:
        return "no difference shown"
    return "better" if difference > 0 else "worse"
