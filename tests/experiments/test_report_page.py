"""One page gathers what commands have left, and needs nothing but itself."""

import dataclasses
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from experiments import report
from experiments.common.conclusions import Claim, Comparison
from experiments.common.report import keep_section, read_section, write_section
from melanet.data import InputError
from tests.experiments.example_records import folds_of, write_run

SEGMENTATION = (
    "python -m experiments.table_3_1 --data DIR --datasets cvc_clinicdb --folds 4 --repeats 1"
)


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def comparison(difference, dataset="CVC-ClinicDB", **more):
    verdict = "better" if difference > 0.5 else "no difference shown"
    return Comparison(
        claim=Claim("sharp is better <&>", "section 1"), dataset=dataset, protocol="thesis",
        setting="96 × 128", contender="Sharp U-Net", baseline="U-Net", metric="Jaccard",
        difference=difference, low=difference - 1, high=difference + 1, verdict=verdict, **more,
    )  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """A results folder with one table of one's own, that has a figure and two comparisons."""
    folder = tmp_path / "results" / "table_3_1"
    figure, axes = plt.subplots(figsize=(1, 1))
    axes.plot([0, 1])
    cells = pd.DataFrame({"Dataset": ["CVC-ClinicDB"], "Jaccard": ["70.00 ± 1.00"]})
    section = write_section(
        folder, title="Own table", caption="A caption.", numbers=cells, shown=cells,
        figures={"curves": ("Curves of one run.", figure)}, settings={"seeds": "0"}, runs=cells,
    )  # fmt: skip
    compared = (comparison(2.0, printed=3.0, p=0.01), comparison(0.1, "ISBI-2012"))
    keep_section(folder, dataclasses.replace(section, comparisons=compared, command="python -m x"))
    return folder


def written(folder):
    assert report.main([str(folder)]) == 0
    return (folder / "report/index.html").read_text()


def test_a_section_is_read_as_it_was_kept(own):
    section = read_section(own / "section.json")
    assert section.title == "Own table"
    assert section.comparisons[0] == comparison(2.0, printed=3.0, p=0.01)
    assert section.figures[0].png.startswith("data:image/png;base64,")
    assert section.figures[0].pdf.startswith("data:application/pdf;base64,")


def test_the_page_gathers_own_tables_and_unfinished_published_runs(own):
    write_run(
        own.parent / "published", folds_of(0.1, 2), commands=[SEGMENTATION], title="A <b> run"
    )
    page = written(own.parent)
    assert page.index("A &lt;b&gt; run") < page.index("Own table")
    assert "4 trainings are missing (cvc_clinicdb-unet-r0-f2, " in page
    assert SEGMENTATION in page
    found = page.partition('id="found"')[2].partition("</section>")[0]
    assert found.count("<li><b>") == 2  # two claims
    assert found.count("<li>") == 2 + 3
    assert "<li>ISBI-2012: " in found
    assert 'class="answer supports">supports<' in found
    assert (own.parent / "report/figures/differences.pdf").is_file()


def test_the_page_needs_no_network_and_can_be_read_without_seeing(own):
    page = written(own.parent)
    elements = Elements(page)
    assert not re.search(r"https?://|url\(|@import|<link", page)
    assert len(elements.of("img")) == 2
    for image in elements.of("img"):
        assert image["src"].startswith("data:")
        assert image["alt"]
    downloads = [each for each in elements.of("a") if "download" in each]
    assert [each["download"] for each in downloads] == ["differences.pdf", "curves.pdf"]
    ids = {attributes.get("id") for _, attributes in elements.found}
    anchors = [each["href"] for each in elements.of("a") if each["href"].startswith("#")]
    assert {anchor[1:] for anchor in anchors} <= ids
    assert anchors[0] == "#content"  # the first thing that a keyboard reaches
    assert elements.of("html")[0]["lang"] == "en"
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_latex_file_holds_every_table_and_escapes_text(own):
    written(own.parent)
    latex = (own.parent / "report/report.tex").read_text()
    assert r"\section{Own table}" in latex
    assert r"70.00 $\pm$ 1.00" in latex
    assert r"Sharp is better" in latex
    assert "<&>" not in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert "figures/differences" in latex


def test_a_folder_without_results_is_refused_with_a_cure(tmp_path, capsys):
    assert report.main([str(tmp_path)]) == 2
    assert "run a table first" in capsys.readouterr().err
    assert report.main([str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_damaged_section_is_named(own):
    (own / "figures/curves.pdf").unlink()
    with pytest.raises(InputError, match=r"section\.json: is no section.*run its table again"):
        report.gather(own)
    (own / "section.json").write_text("{")
    with pytest.raises(InputError, match=r"section\.json: is no section"):
        report.gather(own)
