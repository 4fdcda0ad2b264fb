"""The first stage of a trial of chapter 2: its CycleGAN or StarGAN, and the images it makes."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from experiments.classification.protocols import CycleGANConfig
from experiments.common.records import (
    CODE_VERSIONS,
    NOT_HASHED,
    checkpoint_path,
    config_hash,
    events_path,
    model_hash,
    provenance,
    read_record,
    write_record,
)
from experiments.common.training import KEPT_MODELS
from melanet.checkpoint import EpochCheckpoint
from melanet.cyclegan import CycleGAN
from melanet.data import ImageDataset, InputError
from melanet.data.caching import Cache
from melanet.distribution import chief_first, is_chief
from melanet.oversampling import build_translator, train_translator
from melanet.precision import precision_policy
from melanet.saving import load_model, save_model
from melanet.stargan import StarGAN
from melanet.synthesis import Translator, translate_majority
from melanet.training import EpochBar, EventLog, seed_everything

#: Fields of a CycleGAN's record that the record of a trial repeats.
LOGGED_FIELDS = ("key", "set", "seconds", *(f.name for f in dataclasses.fields(CycleGANConfig)))


@dataclasses.dataclass(frozen=True)
class SyntheticSetStage:
    """A CycleGAN between the classes of a dataset's training images, and its translations.

    Among more than two classes it is a StarGAN (section 4.3.1). All trials of one seed share it.
    Only the images of `train` are ever seen.
    """

    dataset: ImageDataset
    train: tuple[str, ...]
    cyclegan: CycleGANConfig
    image_size: tuple[int, int]
    keep_aspect_ratio: bool | None
    precision: str
    deterministic: bool
    seed: int
    distribute: str = "none"
    cache: Cache = "memory"
    log_events: bool = False

    @property
    def key(self) -> str:
        """Name of the CycleGAN: readable, with a hash of everything that determines its weights."""
        own = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("dataset", "cyclegan", "log_events", *NOT_HASHED)
        }
        info = self.dataset.info.to_dict()
        shape = (*self.image_size, self.dataset.info.channels)
        config = [
            own,
            dataclasses.asdict(self.cyclegan),
            self.dataset.fingerprint,
            info,
            model_hash(self._random_model, shape),
            CODE_VERSIONS["synthesis"],
        ]
        return f"{self.dataset.info.name}-s{self.seed}-{config_hash(config)}"

    def _random_model(self, shape: tuple[int, int, int]) -> Translator:
        labels, config = self.dataset.info.labels, self.cyclegan
        if len(labels) == 2:  # a hash that says nothing of the names of the classes
            labels = ("benign", "malignant")
        return build_translator(shape, labels, filters=config.filters, norm=config.norm)

    def folder(self, out: Path) -> Path:
        """Where the synthetic dataset is or will be."""
        return out / "sets" / f"synthetic-{self.key}"

    def generator_path(self, out: Path) -> Path:
        """Where the trained CycleGAN is or will be."""
        return out / "gans" / f"{self.key}.keras"

    def run(self, out: Path) -> tuple[ImageDataset, dict[str, Any]]:
        """The synthetic dataset, made now if it is missing, and the record of its CycleGAN.

        Raises:
            InputError: If a saved CycleGAN cannot be loaded, its record is damaged or lacks a
                field, or a synthetic image was changed.
        """
        # All hosts train it together, or the chief alone and the others find its file.
        with chief_first() if self.distribute == "none" else contextlib.nullcontext():
            model, record = self._trained(out)
        with chief_first():
            synthetic = translate_majority(
                model,
                self.dataset,
                self.folder(out),
                self.train,
                image_size=self.image_size,
                keep_aspect_ratio=self.keep_aspect_ratio,
                seed=self.seed,
            )
        synthetic.verify()  # it may have been made, and damaged, long ago
        return synthetic, record

    def _trained(self, out: Path) -> tuple[Translator, dict[str, Any]]:
        path = self.generator_path(out)
        record_path = path.with_suffix(".json")
        checkpoint = EpochCheckpoint(checkpoint_path(out, f"gan-{self.key}"))
        if path.exists() and record_path.exists():
            checkpoint.remove()  # left if killed right after the record
            return load_translator(path), read_record(record_path, LOGGED_FIELDS)
        model = self._train(checkpoint, events_path(out, f"gan-{self.key}"))
        if not is_chief():
            return model, {}
        record = {
            "key": self.key,
            "set": self.dataset.info.name,
            "metadata_sha256": self.dataset.fingerprint,
            "train": list(self.train),
            "keep_aspect_ratio": self.keep_aspect_ratio,
            "seed": self.seed,
            "seconds": round(checkpoint.seconds, 1),
            "distribute": self.distribute,
            **dataclasses.asdict(self.cyclegan),
            **provenance(),
        }
        save_model(model, path)
        write_record(record_path, record)
        checkpoint.remove()
        return model, record

    def _train(self, checkpoint: EpochCheckpoint, events: Path) -> Translator:
        config = self.cyclegan
        seed_everything(self.seed, self.deterministic)
        shape = (*self.image_size, self.dataset.info.channels)
        key = (shape, tuple(self.dataset.info.labels), config, self.precision, self.deterministic)
        labels = self.dataset.info.labels
        shown = f"cycle_{labels[0]}" if len(labels) == 2 else "cycle"
        with precision_policy(self.precision):
            return train_translator(
                self.dataset,
                self.train,
                image_size=self.image_size,
                seed=self.seed,
                keep_aspect_ratio=self.keep_aspect_ratio,
                checkpoint=checkpoint,
                callbacks=[
                    EpochBar(config.epochs, f"CycleGAN {self.key}", shown),
                    EventLog(events if self.log_events else None),
                ],
                distribute=self.distribute,
                cache=self.cache,
                kept=(KEPT_MODELS, key),
                **dataclasses.asdict(config),
            )


def load_translator(
    path: Path, kinds: tuple[type[Translator], ...] = (CycleGAN, StarGAN)
) -> Translator:
    """Loads a CycleGAN or a StarGAN from its `.keras` file.

    Raises:
        InputError: If the file holds none of `kinds`.
    """
    model = load_model(path)
    if not isinstance(model, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise InputError(f"{path}: holds a {type(model).__name__}, not a {wanted}; remove it")
    return model
