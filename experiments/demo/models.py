"""The models that the demo shows: found in a folder of results, or named file by file."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.common.published import (
    CLASSIFIER_TITLES,
    DATASET_TITLES,
    MODEL_TITLES,
)
from melanet import lazy
from melanet.data import InputError

if TYPE_CHECKING:
    import keras

    from melanet import inference, saving, translation
    from sharpunet import layers, skips
else:
    keras = lazy.module("keras")
    inference = lazy.module("melanet.inference")
    saving = lazy.module("melanet.saving")
    translation = lazy.module("melanet.translation")
    layers = lazy.module("sharpunet.layers")
    skips = lazy.module("sharpunet.skips")

#: What ends the name of a trial's model.
KEY = re.compile(r"-[0-9a-f]{8}$")
#: What a name of a trial's model is made of.
NUMBERS = {"s": "seed", "r": "repeat", "f": "fold"}
TITLES = {
    **{"phantom": "Phantom", "melanet": "MelaNet", **DATASET_TITLES},
    **MODEL_TITLES,
    **CLASSIFIER_TITLES,
}
#: Networks in memory at a time.
LOADED = 8


@dataclasses.dataclass(frozen=True)
class Models:
    """The files of models, by the names that the page shows.

    Attributes:
        classifiers: From an image to probabilities of classes.
        translators: CycleGANs, or single generators.
        segmenters: From an image to a mask.
    """

    classifiers: dict[str, Path] = dataclasses.field(default_factory=dict)
    translators: dict[str, Path] = dataclasses.field(default_factory=dict)
    segmenters: dict[str, Path] = dataclasses.field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.classifiers) + len(self.translators) + len(self.segmenters)

    def __or__(self, other: Models) -> Models:
        return Models(
            self.classifiers | other.classifiers,
            self.translators | other.translators,
            self.segmenters | other.segmenters,
        )


def find_models(folder: Path) -> Models:
    """The models that commands have left below a folder.

    Raises:
        InputError: If a file says what is not valid.
    """
    models = Models()
    for path in sorted(folder.rglob("*.keras")):
        info = saving.read_model_info(path)
        if info is not None and not info.takes_volumes:
            kind = {"classification": models.classifiers, "segmentation": models.segmenters}
            kind[info.task][_title(path)] = path
        elif path.parent.name == "gans":
            models.translators[_title(path)] = path
    return models


def named_models(
    classifiers: Sequence[Path], translators: Sequence[Path], segmenters: Sequence[Path]
) -> Models:
    """The models of files, each checked for what it must do.

    Raises:
        InputError: If a file is missing or is made for something else.
    """
    for path in classifiers:
        inference.model_info("classification", path, None, None)
    for path in segmenters:
        info = inference.model_info("segmentation", path, None, None)
        if info.takes_volumes:
            raise InputError(f"{path}: takes volumes; the demo shows images, give a model of those")
    for path in translators:
        load_translator(path)
    return Models(_by_title(classifiers), _by_title(translators), _by_title(segmenters))


def _by_title(paths: Sequence[Path]) -> dict[str, Path]:
    return {_title(path): path for path in paths}


def _title(path: Path) -> str:
    """The name of a trial in words, as `Phantom, U-Net, repeat 1, fold 1`; or the file's."""
    name, found = KEY.subn("", path.stem)
    if not found:
        return name
    words = []
    for part in name.split("-"):
        number = re.fullmatch(r"([srf])(\d+)", part)
        if number:  # seeds are as given; repeats and folds are counted from one
            words.append(f"{NUMBERS[number[1]]} {int(number[2]) + (number[1] != 's')}")
        else:
            words.append(TITLES.get(part, part))
    return ", ".join(dict.fromkeys(words))


@functools.lru_cache(maxsize=LOADED)
def load(path: Path) -> tuple[keras.Model, saving.ModelInfo]:
    """A classifier or a segmentation network in float32, and what it needs.

    Raises:
        InputError: If it cannot be loaded.
    """
    info = saving.read_model_info(path)
    if info is None:
        raise InputError(f"{path}: does not say what it needs; save it by melanet.save_model")
    model = saving.to_float32(saving.load_model(path))
    inference.check_model(model, info, path)
    return model, info


@dataclasses.dataclass(frozen=True)
class Translator:
    """Generators between two classes; of a StarGAN, between its first class and its last.

    Attributes:
        domains: Names of the first and the second class.
        generators: From the first to the second class and, unless it is one generator, back.
        info: How images are read for them.
    """

    domains: tuple[str, str]
    generators: tuple[keras.Model, ...]
    info: saving.ModelInfo


@functools.lru_cache(maxsize=LOADED)
def load_translator(path: Path) -> Translator:
    """The generators of a file.

    Raises:
        InputError: If it cannot be loaded, or holds no generator.
    """
    model = saving.load_model(path)
    first, *_, second = getattr(model, "domains", ("before", "after"))
    if hasattr(model, "generator_to"):  # a StarGAN
        both = [model.generator_to(second), model.generator_to(first)]
    else:
        both = [getattr(model, name, None) for name in ("first_to_second", "second_to_first")]
    generators = tuple(saving.to_float32(each) for each in both if each) or (model,)
    info = translation.generator_info(generators[0], path, None)
    return Translator((first, second), generators, info)


@functools.lru_cache(maxsize=LOADED)
def load_skips(path: Path) -> tuple[keras.Model, saving.ModelInfo]:
    """From an image to the feature maps that reach the sharp blocks, or would; the largest first.

    Raises:
        InputError: If the network cannot be loaded, or has no long skip connection.
    """
    model, info = load(path)
    if not _blocks(model):
        try:
            model = skips.sharpen_skips(model)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
    features = [block.input for block in _blocks(model)]
    features.sort(key=lambda feature: feature.shape[1] or 0, reverse=True)
    return keras.Model(model.inputs, features), info


def _blocks(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if isinstance(layer, layers.SharpBlock)]
