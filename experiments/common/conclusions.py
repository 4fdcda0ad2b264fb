"""What a difference says of a claim of the thesis: the result chooses its bearing and sentence."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.common.markup import escape_markdown, markdown_table
from experiments.common.report import Emphasise, markdown_cells

if TYPE_CHECKING:
    import pandas as pd

HIGHER, LOWER, NOT_SHOWN = ("better", "higher"), ("worse", "lower"), "no difference shown"
SUPPORTS, WEAKENS, OPEN = "supports", "weakens", "leaves open"
#: How each bearing answers what the thesis does not claim.
ANSWERS = {SUPPORTS: "yes", WEAKENS: "no", OPEN: "open"}
#: What was done to a claim, or how a question is answered, by `Comparison.answer`.
VERDICTS = {
    SUPPORTS: "supported",
    WEAKENS: "weakened",
    OPEN: "left open",
    **{answer: answer for answer in ANSWERS.values()},
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a difference is evidence for if it is positive.

    Attributes:
        text: A clause, such as `"Sharp U-Net segments better than U-Net"`.
        place: Where the thesis claims or asks it; empty if nowhere.
        made: Whether the thesis claims it.
    """

    text: str
    place: str = ""
    made: bool = True

    def __str__(self) -> str:
        return f"{self.text} ({self.place})" if self.place else self.text

    @property
    def heading(self) -> str:
        """The claim, or what is asked."""
        return f"{self}" if self.made else f"{self}?"


@dataclasses.dataclass(frozen=True)
class Question:
    """A claim with the differences that are evidence for it.

    Attributes:
        claim: The claim.
        metric: Name of what is compared.
        pairs: What is compared, `(baseline, contender)`.
    """

    claim: Claim
    metric: str
    pairs: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A difference of two conditions in percent points, with what it is evidence for.

    Attributes:
        claim: Supported if the difference is positive.
        dataset: Title of the dataset.
        protocol: The protocol, or those that are compared.
        setting: Size, weights, and how many folds or seeds.
        contender, baseline: What is compared, for a reader.
        metric: What is measured, for a reader.
        difference: Mean difference, contender less baseline.
        low, high: Its 95% interval; NaN if there is none.
        verdict: `"better"` or `"higher"`, `"worse"` or `"lower"`, or another text if no difference
            is shown.
        p: P-value after Holm's correction; NaN if there was no test.
        over: What the interval is over.
        printed: The difference that the thesis prints; NaN if it prints none.
        untrained: What did not learn, for a reader: then nothing is shown. Empty if all did.
        caution: Why a small p shows nothing here. Empty if it would.
    """

    claim: Claim
    dataset: str
    protocol: str
    setting: str
    contender: str
    baseline: str
    metric: str
    difference: float
    low: float
    high: float
    verdict: str
    p: float = math.nan
    over: str = "splits"
    printed: float = math.nan
    untrained: str = ""
    caution: str = ""

    @property
    def place(self) -> str:
        """Dataset, protocol and setting."""
        return f"{self.dataset}: protocol {self.protocol}, {self.setting}"

    @property
    def bearing(self) -> str:
        """What it does to the claim.

        A claim is also weakened where no difference is shown, but one as large as the thesis's is
        ruled out. What did not learn, and what was not tested, is evidence for nothing.
        """
        if self.untrained:
            return OPEN
        if self.verdict in HIGHER:
            return SUPPORTS
        tested = self.claim.made and self.verdict == NOT_SHOWN
        ruled_out = tested and self.printed > max(self.high, 0)
        return WEAKENS if self.verdict in LOWER or ruled_out else OPEN

    @property
    def answer(self) -> str:
        """What it does to a claim of the thesis, or whether what is asked is so."""
        return self.bearing if self.claim.made else ANSWERS[self.bearing]

    @property
    def amount(self) -> str:
        """The difference with its interval, such as `+3.20 (+1.10 to +5.30)`."""
        return f"{self.difference:+.2f} ({self.low:+.2f} to {self.high:+.2f})"

    @property
    def printed_amount(self) -> str:
        """What the thesis prints, or a dash."""
        return "–" if math.isnan(self.printed) else f"{self.printed:+.2f}"


@dataclasses.dataclass(frozen=True)
class Conclusions:
    """What the records of one command show.

    Attributes:
        cells: The table beside the thesis's numbers, as text.
        emphasise: Marks the best of the cells.
        scores: The main score of every model or condition by what it is of, to stand beside those
            of other protocols; plain text.
        caption: What a reader must know of it; plain text.
        settings: How the records were made, by name; plain text.
        comparisons: What is compared.
        note: How that was tested; plain text.
    """

    cells: pd.DataFrame
    emphasise: Emphasise
    scores: dict[str, str]
    caption: str
    settings: dict[str, str]
    comparisons: Sequence[Comparison]
    note: str

    @property
    def table(self) -> str:
        """The table in Markdown."""
        cells = markdown_cells(self.cells, self.emphasise)
        return markdown_table(list(cells), cells.to_numpy().tolist())


def describe_place(dataset: str, size: Sequence[int]) -> str:
    """What scores of several protocols have in common.

    Example:
        >>> from experiments.common.conclusions import describe_place
        >>> describe_place("ISBI-2012", (256, 256))
        'ISBI-2012, 256 × 256'
    """
    return f"{dataset}, {size[0]} × {size[1]}"


def describe_setting(record: dict[str, Any], weights: str, trainings: str) -> str:
    """The setting of a comparison of which `record` is one of the records.

    Example:
        >>> from experiments.common.conclusions import describe_setting
        >>> record = {"image_size": (96, 128), "precision": "mixed_bfloat16"}
        >>> describe_setting(record, "random weights", "5 folds × 1")
        '96 × 128, random weights, bfloat16, 5 folds × 1'
    """
    precision = record["precision"].removeprefix("mixed_")
    size = " × ".join(map(str, record["image_size"]))
    return f"{size}, {weights}, {precision}, {trainings}"


def describe_weights(name: str | None) -> str:
    """Initial weights, as a record names them, for a reader."""
    if name is None:
        return "random weights"
    return "ImageNet weights" if name == "imagenet" else f"weights {name}"


def alike(records: Sequence[dict[str, Any]], *fields: str) -> list[list[dict[str, Any]]]:
    """Groups of records of one dataset and size, alike in weights, loss, precision and `fields`."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for record in records:
        dataset, size = record["dataset"], record["image_size"]
        values = [record[field] for field in ("weights", "loss", "precision", *fields)]
        key = (dataset["name"], dataset["metadata_sha256"], *size, *values)
        groups.setdefault(key, []).append(record)
    return list(groups.values())


