"""Reports: a section per table (cells, figures, how it was made), and one page of all sections."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.common.markup import escape_latex, escape_markdown
from experiments.common.style import styled
from melanet import lazy
from melanet.data.writing import atomic_write

if TYPE_CHECKING:
    import jinja2
    import matplotlib.pyplot as plt
    import pandas as pd
    from matplotlib import text as mpl_text
    from matplotlib.figure import Figure
else:
    jinja2 = lazy.module("jinja2")
    plt = lazy.module("matplotlib.pyplot")
    mpl_text = lazy.module("matplotlib.text")

#: Caption and figure by file name.
Figures = dict[str, tuple[str, "Figure"]]
#: From cells and a style such as `"**{}**"` to cells with the best ones marked.
Emphasise = Callable[["pd.DataFrame", str], "pd.DataFrame"]


@dataclasses.dataclass(frozen=True)
class Section:
    """One table with all that belongs to it.

    Attributes:
        title: Plain text.
        caption: Plain text.
        table: The table as HTML.
        markdown: Title, table and caption as Markdown.
        figures: Pairs of a caption and a data URI.
        settings: How it was made, by name.
        runs: A table of every run as HTML.
        comparison: A table of differences as HTML; empty if nothing is compared.
        comparison_note: What its columns are.
    """

    title: str
    caption: str
    table: str
    markdown: str
    figures: Sequence[tuple[str, str]]
    settings: dict[str, str]
    runs: str
    comparison: str = ""
    comparison_note: str = ""


def write_section(
    out: Path,
    *,
    title: str,
    caption: str,
    numbers: pd.DataFrame,
    shown: pd.DataFrame,
    emphasise: Emphasise = lambda cells, style: cells,
    figures: Figures,
    settings: dict[str, str],
    runs: pd.DataFrame,
    comparison: pd.DataFrame | None = None,
    comparison_note: str = "",
) -> Section:
    """Writes `table.csv`, `.md`, `.tex` and `figures/*.png` into `out`; returns the section.

    What is compared goes into `comparison.csv` and `.tex` too.

    Args:
        out: The results folder.
        title: Plain text.
        caption: Plain text.
        numbers: The table's numbers, for the CSV file.
        shown: Its cells as text.
        emphasise: Marks the best of the cells.
        figures: Caption and figure by file name. The figures are closed.
        settings: How it was made, by name.
        runs: One row per run.
        comparison: Cells of a table of differences, as text.
        comparison_note: What its columns are.
    """
    in_markdown = markdown_cells(shown, emphasise)
    markdown = "\n\n".join(
        [escape_markdown(title), _markdown_table(in_markdown), escape_markdown(caption)]
    )
    compared = ""
    if comparison is not None and len(comparison):
        compared = comparison.to_html(index=False, border=0)
        lines = _markdown_table(_escaped(comparison, escape_markdown))
        markdown += f"\n\nIs the difference real?\n\n{lines}\n\n{comparison_note}"
        in_latex = _escaped(comparison, escape_latex)
        atomic_write(out / "comparison.csv", comparison.to_csv(index=False))
        atomic_write(out / "comparison.tex", in_latex.to_latex(index=False))
    else:
        for kind in ("csv", "tex"):  # of an earlier run, of other models
            (out / f"comparison.{kind}").unlink(missing_ok=True)
    markdown += "\n"
    latex = emphasise(_escaped(shown, escape_latex), r"\textbf{{{}}}")
    table = emphasise(_escaped(shown, html.escape), "<b>{}</b>")
    atomic_write(out / "table.csv", numbers.to_csv(index=False))
    atomic_write(out / "table.md", markdown)
    atomic_write(out / "table.tex", latex.to_latex(index=False))
    return Section(
        title=title,
        caption=caption,
        table=table.to_html(index=False, escape=False, border=0),
        markdown=markdown,
        figures=[
            (text, save_figure(out, name, figure)) for name, (text, figure) in figures.items()
        ],
        settings=settings,
        runs=runs.round(3).to_html(index=False, border=0),
        comparison=compared,
        comparison_note=comparison_note,
    )


def markdown_cells(
    shown: pd.DataFrame, emphasise: Emphasise = lambda cells, style: cells
) -> pd.DataFrame:
    """Cells and headings of a table in Markdown, the best ones bold."""
    return emphasise(_escaped(shown, escape_markdown), "**{}**")


def _escaped(cells: pd.DataFrame, escape: Callable[[str], str]) -> pd.DataFrame:
    """Cells and headings as text of a markup language."""
    return cells.map(escape).set_axis([escape(heading) for heading in cells], axis=1)


def _markdown_table(cells: pd.DataFrame) -> str:
    return cells.to_markdown(index=False, disable_numparse=True)


def write_page(path: Path, title: str, sections: Sequence[Section]) -> Path:
    """Writes one self-contained HTML page of all sections."""
    source = (Path(__file__).parent / "page.html").read_text()
    template = jinja2.Environment(autoescape=True).from_string(source)
    atomic_write(path, template.render(title=title, sections=sections))
    return path


def distinct_values(records: Sequence[dict[str, Any]], get: Callable[[dict[str, Any]], Any]) -> str:
    """The distinct values that records have, separated by commas."""
    return ", ".join(dict.fromkeys(str(get(record)) for record in records))


def describe_provenance(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Data, code, versions and hardware of the records, for a reader."""
    commits = distinct_values(records, lambda r: _commit(r["git"]))
    if "," in commits:
        commits += " (several versions of the code made these results)"
    return {
        "precision": distinct_values(
            records, lambda r: r.get("precision_reason", r["precision"]).removesuffix(".")
        ),
        "seeds": distinct_values(records, lambda r: r["seed"]),
        "distribution": distinct_values(records, _describe_distribution),
        "deterministic kernels": distinct_values(records, lambda r: r["deterministic"]),
        "data (SHA-256 of metadata.csv)": distinct_values(
            records, lambda r: f"{r['dataset']['name']} {r['dataset']['metadata_sha256'][:16]}"
        ),
        "code": commits,
        "versions": distinct_values(
            records, lambda r: ", ".join(f"{k} {v}" for k, v in r["versions"].items())
        ),
        "hardware": describe_hardware(records),
    }


def describe_hardware(records: Sequence[dict[str, Any]]) -> str:
    """The processors or GPUs of the records."""
    return distinct_values(records, lambda r: _hardware(r["hardware"]))


def _commit(git) -> str:
    if git["commit"] is None:
        return "not in a git checkout"
    return git["commit"][:12] + (" with uncommitted changes" if git["changed"] else "")


def _hardware(hardware) -> str:
    return ", ".join(hardware["gpus"]) or f"{hardware['cpu']}, {hardware['cores']} cores"


@styled
def save_figure(out: Path, name: str, figure: Figure) -> str:
    """Writes `figures/NAME.pdf` and `.png` and closes the figure; returns the PNG as a data URI.

    Texts are drawn as they are, wherever they were made: a name may hold `$`.
    """
    texts: Any = figure.findobj(mpl_text.Text)
    for text in texts:
        text.set_parse_math(False)
    content = {}
    # Without its date, so that the same figure is the same file.
    for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        content[kind] = buffer.getvalue()
        atomic_write(out / "figures" / f"{name}.{kind}", content[kind])
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(content["png"]).decode()


def _describe_distribution(record) -> str:
    if record["distribute"] == "none":
        return "none"
    count = record["replicas"]
    return f"{record['distribute']}, {count} device{'s' if count > 1 else ''}"
