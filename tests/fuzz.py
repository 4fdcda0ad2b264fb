"""Feeds mutated files to every reader: it must return, or raise an error that names the file.

    python -m tests.fuzz --runs 2000 --seed 0 [--only LOADER ...]

Readers run in a child process with limited memory, so that a crash or a hang ends only the child.
Any other outcome is a finding: it is printed, and its file is kept.
"""

import argparse
import dataclasses
import gzip
import io
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tifffile
from PIL import Image
from tqdm import tqdm

from experiments.classification.features import read_features
from experiments.classification.synthesis import load_translator
from experiments.common.records import read_record
from melanet.cyclegan import build_cyclegan
from melanet.data import BUILDERS as CLASSIFIED
from melanet.data import DatasetInfo, write_dataset
from melanet.data.errors import os_errors_as_input_errors
from melanet.data.readers.dicom import read_dicom
from melanet.data.readers.images import read_image
from melanet.data.readers.nifti import read_nifti
from melanet.data.readers.tiff import count_tiff_pages, read_tiff_page
from melanet.trees import BaggedTrees
from sharpunet import unet
from sharpunet.data import dsb2018, open_dataset, phantom
from sharpunet.data.ct import slice_volume
from sharpunet.models import _load_weights
from tests.conftest import save_nifti, square_mask, write_dsb2018, write_isbi2012
from tests.melanet.conftest import gradient, write_collection, write_dicom, write_part, write_rsna

MEMORY = 4 << 30  # bytes, in addition to those of the process before it reads anything
SECONDS = 120  # to read one file
MAX_FINDINGS = 20  # per loader; then the next one is tried
#: Words that neither a table nor JSON should hold.
ODD = ("", " ", "nan", "-1", "0", "1e309", "../../x", "/etc/passwd", "\0", '"', "\ufeff", "é",
       "9" * 400, "null", "true", "{}", "[]", "\r", "x" * 300)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Loader:
    """A format and its reader.

    Attributes:
        make: Writes a valid file into a folder; returns its path.
        read: Reads it; it may raise nothing but ValueError, such as InputError.
        mutate_inside: From content and random generator to content that is mutated beneath its
            compression and checksums.
        text: Whether words are mutated, too.
        share: Share of the requested runs that it gets; slow loaders get fewer.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    mutate_inside: Callable | None = None
    text: bool = False
    share: float = 1.0


def mutate_bytes(content: bytes, random: np.random.Generator) -> bytes:
    """Flips bits, sets bytes, or cuts, deletes, repeats, moves or inserts a block, 1 to 3 times."""
    data = bytearray(content)
    for _ in range(random.integers(1, 4)):
        start, other = sorted(random.integers(0, len(data) + 1, 2).tolist())
        length = int(random.integers(1, 1 + min(64, max(1, len(data)))))
        match random.integers(8):
            case 0:
                for place in random.integers(0, len(data), 3) if data else ():
                    data[place] ^= 1 << random.integers(8)
            case 1:
                for place in random.integers(0, min(len(data), 600), 3) if data else ():
                    data[place] = random.choice([0, 1, 127, 128, 255])  # headers come first
            case 2:
                del data[start:]
            case 3:
                del data[start : start + length]
            case 4:
                data[start:start] = data[start : start + length]
            case 5:
                block = data[other : other + length]
                del data[other : other + length]
                data[start:start] = block
            case 6:
                data[start:start] = bytes(length)
            case 7:
                data[start : start + length // 2] = random.bytes(length)
    return bytes(data)


def mutate_text(content: bytes, random: np.random.Generator) -> bytes:
    """Deletes, repeats, swaps or replaces words, 1 to 3 times."""
    words = re.split(r"([,\n\":{}\[\]])", content.decode())
    for _ in range(random.integers(1, 4)):
        first, second = random.integers(0, len(words), 2)
        match random.integers(4):
            case 0:
                words[first] = ""
            case 1:
                words.insert(first, words[second])
            case 2:
                words[first], words[second] = words[second], words[first]
            case 3:
                words[first] = ODD[random.integers(len(ODD))]
    return "".join(words).encode()


def mutated(loader: Loader, content: bytes, seed: int, run: int) -> bytes:
    """The mutation number `run` of a loader's valid content."""
    random = np.random.default_rng([seed, run])
    mutate = mutate_text if loader.text and run % 2 else mutate_bytes
    if loader.mutate_inside and run % 3:
        return loader.mutate_inside(content, random)
    return mutate(content, random)


def inside_gzip(content, random):
    return gzip.compress(mutate_bytes(gzip.decompress(content), random))


