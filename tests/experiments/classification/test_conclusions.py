"""What records of chapter 2 answer to the questions of their table."""

import math

import pytest

from experiments.classification.conclusions import compare_protocols
from experiments.common.conclusions import beliefs, group
from experiments.common.table import parse
from experiments.table_2_1 import TABLE as MELANOMA
from experiments.table_2_2 import TABLE as COVID
from experiments.table_oversampling import TABLE as OVERSAMPLING
from tests.experiments.example_records import classification_record

LOW, HIGH = [0.4] * 10 + [0.1] * 10, [0.9] * 10 + [0.1] * 10


def covid_record(model, condition, scores):
    record = classification_record(condition, 0, scores)
    labels = {"name": "normal_covid19", "title": "Normal vs. COVID-19"}
    labels["labels"] = ["normal", "covid19"]
    counts = {"normal": 6, "covid19": 2}
    dataset = {**record["dataset"], **labels}
    return {**record, "dataset": dataset, "model": model, "training_images": counts}


def test_classifiers_and_conditions_are_one_answer():
    records = [
        covid_record(model, condition, scores)
        for model, both in (("vgg_gap", HIGH), ("resnet50_gap", LOW))
        for condition, scores in (("real", LOW), ("own", LOW), ("both", both))
    ]
    options = parse(COVID, ["--data", "DIR", "--models", "vgg_gap", "resnet50_gap"])
    found = COVID.conclude(records, options)
    raised, cost, ranking = group(found.comparisons)  # "only synthetic" was not run
    assert [each.difference for each in raised] == [0, 100, 0, 0]
    assert [each.printed for each in raised] == pytest.approx([34.78, 43.48, 8.69, 10.86], abs=0.01)
    assert [each.bearing for each in raised] == ["weakens", "supports", "weakens", "weakens"]
    [belief] = beliefs(raised)
    [found_on_it] = belief.findings
    assert "higher: VGG-16, Real + both synthetic +100.00" in found_on_it.text
    assert belief.verdict == "supported by 1, weakened by 3"
    assert {each.answer for each in cost} == {"open"}
    assert {each.metric for each in ranking} == {"AUC"}
    assert "| VGG-16 | Real + both synthetic | thesis | 63.04 |" in found.table


def test_a_threshold_is_chosen_on_validation_images():
    conditions = {"real": LOW, "smote": LOW, "melanet": HIGH}
    records = [classification_record(name, 0, scores) for name, scores in conditions.items()]
    for record in records:
        record["validation_scores"] = record["scores"]
    found = OVERSAMPLING.conclude(records, parse(OVERSAMPLING, ["--data", "DIR"])).comparisons
    at_half = next(each for each in found if each.metric.endswith("at 0.5"))
    chosen = next(each for each in found if each.metric.endswith("chooses"))
    assert (at_half.difference, chosen.difference) == (50, 0)
    assert math.isnan(chosen.printed)


def test_protocols_are_compared_by_seed_on_common_test_images():
    records = [
        classification_record("vgg_gap", seed, scores, protocol)
        for seed in (0, 1)
        for protocol, scores in (("thesis", HIGH), ("clean", HIGH[::-1]))
    ]
    for record in records:
        for score in record["scores"]:
            score["positive"] = int(score["id"].partition("_")[2]) < 10
    [found] = compare_protocols(MELANOMA, records)
    assert (found.contender, found.baseline) == ("VGG-GAP under thesis", "VGG-GAP under clean")
    assert (found.difference, found.verdict) == (100, "higher")
    assert found.protocol == "thesis and clean"
