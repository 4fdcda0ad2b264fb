"""A phantom of chest X-rays: normal, pneumonia and COVID-19, generated without a download.

Pneumonia is a dense patch in one lung (consolidation), COVID-19 a haze towards the outer border of
both (ground glass), to a degree that varies, so that faint cases look much like normal images.
Images of a patient share the anatomy; position, exposure and disease differ. There are five
negatives to one positive.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from melanet import lazy
from melanet.data.builders import DatasetBuilder
from melanet.data.dataset import DatasetInfo
from melanet.data.writing import Sample

if TYPE_CHECKING:
    import cv2
else:
    cv2 = lazy.module("cv2")

KINDS = ("normal", "pneumonia", "covid19")
FIRST_COVID_PATIENT = 1000


def generate(patient: int, image: int, kind: str, size: int = 64, seed: int = 2021) -> np.ndarray:
    """Generates an X-ray of a patient.

    Args:
        patient: Number of the patient, whose chest is the same in every image.
        image: Number of the image among the patient's of this kind.
        kind: `"normal"`, `"pneumonia"` or `"covid19"`.
        size: Height and width in pixels.
        seed: Seed of the whole dataset.

    Returns:
        uint8 `(size, size)`.

    Example:
        >>> from melanet.data.xray_phantom import generate
        >>> generate(patient=0, image=0, kind="covid19").shape
        (64, 64)
    """
    body = np.random.default_rng([seed, patient])
    random = np.random.default_rng([seed, patient, image, KINDS.index(kind)])
    x, y = _position(random, size)
    grey, lungs, outward = _chest(body, x, y)
    texture = 0.02 * _field(random, size, 0.03) + 0.01 * _field(random, size, 0.1)
    grey = grey + lungs * texture
    if kind == "pneumonia":
        patch = _patch(random, x, y, _field(random, size, 0.06))
        grey += random.uniform(0.2, 0.42) * lungs * patch
    elif kind == "covid19":
        blotches = 1 / (1 + np.exp(-2.5 * _field(random, size, 0.07)))
        grey += random.uniform(0.12, 0.7) * lungs * _haze(random, x, y, outward) * blotches
    return _expose(random, cv2.GaussianBlur(grey, (0, 0), 0.008 * size))


def read(
    folder: Path | None = None,
    *,
    negative: str = "normal",
    negatives: int = 120,
    positives: int = 24,
    size: int = 64,
    seed: int = 2021,
) -> list[Sample]:
    """Lists the samples of a phantom without an official split; patients are groups.

    The positives do not depend on the negatives. A third of the patients with pneumonia have
    normal images too, in the other dataset.

    Args:
        folder: Not used.
        negative: Kind of the negatives, `"normal"` or `"pneumonia"`.
        negatives: Number of negative images.
        positives: Number of images of COVID-19.
        size: Height and width in pixels.
        seed: Seed of the whole dataset.

    Example:
        >>> from melanet.data.xray_phantom import read
        >>> [sample.group for sample in read(negatives=3, positives=1)]
        ['patient-0000', 'patient-0001', 'patient-0001', 'patient-1000']
    """
    first = negatives // 3 if negative == "pneumonia" else 0
    images = [(*number, negative) for number in _numbers(first, negatives)]
    images += [(*number, "covid19") for number in _numbers(FIRST_COVID_PATIENT, positives)]
    samples = []
    for patient, image, kind in images:
        id = f"{kind}-{patient:04d}-{image}"
        draw = partial(generate, patient, image, kind, size, seed)
        samples.append(Sample(id, f"patient-{patient:04d}", draw, None, id, label=kind))
    return samples


def _numbers(patient: int, count: int) -> Iterator[tuple[int, int]]:
    """Numbers of patients and images; patients have one, two or three images in turn."""
    while count > 0:
        for image in range(min(count, 1 + patient % 3)):
            yield patient, image
        count -= 1 + patient % 3
        patient += 1


def _position(random, size):
    """Coordinates of every pixel: the chest spans -1 to 1, its left side at positive x."""
    down, right = np.mgrid[:size, :size] * (2 / (size - 1)) - 1
    turn, scale = random.normal(0, 0.035), random.uniform(0.92, 1.08)
    right, down = right - random.normal(0, 0.05), down - random.normal(0, 0.05)
    x = (np.cos(turn) * right + np.sin(turn) * down) * scale
    y = (np.cos(turn) * down - np.sin(turn) * right) * scale
    return x, y


def _chest(body, x, y):
    """Grey values (0 is air), the lungs (0 to 1), and the distance to their outer border."""
    side, wide = np.abs(x), body.uniform(0.9, 1.08)
    shoulders = _edge(y + 0.92 - 0.5 * np.clip(side - 0.3, 0, None) ** 1.5, 0.05)
    shoulders = np.maximum(shoulders, _edge(0.24 - side, 0.05))  # and the neck
    torso = shoulders * _edge(1.06 * wide + 0.12 * _edge(-0.5 - y, 0.2) - side, 0.04)
    grey = torso * (0.58 + 0.12 * _edge(y - 0.75, 0.2))
    outward = 0.76 * wide * np.sqrt(np.clip(1 - ((y - 0.35) / 1.15) ** 2, 0, None)) - side
    lungs = _edge(outward, 0.03) * _edge(side - 0.13, 0.035)
    dome = body.uniform(0.45, 0.62) + np.where(x > 0, 0.07, 0)  # the liver lifts the right one
    lungs *= _edge(dome + 0.9 * np.clip(side - 0.3, 0, None) ** 2 - y, 0.03)
    large = body.uniform(0.85, 1.15)
    apex = 0.1 * np.clip(y - 0.2, -0.3, 0.3)  # the heart leans to the lower left
    heart = _edge(1 - np.hypot((x - 0.1 - apex) / (0.3 * large), (y - 0.4) / (0.36 * large)), 0.12)
    heart = np.maximum(heart, _edge(1 - np.hypot((x - 0.06) / 0.16, (y + 0.25) / 0.26), 0.25))
    lungs = lungs * (1 - heart)
    grey = grey * (1 - lungs) + 0.2 * lungs
    grey += torso * (0.14 * np.exp(-((x / 0.12) ** 2)) + 0.05 * heart)
    for hilum in (-0.2, 0.2):
        grey += 0.16 * lungs * np.exp(-((x - hilum) ** 2 + (y - 0.05) ** 2 / 2) / 0.02)
    breasts = 0.12 * body.uniform(0, 1)
    grey += breasts * lungs * np.exp(-(((side - 0.42) / 0.25) ** 2) - ((y - 0.4) / 0.22) ** 2)
    return grey + torso * _bones(body, side, y), lungs, outward


def _bones(body, side, y):
    ribs = np.zeros_like(y)
    for number, start in enumerate(np.arange(-0.85, 0.75, body.uniform(0.17, 0.2))):
        behind = start + (0.35 + 0.05 * number) * side**2 - 0.08 * side
        ribs += 0.1 * _edge(0.028 - np.abs(y - behind), 0.012)
        before = start + 0.3 - 0.45 * (side - 0.2)
        ribs += 0.04 * _edge(0.03 - np.abs(y - before), 0.02) * _edge(side - 0.25, 0.05)
    ribs *= _edge(0.8 - side, 0.05) * _edge(0.6 - y, 0.2)
    clavicle = -0.6 - 0.3 * (side - 0.1) + 0.25 * (side - 0.1) ** 2
    return ribs + 0.2 * _edge(0.035 - np.abs(y - clavicle), 0.015) * _edge(side - 0.06, 0.02)


def _patch(random, x, y, ragged):
    """A ragged spot in one lung: 1 inside, 0 outside."""
    centre = random.choice([-1, 1]) * random.uniform(0.35, 0.5), random.uniform(-0.3, 0.4)
    width, height = random.uniform(0.17, 0.32, 2)
    distance = np.hypot((x - centre[0]) / width, (y - centre[1]) / height)
    return _edge(1 - distance + 0.25 * ragged, 0.5)


def _haze(random, x, y, outward):
    """A haze, densest at the outer border of both lungs and lower down."""
    low = 0.3 + 0.7 * _edge(y - random.uniform(-0.4, 0.1), 0.2)
    left, right = random.uniform(0.6, 1, 2)
    return np.exp(-np.clip(outward, 0, None) / 0.2) * low * np.where(x > 0, left, right)


def _expose(random, grey):
    """Exposure, contrast and noise, which differ between machines."""
    grey = np.clip(grey, 0, 1) ** random.uniform(0.8, 1.3)
    grey = random.uniform(0.85, 1.15) * grey + random.uniform(0, 0.06)
    grey = grey + random.normal(0, 0.012, grey.shape)
    return np.clip(255 * grey, 0, 255).astype("uint8")


def _edge(inside, soft):
    """A soft step from 0, where `inside` is negative, to 1; about `soft` wide."""
    return 1 / (1 + np.exp(np.clip(-2 * inside / soft, -50, 50)))


def _field(random, size, scale):
    """Smooth noise with details of `scale` image sides, mean 0 and standard deviation 1."""
    field = cv2.GaussianBlur(random.normal(size=(size, size)), (0, 0), scale * size)
    return (field - field.mean()) / field.std()


def _builder(name: str, title: str, negative: str) -> DatasetBuilder:
    return DatasetBuilder(
        DatasetInfo(name, title, image_size=(64, 64), channels=1, labels=(negative, "covid19")),
        partial(read, negative=negative),
        "The phantom is generated; it needs no download.",
        generated=True,
    )


BUILDERS = (
    _builder("phantom_normal", "Phantom, normal vs. COVID-19", "normal"),
    _builder("phantom_pneumonia", "Phantom, pneumonia vs. COVID-19", "pneumonia"),
)
