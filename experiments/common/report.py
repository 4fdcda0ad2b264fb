"""Reports: a section per table (cells, figures, how it was made), and one page of all sections.

A section is kept as `section.json` beside its figures, so that `experiments.report` can gather the
sections of many tables without their datasets.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.common.markup import escape_latex, escape_markdown
from experiments.common.style import styled
from melanet import lazy
from melanet.data import InputError
from melanet.data.writing import atomic_write

if TYPE_CHECKING:
    import jinja2
    import matplotlib.pyplot as plt
    import pandas as pd
    from matplotlib import text as mpl_text
    from matplotlib.figure import Figure

    from experiments.common.conclusions import Comparison
else:
    jinja2 = lazy.module("jinja2")
    plt = lazy.module("matplotlib.pyplot")
    mpl_text = lazy.module("matplotlib.text")

#: Caption and figure by file name.
Figures = dict[str, tuple[str, "Figure"]]
#: From cells and a style such as `"**{}**"` to cells with the best ones marked.
Emphasise = Callable[["pd.DataFrame", str], "pd.DataFrame"]


SECTION_FILE = "section.json"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure on a page.

    Attributes:
        name: Name of its files.
        caption: Plain text.
        png, pdf: Data URIs.
    """

    name: str
    caption: str
    png: str
    pdf: str


@dataclasses.dataclass(frozen=True)
class Section:
    """One table with all that belongs to it.

    Attributes:
        title: Plain text.
        caption: Plain text.
        table: The table as HTML.
        latex: The table in LaTeX.
        markdown: Title, table and caption as Markdown.
        figures: Its figures.
        settings: How it was made, by name.
        runs: A table of every run as HTML; empty if it is not there.
        comparison, comparison_latex: A table of differences; empty if nothing is compared.
        comparison_note: What its columns are.
        comparisons: The differences with what they say of the thesis's claims.
        command: What makes it, with `DIR` for the folder of the data.
        missing: Titles of trainings that are not done yet.
    """

    title: str
    caption: str
    table: str
    latex: str
    markdown: str
    figures: Sequence[Picture]
    settings: dict[str, str]
    runs: str = ""
    comparison: str = ""
    comparison_latex: str = ""
    comparison_note: str = ""
    comparisons: Sequence[Comparison] = ()
    command: str = ""
    missing: Sequence[str] = ()


def keep_section(folder: Path, section: Section) -> None:
    """Writes `section.json`; the figures lie in `figures` already."""
    values = dataclasses.asdict(section)
    values["figures"] = [[picture.name, picture.caption] for picture in section.figures]
    atomic_write(folder / SECTION_FILE, json.dumps(values, indent=1) + "\n")


def read_section(path: Path) -> Section:
    """Reads a section that `keep_section` has written, with the figures beside it.

    Raises:
        InputError: If it is damaged, or a figure is gone.
    """
    from experiments.common.conclusions import Claim, Comparison

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        figures = [_read_picture(path.parent, *named) for named in values.pop("figures")]
        comparisons = [
            Comparison(**{**each, "claim": Claim(**each["claim"])})
            for each in values.pop("comparisons")
        ]
        return Section(**values, figures=figures, comparisons=comparisons)
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is no section of a report ({error}); run its table again, which trains "
            "nothing anew, or remove the file"
        ) from None


def _read_picture(folder: Path, name: str, caption: str) -> Picture:
    png, pdf = ((folder / "figures" / f"{name}.{kind}").read_bytes() for kind in ("png", "pdf"))
    return Picture(name, caption, _data_uri("image/png", png), _data_uri("application/pdf", pdf))


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def unmarked(cells: pd.DataFrame, style: str) -> pd.DataFrame:
    """Cells of which none is marked."""
    return cells


