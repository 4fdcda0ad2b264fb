"""`docs/fidelity.md` and the table of findings, as Markdown."""

from collections import Counter
from collections.abc import Sequence

from experiments.common.audit.coverage import ENTRIES
from experiments.common.audit.differences import (
    MELANET,
    NOT_WORTH_HAVING,
    PENDING,
    SHARP_UNET,
    Difference,
)
from experiments.common.audit.finding import Finding, Verdict
from experiments.common.markup import markdown_table


def findings_table(findings: Sequence[Finding]) -> str:
    """One row per finding."""
    rows = [
        (f"{number}", each.place, each.printed, each.follows, f"{each.verdict}")
        for number, each in enumerate(findings, 1)
    ]
    # Asterisks of the arithmetic are no emphasis.
    escaped = [[cell.replace("*", "\\*") for cell in row] for row in rows]
    return markdown_table(["", "Place", "Printed", "What follows", "Verdict"], escaped)


def summary(findings: Sequence[Finding]) -> str:
    """How many findings there are, by verdict."""
    counts = Counter(each.verdict for each in findings)
    parts = [f"{verdict} {counts[verdict]}" for verdict in Verdict if counts[verdict]]
    return f"{len(findings)} findings ({', '.join(parts)})."


def fidelity_page(findings: Sequence[Finding]) -> str:
    """The whole page."""
    entries = [(entry.name, entry.content, entry.where) for entry in ENTRIES]
    pending = any(each.point in PENDING for each in (*MELANET, *SHARP_UNET))
    return "\n\n".join(
        [
            "# How faithful it is",
            "Written by `python -m experiments.audit --page docs/fidelity.md`; change the data in "
            "`experiments/common/audit`, not this page.",
            "## Every table, figure, equation and algorithm",
            markdown_table(["In the thesis", "What it is", "Here"], entries),
            "## Where thesis, released code and good practice differ",
            "`--protocol thesis` is the default and follows the text; `released` follows the "
            "author's notebooks; `clean` follows the text where that does not flatter the result. "
            "Where both leave something open or contradict themselves, the last columns say what "
            "was chosen. What a choice moves is given where it was measured."
            + (" Rows marked ‡ are not yet as described." if pending else ""),
            "### Chapter 2",
            _differences(MELANET),
            "### Chapter 3",
            _differences(SHARP_UNET),
            "### Not worth having",
            "\n".join(f"- **{what}**: {why}" for what, why in NOT_WORTH_HAVING.items()),
            "## Every number that can be recomputed",
            f"{summary(findings)} “Not shown”: the printed numbers do not show it, which is not to "
            "say that it is wrong. “Left out”: it follows from the printed numbers and changes how "
            "they read.",
            findings_table(findings),
        ]
    )


def _differences(points: Sequence[Difference]) -> str:
    headings = ["Point", "Thesis", "Released code", "`thesis`", "`released`", "`clean`"]
    rows = [
        (
            each.point + (" ‡" if each.point in PENDING else ""),
            each.said,
            each.code,
            each.thesis,
            each.released,
            each.clean or "as `thesis`",
        )
        for each in points
    ]
    return markdown_table(headings, rows)
