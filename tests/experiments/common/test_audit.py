import ast
import doctest
import importlib
import itertools
import json
import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import audit
from experiments.common.audit import finding, page, parameters
from experiments.common.audit.coverage import ENTRIES, EXPERIMENTS, Entry, exists
from experiments.common.audit.differences import MELANET, NOT_WORTH_HAVING, PENDING, SHARP_UNET
from experiments.common.audit.finding import Verdict

ROOT = Path(__file__).parents[3]
FINDINGS = audit.findings()
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def calculate(text):
    """The value of plain arithmetic, None for anything else."""

    def value(node):
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp):
            sign = -1 if isinstance(node.op, ast.USub) else 1
            return sign * value(node.operand)
        if isinstance(node, ast.Constant):
            return node.value
        raise ValueError(node)

    try:
        return value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError):
        return None


def equations(text):
    """Pairs of what is calculated and what is written behind the equals sign."""
    parts = re.sub(r"(?<=\d),(?=\d{3})", "", text).split(" = ")
    for left, right in itertools.pairwise(parts):
        starts = [m.start() for m in re.finditer(r"(?<![\d.\w-])[\d(]", left)]
        before = next((v for s in starts if (v := calculate(left[s:])) is not None), None)
        match = re.match(r"[+-]?[\d(][\d.()+*/ -]*", right)
        if before is None or match is None:
            continue
        for end in range(match.end(), 0, -1):
            after = calculate(right[:end])
            if after is not None:
                percent = right[end:].startswith("%")
                yield left, before, right[:end].strip(), after, percent
                break


def test_the_arithmetic_of_every_finding_is_right():
    checked = 0
    for each in FINDINGS:
        for left, before, written, after, percent in equations(each.follows):
            digits = len(written.partition(".")[2]) if re.fullmatch(r"[+-]?[\d.]+", written) else 9
            error = abs(before * (100 if percent else 1) - after)
            assert error <= 0.5001 * 10**-digits, f"{each.place}: {left} = {written}"
            checked += 1
    assert checked > 90


def test_there_are_enough_findings_and_each_is_whole():
    assert len(FINDINGS) >= 45
    assert len({(each.place, each.printed) for each in FINDINGS}) == len(FINDINGS)
    for each in FINDINGS:
        assert each.place
        assert each.printed
        assert each.follows
        assert "\n" not in each.follows


