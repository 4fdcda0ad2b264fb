"""Is the difference between two models real? Folds that share training images are no proof."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

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

    Runs of a cross-validation share training images, so their variance is too small by far: with
    n runs, the variance of the mean is taken as (1 / n + test / training) times theirs.

    Args:
        differences: Of the paired scores, one a run (a fold of a repeat).
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


def bootstrap(differences: Sequence[float], seed: int = 0) -> Difference:
    """Mean over images, with the percentile interval of images drawn anew with replacement.

    It answers for other images of the kind, not for other trainings, and takes images as
    independent: for the slices of a volume or the frames of a video it is too narrow.

    Args:
        differences: Of the paired scores, one an image.
        seed: Seed of the drawing.
    """
    values = np.asarray(differences, "float64")
    random = np.random.default_rng(seed)
    # One resample at a time: a matrix of all of them would not fit for thousands of images.
    means = [random.choice(values, len(values)).mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return Difference(float(values.mean()), float(low), float(high))


def comparisons(
    records: Sequence[dict[str, Any]], pairs: Sequence[tuple[str, str]], metric: str = "jaccard"
) -> pd.DataFrame:
    """A row for each dataset and pair of models: the difference, its intervals, and a verdict.

    The verdict goes by the corrected t-test at 5%. Where all runs are on one split (protocol
    released), they say nothing of other splits: then there is no test, and no verdict.

    Args:
        records: Of segmentation trials.
        pairs: `(baseline, contender)`; pairs of which one was not run are left out.
        metric: `"jaccard"` or `"dice"`.
    """
    rows = []
    for dataset in dict.fromkeys(record["dataset"]["name"] for record in records):
        for baseline, contender in pairs:
            of = [
                {
                    (record["repeat"], record["fold"]): record
                    for record in records
                    if (record["dataset"]["name"], record["model"]) == (dataset, model)
                }
                for model in (baseline, contender)
            ]
            runs = sorted(of[0].keys() & of[1].keys())
            if runs:
                matched = [(of[0][run], of[1][run]) for run in runs]
                names = {"dataset": dataset, "baseline": baseline, "contender": contender}
                rows.append({**names, **_compare(matched, metric)})
    return pd.DataFrame(rows)


def _compare(matched, metric) -> dict[str, Any]:
    per_run, per_image = [], []
    for records in matched:
        scores = [{s["id"]: 100 * s[metric] for s in record["scores"]} for record in records]
        differences = pd.Series(scores[1]) - pd.Series(scores[0])
        per_run.append(differences.mean())
        per_image.append(differences)
    # An image that several repeats tested is still one image.
    images = bootstrap(pd.concat(per_image).groupby(level=0).mean().to_numpy())
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
        nothing = dict.fromkeys(("low", "high", "p"), float("nan"))
        return {**row, **nothing, "verdict": "one split: no test"}
    counts = [record["images"] for record, _ in matched]
    share = np.mean([c["test"] / (c["train"] + c["validation"]) for c in counts])
    test = corrected_t_test(per_split.to_list(), float(share))
    verdict = "no difference shown"
    if test.p < 1 - CONFIDENCE:
        verdict = "better" if test.mean > 0 else "worse"
    return {**row, "low": test.low, "high": test.high, "p": test.p, "verdict": verdict}
