import dataclasses
import math

import pytest

from experiments.common.conclusions import Claim, Comparison, group, group_settings, sentence

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
        ((3.2, 1.1, 5.3), "better", 5.87, "is 3.20 points higher than that of U-Net", "supports"),
        ((-3.2, -5.3, -1.1), "worse", 5.87, "is 3.20 points lower than that", "weakens"),
        ((0.7, -1, 2), "no difference shown", 5.87, "as large as the thesis's is ruled", "weakens"),
        ((0.7, -1, 9), "no difference shown", 5.87, "no difference in Jaccard is shown", "leaves"),
        ((0.7, -1, 2), "no difference shown", math.nan, "leaves open whether Sharp", "leaves"),
        ((-3, -5, -1), "no difference shown", -0.1, "no difference in Jaccard is shown", "leaves"),
        ((5.0, 4, 5.5), "one split: no test", 5.87, "no difference in Jaccard is shown", "leaves"),
    ],
)
def test_the_result_chooses_the_sentence(numbers, verdict, printed, words, bearing):
    each = compared(*numbers, verdict, printed=printed)
    said = sentence([each]).markdown
    assert words in said
    assert each.bearing.startswith(bearing)
    assert f"This {bearing}" in said
    assert f"{numbers[1]:+.2f} to {numbers[2]:+.2f}" in said
    assert ("the thesis prints +5.87" in said) == (printed == 5.87)
    assert said.startswith("**ISBI-2012** (protocol thesis, 96 × 128, random weights, 5 folds × 1)")


def test_a_small_p_that_shows_nothing_is_explained():
    doubtful = dataclasses.replace(
        compared(5.0, 1, 9, "no difference shown"), caution="not every seed has its sign"
    )
    text = sentence([doubtful]).text
    assert "p = 0.010 after Holm's correction, but not every seed has its sign)" in text


def test_several_comparisons_of_one_claim_are_one_sentence():
    better = compared(3, 1, 5, "better", "Wide Sharp U-Net")
    worse = compared(-2, -3, -1, "worse", "Sharp TernausNet-16")
    none = compared(0, -1, 1, "no difference shown")
    [found] = group([better, worse, none])
    said = sentence(found).markdown
    assert "Jaccard in 3 comparisons with U-Net (points, 95% intervals over splits)" in said
    assert "higher: Wide Sharp U-Net +3.00 (+1.00 to +5.00)" in said
    assert "lower: Sharp TernausNet-16 -2.00" in said
    assert "supported by 1, weakened by 1, left open by 1." in said
    assert "This supports the claim" in sentence([better, better]).markdown
    other = dataclasses.replace(better, baseline="Wide U-Net")
    assert "Wide Sharp U-Net less Wide U-Net +3.00" in sentence([none, other]).markdown


def test_what_the_thesis_does_not_claim_is_answered():
    asked = Claim("this costs nothing", made=False)
    no, yes = compared(-3, -5, -1, "lower", claim=asked), compared(3, 1, 5, "higher", claim=asked)
    assert sentence([no]).markdown.endswith("Whether this costs nothing: no.")
    assert sentence([yes, no]).markdown.endswith("Whether this costs nothing: yes by 1, no by 1.")
    assert len(group([no, compared(3, 1, 5, "better")])) == 2


def test_one_claim_in_several_settings_is_one_sentence_that_says_where_they_differ():
    halved = dataclasses.replace(
        compared(0.5, -1, 2, "no difference shown", printed=3.05),
        setting="96 × 128, random weights, bfloat16, 5 folds × 1",
    )
    full = dataclasses.replace(
        compared(3, 1, 5, "better", printed=3.05), setting="96 × 128, random weights, 5 folds × 1"
    )
    [found] = group_settings([halved, full])
    said = sentence(found).markdown
    assert said.startswith("**ISBI-2012** (protocol thesis, 96 × 128, random weights, 5 folds × 1)")
    assert "Sharp U-Net in bfloat16 +0.50 (-1.00 to +2.00)" in said
    assert "Sharp U-Net +3.00 (+1.00 to +5.00)" in said
    assert "over splits; the thesis prints +3.05)" in said
    elsewhere = dataclasses.replace(full, protocol="clean")
    assert len(group_settings([full, elsewhere])) == 2