@pytest.mark.parametrize(
    ("place", "printed", "follows", "verdict"),
    [
        # Table 2.1
        ("table 2.1, VGG-GAP", "84.46", "(75 - 55) / 75 = 26.67%", "does not hold"),
        ("table 2.1, VGG-GAP + Augment-5x", "85.34", "(75 - 51) / 75 = 32.00%", "does not hold"),
        ("table 2.1, VGG-GAP + Augment-10x", "86.09", "(75 - 47) / 75 = 37.33%", "does not hold"),
        ("table 2.1, MelaNet", "91.76", "(75 - 22) / 75 = 70.67%", "does not hold"),
        ("table 2.1, MelaNet", "91.76", "245 / 304 = 80.59%", "does not hold"),
        ("table 2.1, MelaNet", "91.76", "exact 95% interval 59.0 to 80.6", "does not hold"),
        ("gain in sensitivity over", "7.3", "(55 - 22) / 75 = 44.00%", "does not hold"),
        ("fewer false negatives than", "50%", "= 60.00%; (51 - 22) / 51 = 56.86%", "holds"),
        ("fewer false negatives than", "50%", "= 53.19%", "holds"),
        ("Gutman et al.", "50.70", "38 / 75 = 50.67%", "does not hold"),
        ("Yu et al. (without segmentation)", "42.70", "32 / 75", "does not hold"),
        ("Yu et al. (with segmentation)", "54.70", "41 / 75", "does not hold"),
        ("section 4.1.1", "13.10%", "91.76 - 84.46 = 7.30", "does not hold"),
        ("section 4.1.1", "0.78%", "81.18 - 80.40 = 0.78", "holds"),
        ("AUC against the state of the art", "significantly", "75.0 to 87.4", "not shown"),
        # Counts
        ("training samples of MelaNet", "1,627", "900 + 727 = 1,627", "holds"),
        ("Augment-10x", "99,000", "10 * 900 + 900 = 9,900", "does not hold"),
        ("section 2.3.2, Augment-5x", "5,400", "5 * 900 + 900 = 5,400", "holds"),
        ("synthetic X-rays", "21,295", "16,537 + 4,758 = 21,295", "holds"),
        ("pneumonia images translated", "4,758", "= 38,012", "holds"),
        ("section 2.3.2 and tables", "DenseNet-102", "3 + 1 = 121", "does not hold"),
        # Tables 2.2 and 2.3
        ("the number of pneumonia images", "4,758", "most likely swapped", "does not hold"),
        ("table 2.3, skew of real", "22.9", "4,135 / 180 = 22.972", "does not hold"),
        ("table 2.2, skew of real", "91.87", "16,537 / 180 = 91.872", "holds"),
        ("table 2.3, VGG-16, own", "29.50", "(46 - 24) / 46 = 47.83%", "does not hold"),
        ("table 2.3, DenseNet", "32.43", "(46 - 32) / 46 = 30.43%", "does not hold"),
        ("table 2.2, DenseNet", "34.73", "(46 - 30) / 46 = 34.78%", "does not hold"),
        ("between the models", "statistical chance", "p from 0.07 to 0.53", "does not hold"),
        ("only synthetic", "below", "6.52 > 4.34", "does not hold"),
        ("a saved run", "63.04", "(46 - 20) / 46 = 56.52%; specificity 4,055", "holds in part"),
        # Discussion
        ("benign images, sensitivity", "89%", "650 / 727 = 89.4%", "holds"),
        ("benign images, F-score", "94%", "= 94.4%", "holds"),
        ("synthesised malignant images, F-score", "21%", "= 20.6%", "holds"),
        ("what that F-score says", "21%", "prevalence", "not shown"),
        # Chapter 3
        ("gain on CVC-ClinicDB", "12.6%", "(75.89 - 70.02) / 70.02 = 8.38%", "does not hold"),
        ("gain on Data Science Bowl", "0.63%", "= 0.36%", "does not hold"),
        ("gain on ISBI-2012", "3.63%", "= 3.63%", "holds"),
        ("gain on ISIC-2018", "1.79%", "= 1.78%", "holds"),
        ("gain on COVID-19 CT", "2.52%", "= 2.52%", "holds"),
        ("gain of Wide Sharp U-Net", "2.63%", "= 2.637%", "holds"),
        ("scaling Sharp U-Net", "Wide", "75.9263 - 75.8923 = +0.03", "not shown"),
        ("section 3.3.5 and table 3.1", "", "p from 0.10 to 0.55", "holds in part"),
        ("section 3.3.5, standard deviation", "", "4 of 6", "does not hold"),
        ("table 3.1, COVID-19 CT, U-Net", "85.24", "= 0.852", "does not hold"),
        ("mean IoU of COVID-19 CT", "", "= 0.48", "does not hold"),
        ("table 3.2, TernausNet-16", "", "83.84 - 83.95 = -0.11", "does not hold"),
        ("table 3.2, Sharp U-Net + ResNet-50", "83.98", "83.7544, below", "does not hold"),
        ("sections 1.5, 3.1", "three times", "below all of them", "does not hold"),
        ("section 3.3.2, U-Net", "7.8", "7,760,097; 7,759,521 for one channel", "holds"),
        ("section 3.3.2, Wide U-Net", "9.1 million", "9,131,106", "holds"),
        ("section 3.3.2, Wide U-Net, expanding", "", "9,282,876", "does not hold"),
        ("section 3.3.2, TernausNet-16", "23.7", "23,752,273", "holds"),
        ("section 3.3.2, U-Net + ResNet-50", "32.5", "32,547,665 trainable of 32,602,769", "holds"),
        ("parameters of the sharp blocks", "", "= 4,320; TernausNet-16 12,672", "holds"),
        ("computational cost", "", "26.5 M multiply-adds", "does not hold"),
        ("eq. 3.2", "", "8 + 1 = 9", "does not hold"),
        ("section 3.2.2, Gaussian", "", "", "does not hold"),
        ("sections 3.2.1 and 3.2.2", "", "contradict", "does not hold"),
        ("section 3.3.1", "four datasets", "6 are listed", "does not hold"),
    ],
)
def test_the_facts(place, printed, follows, verdict):
    matching = [e for e in FINDINGS if place in e.place and printed in e.printed]
    exact = [e for e in matching if e.place == place] or matching
    assert any(follows in e.follows and e.verdict == verdict for e in exact), exact


