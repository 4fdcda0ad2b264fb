"""The figures of the pages of chapter 2."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from experiments.classification.features import MAX_POINTS
from experiments.classification.figures_features import FEATURE_PANELS, feature_panels
from experiments.classification.figures_heat_maps import IMAGES_SHOWN, choose, explain_images
from experiments.classification.figures_predictions import (
    predict_groups,
    prediction_panels,
    summary_line,
)
from experiments.classification.report import Results, runs_frame
from experiments.classification.saved import model_path, synthetic_folder
from experiments.common.published import CLASSIFIER_TITLES
from experiments.common.report import Figures
from melanet import lazy
from melanet.data import open_dataset
from melanet.data.dataset import METADATA_FILE

if TYPE_CHECKING:
    from experiments.classification import figures
else:
    figures = lazy.module("experiments.classification.figures")


def by_model(
    records: Sequence[dict[str, Any]],
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Name of each model for texts, suffix for files, and its records; alone it has no name."""
    models = list(dict.fromkeys(record["model"] for record in records))
    for number, model in enumerate(models, start=1):
        name = f"{CLASSIFIER_TITLES.get(model, model)}: " if len(models) > 1 else ""
        of_model = [record for record in records if record["model"] == model]
        yield name, f"-{number}" if number > 1 else "", of_model


def melanoma_figures(results: Results) -> Figures:
    """Figures 2.3, 2.4, 2.6, 2.7 and 2.16; with saved models 2.8 to 2.10 and the discussion's."""
    records, titles = results.records, results.titles
    drawn: Figures = {
        "samples": (
            "Images of both classes, at even steps; of an official split, training images (as "
            "figure 2.3).",
            figures.class_samples(results.datasets[0]),
        ),
        "classes": (
            "Training images of each class in every condition (as figure 2.4).",
            figures.class_histogram(records, titles),
        ),
    }
    for name, suffix, of_model in by_model(records):
        drawn[f"bars{suffix}"] = (
            f"{name}Test results (as figure 2.6), with the specificity that a gain may cost.",
            figures.metric_bars(runs_frame(of_model), titles),
        )
        drawn[f"roc{suffix}"] = (
            f"{name}ROC curves (as figure 2.7); the dots mark the threshold 0.5.",
            figures.roc_curves(of_model, titles),
        )
    drawn |= translations(results, "translations", "(as figure 2.16)")
    return {**drawn, **_figures_of_models(results)}


def oversampling_figures(results: Results) -> Figures:
    """The figures of table 2.1, and reliability diagrams."""
    drawn = melanoma_figures(results)
    for name, suffix, of_model in by_model(results.records):
        drawn[f"reliability{suffix}"] = (
            f"{name}Reliability of the scores of the positive class on test images, one line per "
            "run. Dots are bins of a tenth, the larger the more images; below the diagonal, scores "
            "are too high.",
            figures.reliability_diagram(of_model, results.titles),
        )
    return drawn


def _figures_of_models(results: Results) -> Figures:
    """Figures 2.8 to 2.10 and the discussion's predictions, of the first model and seed.

    They keep the names of their own commands. None is drawn if a model was not saved.
    """
    model, seed = results.records[0]["model"], results.records[0]["seed"]
    records = {
        record["condition"]: record
        for record in results.records
        if (record["model"], record["seed"]) == (model, seed)
    }
    if not all(model_path(record, results.out).is_file() for record in records.values()):
        return {}
    drawn = _heat_maps(results, records)
    if set(FEATURE_PANELS) <= set(records):
        drawn["figure_2_10"] = (
            f"UMAP of the features of {CLASSIFIER_TITLES.get(model, model)}, each of the images "
            "that it was trained on (as figure 2.10).",
            feature_panels(records, results.out),
        )
    return {**drawn, **_predictions(results, records)}


def _heat_maps(results: Results, records: dict[str, dict[str, Any]]) -> Figures:
    drawn: Figures = {}
    dataset = results.datasets[0]
    for number, found, verb in (("2.8", False, "miss"), ("2.9", True, "find")):
        if ids := choose(list(records.values()), found=found)[:IMAGES_SHOWN]:
            drawn[f"figure_{number.replace('.', '_')}"] = (
                f"Grad-CAM of the class that each method predicts, on {dataset.info.labels[-1]} "
                f"test images that most methods {verb} (as figure {number}).",
                explain_images(ids, records, results.titles, dataset, results.out),
            )
    return drawn


def _predictions(results: Results, records: dict[str, dict[str, Any]]) -> Figures:
    if "melanet" not in records:
        return {}
    record = records["melanet"]
    synthetic = synthetic_folder(record, results.out)
    if not (synthetic / METADATA_FILE).is_file():
        return {}
    dataset = results.datasets[0]
    scores, ours = predict_groups(record, dataset, open_dataset(synthetic), results.out)
    text = f"Predictions of the discussion; {summary_line('ours', ours)}."
    return {"figure_predictions": (text, prediction_panels(scores, ours, dataset.info.labels))}


def covid_figures(results: Results) -> Figures:
    """Figures 2.5 and 2.11 to 2.15, of the first model and seed.

    Figure 2.15 is left out where a record came without its features.
    """
    model, seed = results.records[0]["model"], results.records[0]["seed"]
    first = [r for r in results.records if (r["model"], r["seed"]) == (model, seed)]
    name = CLASSIFIER_TITLES.get(model, model)
    skews = runs_frame(first).set_index("condition")["skew"]
    with_skew = {c: f"{results.titles[c]}\nskew {skew:.2f}" for c, skew in skews.items()}
    drawn: Figures = {
        "distribution": (
            "Training images of each class in every condition, and their skew (as figure 2.5).",
            figures.class_histogram(first, with_skew),
        )
    }
    for record in first:
        title = results.titles[record["condition"]]
        drawn[f"confidence_{record['condition']}"] = (
            f"Confidence of {name} in each positive test image, trained on: {title.lower()} (as "
            "figures 2.11 to 2.14).",
            figures.confidences(record, title),
        )
    panels = {
        trial.condition.title: trial.features_path(results.out)
        for trial in results.trials
        if trial.key in {record["key"] for record in first}
    }
    if all(path.is_file() for path in panels.values()):
        drawn["umap"] = (
            f"UMAP of the pooled features of {name}, each panel of the classifier trained so, "
            f"training and test images together (as figure 2.15); at most {MAX_POINTS} of each "
            "class and dataset, evenly picked.",
            figures.umap_panels(panels, results.datasets[0].info.labels),
        )
    return {**drawn, **translations(results, "translations_{}", "")}


def translations(results: Results, file_name: str, note: str) -> Figures:
    """One figure per CycleGAN or StarGAN of the first seed."""
    drawn: Figures = {}
    stages = {stage.key: stage for trial in results.trials for stage in trial.synthetic_stages}
    for stage in stages.values():
        folder = stage.folder(results.out)
        if (folder / METADATA_FILE).is_file() and stage.seed == results.trials[0].seed:
            synthetic = open_dataset(folder)
            first = stage.dataset.values("label", list(synthetic.metadata["parent"][:1]))[0]
            targets = " and ".join(dict.fromkeys(synthetic.metadata["label"]))
            drawn[file_name.format(first)] = (
                f"{first.capitalize()} images and their translations to {targets} {note}".strip()
                + ".",
                figures.translations(stage.dataset, synthetic),
            )
    return drawn
