"""Published tests of synthetic datasets: are the images anonymous, and how good are they?

    results/published/NAME/releases/KEY.json  one per dataset that was tested

`experiments.synthetic_dataset` writes it into the dataset's folder. It holds numbers, no image.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from experiments.common.conclusions import (
    ANSWERS,
    OPEN,
    SUPPORTS,
    WEAKENS,
    Belief,
    Claim,
    Finding,
    direction,
)
from experiments.common.markup import escape_markdown, markdown_table
from experiments.common.records import read_record

FIELDS = ("title", "images", "image_size", "gan", "options", "measures", "tests", "verdict", "kid")
ANONYMOUS = Claim("a synthetic image is attributed to no individual patient", "section 2.3.6")
CLOSER = Claim(
    "translated images are nearer to the rare class than those that they were made from", made=False
)
#: 1.96 standard errors on either side: a 95% interval.
Z = 1.96
HALVES, TRANSLATED, SOURCES = (
    "real, half of the patients against the others",
    "synthetic against real",
    "their sources against real",
)


@dataclasses.dataclass(frozen=True)
class Release:
    """The tests of one synthetic dataset.

    Attributes:
        record: What `experiments.synthetic_dataset` wrote.
    """

    record: dict[str, Any]

    @property
    def command(self) -> str:
        """The command that made it."""
        options = self.record["options"]
        words = " ".join(f"--{name} {value}" for name, value in options.items())
        return (
            f"python -m experiments.synthetic_dataset --generator OUT/gans/{self.record['key']}"
            f".keras --source PREPARED --out DIR {words}"
        )

    @property
    def place(self) -> str:
        """Dataset and setting, as a comparison has them."""
        return f"{self.record['title']}: {self._setting}"

    @property
    def _setting(self) -> str:
        gan, size = self.record["gan"], " × ".join(map(str, self.record["image_size"]))
        trained = f"CycleGAN of {gan['epochs']} epochs, seed {gan['seed']}" if gan else "CycleGAN"
        return f"{trained}, {size}, {self.record['images']} translated images"

    @property
    def bearing(self) -> str:
        """What the tests of anonymity do to the thesis's claim: nothing ever proves it."""
        return WEAKENS if self.record["tests"]["against"] else OPEN

    @property
    def traced(self) -> str:
        """How many source patients were found, in words."""
        return " and ".join(
            f"{each['hits']} of {each['patients']} by {space} (95% interval {each['low']:.1%} to "
            f"{each['high']:.1%}, by chance {each['chance']:.1%})"
            for space, each in self.record["tests"]["patients"].items()
        )

    @property
    def beliefs(self) -> list[Belief]:
        """On anonymity, and on quality where KID could be estimated."""
        anonymous = f"the real image nearest to a translated one is of its source: {self.traced}."
        found = [(ANONYMOUS, anonymous, self.bearing)]
        if {TRANSLATED, SOURCES} <= self.record["kid"].keys():
            found.append((CLOSER, f"{self._kid}.", self._closer))
        return [
            Belief(claim, [Finding(self.record["title"], f"{self._setting}.", text, {answer: 1})])
            for claim, text, answer in found
        ]

    @property
    def row(self) -> list[str]:
        """Of the README's table: claim, place, difference, what the thesis prints, verdict."""
        found = f"patients found: {self.traced}"
        return [ANONYMOUS.heading, self.place, found, "–", self.bearing]

    @property
    def _kid(self) -> str:
        """The distances to the real images of the rare class, in words; the lower, the nearer."""
        names = {TRANSLATED: "translated", SOURCES: "their sources", HALVES: "halves of real"}
        distances = ", ".join(
            f"{name} {estimate:.3f} ({estimate - Z * error:.3f} to {estimate + Z * error:.3f})"
            for key, name in names.items()
            if key in self.record["kid"]
            for estimate, error in [self.record["kid"][key]]
        )
        return f"KID to real images (95% intervals) – {distances}"

    @property
    def _closer(self) -> str:
        """Whether KID shows that the translated images are nearer than their sources."""
        (translated, error), (sources, other) = (
            self.record["kid"][name] for name in (TRANSLATED, SOURCES)
        )
        gain, spread = sources - translated, Z * (error + other)  # they share the real images
        found = direction(gain - spread, gain + spread)
        return ANSWERS[{"higher": SUPPORTS, "lower": WEAKENS}.get(found, OPEN)]

    @property
    def section(self) -> list[str]:
        """Its part of the results page: title, command, verdict and measures."""
        measures = self.record["measures"]
        table = markdown_table(
            list(measures[0]), [list(map(escape_markdown, row.values())) for row in measures]
        )
        title = escape_markdown(f"Anonymity and quality of translated images: {self.place}")
        return [
            f"### {title}",
            f"```sh\n{self.command}\n```",
            escape_markdown(self.record["verdict"]),
            table,
            escape_markdown(
                f"{self._kid}." if TRANSLATED in self.record["kid"] else "KID: too few patients."
            ),
        ]


def read_release(path: Path) -> Release:
    """Reads the tests of one synthetic dataset.

    Raises:
        InputError: If the file is not their record.
    """
    return Release(read_record(path, FIELDS))
