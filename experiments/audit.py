"""The thesis's printed numbers, recomputed: each statement, what follows from it, and a verdict.

    python -m experiments.audit

It should give more than 45 findings, among them: table 2.1's "sensitivity" is the negative
predictive value (MelaNet's is (75 - 22) / 75 = 70.67%), and the relative gain on CVC-ClinicDB is
8.38%, not 12.6%. Nothing is trained, and nothing downloaded.
"""

import argparse
import dataclasses
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from experiments.common.audit import chapter2, chapter3
from experiments.common.audit.finding import Finding
from experiments.common.audit.page import fidelity_page, findings_table, summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints or writes the findings; returns the exit code."""
    options = parse(arguments)
    found = findings()
    if options.models:
        from experiments.common.audit.models import built_models

        found += built_models()
    if options.page:
        try:
            options.page.write_text(fidelity_page(found) + "\n", encoding="utf-8")
        except OSError as error:
            print(f"error: --page: {error}", file=sys.stderr)
            return 2
        print(options.page)
    elif options.json:
        print(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    elif options.markdown:
        print(findings_table(found))
    else:
        print("\n\n".join(map(as_text, found)))
        print(f"\n{summary(found)}")
    return 0


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as options."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.audit", description="Recomputes the thesis's printed numbers."
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--page", type=Path, metavar="FILE", help="write docs/fidelity.md")
    parser.add_argument(
        "--models",
        action="store_true",
        help="also build the models and count their parameters (not on the page)",
    )
    options = parser.parse_args(arguments)
    if options.page and options.models:
        parser.error("--page: is written without --models")
    return options


def findings() -> list[Finding]:
    """All findings, chapter by chapter."""
    checks = (*chapter2.CHECKS, *chapter3.CHECKS)
    return [finding for check in checks for finding in check()]


def as_text(finding: Finding) -> str:
    """A finding for a terminal.

    Example:
        >>> from experiments.common.audit.finding import Verdict
        >>> print(as_text(Finding("table 1", "5", "2 + 2 = 4", Verdict.FAILS)))
        table 1: does not hold
          printed: 5
          follows: 2 + 2 = 4
    """
    lines = [f"{finding.place}: {finding.verdict}"]
    for name in ("printed", "follows"):
        lines += textwrap.wrap(
            f"{name}: {getattr(finding, name)}",
            width=98,
            initial_indent="  ",
            subsequent_indent=" " * 11,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
