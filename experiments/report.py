"""One page of all results in a folder, and the same in LaTeX.

    python -m experiments.report results

It gathers the tables that commands have left below the folder, and the published runs in it (see
`results/README.md`), finished or not, and writes `index.html` and `report.tex`. Nothing is trained,
and no image or dataset is needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.common.cli import check_writable, run_cli
from experiments.common.report import (
    SECTION_FILE,
    Section,
    html_table,
    latex_table,
    read_section,
    write_report,
)
from experiments.common.runs import RUN_FILE, Command, Run, read_run
from melanet import lazy
from melanet.console import Parser
from melanet.data import InputError

if TYPE_CHECKING:
    import pandas as pd

    from experiments.common.conclusions import Comparison
else:
    pd = lazy.module("pandas")

PAGE_FOLDER = "report"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page; returns the exit code."""
    parser = Parser(prog="python -m experiments.report", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="RESULTS_DIR")
    parser.add_argument("--out", type=Path, help=f"default: RESULTS_DIR/{PAGE_FOLDER}")
    parser.add_argument("--title", default="Results")
    options = parser.parse_args(arguments)
    return run_cli(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Gathers and writes."""
    sections = gather(options.folder)
    out = options.out or options.folder / PAGE_FOLDER
    check_writable(out)
    print(f"{len(sections)} tables. Open {write_report(out, options.title, sections)}")


def gather(folder: Path) -> list[Section]:
    """The sections of every table in `folder` and below it, by path.

    Raises:
        InputError: If there is none, or one is damaged.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with results of a table")
    sections = []
    for path in sorted([*folder.rglob(SECTION_FILE), *folder.rglob(RUN_FILE)]):
        if path.name == SECTION_FILE:
            sections.append(read_section(path))
        elif not (path.parent / SECTION_FILE).exists():
            published = read_run(path.parent)
            sections += [
                section_of(_title(published, command), command) for command in published.commands
            ]
    if not sections:
        raise InputError(
            f"{folder}: has no finished table and no published run; run a table first, such as "
            "python -m experiments.reproduce"
        )
    return sections


def _title(run: Run, command: Command) -> str:
    """The title of the run, and of the table where it has several."""
    return run.title if len(run.commands) == 1 else f"{run.title}: {command.table.title}"


def section_of(title: str, command: Command) -> Section:
    """A command of a published run as a section; its figures need the predictions, not kept."""
    if not command.records:
        return Section(title, "", "", "", "", [], {}, command=command.text, missing=command.missing)
    found = command.conclusions
    compared = pd.DataFrame(map(_describe, found.comparisons))
    return Section(
        title=title,
        caption=found.caption,
        table=html_table(found.cells, found.emphasise),
        latex=latex_table(found.cells, found.emphasise),
        markdown=found.table,
        figures=[],
        settings=found.settings,
        comparison=html_table(compared) if len(compared) else "",
        comparison_latex=latex_table(compared) if len(compared) else "",
        comparison_note=found.note,
        comparisons=found.comparisons,
        command=command.text,
        missing=command.missing,
    )


def _describe(each: Comparison) -> dict[str, str]:
    return {
        "Compared": f"{each.metric}: {each.contender} less {each.baseline}",
        "Difference, 95% interval": f"{each.amount} over {each.over}",
        "Thesis": each.printed_amount,
        "Verdict": each.untrained or each.verdict,
        "Claim or question": f"{each.claim.heading}: {each.answer}",
    }


if __name__ == "__main__":
    sys.exit(main())
