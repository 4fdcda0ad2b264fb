"""Small data in the official layouts, made by code; and one thread a test process."""

import os
import zipfile
from pathlib import Path

# Test processes run beside each other: more threads than that only get in each other's way.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import tifffile
from PIL import Image

import melanet.data.phantom
import melanet.data.prepared
from sharpunet.data import phantom
from sharpunet.data.prepared import Description, write_prepared


def pytest_addoption(parser):
    parser.addoption("--data", help="folder with official downloads, for tests on real images")


@pytest.fixture
def real_data(request) -> Path:
    """The folder given with --data."""
    folder = request.config.getoption("--data")
    if not folder:
        pytest.skip("no real images: give their folder with --data")
    if not Path(folder).is_dir():
        pytest.skip(f"no real images: {folder} is not there")
    return Path(folder)


def save_png(path: Path, array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, "uint8")).save(path)
    return path


def square_mask(height=40, width=48, value=255):
    mask = np.zeros((height, width), "uint8")
    mask[10:25, 12:30] = value
    return mask


@pytest.fixture
def small_phantom(tmp_path):
    """A prepared phantom of ten 32-pixel images."""
    description = Description("phantom", "Phantom", image_size=(32, 32), channels=1)
    return write_prepared(tmp_path / "phantom", description, phantom.read(count=10, size=32))


@pytest.fixture
def dermoscopy(tmp_path):
    """A prepared phantom of 20 training and 5 test images of 32 pixels, a fifth malignant."""
    return write_dermoscopy(tmp_path / "dermoscopy")


def write_dermoscopy(folder: Path):
    description = melanet.data.prepared.Description(
        "phantom", "Phantom", image_size=(32, 32), channels=3, labels=melanet.data.phantom.LABELS
    )
    items = melanet.data.phantom.read(train=20, test=5, size=32)
    return melanet.data.prepared.write_prepared(folder / "phantom", description, items)


@pytest.fixture
def own_images(tmp_path):
    """A folder with `images` and `masks`, three of each."""
    random = np.random.default_rng(0)
    for index in range(3):
        image = random.integers(0, 256, (40, 48, 3))
        save_png(tmp_path / "own/images" / f"case-{index}.png", image)
        save_png(tmp_path / "own/masks" / f"case-{index}.png", square_mask())
    return tmp_path / "own"


@pytest.fixture
def isbi2012(tmp_path):
    """The two TIFF stacks of ISBI-2012, twelve slices of 64 x 64."""
    return write_isbi2012(tmp_path / "isbi2012")


def write_isbi2012(folder: Path) -> Path:
    random = np.random.default_rng(0)
    folder.mkdir()
    volume = random.integers(0, 256, (12, 64, 64)).astype("uint8")
    tifffile.imwrite(folder / "train-volume.tif", volume)
    labels = np.stack([square_mask(64, 64)] * 12)
    tifffile.imwrite(folder / "train-labels.tif", labels)
    return folder


@pytest.fixture
def dsb2018(tmp_path):
    """The zip of the 2018 Data Science Bowl: three images, two nuclei each, RGBA images."""
    folder = tmp_path / "dsb2018"
    write_dsb2018(folder, {f"{index:064x}": (40, 48) for index in range(3)})
    return folder


def write_dsb2018(folder: Path, sizes, extra=()):
    """`stage1_train.zip` with an image and two nucleus masks an id; `extra` holds (name, bytes)."""
    folder.mkdir(parents=True, exist_ok=True)
    loose = folder.parent / "loose.png"
    with zipfile.ZipFile(folder / "stage1_train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for id, (height, width) in sizes.items():
            image = np.random.default_rng(1).integers(0, 256, (height, width, 4))
            archive.write(save_png(loose, image), f"{id}/images/{id}.png")
            for nucleus in range(2):
                mask = np.zeros((height, width))
                mask[5 + 15 * nucleus : 15 + 15 * nucleus, 10:20] = 255
                archive.write(save_png(loose, mask), f"{id}/masks/{nucleus}.png")
        for name, content in extra:
            archive.writestr(name, content)
    loose.unlink(missing_ok=True)