def write_section(
    out: Path,
    *,
    title: str,
    caption: str,
    numbers: pd.DataFrame,
    shown: pd.DataFrame,
    emphasise: Emphasise = unmarked,
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
    compared = compared_latex = ""
    if comparison is not None and len(comparison):
        compared = comparison.to_html(index=False, border=0)
        lines = _markdown_table(_escaped(comparison, escape_markdown))
        markdown += f"\n\nIs the difference real?\n\n{lines}\n\n{comparison_note}"
        compared_latex = latex_table(comparison)
        atomic_write(out / "comparison.csv", comparison.to_csv(index=False))
        atomic_write(out / "comparison.tex", compared_latex)
    else:
        for kind in ("csv", "tex"):  # of an earlier run, of other models
            (out / f"comparison.{kind}").unlink(missing_ok=True)
    markdown += "\n"
    latex = latex_table(shown, emphasise)
    atomic_write(out / "table.csv", numbers.to_csv(index=False))
    atomic_write(out / "table.md", markdown)
    atomic_write(out / "table.tex", latex)
    return Section(
        title=title,
        caption=caption,
        table=html_table(shown, emphasise),
        latex=latex,
        markdown=markdown,
        figures=[save_figure(out, name, figure, text) for name, (text, figure) in figures.items()],
        settings=settings,
        runs=runs.round(3).to_html(index=False, border=0),
        comparison=compared,
        comparison_latex=compared_latex,
        comparison_note=comparison_note,
    )


def html_table(shown: pd.DataFrame, emphasise: Emphasise = unmarked) -> str:
    """A table as HTML, the best cells bold."""
    cells = emphasise(_escaped(shown, html.escape), "<b>{}</b>")
    return cells.to_html(index=False, escape=False, border=0)


def latex_table(shown: pd.DataFrame, emphasise: Emphasise = unmarked) -> str:
    """A table in LaTeX, for booktabs, the best cells bold."""
    cells = emphasise(_escaped(shown, escape_latex), r"\textbf{{{}}}")
    return cells.to_latex(index=False)


def markdown_cells(shown: pd.DataFrame, emphasise: Emphasise = unmarked) -> pd.DataFrame:
    """Cells and headings of a table in Markdown, the best ones bold."""
    return emphasise(_escaped(shown, escape_markdown), "**{}**")


def _escaped(cells: pd.DataFrame, escape: Callable[[str], str]) -> pd.DataFrame:
    """Cells and headings as text of a markup language."""
    return cells.map(escape).set_axis([escape(heading) for heading in cells], axis=1)


def _markdown_table(cells: pd.DataFrame) -> str:
    return cells.to_markdown(index=False, disable_numparse=True)


def write_report(out: Path, title: str, sections: Sequence[Section]) -> Path:
    """Writes all sections as one self-contained page, `index.html`, and as `report.tex`.

    A figure of all differences goes into `figures/differences.pdf` and `.png`.

    Args:
        out: Where they go.
        title: Heading of the page.
        sections: What it shows.

    Returns:
        The page.
    """
    from experiments.common.conclusions import beliefs
    from experiments.common.forest import forest_plot

    compared = [each for section in sections for each in section.comparisons]
    forest = None
    if compared:
        caption = "All differences of this page with their 95% intervals, beside the thesis's."
        forest = save_figure(out, "differences", forest_plot(compared), caption)
    values = {
        "title": title,
        "sections": sections,
        "beliefs": beliefs(compared),
        "forest": forest,
    }
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    # LaTeX has braces of its own.
    latex = jinja2.Environment(
        block_start_string="<%", block_end_string="%>", variable_start_string="<<",
        variable_end_string=">>", comment_start_string="<#", comment_end_string="#>",
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    latex.filters["latex"] = escape_latex
    for name, environment, source in (
        ("report.tex", latex, "report.tex"),
        ("index.html", page, "page.html"),
    ):
        template = environment.from_string((Path(__file__).parent / source).read_text())
        atomic_write(out / name, template.render(values))
    return out / "index.html"


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
def save_figure(out: Path, name: str, figure: Figure, caption: str = "") -> Picture:
    """Writes `figures/NAME.pdf` and `.png` and closes the figure.

    Texts are drawn as they are, wherever they were made: a name may hold `$`.
    """
    texts: Any = figure.findobj(mpl_text.Text)
    for text in texts:
        text.set_parse_math(False)
    # Without its date, so that the same figure is the same file.
    for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        atomic_write(out / "figures" / f"{name}.{kind}", buffer.getvalue())
    plt.close(figure)
    return _read_picture(out, name, caption)


def _describe_distribution(record) -> str:
    if record["distribute"] == "none":
        return "none"
    count = record["replicas"]
    return f"{record['distribute']}, {count} device{'s' if count > 1 else ''}"
