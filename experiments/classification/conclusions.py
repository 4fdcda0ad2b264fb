"""What records of chapter 2 say of the thesis's claims."""

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.classification import report
from experiments.classification.page_settings import describe_settings
from experiments.classification.seeds import METRICS, NOTE, SeedDifference, compare_seeds
from experiments.common.conclusions import (
    Claim,
    Comparison,
    Conclusions,
    alike,
    describe_place,
    describe_setting,
    describe_weights,
)
from experiments.common.published import CLASSIFIER_TITLES
from experiments.common.report import unmarked
from experiments.common.significance import holm

if TYPE_CHECKING:
    from experiments.classification.table import ClassificationTable

Records = Sequence[dict[str, Any]]
PROTOCOL_CLAIMS = {
    ("thesis", "released"): Claim("choosing weights on the test images flatters", made=False),
    ("clean", "thesis"): Claim("the thesis's protocol scores higher", made=False),
}


def conclude(
    table: "ClassificationTable", records: Records, options: argparse.Namespace
) -> Conclusions:
    """The table of records and the answers to its questions."""
    results = report.Results(table, (), (), records, Path())
    runs = table.scoring.runs(records)
    summary = report.summarise(runs, list(table.metrics))
    of_thesis = records[0]["dataset"]["name"] == table.datasets[0]
    return Conclusions(
        cells=report.add_published_rows(table, summary, of_thesis=of_thesis),
        emphasise=unmarked,
        scores={
            _name_score(table, records, row): report.cell(row, table.scoring.main_metric)
            for row in summary.itertuples()
        },
        caption=table.scoring.caption(results, runs),
        settings=describe_settings(results),
        comparisons=_answer(table, records, options),
        note=NOTE,
    )


def _name_score(table: "ClassificationTable", records: Records, row: Any) -> str:
    first = records[0]
    place = describe_place(first["dataset"]["title"], first["image_size"])
    return (
        f"{place}: {table.scoring.main_title} of {_title(table, records, row.model, row.condition)}"
    )


def _answer(
    table: "ClassificationTable", records: Records, options: argparse.Namespace
) -> list[Comparison]:
    """Differences of all questions, models and pairs of conditions; p is corrected for all."""
    found: list[tuple[Comparison, SeedDifference]] = []
    for question in table.questions:
        for model in dict.fromkeys(record["model"] for record in records):
            for baseline, contender in question.pairs:
                pairs = _pairs(*(_by_seed(records, model, name) for name in (baseline, contender)))
                if not pairs:
                    continue
                difference = compare_seeds(pairs, question.metric)
                comparison = _comparison(
                    question.claim,
                    pairs,
                    question.metric,
                    difference,
                    contender=_title(table, records, model, contender),
                    baseline=table.titles[baseline],
                    trainings=_count(len(pairs), options.repeats),
                    printed=_printed(table, records, model, contender, question.metric)
                    - _printed(table, records, model, baseline, question.metric),
                )
                found.append((comparison, difference))
    return _corrected(found)


def compare_protocols(table: "ClassificationTable", records: Records) -> list[Comparison]:
    """How much the AUC of each model and condition differs between protocols on the same images."""
    found = []
    for of_one in alike(records, "model", "condition"):
        protocols = {record["protocol"] for record in of_one}
        by_seed = {
            name: {r["seed"]: r for r in of_one if r["protocol"] == name} for name in protocols
        }
        for names, claim in PROTOCOL_CLAIMS.items():
            if not set(names) <= protocols or not (pairs := _pairs(*(by_seed[n] for n in names))):
                continue
            baseline, contender = names
            title = _title(table, records, of_one[0]["model"], of_one[0]["condition"])
            metric = table.scoring.main_metric
            difference = compare_seeds(pairs, metric)
            comparison = _comparison(
                claim,
                pairs,
                metric,
                difference,
                contender=f"{title} under {contender}",
                baseline=f"{title} under {baseline}",
                trainings=_count(len(pairs), len(pairs)),
                protocol=f"{contender} and {baseline}",
            )
            found.append((comparison, difference))
    return _corrected(found)


def _comparison(
    claim: Claim,
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]],
    metric: str,
    difference: SeedDifference,
    *,
    contender: str,
    baseline: str,
    trainings: str,
    protocol: str = "",
    printed: float = math.nan,
) -> Comparison:
    first = pairs[0][0]
    weights = describe_weights(first["weights"])
    return Comparison(
        claim=claim,
        dataset=first["dataset"]["title"],
        protocol=protocol or first["protocol"],
        setting=describe_setting(first, weights, trainings),
        contender=contender,
        baseline=baseline,
        metric=METRICS[metric].title,
        difference=difference.mean,
        low=difference.low,
        high=difference.high,
        verdict="",
        over="test patients",
        printed=printed,
    )


def _corrected(found: Sequence[tuple[Comparison, SeedDifference]]) -> list[Comparison]:
    """The comparisons with the verdicts of corrected p-values."""
    p_values = holm([difference.p for _, difference in found])
    return [
        dataclasses.replace(
            comparison, p=float(p), verdict=difference.verdict(p), caution=difference.caution(p)
        )
        for (comparison, difference), p in zip(found, p_values, strict=True)
    ]


def _by_seed(records: Records, model: str, condition: str) -> dict[int, dict[str, Any]]:
    return {
        record["seed"]: record
        for record in records
        if (record["model"], record["condition"]) == (model, condition)
    }


def _pairs(
    baseline: dict[int, dict[str, Any]], contender: dict[int, dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (baseline[seed], contender[seed]) for seed in sorted(baseline.keys() & contender.keys())
    ]


def _title(table: "ClassificationTable", records: Records, model: str, condition: str) -> str:
    """A condition's title, after the model's where there are several."""
    title = table.titles[condition]
    if len({record["model"] for record in records}) == 1:
        return title
    return f"{CLASSIFIER_TITLES.get(model, model)}, {title}"


def _printed(
    table: "ClassificationTable", records: Records, model: str, condition: str, metric: str
) -> float:
    """What the thesis prints; NaN if nothing."""
    if records[0]["dataset"]["name"] != table.datasets[0]:
        return math.nan
    cells = table.published_cells(model, condition) or {}
    cell = cells.get(table.metrics.get(metric, ""))
    return float(cell.split()[0]) if cell else math.nan


def _count(seeds: int, planned: int) -> str:
    text = f"{planned} seed{'s' if planned > 1 else ''}"
    return text if seeds == planned else f"{text}, {seeds} so far"
