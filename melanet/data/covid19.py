"""Normal vs. COVID-19 and Pneumonia vs. COVID-19: the two merged datasets of section 2.3.1.

The COVID-19 Image Data Collection gives the positives, the RSNA Pneumonia Detection Challenge the
negatives. There is no official split.
"""

from functools import partial
from pathlib import Path

from melanet.data import covid_collection, rsna
from melanet.data.builders import DatasetBuilder
from melanet.data.dataset import DatasetInfo
from melanet.data.writing import Sample

COLLECTION, CHALLENGE = "covid-chestxray-dataset", "rsna-pneumonia-detection-challenge"
INSTRUCTIONS = (
    f"Get two downloads, as folders beside each other. Into {COLLECTION}/: "
    f"{covid_collection.INSTRUCTIONS}. Into {CHALLENGE}/: {rsna.INSTRUCTIONS}"
)
POSITIVE = "covid19"
#: The thesis names 226 images of COVID-19; the others are those of the challenge's 26,684.
PUBLISHED = {POSITIVE: 226, rsna.NORMAL: 8851, rsna.OPACITY: 6012}


def _read(folder: Path, negative_class: str, negative: str) -> list[Sample]:
    """The negatives, which are of a class of the challenge, then the positives."""
    return [
        *rsna.read(folder / CHALLENGE, negative_class, negative),
        *covid_collection.read(folder / COLLECTION, POSITIVE),
    ]


def _notes(folder: Path, negative_class: str) -> str:
    rows = covid_collection.count_left_out(folder / COLLECTION)
    images = rsna.count_classes(folder / CHALLENGE)
    images.pop(negative_class)
    text = f"Left out: of the COVID-19 Image Data Collection {_counted(rows)}"
    text += f"; of the RSNA challenge {_counted({f'{k!r}': n for k, n in images.items()})}"
    if not rsna.knows_patients(folder / CHALLENGE):
        text += (
            f"; without {rsna.NIH_MAPPING} or {rsna.NIH_TABLE} each RSNA image counts as a "
            "patient, so that one NIH patient may stand on both sides of a split"
        )
    return f"{text}."


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _builder(name: str, title: str, negative_class: str, negative: str) -> DatasetBuilder:
    return DatasetBuilder(
        DatasetInfo(name, title, image_size=(256, 256), channels=1, labels=(negative, POSITIVE)),
        partial(_read, negative_class=negative_class, negative=negative),
        INSTRUCTIONS,
        published_count=PUBLISHED[negative_class] + PUBLISHED[POSITIVE],
        folders=(COLLECTION, CHALLENGE),
        notes=partial(_notes, negative_class=negative_class),
    )


BUILDERS = (
    _builder("normal_covid19", "Normal vs. COVID-19", rsna.NORMAL, "normal"),
    _builder("pneumonia_covid19", "Pneumonia vs. COVID-19", rsna.OPACITY, "pneumonia"),
)
