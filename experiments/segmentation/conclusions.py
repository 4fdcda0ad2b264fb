"""What records of chapter 3 say of the thesis's claims."""

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.common.conclusions import (
    Claim,
    Comparison,
    Conclusions,
    alike,
    describe_place,
    describe_setting,
    describe_weights,
    direction,
)
from experiments.common.published import MODEL_TITLES
from experiments.common.significance import bootstrap, comparisons
from experiments.segmentation import report
from experiments.segmentation.protocols import SEGMENTATION_PROTOCOLS

if TYPE_CHECKING:
    from experiments.segmentation.table import SegmentationTable

METRIC = "jaccard"
PROTOCOL_CLAIMS = {
    ("thesis", "released"): Claim("choosing weights on the test images flatters", made=False),
    ("clean", "thesis"): Claim("splitting the images of a group flatters", made=False),
}


def conclude(
    table: "SegmentationTable", records: Sequence[dict[str, Any]], options: argparse.Namespace
) -> Conclusions:
    """The table of records and what its pairs of models say."""
    runs = report.runs_frame(records)
    summary = report.summarise(runs, SEGMENTATION_PROTOCOLS[options.protocol].ddof)
    titles = _titles(records)
    published = {key: scores for key, scores in table.published.items() if key[0] in titles}
    cells, emphasise = report.make_cells(summary, published, titles)
    return Conclusions(
        cells=cells,
        emphasise=emphasise,
        scores={
            _name_score(row, titles, records): report.format_score(
                getattr(row, f"{METRIC}_mean"), getattr(row, f"{METRIC}_sd")
            )
            for row in summary.itertuples()
        },
        caption=report.make_caption(records, runs),
        settings=report.describe_settings(records),
        comparisons=_compare_models(table, records, options),
        note=f"Chapter 3. {report.COMPARISON_NOTE}",
    )


def _name_score(row: Any, titles: dict[str, str], records: Sequence[dict[str, Any]]) -> str:
    place = describe_place(titles[row.dataset], records[0]["image_size"])
    return f"{place}: Jaccard of {_model_title(row.model)}"


def _compare_models(
    table: "SegmentationTable", records: Sequence[dict[str, Any]], options: argparse.Namespace
) -> list[Comparison]:
    from experiments.segmentation.table import SHARP_CLAIM

    titles = _titles(records)
    runs = len(SEGMENTATION_PROTOCOLS[options.protocol].runs(options.folds, options.repeats))
    found = []
    for row in comparisons(records, table.pairs, METRIC).itertuples():
        pair = (row.baseline, row.contender)
        of_pair = [r for r in records if r["model"] in pair and r["dataset"]["name"] == row.dataset]
        tested = not math.isnan(row.p)
        gains = [table.published.get((row.dataset, model)) for model in pair]
        printed = math.nan
        if gains[0] and gains[1]:
            printed = gains[1].jaccard.mean - gains[0].jaccard.mean
        found.append(
            Comparison(
                claim=table.claims.get(row.baseline, SHARP_CLAIM),
                dataset=titles[row.dataset],
                protocol=options.protocol,
                setting=_setting(of_pair, _count(options, row.runs, runs)),
                contender=_model_title(row.contender),
                baseline=_model_title(row.baseline),
                metric="Jaccard",
                difference=row.difference,
                low=row.low if tested else row.images_low,
                high=row.high if tested else row.images_high,
                verdict=row.verdict,
                p=row.p_holm,
                over="splits" if tested else "images",
                printed=printed,
                untrained=_describe_untrained(of_pair),
            )
        )
    return found


def compare_protocols(records: Sequence[dict[str, Any]]) -> list[Comparison]:
    """How much the Jaccard of each model differs between protocols on the same images."""
    found = []
    for of_model in alike(records, "model"):
        by_protocol = {
            protocol: [r for r in of_model if r["protocol"] == protocol]
            for protocol in {r["protocol"] for r in of_model}
        }
        for pair, claim in PROTOCOL_CLAIMS.items():
            if set(pair) <= set(by_protocol):
                found.append(_compare_protocols(claim, *(by_protocol[name] for name in pair)))
    return found


def _compare_protocols(
    claim: Claim, baseline: Sequence[dict[str, Any]], contender: Sequence[dict[str, Any]]
) -> Comparison:
    first, second = (_by_image(records) for records in (baseline, contender))
    common = first.merge(second, on="id", suffixes=("_first", ""))
    change = 100 * (common[METRIC] - common[f"{METRIC}_first"])
    images = bootstrap(change.to_numpy(), common["group"].to_list())
    names = [records[0]["protocol"] for records in (contender, baseline)]
    runs = " and ".join(f"{len(records)}" for records in (contender, baseline))
    model = _model_title(contender[0]["model"])
    return Comparison(
        claim=claim,
        dataset=contender[0]["dataset"]["title"],
        protocol=f"{names[0]} and {names[1]}",
        setting=_setting(baseline, f"{runs} trainings"),
        contender=f"{model} under {names[0]}",
        baseline=f"{model} under {names[1]}",
        metric="Jaccard",
        difference=images.mean,
        low=images.low,
        high=images.high,
        verdict=direction(images.low, images.high),
        over=f"{len(common)} images",
        untrained=_describe_untrained([*baseline, *contender]),
    )


def _by_image(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Mean Jaccard over trainings and the group of each test image, by its id."""
    scores = pd.DataFrame([score for record in records for score in record["scores"]])
    return scores.groupby("id").agg({METRIC: "mean", "group": "first"})


def _setting(records: Sequence[dict[str, Any]], trainings: str) -> str:
    used = dict.fromkeys(record["weights"] for record in records)
    weights = " and ".join(describe_weights(name) for name in used)
    return describe_setting(records[0], weights, trainings)


def _count(options: argparse.Namespace, runs: int, planned: int) -> str:
    """How many trainings of each model are compared."""
    if SEGMENTATION_PROTOCOLS[options.protocol].one_split:
        text = f"one split × {options.repeats}"
    else:
        text = f"{options.folds} folds × {options.repeats}"
    return text if runs == planned else f"{text}, {runs} of {planned} so far"


def _describe_untrained(records: Sequence[dict[str, Any]]) -> str:
    """The models of which half of the trainings or more never left a constant prediction."""
    runs = report.runs_frame(records)
    counts = (~runs["learned"]).groupby(runs["model"], sort=False).agg(["sum", "size"])
    named = [
        f"{row.never} of {row.all} trainings of {_model_title(row.Index)}"
        for row in counts.rename(columns={"sum": "never", "size": "all"}).itertuples()
        if 2 * row.never >= row.all
    ]
    return f"{' and '.join(named)} never left a constant prediction" if named else ""


def _model_title(model: str) -> str:
    return MODEL_TITLES.get(model, model)


def _titles(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {record["dataset"]["name"]: record["dataset"]["title"] for record in records}
