"""The first stage of a trial of chapter 2: its CycleGAN, and the synthetic set it makes."""

import contextlib
import dataclasses
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras

from experiments.trial import (
    EpochBar,
    checkpoint_path,
    config_hash,
    precision_policy,
    provenance,
    read_record,
    seed_everything,
    write_record,
)
from melanet.checkpoint import EpochCheckpoint
from melanet.cyclegan import CycleGAN
from melanet.data import ImageDataset, InputError
from melanet.data.writing import atomic_write
from melanet.distribution import chief_first, is_chief
from melanet.oversampling import train_cyclegan, translate_majority


@dataclasses.dataclass(frozen=True)
class CycleGANConfig:
    """How a CycleGAN is built and trained. Defaults are the thesis's (section 2.3.3).

    Attributes:
        epochs, batch_size: Passes over the undersampled classes, and images of each a batch.
        filters, rates: Of the first block, and Adam's learning rate: of generators and of
            discriminators.
        adversarial_loss, identity_weight: As `CycleGAN.compile`.
        flip: Whether images are mirrored at random while training.
    """

    epochs: int = 500
    batch_size: int = 1
    filters: tuple[int, int] = (32, 64)
    rates: tuple[float, float] = (2e-4, 2e-4)
    adversarial_loss: str = "log"
    identity_weight: float = 0.0
    flip: bool = False


@dataclasses.dataclass(frozen=True)
class SyntheticSetStage:
    """A CycleGAN between the classes of a set's training images, and its translations.

    Trials of one seed share it, whatever they classify with. Only `train` is ever seen.
    """

    dataset: ImageDataset
    train: tuple[str, ...]
    translation: CycleGANConfig
    image_size: tuple[int, int]
    keep_aspect_ratio: bool | None
    precision: str
    deterministic: bool
    seed: int
    distribute: str = "none"

    @property
    def key(self) -> str:
        """Name of the CycleGAN: readable, and different if anything that shapes it is."""
        shaping = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("prepared", "translation", "distribute")
        }
        translation = dataclasses.asdict(self.translation)
        described = dataclasses.asdict(self.dataset.info)
        mark = config_hash([shaping, translation, self.dataset.fingerprint, described])
        return f"{self.dataset.info.name}-s{self.seed}-{mark}"

    def folder(self, out: Path) -> Path:
        """Where the synthetic set is or will be."""
        return out / "sets" / f"synthetic-{self.key}"

    def generator_path(self, out: Path) -> Path:
        """Where the trained CycleGAN is or will be."""
        return out / "gans" / f"{self.key}.keras"

    def make(self, out: Path) -> tuple[ImageDataset, dict[str, Any]]:
        """The synthetic set, made now if it is not there, and how its CycleGAN was trained.

        Raises:
            InputError: If a CycleGAN that is there cannot be loaded.
        """
        # All hosts train it together, or the chief alone: then the others find its file.
        with chief_first() if self.distribute == "none" else contextlib.nullcontext():
            model, notes = self._cyclegan(out)
        with chief_first():
            synthetic = translate_majority(
                model,
                self.dataset,
                self.folder(out),
                self.train,
                image_size=self.image_size,
                keep_aspect_ratio=self.keep_aspect_ratio,
            )
        return synthetic, notes

    def _cyclegan(self, out: Path) -> tuple[CycleGAN, dict[str, Any]]:
        path = self.generator_path(out)
        notes_path = path.with_suffix(".json")
        checkpoint = EpochCheckpoint(checkpoint_path(out, f"gan-{self.key}"))
        if path.exists() and notes_path.exists():
            checkpoint.remove()  # of a run that was killed just after it had saved its result
            return load_cyclegan(path), read_record(notes_path)
        model = self._train(checkpoint)
        if not is_chief():
            return model, {}
        notes = {
            "key": self.key,
            "set": self.dataset.info.name,
            "metadata_sha256": self.dataset.fingerprint,
            "train": list(self.train),
            "keep_aspect_ratio": self.keep_aspect_ratio,
            "seed": self.seed,
            "seconds": round(checkpoint.seconds, 1),
            "distribute": self.distribute,
            **dataclasses.asdict(self.translation),
            **provenance(),
        }
        save_model(model, path)
        write_record(notes_path, notes)
        checkpoint.remove()
        return model, notes

    def _train(self, checkpoint: EpochCheckpoint) -> CycleGAN:
        translation = self.translation
        seed_everything(self.seed, self.deterministic)
        shown = f"cycle_{self.dataset.info.labels[0]}"
        with precision_policy(self.precision):
            return train_cyclegan(
                self.dataset,
                self.train,
                image_size=self.image_size,
                filters=translation.filters,
                epochs=translation.epochs,
                batch_size=translation.batch_size,
                seed=self.seed,
                flip=translation.flip,
                keep_aspect_ratio=self.keep_aspect_ratio,
                checkpoint=checkpoint,
                callbacks=[EpochBar(translation.epochs, f"CycleGAN {self.key}", shown)],
                rates=translation.rates,
                distribute=self.distribute,
                adversarial_loss=translation.adversarial_loss,
                identity_weight=translation.identity_weight,
            )


def load_cyclegan(path: Path) -> CycleGAN:
    """A CycleGAN from its `.keras` file.

    Raises:
        InputError: If the file is not one.
    """
    model = load_model(path)
    if not isinstance(model, CycleGAN):
        raise InputError(f"{path}: holds a {type(model).__name__}, not a CycleGAN; remove it")
    return model


def load_model(path: Path) -> keras.Model:
    """A model from its `.keras` file. Nothing in the file is executed: a Lambda layer is refused.

    Raises:
        InputError: If the file is not one, or holds what is not safe to load.
    """
    if not zipfile.is_zipfile(path):  # Keras reads older formats, too
        raise InputError(f"{path}: cannot be loaded, it is no .keras file; remove it")
    try:
        with warnings.catch_warnings(action="ignore"):  # Keras raises besides, if it lacks any
            model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # whatever a damaged file makes its readers raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be loaded ({reason}); remove it") from None
    if not isinstance(model, keras.Model):
        raise InputError(f"{path}: holds a {type(model).__name__}, no model; remove it")
    return model


def save_model(model: keras.Model, path: Path, **arguments) -> None:
    """Saves a Keras model whole or not at all."""
    atomic_write(path, lambda file: model.save(file, **arguments))
