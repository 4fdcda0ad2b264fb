"""Small files in the official layouts, made by code, and one thread per test process."""

import dataclasses
import os
import zipfile
from pathlib import Path

# Test processes run in parallel; more threads would only get in each other's way.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from melanet.data import DatasetInfo, write_dataset, xray_phantom
from melanet.data import phantom as dermoscopy_phantom
from sharpunet.data import phantom


def logged_values(folder):
    """Values that are logged for TensorBoard: by tag, then by epoch."""
    import tensorflow as tf

    values = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                logged = values.setdefault(value.tag, {})
                logged[event.step] = float(tf.make_ndarray(value.tensor))
    return values


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
    """The phantom of segmentation: a dataset of ten images of 32 pixels."""
    info = DatasetInfo("phantom", "Phantom", image_size=(32, 32), channels=1)
    return write_dataset(tmp_path / "phantom", info, phantom.read(count=10, size=32))


@pytest.fixture
def dermoscopy(tmp_path):
    """The phantom of dermoscopy: 20 training and 5 test images of 32 pixels, a fifth malignant."""
    return write_dermoscopy(tmp_path / "dermoscopy")


def write_dermoscopy(folder: Path):
    info = DatasetInfo(
        "phantom", "Phantom", image_size=(32, 32), channels=3, labels=dermoscopy_phantom.LABELS
    )
    samples = dermoscopy_phantom.read(train=20, test=5, size=32)
    return write_dataset(folder / "phantom", info, samples)


@pytest.fixture
def lesions(tmp_path):
    """The phantom of four lesions: 40 training and 20 test images of 32 pixels."""
    info = dataclasses.replace(dermoscopy_phantom.LESIONS_BUILDER.info, image_size=(32, 32))
    samples = dermoscopy_phantom.read_lesions(train=40, test=20, size=32)
    return write_dataset(tmp_path / "lesions" / info.name, info, samples)


def write_xrays(folder: Path, positives: int = 10):
    """Both phantoms of chest X-rays: 30 negatives and some positives of 32 pixels each."""
    datasets = []
    for builder in xray_phantom.BUILDERS:
        info = dataclasses.replace(builder.info, image_size=(32, 32))
        samples = builder.read(negatives=30, positives=positives, size=32)
        datasets.append(write_dataset(folder / info.name, info, samples))
    return datasets


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
    """`stage1_train.zip`: an image and two nucleus masks per id; `extra` holds (name, bytes)."""
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


@pytest.fixture
def isic2018(tmp_path):
    """The two folders of ISIC-2018 with three images and the texts beside them."""
    folder = tmp_path / "isic2018"
    images = folder / "ISIC2018_Task1-2_Training_Input"
    masks = folder / "ISIC2018_Task1_Training_GroundTruth"
    for index in range(3):
        save_png(images / f"ISIC_000000{index}.jpg", np.full((40, 48, 3), 80 * index))
        save_png(masks / f"ISIC_000000{index}_segmentation.png", square_mask())
    for part in (images, masks):
        (part / "LICENSE.txt").write_text("CC BY-NC")
        (part / "ATTRIBUTION.txt").write_text("ISIC")
    return folder


@pytest.fixture
def cvc_clinicdb(tmp_path):
    """CVC-ClinicDB as published: frames around the border between its first two videos."""
    return write_cvc_clinicdb(tmp_path / "cvc_clinicdb", [1, 25, 26, 612])


def write_cvc_clinicdb(folder: Path, frames, part="", suffix=".tif", mask=None):
    mask = square_mask() if mask is None else mask
    for frame in frames:
        image = np.full((40, 48, 3), frame % 256)
        save_png(folder / part / "Original" / f"{frame}{suffix}", image)
        save_png(folder / part / "Ground Truth" / f"{frame}{suffix}", mask)
    return folder


def save_nifti(path: Path, array) -> Path:
    """A volume whose axes lead to the patient's left, back and head, as a CT scanner's do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(array), np.diag([-1.0, -1, 1, 1])), path)
    return path


@pytest.fixture
def covid_ct(tmp_path):
    """The two volumes of COVID-19 CT Segmentation: four slices, whose axes are (x, y, slice)."""
    folder = tmp_path / "covid_ct"
    volume = np.full((24, 24, 4), -1200, "float32")
    volume[:, 1, :], volume[:, 2, :], volume[:, 3, :] = -300, 400, 900
    volume[5, 0, 2] = 0
    labels = np.zeros((24, 24, 4), "float32")
    labels[4:8, 10, 1], labels[4:8, 11, 1], labels[4:8, 12, 1] = 1, 2, 3
    save_nifti(folder / "tr_im.nii.gz", volume)
    save_nifti(folder / "tr_mask.nii.gz", labels)
    return folder


@pytest.fixture
def lung(tmp_path):
    """Lung Segmentation: three single slices in Hounsfield units, one volume of five."""
    return write_lung(tmp_path / "lung")


def write_lung(folder: Path) -> Path:
    for name in ("2d_images", "2d_masks"):
        (folder / name).mkdir(parents=True)
    for name in ("ID_0000_Z_0142", "ID_0002_Z_0080", "ID_0007_Z_0080"):
        page = np.full((24, 24), -1000, "int32")
        page[0, :4] = [-512, 0, 512, 3000]
        tifffile.imwrite(folder / "2d_images" / f"{name}.tif", page)
        tifffile.imwrite(folder / "2d_masks" / f"{name}.tif", square_mask(24, 24))
    volume = np.full((5, 24, 24), -1000, "int16")
    volume[3, 0, 1] = 512
    masks = np.zeros((5, 24, 24), "uint8")
    masks[3, 4:9, 4:20] = 255
    save_nifti(folder / "3d_images/IMG_0002.nii.gz", volume)
    save_nifti(folder / "3d_images/MASK_0002.nii.gz", masks)
    return folder
