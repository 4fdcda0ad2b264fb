import dataclasses
import math

import pytest

from experiments.common.conclusions import (
    Claim,
    Comparison,
    beliefs,
    finding,
    group,
    group_settings,
    merge,
)

CLAIM = Claim("Sharp U-Net segments better than U-Net", "section 3.3.5")


def compared(mean, low, high, verdict, contender="Sharp U-Net", claim=CLAIM, printed=math.nan):
    return Comparison(
        claim=claim,
        dataset="ISBI-2012",
        protocol="thesis",
        setting="96 × 128, random weights, 5 folds × 1",
        contender=contender,
        baseline="U-Net",
        metric="Jaccard",
        difference=mean,
        low=low,
        high=high,
        verdict=verdict,
        p=0.01,
        printed=printed,
    )


@pytest.mark.parametrize(
    ("numbers", "verdict", "printed", "words", "bearing"),
    [
        ((3.2, 1.1, 5.3), "better", 5.87, "is 3.20 points higher than that of U-Net", "supported"),
        ((-3.2, -5.3, -1.1), "worse", 5.87, "is 3.20 points lower than that", "weakened"),
        (
            (0.7, -1, 2),
            "no difference shown",
            5.87,
            "as large as the thesis's is ruled",
            "weakened",
        ),
        ((0.7, -1, 9), "no difference shown", 5.87, "no difference in Jaccard is shown", "left"),
        ((0.7, -1, 2), "no difference shown", math.nan, "no difference in Jaccard", "left open"),
        ((-3, -5, -1), "no difference shown", -0.1, "no difference in Jaccard is shown", "left"),
        ((5.0, 4, 5.5), "one split: no test", 5.87, "no difference in Jaccard is shown", "left"),
    ],
)
def test_the_result_chooses_the_words(numbers, verdict, printed, words, bearing):
    [belief] = beliefs([compared(*numbers, verdict, printed=printed)])
    assert f"U-Net (section 3.3.5): {bearing}" in belief.text
    assert belief.text.startswith("Sharp U-Net segments better")
    [found] = belief.findings
    assert words in found.text
    assert f"{numbers[1]:+.2f} to {numbers[2]:+.2f}" in found.text
    assert ("the thesis prints +5.87" in found.text) == (printed == 5.87)
    ruled_out = bearing == "weakened" and verdict != "worse"
    assert ("ruled out" in found.text) == ruled_out
    assert found.where == "Protocol thesis, 96 × 128, random weights, 5 folds × 1."
    assert f"    - ISBI-2012: {found.text[:20]}" in belief.markdown


def test_a_small_p_that_shows_nothing_is_explained():
    doubtful = dataclasses.replace(
        compared(5.0, 1, 9, "no difference shown"), caution="not every seed has its sign"
    )
    text = finding([doubtful]).text
    assert "p = 0.010 after Holm's correction, but not every seed has its sign)" in text


def test_several_comparisons_of_one_claim_are_one_finding():
    better = compared(3, 1, 5, "better", "Wide Sharp U-Net")
    worse = compared(-2, -3, -1, "worse", "Sharp TernausNet-16")
    none = compared(0, -1, 1, "no difference shown")
    [belief] = beliefs([better, worse, none])
    [found] = belief.findings
    assert "Jaccard in 3 comparisons with U-Net (points, 95% intervals over splits)" in found.text
    assert "higher: Wide Sharp U-Net +3.00 (+1.00 to +5.00)" in found.text
    assert "lower: Sharp TernausNet-16 -2.00" in found.text
    assert belief.text.endswith(": supported by 1, weakened by 1, left open by 1.")
    assert beliefs([better, better])[0].text.endswith(": supported.")
    other = dataclasses.replace(better, baseline="Wide U-Net")
    assert "Wide Sharp U-Net less Wide U-Net +3.00" in finding([none, other]).text


def test_what_the_thesis_does_not_claim_is_answered():
    asked = Claim("this costs nothing", made=False)
    no, yes = compared(-3, -5, -1, "lower", claim=asked), compared(3, 1, 5, "higher", claim=asked)
    assert beliefs([no])[0].text == "This costs nothing? No."
    assert beliefs([yes, no])[0].text == "This costs nothing? Yes by 1, no by 1."
    assert len(group([no, compared(3, 1, 5, "better")])) == 2


def test_a_claim_is_one_belief_with_a_finding_for_every_dataset_and_protocol():
    here = compared(3, 1, 5, "better")
    there = dataclasses.replace(here, dataset="CVC-ClinicDB")
    clean = dataclasses.replace(compared(-3, -5, -1, "worse"), protocol="clean")
    asked = compared(3, 1, 5, "higher", claim=Claim("this costs nothing", made=False))
    first, second = beliefs([here, asked, there, clean])
    assert [found.dataset for found in first.findings] == ["ISBI-2012", "CVC-ClinicDB", "ISBI-2012"]
    assert first.verdict == "supported by 2, weakened by 1"
    assert second.verdict == "yes"
    [merged] = merge([*beliefs([here]), *beliefs([clean])])
    assert merged.answers == {"supports": 1, "weakens": 1}


def test_one_claim_in_several_settings_is_one_finding_that_says_where_they_differ():
    halved = dataclasses.replace(
        compared(0.5, -1, 2, "no difference shown", printed=3.05),
        setting="96 × 128, random weights, bfloat16, 5 folds × 1",
    )
    full = dataclasses.replace(
        compared(3, 1, 5, "better", printed=3.05), setting="96 × 128, random weights, 5 folds × 1"
    )
    [found] = group_settings([halved, full])
    said = finding(found).text
    assert finding(found).where == "Protocol thesis, 96 × 128, random weights, 5 folds × 1."
    assert "Sharp U-Net in bfloat16 +0.50 (-1.00 to +2.00)" in said
    assert "Sharp U-Net +3.00 (+1.00 to +5.00)" in said
    assert "over splits; the thesis prints +3.05)" in said
    elsewhere = dataclasses.replace(full, protocol="clean")
    assert len(group_settings([full, elsewhere])) == 2
