"""The results page and the README's table, written from the records of published runs.

    python -m experiments.results

It reads `results/published`, see `results/README.md`, and writes `docs/results.md`, its figure
`docs/results.svg`, and the table between two comments of `README.md`. Each verdict follows from
its numbers; nothing is trained.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import io
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.common.cli import run_cli
from experiments.common.conclusions import (
    Belief,
    Comparison,
    beliefs,
    by_verdict,
    group,
    merge,
)
from experiments.common.markup import escape_markdown, markdown_table
from experiments.common.records import config_hash
from experiments.common.releases import Release
from experiments.common.runs import Command, Run, read_runs
from melanet.console import Parser
from melanet.data import InputError
from melanet.data.files import atomic_write

if TYPE_CHECKING:
    from experiments.common.table import Table

BEGIN, END = "<!-- results: python -m experiments.results -->", "<!-- end of results -->"
NO_RUNS = "No run with its records is published yet."
EARLIER = (
    "Earlier results, whose records were not kept, are in [earlier_results.md](earlier_results.md)."
)
HOW_TO_READ = (
    "A difference is shown if p is below 0.05 after Holm's correction; between protocols, on the "
    "same images, if the interval excludes 0; on one split never. It supports or weakens a claim "
    "of the thesis accordingly. A claim is also weakened where a gain as large as the thesis's "
    "lies above the interval. Everything else leaves it open."
)
MISSING_NAMED = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the page and the table; returns the exit code."""
    options = parse(arguments)

    def command() -> None:
        results = Results(read_runs(options.runs))
        readme = fill_readme(options.readme, results)  # may be refused, before anything is written
        if results.headlines:
            atomic_write(options.page.with_suffix(".svg"), draw(results))
        atomic_write(options.page, results_page(results))
        atomic_write(options.readme, readme)
        print(f"{len(results.runs)} published runs: {options.page}, {options.readme}")

    return run_cli(command)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as options."""
    parser = Parser(prog="python -m experiments.results", description="Writes the results page.")
    add = parser.add_argument
    add("--runs", type=Path, default=Path("results/published"), metavar="DIR",
        help="folder of the published runs; default: %(default)s")  # fmt: skip
    add("--page", type=Path, default=Path("docs/results.md"), help="default: %(default)s")
    add("--readme", type=Path, default=Path("README.md"), help="default: %(default)s")
    return parser.parse_args(arguments)


@dataclasses.dataclass(frozen=True)
class Results:
    """The published runs with what they say."""

    runs: Sequence[Run]

    @property
    def commands(self) -> list[Command]:
        """The commands that have made a record."""
        return [command for run in self.runs for command in run.commands if command.records]

    @property
    def of_runs(self) -> list[Comparison]:
        """The comparisons within each run."""
        return [each for command in self.commands for each in command.conclusions.comparisons]

    @functools.cached_property
    def of_protocols(self) -> list[Comparison]:
        """How much protocols differ, for every table that was run under several."""
        tables: dict[str, Table] = {}
        records: dict[str, list[dict[str, Any]]] = {}
        for command in self.commands:
            tables[command.table.name] = command.table
            records.setdefault(command.table.name, []).extend(command.records)
        return [
            each
            for name, table in tables.items()
            for each in table.compare_protocols(records[name])
        ]

    @property
    def notes(self) -> list[str]:
        """How comparisons were tested, in Markdown."""
        notes = dict.fromkeys(command.conclusions.note for command in self.commands)
        return [escape_markdown(note) for note in notes]

    @property
    def headlines(self) -> list[Comparison]:
        """Those of the thesis's protocol, or of another where it was not run, and of protocols."""
        by_thesis = {(c.claim, c.dataset) for c in self.of_runs if c.protocol == "thesis"}
        return [
            c
            for c in self.of_runs
            if c.protocol == "thesis" or (c.claim, c.dataset) not in by_thesis
        ] + self.of_protocols

    @property
    def releases(self) -> list[Release]:
        """Tests of synthetic datasets."""
        return [release for run in self.runs for release in run.releases]

    @property
    def beliefs(self) -> list[Belief]:
        """What a reader should believe of each claim and question."""
        of_releases = [each for release in self.releases for each in release.beliefs]
        return merge([*beliefs(self.headlines), *of_releases])


def results_page(results: Results) -> str:
    """`docs/results.md`."""
    parts = [
        "# Results on real images",
        "Written by `python -m experiments.results` from the records in `results/published`; add a "
        "run there (see [its README](../results/README.md)), and do not edit this page.",
    ]
    if results.beliefs:
        parts += ["## What to believe", *_list_beliefs(results), HOW_TO_READ, *results.notes]
    if results.headlines:
        parts.append(
            "![All differences with their 95% intervals, and what the thesis prints](results.svg)"
        )
    parts += ["## Runs", _list_runs(results.runs)] if results.runs else [NO_RUNS]
    for run in results.runs:
        parts += _run_section(run)
    if results.of_protocols:
        beside = _protocols_side_by_side(results.commands)
        parts += ["## What a protocol allows", beside, comparison_table(results.of_protocols)]
    return "\n\n".join([*parts, "## Earlier results", EARLIER]) + "\n"


def _list_beliefs(results: Results) -> list[str]:
    """The claims of the thesis, then what it does not claim; numbered throughout."""
    number, parts = 0, []
    for made, heading in ((True, "### What the thesis claims"), (False, "### What else one asks")):
        lines = []
        for each in results.beliefs:
            if each.claim.made == made:
                number += 1
                lines.append(f"{number}. {each.markdown}")
        parts += [heading, "\n".join(lines)] if lines else []
    return parts


