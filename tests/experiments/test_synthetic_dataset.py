import hashlib
import json
import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from experiments.classification.anonymity import Evidence, _pixels, feature_distances, verdict
from experiments.common.releases import HALVES, SOURCES, TRANSLATED, read_release
from experiments.synthetic_dataset import main
from melanet.cyclegan import CycleGAN, build_cyclegan
from melanet.data import DatasetInfo, Sample, open_dataset, write_dataset, writing
from melanet.networks import patchgan_discriminator
from melanet.privacy import closeness, nearest, reidentification
from tests.conftest import write_xrays

DOMAINS = ("normal", "covid19")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_xrays(tmp_path_factory.mktemp("xrays"))[0]


def copying_cyclegan():
    """A CycleGAN whose generators return their input."""
    discriminators = [patchgan_discriminator((32, 32, 1), 4, name) for name in ("one", "two")]
    inputs = [keras.Input((32, 32, 1)) for _ in DOMAINS]
    copies = [
        keras.Model(x, keras.layers.Rescaling(1.0)(x), name=n)
        for x, n in zip(inputs, "ab", strict=True)
    ]
    return CycleGAN(*copies, *discriminators, DOMAINS)


def saved(model, folder, source=None, train=()) -> Path:
    """Saves a CycleGAN and, if `source` is given, the record of its training; returns its path."""
    path = folder / "gan.keras"
    model.save(path)
    if source is not None:
        record = {"key": "gan", "set": source.info.name, "metadata_sha256": source.fingerprint,
                  "train": list(train), "seed": 0, "epochs": 1, "filters": [4, 4],
                  "adversarial_loss": "log", "identity_weight": 0.0}  # fmt: skip
        path.with_suffix(".json").write_text(json.dumps(record))
    return path


def encoder(folder) -> Path:
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((32, 32, 1)),
        keras.layers.Conv2D(8, 5, strides=3),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    keras.Sequential(layers).save(folder / "encoder.keras")
    return folder / "encoder.keras"


def words(generator, source, tmp_path):
    return ["--generator", str(generator), "--source", str(source.folder), "--out",
            str(tmp_path / "release"), "--encoder", str(encoder(tmp_path))]  # fmt: skip


@pytest.fixture
def small(source, tmp_path):
    """The arguments of a release by an untrained generator, and the ids it may have seen."""
    keras.utils.set_random_seed(0)
    train = list(source.metadata["id"][5:])
    model = build_cyclegan((32, 32, 1), DOMAINS, generator_filters=4, discriminator_filters=4)
    return words(saved(model, tmp_path, source, train), source, tmp_path), train


def test_a_release_is_a_dataset_with_a_card_checksums_and_parents(small, source, tmp_path):
    arguments, train = small
    assert main(arguments) == 0
    out = tmp_path / "release"
    release = open_dataset(out)
    normal = set(source.ids(label="normal"))
    assert list(release.metadata["parent"]) == [id for id in train if id in normal]
    sums = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {"metadata.csv", "dataset.json", *release.metadata["file_name"]}
    for name, expected in sums.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == expected
    tests = read_release(out / "gan.json").record
    assert tests["images"] == len(release.metadata)
    assert tests["metadata_sha256"] == release.fingerprint
    found = tests["tests"]["patients"]["pixels"]
    assert f"{found['hits']} of {found['patients']} (95%" in (out / "anonymity.csv").read_text()
    card = (out / "README.md").read_text()
    for text in (
        tests["verdict"],
        release.fingerprint,
        source.fingerprint,
        "KID",
        "Does it anonymise?",
        "Known limits",
    ):
        assert text in card
    figures = {path.name for path in (out / "figures").iterdir()}
    assert figures == {"quality.png", "quality.pdf"}
    private = tmp_path / "release-not-for-release/figures"
    shown = {path.name for path in private.iterdir()}  # of real patients
    assert shown == {"closest_pairs.png", "closest_pairs.pdf"}
    stamps = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    assert main(arguments) == 0  # the images are there already
    assert {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()} == stamps


class Killed(BaseException):
    """Ends a run in its midst, as a signal does."""