def test_exact_tests_and_intervals():
    assert finding.fisher(46 - 37, 46 - 17, 46) < 1e-4
    low, high = finding.exact_interval(0, 10)
    assert low == 0
    assert high == pytest.approx(30.85, abs=0.01)  # 1 - 0.025 ** (1 / 10)


def test_parameter_counts_by_formula():
    wide = parameters.unet_parameters(3, (35, 70, 140, 280, 560), (256, 128, 64, 32))
    assert wide == 9_131_106
    assert parameters.unet_parameters(3) == 7_760_097
    assert parameters.unet_parameters(1) == 7_759_521
    assert parameters.ternausnet16_parameters() == 23_752_273
    assert parameters.sharp_weights(parameters.TERNAUSNET16_SKIPS) == 12_672
    assert parameters.unet_resnet50_parameters() == (32_602_769, 32_547_665)
    assert parameters.vgg_gap_parameters() == 14_715_714


def test_the_page_is_that_of_the_code():
    text = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
    assert text == page.fidelity_page(FINDINGS) + "\n", (
        "run: python -m experiments.audit --page docs/fidelity.md"
    )


def test_the_page_has_every_table_figure_and_equation_of_the_thesis():
    wanted = [
        *(f"Table {name}" for name in ("2.1", "2.2", "2.3", "3.1", "3.2")),
        *(f"Figure 2.{number}" for number in range(1, 17)),
        *(f"Figure 3.{number}" for number in range(1, 10)),
        *(f"Equation 2.{number}" for number in range(1, 11)),
        *(f"Equation 3.{number}" for number in range(1, 6)),
        "Algorithm 1",
    ]
    assert {entry.name for entry in ENTRIES} >= set(wanted)
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


def test_what_is_not_done_is_said_and_goes_by_the_files():
    assert Entry("Figure 9.9", "nothing", ("experiments.figure_9_9",)).where == "not done"
    assert exists("experiments.audit")
    assert not exists("experiments.figure_9_9")
    assert EXPERIMENTS == ROOT / "experiments"
    future = {entry.name for entry in ENTRIES if not entry.modules and not entry.names}
    assert not future


@pytest.mark.parametrize("name", sorted({name for entry in ENTRIES for name in entry.names}))
def test_named_functions_exist(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_differences_are_named_once_and_pending_ones_exist():
    points = [each.point for each in (*MELANET, *SHARP_UNET)]
    assert len(set(points)) == len(points)
    assert set(points) >= PENDING
    assert all(NOT_WORTH_HAVING.values())


def test_the_audit_starts_without_tensorflow():
    code = "import sys, experiments.audit as a; a.findings(); print('tensorflow' in sys.modules)"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_command_prints_text_markdown_and_json(capsys, tmp_path):
    assert audit.main([]) == 0
    text = capsys.readouterr().out
    assert "follows: (75.89 - 70.02) / 70.02 = 8.38%" in text
    assert text.splitlines()[-1].startswith(f"{len(FINDINGS)} findings (holds")

    assert audit.main(["--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FINDINGS) + 2

    assert audit.main(["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0].keys() == {"place", "printed", "follows", "verdict"}
    assert {row["verdict"] for row in rows} <= set(Verdict)

    assert audit.main(["--page", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8").startswith("# How faithful it is")
    assert audit.main(["--page", str(tmp_path / "missing" / "page.md")]) == 2
    assert capsys.readouterr().err.startswith("error: --page: ")


def test_a_table_cell_cannot_break_its_row():
    table = page.findings_table([finding.Finding("a|b", "2 * 3", "x", Verdict.HOLDS)])
    assert table.splitlines()[-1] == "| 1 | a\\|b | 2 \\* 3 | x | holds |"


@pytest.mark.parametrize(
    "name",
    [
        "experiments.audit",
        "experiments.common.conclusions",
        "experiments.common.markup",
        "experiments.common.published",
        *(f"experiments.common.audit.{n}" for n in ("coverage", "finding", "parameters")),
    ],
)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
