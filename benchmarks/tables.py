"""Timings as tables in Markdown."""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.turns import Timing


def table(timings: Mapping[str, Timing], base: str, leave_out: str = "") -> str:
    """A row per variant: its median, and how many times as fast as `base` it is."""
    rows = []
    for name, timing in timings.items():
        if name == leave_out:
            continue
        seconds = timing.reason or f"{timing.median:.3f}"
        rows.append((name, seconds, ratio(timing, timings[base])))
    return markdown(("", "s", f"times as fast as {base}"), rows)


def ratio(timing: Timing, base: Timing) -> str:
    """How many times as fast as `base` it is, with the least and the greatest."""
    if timing.reason or base.reason:
        return ""
    ratios = timing.ratios(base)
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