def test_an_interrupted_release_resumes(small, tmp_path, monkeypatch):
    arguments, _ = small
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    write_sample, written, again = writing._write_sample, [], []

    def write_and_kill(folder, sample, *rest):
        if len(written) == 17:
            raise Killed
        written.append(sample.id)
        return write_sample(folder, sample, *rest)

    monkeypatch.setattr(writing, "_write_sample", write_and_kill)
    with pytest.raises(Killed):
        main(arguments)
    assert not (tmp_path / "release").exists()

    def write_again(folder, sample, *rest):
        again.append(sample.id)
        return write_sample(folder, sample, *rest)

    monkeypatch.setattr(writing, "_write_sample", write_again)
    assert main(arguments) == 0
    assert not set(again) & set(written)
    release, whole = (open_dataset(tmp_path / name) for name in ("release", "whole"))
    assert release.fingerprint == whole.fingerprint


def test_a_generator_that_copies_its_input_is_found_out(source, tmp_path):
    train = list(source.metadata["id"])
    path = saved(copying_cyclegan(), tmp_path, source, train)
    assert main(words(path, source, tmp_path)) == 0
    card = (tmp_path / "release/README.md").read_text()
    assert (
        "NOT anonymous: by its pixels, the image nearest to a synthetic one is of its own" in card
    )


def evidence_of(synthetic, real, sources, control=None) -> Evidence:
    """What is found by one space, one image per patient."""
    names = pd.Series([f"trained {n}" for n in range(len(real))])
    held_out = {}
    if control is not None:
        patients = [f"held out {n}" for n in range(len(control))]
        held_out = {"held_out": control, "held_out_patients": patients}
    close = closeness(synthetic, real, names, **held_out)
    patients = [str(n) for n in range(len(sources))]
    traced = reidentification(synthetic, sources, np.arange(len(synthetic)), patients)
    return Evidence({"pixels": close}, {"pixels": traced}, {}, {}, "none")


def test_copies_of_training_images_are_found_out_by_the_control_and_strangers_are_not():
    random = np.random.default_rng(0)
    real, sources, control, strangers = (random.normal(size=(n, 30)) for n in (40, 60, 20, 60))
    copies = real[random.integers(0, 40, 60)]
    copied = verdict(evidence_of(copies, real, sources, control))
    assert copied.startswith("NOT anonymous: by their pixels, 100.0% are nearer to a training")
    free = verdict(evidence_of(strangers, real, sources, control))
    assert free.startswith("Not shown to be unsafe: the images are not significantly nearer")
    assert "no proof" in free


def test_without_a_control_copies_are_not_told_from_images_poor_in_detail():
    random = np.random.default_rng(0)
    real, sources = random.normal(size=(40, 30)), random.normal(size=(60, 30))
    for close in (real[random.integers(0, 40, 60)], 0.01 * random.normal(size=(60, 30))):
        text = verdict(evidence_of(close, real, sources))
        assert text.startswith("Not shown to be unsafe: the images do not lead")
        assert "100.0% are closer to a real training image than 95%" in text
        assert "copies, or images poor in detail" in text
        assert "whether they copy training images was not tested" in text


def test_pixels_find_a_copy_that_is_mirrored_and_shifted_by_three_pixels():
    random = np.random.default_rng(0)
    real = random.random((6, 32, 32, 1), "float32")
    moved = np.roll(real[:, :, ::-1], (3, -3), axis=(1, 2))
    embedded = [
        _pixels([(tf.constant(images), None)]) for images in (moved, 1 - real, 2 * real + 1)
    ]
    assert embedded[0].shape == (6, 32, 32)
    index, distance = nearest(embedded[0], embedded[2])
    assert index.tolist() == list(range(6))
    assert distance.max() < 1e-3
    assert nearest(embedded[1], embedded[2])[1].min() > 1


def test_a_channel_that_no_real_image_excites_does_not_decide_the_distance():
    random = np.random.default_rng(0)
    translated, real, sources = random.gamma(2, 5, (3, 40, 16))
    for features in (translated, real, sources):
        features[:, 0] = 0
    before = feature_distances(translated, real, sources, seed=0)
    translated[::2, 0] = 0.01
    after = feature_distances(translated, real, sources, seed=0)
    assert after[TRANSLATED] == pytest.approx(before[TRANSLATED], abs=1e-3)
    assert abs(after[TRANSLATED][0]) < 1
    assert after[HALVES] == before[HALVES]
    louder = feature_distances(*(10 * each for each in (translated, real, sources)), seed=0)
    assert louder[SOURCES] == pytest.approx(after[SOURCES])