def inside_zip(content, random):
    """Mutates one entry, by words if it is text, and packs all again."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        chosen = random.integers(len(old.infolist()))
        for number, name in enumerate(old.namelist()):
            entry = old.read(name)
            if number == chosen:
                text = name.endswith(".json") and random.integers(2)
                entry = (mutate_text if text else mutate_bytes)(entry, random)
            new.writestr(name, entry)
    return packed.getvalue()


def inside_png(content, random):
    """Mutates one chunk and corrects its checksum."""
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    chosen = random.integers(len(chunks))
    packed = content[:8]
    for number, (kind, data) in enumerate(chunks):
        data = mutate_bytes(data, random) if number == chosen else data
        packed += len(data).to_bytes(4, "big") + kind + data
        packed += zlib.crc32(kind + data).to_bytes(4, "big")
    return packed


def picture(name, **how):
    def make(folder):
        pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / name, **how)
        return folder / name

    return make


def make_stack(folder):
    write_isbi2012(folder / "isbi2012")
    return folder / "isbi2012/train-volume.tif"


def make_packed_stack(folder):
    path, volume = folder / "packed.tif", np.stack([square_mask(64, 64)] * 3)
    tifffile.imwrite(path, volume, photometric="minisblack", compression="zlib", predictor=True)
    return path


def read_stack(path):
    return [read_tiff_page(path, index) for index in range(count_tiff_pages(path))]


def make_volume(folder):
    volume = np.random.default_rng(0).integers(-1000, 1000, (24, 24, 4)).astype("int16")
    return save_nifti(folder / "volume.nii.gz", volume)


def read_samples(samples):
    return [(sample.image(), sample.mask() if sample.mask else None) for sample in samples]


def read_volume(path):
    window = (-1000, 400)
    return read_samples(slice_volume(path, path, read_nifti, prefix="slice", window=window))


def make_dicom(**how):
    return lambda folder: write_dicom(folder / "x.dcm", gradient(), RescaleSlope=1,
                                      RescaleIntercept=0, WindowCenter=99, WindowWidth=99,
                                      **how)  # fmt: skip


def make_zip(folder):
    write_dsb2018(folder / "dsb", {"a": (24, 32), "b": (24, 32)})
    return folder / "dsb/stage1_train.zip"


def make_isic2016(folder):
    write_part(folder, "Training", {"ISIC_0": "benign", "ISIC_1": "malignant"})
    return folder / "ISBI2016_ISIC_Part3_Training_GroundTruth.csv"


def make_xrays(name):
    def make(folder):
        write_collection(folder / "covid-chestxray-dataset")
        challenge = write_rsna(folder / "rsna-pneumonia-detection-challenge")
        rows = ["patientId,nih_image", "aaaa-1,00000007_000.png", "aaaa-2,00000007_012.png"]
        (challenge / "nih_source.csv").write_text("\n".join([*rows, ""]))
        return folder / name

    return make


def make_dataset(name):
    def make(folder):
        info = DatasetInfo("phantom", "Phantom", image_size=(32, 32), channels=1)
        write_dataset(folder / "phantom", info, phantom.read(count=3, size=32))
        return folder / "phantom" / name

    return make


def read_dataset(path):
    """Opens, verifies and decodes a dataset, as a command does."""
    dataset = open_dataset(next(p for p in path.parents if p.name == "phantom"))
    dataset.verify()
    rows = dataset.metadata.itertuples()
    return [tf.io.decode_png(tf.io.read_file(str(dataset.folder / r.file_name))) for r in rows]


def make_features(folder):
    features = np.random.default_rng(0).normal(size=(20, 8)).astype("float16")
    np.savez_compressed(folder / "x.npz", features=features, group=np.array(["a", "b"] * 10))
    return folder / "x.npz"


def make_record(folder):
    record = {"key": "x", "seed": 0, "scores": [{"id": "a", "jaccard": 0.5}], "history": {}}
    (folder / "x.json").write_text(json.dumps(record, indent=1))
    return folder / "x.json"


def make_cyclegan(folder):
    model = build_cyclegan((32, 32, 1), ("a", "b"), generator_filters=2, discriminator_filters=2)
    model.save(folder / "gan.keras")
    return folder / "gan.keras"


def make_trees(folder):
    random = np.random.default_rng(0)
    model = BaggedTrees((32, 32, 3), weights=None, trees=2)
    model.fit(random.random((6, 32, 32, 3)).astype("float32"), np.eye(2)[[0, 1] * 3])
    model.save(folder / "x.trees")
    return folder / "x.trees"


def small_unet():
    return unet((16, 16, 1), filters=(1, 1, 1, 1, 1))


def make_weights(folder):
    small_unet().save_weights(folder / "x.weights.h5")
    return folder / "x.weights.h5"


def read_classified(name):
    """Reads the tables of a source in `CLASSIFIED`, two folders up at most."""

    def read(path):
        folder = path.parent if name == "isic2016" else path.parents[1]
        with os_errors_as_input_errors("read"):  # as `prepare` does
            return [CLASSIFIED[name].read(folder), (CLASSIFIED[name].notes or str)(folder)]

    return read


COLLECTION, CHALLENGE = "covid-chestxray-dataset", "rsna-pneumonia-detection-challenge"
X_RAYS = read_classified("normal_covid19")
LOADERS = {
    "png": Loader(picture("x.png"), read_image, inside_png),
    "jpeg": Loader(picture("x.jpg"), read_image),
    "tiff": Loader(picture("x.tif", compression="tiff_lzw"), read_image),
    "bmp": Loader(picture("x.bmp"), read_image),
    "tiff_stack": Loader(make_stack, read_stack),
    "tiff_packed": Loader(make_packed_stack, read_stack),
    "nifti": Loader(make_volume, read_volume, inside_gzip),
    "dicom": Loader(make_dicom(), read_dicom),
    "dicom_jpeg": Loader(make_dicom(jpeg=True), read_dicom),
    "dsb2018.zip": Loader(
        make_zip, lambda path: read_samples(dsb2018.BUILDER.read(path.parent)), inside_zip
    ),
    "isic2016.csv": Loader(make_isic2016, read_classified("isic2016"), text=True),
    "metadata.csv": Loader(make_xrays(f"{COLLECTION}/metadata.csv"), X_RAYS, text=True),
    "class_info.csv": Loader(
        make_xrays(f"{CHALLENGE}/stage_2_detailed_class_info.csv"), X_RAYS, text=True
    ),
    "nih_source.csv": Loader(make_xrays(f"{CHALLENGE}/nih_source.csv"), X_RAYS, text=True),
    "dataset.json": Loader(make_dataset("dataset.json"), read_dataset, text=True),
    "dataset/metadata.csv": Loader(make_dataset("metadata.csv"), read_dataset, text=True),
    "dataset/png": Loader(make_dataset("images/phantom-001.png"), read_dataset),
    "features.npz": Loader(make_features, read_features, inside_zip),
    "record.json": Loader(make_record, read_record, text=True),
    "weights.h5": Loader(make_weights, lambda path: _load_weights(small_unet(), path), share=0.1),
    "gan.keras": Loader(make_cyclegan, load_translator, inside_zip, share=0.05),
    "x.trees": Loader(make_trees, BaggedTrees.load, inside_zip, share=0.05),
}


def outcome(loader: Loader, path: Path, folder: Path) -> str:
    """`"good"`, `"refused"`, or what went wrong."""
    if loader.share < 1:  # it builds models
        keras.utils.clear_session()
    try:
        with warnings.catch_warnings(action="ignore"):
            loader.read(path)
    except ValueError as error:
        message = str(error)
        if str(folder) in message and len(message.splitlines()) == 1:
            return "refused"
        return f"an error that does not name the file: {traceback.format_exc()}"
    except Exception:
        return traceback.format_exc()
    return "good"


def work(connection, folder: Path) -> None:
    """The child process: mutates and reads what it is asked to, until it is sent None."""
    quiet = os.open(os.devnull, os.O_WRONLY)  # readers print lines of their own
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    made: dict[str, tuple[Path, bytes]] = {}
    while (request := connection.recv()) is not None:
        name, seed, run = request
        loader = LOADERS[name]
        if name not in made:
            below = folder / name.replace("/", "-")
            shutil.rmtree(below, ignore_errors=True)
            below.mkdir()
            path = loader.make(below)
            loader.read(path)  # unmutated, it is good
            made[name] = path, path.read_bytes()
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        path, whole = made[name]
        path.write_bytes(mutated(loader, whole, seed, run))
        connection.send((str(path), "ready"))
        connection.send((str(path), outcome(loader, path, folder)))


class Child:
    """A process that reads, replaced by a new one after a crash or a hang."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.start()

    def start(self):
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, self.folder), daemon=True)
        self.process.start()
        other.close()

    def __call__(self, name: str, seed: int, run: int) -> tuple[str, str]:
        """Returns the file that was read, and the outcome."""
        path = ""
        try:
            self.connection.send((name, seed, run))
            for _ in range(2):
                if not self.connection.poll(SECONDS):
                    found = f"nothing after {SECONDS} s"
                    break
                path, found = self.connection.recv()
            else:
                return path, found
        except (EOFError, OSError):
            self.process.join()
            found = f"the process ended with {self.process.exitcode}"
        self.process.kill()
        self.start()
        return path, found


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="per loader; slow ones get fewer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=LOADERS, default=list(LOADERS))
    parser.add_argument(
        "--keep", type=Path, default=Path("findings"), help="folder for their files"
    )
    options = parser.parse_args(arguments)
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        child = Child(Path(folder))
        for name in options.only:
            count = Counter(runs=max(1, round(options.runs * LOADERS[name].share)))
            for run in tqdm(range(count["runs"]), desc=name, unit="run"):
                path, found = child(name, options.seed, run)
                kind = found if found in ("good", "refused") else "findings"
                count[kind] += 1
                if kind == "findings":
                    options.keep.mkdir(parents=True, exist_ok=True)
                    kept = options.keep / f"{options.seed}-{run}-{name.replace('/', '-')}"
                    if path:
                        shutil.copy(path, kept)
                    tqdm.write(f"{name}, seed {options.seed}, run {run}, {kept}:\n{found}")
                if count["findings"] == MAX_FINDINGS:
                    break
            counts[name] = count
        child.connection.send(None)
        child.process.join()
    columns = ("runs", "good", "refused", "findings")
    print(f"{'loader':16}" + "".join(f"{column:>10}" for column in columns))
    for name, count in counts.items():
        print(f"{name:16}" + "".join(f"{count[column]:>10}" for column in columns))
    return int(any(count["findings"] for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
