"""What a finding is, and the arithmetic and tests that findings share."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.common.published import Score
from melanet import lazy

if TYPE_CHECKING:
    from scipy import stats
else:
    stats = lazy.module("scipy.stats")


class Verdict(enum.StrEnum):
    """What the arithmetic says of a printed statement."""

    HOLDS = "holds"
    PARTLY = "holds in part"
    FAILS = "does not hold"
    UNSHOWN = "not shown"
    UNSAID = "left out"
    OPEN = "cannot be checked"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A printed statement, and what follows from the thesis's own numbers or the released code.

    Attributes:
        place: Section, table, figure or equation.
        printed: What stands there.
        follows: What follows, with its arithmetic in one line.
        verdict: Whether the statement holds.
    """

    place: str
    printed: str
    follows: str
    verdict: Verdict


def verdict(holds: bool) -> Verdict:
    """`HOLDS` or `FAILS`."""
    return Verdict.HOLDS if holds else Verdict.FAILS


def sensitivity(positives: int, missed: int) -> str:
    """The arithmetic of a sensitivity in percent, such as `(75 - 22) / 75 = 70.67%`."""
    return f"({positives} - {missed}) / {positives} = {(positives - missed) / positives:.2%}"


def exact_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of Clopper and Pearson for `count / total`, in percent.

    Example:
        >>> low, high = exact_interval(53, 75)
        >>> f"{low:.1f} to {high:.1f}"
        '59.0 to 80.6'
    """
    interval = stats.binomtest(count, total).proportion_ci(confidence, method="exact")
    return 100 * interval.low, 100 * interval.high


def show_interval(interval: tuple[float, float]) -> str:
    """An interval as text, such as `59.0 to 80.6`."""
    return f"{interval[0]:.1f} to {interval[1]:.1f}"


def fisher(first: int, second: int, total: int) -> float:
    """The two-sided p of Fisher's exact test for two counts, each of `total`."""
    return float(stats.fisher_exact([[first, total - first], [second, total - second]])[1])


def holm(values: Sequence[float], level: float = 0.05) -> int:
    """How many of the p-values are below `level` after Holm's correction.

    Example:
        >>> holm([0.001, 0.03, 0.04])
        1
    """
    count = 0
    for p in sorted(values):
        if p >= level / (len(values) - count):
            break
        count += 1
    return count


def welch(first: Score, second: Score, runs: int = 5) -> float:
    """The two-sided p of Welch's test on two printed means and deviations of `runs` runs."""
    return float(
        stats.ttest_ind_from_stats(
            first.mean, first.deviation, runs, second.mean, second.deviation, runs, equal_var=False
        ).pvalue
    )


def auc_interval(auc: float, positives: int, negatives: int) -> tuple[float, float]:
    """The 95% interval of Hanley and McNeil (1982) of an AUC; in percent, as is `auc`.

    Example:
        >>> show_interval(auc_interval(81.18, 75, 304))
        '75.0 to 87.4'
    """
    area = auc / 100
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    )
    reach = stats.norm.ppf(0.975) * math.sqrt(variance / (positives * negatives))
    return 100 * (area - reach), 100 * (area + reach)