def direction(low: float, high: float) -> str:
    """The verdict of an interval alone."""
    if low > 0:
        return "higher"
    return "lower" if high < 0 else NOT_SHOWN


def group(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """The comparisons of each claim in each setting of each dataset, in order."""
    groups: dict[tuple, list[Comparison]] = {}
    for each in comparisons:
        groups.setdefault((each.claim, each.place), []).append(each)
    return list(groups.values())


def group_settings(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """The comparisons of each claim on each dataset by each protocol, whatever the setting."""
    groups: dict[tuple, list[Comparison]] = {}
    for each in comparisons:
        groups.setdefault((each.claim, each.dataset, each.protocol), []).append(each)
    return list(groups.values())


def by_verdict(comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """The comparisons by what they show, if any show it: higher, lower, or no difference."""
    kinds: dict[str, list[Comparison]] = {"higher": [], "lower": [], NOT_SHOWN: []}
    for each in comparisons:
        kind = (
            "higher" if each.verdict in HIGHER else "lower" if each.verdict in LOWER else NOT_SHOWN
        )
        kinds[kind].append(each)
    return {kind: found for kind, found in kinds.items() if found}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the comparisons of one claim show on one dataset by one protocol, as plain text.

    Attributes:
        dataset: On what.
        where: Protocol and setting.
        text: A sentence with the differences and their intervals.
        answers: How often each answer was found.
    """

    dataset: str
    where: str
    text: str
    answers: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Belief:
    """What a reader should believe of a claim.

    Attributes:
        claim: The claim.
        findings: What it rests on.
    """

    claim: Claim
    findings: Sequence[Finding]

    @property
    def answers(self) -> Counter[str]:
        """How often each answer was found."""
        return sum((Counter(each.answers) for each in self.findings), Counter())

    @property
    def verdict(self) -> str:
        """What the findings do to the claim, or how they answer it: `"open"`, or counted."""
        counts = self.answers
        if len(counts) == 1:
            return VERDICTS[next(iter(counts))]
        return ", ".join(f"{VERDICTS[name]} by {counts[name]}" for name in VERDICTS if counts[name])

    @property
    def subject(self) -> str:
        """The claim or question, as plain text."""
        return f"{self.claim.heading[0].upper()}{self.claim.heading[1:]}"

    @property
    def text(self) -> str:
        """The claim or question with its verdict, as plain text."""
        if self.claim.made:
            return f"{self.subject}: {self.verdict}."
        return f"{self.subject} {self.verdict.capitalize()}."

    @property
    def markdown(self) -> str:
        """The verdict with what it rests on, as the text of a numbered item."""
        lines = [f"**{escape_markdown(self.text)}**"]
        for each in self.findings:
            dataset, where, text = map(escape_markdown, (each.dataset, each.where, each.text))
            lines.append(f"    - {dataset}: {text} *{where}*")
        return "\n".join(lines)


def beliefs(comparisons: Sequence[Comparison]) -> list[Belief]:
    """What a reader should believe of each claim, in order."""
    found = group_settings(comparisons)
    return merge([Belief(each[0].claim, [finding(each)]) for each in found])


def merge(found: Sequence[Belief]) -> list[Belief]:
    """One belief per claim, with all findings."""
    findings: dict[Claim, list[Finding]] = {}
    for each in found:
        findings.setdefault(each.claim, []).extend(each.findings)
    return [Belief(claim, together) for claim, together in findings.items()]


def finding(comparisons: Sequence[Comparison]) -> Finding:
    """What comparisons of one claim on one dataset by one protocol show."""
    first = comparisons[0]
    common = ", ".join(part for part in _parts(first) if part in _common_parts(comparisons))
    return Finding(
        dataset=first.dataset,
        where=f"Protocol {first.protocol}, {common}.",
        text=_one(first) if len(comparisons) == 1 else _several(comparisons),
        answers=dict(Counter(each.answer for each in comparisons)),
    )


def _one(each: Comparison) -> str:
    details = [f"95% interval over {each.over} {each.low:+.2f} to {each.high:+.2f}"]
    if each.untrained:
        details.append(each.untrained)
    if not math.isnan(each.p):
        caution = f", but {each.caution}" if each.caution else ""
        details.append(f"p = {each.p:.3f} after Holm's correction{caution}")
    if not math.isnan(each.printed):
        details.append(f"the thesis prints {each.printed:+.2f}")
    if each.verdict in (*HIGHER, *LOWER):
        direction = "higher" if each.verdict in HIGHER else "lower"
        return (
            f"the {each.metric} of {each.contender} is {abs(each.difference):.2f} points "
            f"{direction} than that of {each.baseline} ({'; '.join(details)})."
        )
    return (
        f"no difference in {each.metric} is shown between {each.contender} and {each.baseline}: "
        f"{each.difference:+.2f} points ({'; '.join(details)}){_ruled_out([each])}."
    )


def _several(comparisons: Sequence[Comparison]) -> str:
    """Like comparisons, sorted by verdict; what all have in common is said once."""
    metric, over = comparisons[0].metric, comparisons[0].over
    several_baselines = len({each.baseline for each in comparisons}) > 1
    compared = "" if several_baselines else f" with {comparisons[0].baseline}"
    common = _common_parts(comparisons)
    printed = {each.printed_amount for each in comparisons}
    thesis = f"; the thesis prints {printed.pop()}" if len(printed) == 1 else ""
    thesis = "" if math.isnan(comparisons[0].printed) else thesis

    def name(each: Comparison) -> str:
        title = f"{each.contender} less {each.baseline}" if several_baselines else each.contender
        own = [part for part in _parts(each) if part not in common]
        return f"{title} in {', '.join(own)}" if own else title

    parts = [
        f"{kind}: " + ", ".join(f"{name(each)} {each.amount}{_caveat(each)}" for each in found)
        for kind, found in by_verdict(comparisons).items()
    ]
    return (
        f"{metric} in {len(comparisons)} comparisons{compared} (points, 95% intervals over "
        f"{over}{thesis}) – {'; '.join(parts)}{_ruled_out(comparisons)}."
    )


def _parts(each: Comparison) -> list[str]:
    return each.setting.split(", ")


def _common_parts(comparisons: Sequence[Comparison]) -> set[str]:
    """The parts of the setting that all have."""
    return set.intersection(*(set(_parts(each)) for each in comparisons))


def _caveat(each: Comparison) -> str:
    return " (did not learn)" if each.untrained else ""


def _ruled_out(comparisons: Sequence[Comparison]) -> str:
    """Why comparisons without a difference weaken a claim, if all do."""
    weakened = all(each.bearing == WEAKENS and each.verdict not in LOWER for each in comparisons)
    return "; a gain as large as the thesis's is ruled out" if weakened else ""