def draw(results: Results) -> bytes:
    """The differences of the page's verdicts as an SVG, which names what it was drawn from."""
    import matplotlib

    from experiments.common.forest import forest_plot

    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "results"}):  # else every drawing differs
        forest_plot(results.headlines).savefig(
            file, format="svg", metadata={"Date": None, "Description": fingerprint(results)}
        )
    return file.getvalue()


def fingerprint(results: Results) -> str:
    """A hash of the differences that the figure shows."""
    shown = [
        (e.contender, e.baseline, e.place, e.bearing, round(e.difference, 2), e.amount)
        for e in results.headlines
    ]
    return config_hash(shown)


def fill_readme(path: Path, results: Results) -> str:
    """The text of the README with its table of results.

    Raises:
        InputError: If it has no place for it.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{path}: has no lines {BEGIN} and {END} for the table")
    table = summary_table(results) if results.beliefs else NO_RUNS
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """One row per comparison."""
    headings = ["Claim or question", "On", "Compared", "Difference, 95% interval", "Thesis"]
    rows = [
        [
            c.claim.heading,
            c.place,
            f"{c.metric}: {c.contender} less {c.baseline}",
            f"{c.amount} over {c.over}",
            c.printed_amount,
            f"{c.untrained or c.verdict}: {c.answer}",
        ]
        for c in comparisons
    ]
    return markdown_table([*headings, "Verdict"], [list(map(escape_markdown, row)) for row in rows])


def summary_table(results: Results) -> str:
    """One row per claim of the thesis and setting."""
    headings = ["The thesis claims that", "On", "Difference, 95% interval", "Thesis", "Verdict"]
    claimed = [found for found in group(results.headlines) if found[0].claim.made]
    rows = [_summary_row(found) for found in claimed]
    rows += [release.row for release in results.releases]
    return markdown_table(headings, [list(map(escape_markdown, row)) for row in rows])


def _summary_row(comparisons: Sequence[Comparison]) -> list[str]:
    first, answers = comparisons[0], Counter(c.answer for c in comparisons)
    measured = "; ".join(
        f"{kind}: {_range([c.difference for c in found])} "
        f"({_range([limit for c in found for limit in (c.low, c.high)])})"
        for kind, found in by_verdict(comparisons).items()
    )
    printed = [c.printed for c in comparisons if not math.isnan(c.printed)]
    counted = ", ".join(f"{name} ({n} of {len(comparisons)})" for name, n in answers.items())
    return [
        first.claim.heading,
        first.place,
        f"{first.metric} {measured}",
        _range(printed) if printed else "–",
        first.answer if len(comparisons) == 1 else counted,
    ]


def _range(values: Sequence[float]) -> str:
    """The only value, or the lowest and the highest of those that are known."""
    known = [value for value in values if not math.isnan(value)] or [math.nan]
    low, high = (f"{value:+.2f}" for value in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"


def _protocols_side_by_side(commands: Sequence[Command]) -> str:
    """Scores of what was run under several protocols, a column for each."""
    scores: dict[tuple[str, str], dict[str, str]] = {}
    for command in commands:
        for name, score in command.conclusions.scores.items():
            of_protocols = scores.setdefault((command.table.name, name), {})
            of_protocols[command.options.protocol] = score
    several = {name: found for (_, name), found in scores.items() if len(found) > 1}
    protocols = list(dict.fromkeys(protocol for found in several.values() for protocol in found))
    rows = [
        [escape_markdown(name), *(found.get(protocol, "–") for protocol in protocols)]
        for name, found in several.items()
    ]
    return markdown_table(["Mean ± sd, percent", *(f"`{name}`" for name in protocols)], rows)


def _list_runs(runs: Sequence[Run]) -> str:
    rows = [
        [
            f"[{escape_markdown(run.title)}](../results/published/{run.name})",
            _progress(run),
            f"{run.hours:.1f}",
            escape_markdown(run.machines),
            escape_markdown(" ".join(run.reductions)),
        ]
        for run in runs
    ]
    headings = ["Run", "Trainings", "Hours of training", "Machine", "Smaller than the thesis's in"]
    return markdown_table(headings, rows)


def _progress(run: Run) -> str:
    missing = sum(len(command.missing) for command in run.commands)
    done = len(run.records)
    return f"{done} of {done + missing}, unfinished" if missing else f"{done}"


def _run_section(run: Run) -> list[str]:
    parts = [f"## {escape_markdown(run.title)}"]
    if run.reductions:
        parts.append(escape_markdown(" ".join(run.reductions)))
    for command in run.commands:
        parts += _command_section(command)
    for release in run.releases:
        parts += release.section
    return parts


def _command_section(command: Command) -> list[str]:
    """Title, command, what is missing, the table, its comparisons and its settings."""
    protocol = command.options.protocol
    parts = [
        f"### {escape_markdown(command.table.title)} (`{protocol}`)",
        f"```sh\n{command.text}\n```",
    ]
    if command.missing:
        parts.append(_name_missing(command))
    if not command.records:
        return parts
    found = command.conclusions
    parts += [found.table, escape_markdown(found.caption)]
    if found.comparisons:
        parts.append(comparison_table(found.comparisons))
    settings = "; ".join(f"{name}: {text}" for name, text in found.settings.items())
    return [*parts, f"Settings – {escape_markdown(settings)}."]


def _name_missing(command: Command) -> str:
    """A sentence on the trainings that have no record yet."""
    missing, done = command.missing, len(command.records)
    named = ", ".join(missing[:MISSING_NAMED])
    more = f" and {len(missing) - MISSING_NAMED} more" if len(missing) > MISSING_NAMED else ""
    return (
        f"**Unfinished: {done} of {done + len(missing)} trainings.** Missing: "
        f"{escape_markdown(named)}{more}."
    )


if __name__ == "__main__":
    sys.exit(main())