def test_the_card_says_who_the_control_is_or_that_there_is_none(tmp_path):
    source = write_xrays(tmp_path / "xrays", positives=14)[0]
    rows = source.metadata.set_index("id")
    patients = rows["group"][rows["label"] == "covid19"].unique()
    unseen = rows["group"].isin(patients[-2:])
    train, count = list(rows.index[~unseen]), unseen.sum()
    for folder, of_training in (("known", source), ("unknown", None)):
        (tmp_path / folder).mkdir()
        path = saved(copying_cyclegan(), tmp_path / folder, of_training, train)
        assert main(words(path, source, tmp_path / folder)) == 0
    known, unknown = (
        (tmp_path / folder / "release/README.md").read_text() for folder in ("known", "unknown")
    )
    assert f"The control is {count} real images of 2 patients of class covid19" in known
    assert "nearer to a training patient than to any held-out one" in known
    assert "There is no control: no two patients of class covid19 are known" in unknown
    for card in (known, unknown):
        assert "These tests cannot see copies that are rotated" in card
        assert "no image is a copy" not in card


def test_an_error_names_a_damaged_release_and_its_checksums_stay(small, tmp_path, capsys):
    arguments, _ = small
    assert main(arguments) == 0
    sums = (tmp_path / "release/SHA256SUMS").read_text()
    image = next((tmp_path / "release/images").iterdir())
    image.write_bytes(image.read_bytes()[:-30])
    assert main(arguments) == 2
    assert f"{image.name}: is damaged" in capsys.readouterr().err
    assert (tmp_path / "release/SHA256SUMS").read_text() == sums


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    size, count = 128, 2000

    def draw(number):
        pixels = np.zeros((size, size), "uint8")
        pixels[number % size] = 1 + number % 255
        return pixels

    samples = [
        Sample(str(n), str(n), lambda n=n: draw(n), None, str(n), label=DOMAINS[n < 4])
        for n in range(count + 4)
    ]
    info = DatasetInfo("many", "Many", image_size=(size, size), channels=1, labels=DOMAINS)
    source = write_dataset(tmp_path / "many", info, samples)
    model = build_cyclegan((size, size, 1), DOMAINS, generator_filters=1, discriminator_filters=1)
    generator = saved(model, tmp_path)
    resident = []
    write_sample = writing._write_sample

    def write_and_measure(*arguments):
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]))
        return write_sample(*arguments)

    class Enough(Exception):
        """Ends the release once the images are written."""

    def enough(*_):
        raise Enough

    monkeypatch.setattr(writing, "_write_sample", write_and_measure)
    monkeypatch.setattr("experiments.synthetic_dataset._write_checksums", enough)
    with pytest.raises(Enough):
        main(["--generator", str(generator), "--source", str(source.folder), "--weights", "none",
              "--out", str(tmp_path / "release"), "--encoder", "vgg_gap"])  # fmt: skip
    assert len(resident) == count
    grown = (resident[-1] - resident[300]) * os.sysconf("SC_PAGE_SIZE")
    assert grown < 0.5 * (count - 300) * size * size  # half of the size of the 8-bit images


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("no generator", "--generator nowhere.keras: no such file"),
        ("not a CycleGAN", "not a CycleGAN"),
        ("another source", "is not the dataset that gan.keras was trained with"),
        ("no encoder", "--encoder vgg_gpa: is no file, and none of vgg_gap, "),
        ("a CycleGAN as encoder", "holds no classifier"),
        ("an encoder of another size", "takes images of (9, 9, 1)"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(case, reason, small, tmp_path, capsys):
    arguments, _ = small
    generator, encoder_path = arguments[1], arguments[-1]
    if case == "no generator":
        arguments += ["--generator", "nowhere.keras"]
    elif case == "not a CycleGAN":
        arguments += ["--generator", encoder_path]
    elif case == "another source":
        other = write_xrays(tmp_path / "others")[1]
        arguments += ["--source", str(other.folder)]
    elif case == "no encoder":
        arguments += ["--encoder", "vgg_gpa"]
    elif case == "a CycleGAN as encoder":
        arguments += ["--encoder", generator]
    else:
        path = tmp_path / "other.keras"
        keras.Sequential([keras.Input((9, 9, 1)), keras.layers.Flatten()]).save(path)
        arguments += ["--encoder", str(path)]
    assert main(arguments) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ")
    assert reason in message
    assert not (tmp_path / "release").exists()
