"""Bad input for every loader and command in one table, and unusual but good input.

Bad input ends with code 2 and one line that names the file or flag, and writes nothing.
"""

import dataclasses
import gzip
import json
import os
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import nibabel
import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

import melanet.data
import melanet.data.__main__
import sharpunet.data.__main__
from experiments import (
    figure_3_9,
    kernel_ablation,
    synthetic_dataset,
    table_2_1,
    table_2_2,
    table_3_1,
    table_3_2,
)
from experiments.common.table import run_table
from melanet.cyclegan import build_cyclegan
from melanet.data.copies import COPIES_FILE
from melanet.data.dataset import VERIFIED_FILE
from tests.conftest import (
    save_nifti,
    save_png,
    square_mask,
    write_cvc_clinicdb,
    write_dsb2018,
    write_xrays,
)
from tests.experiments.test_synthetic_dataset import DOMAINS, encoder, saved
from tests.melanet.conftest import gradient, isic2016, write_dicom, xrays  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore:.*images found:UserWarning")

SHARP, MELA = sharpunet.data.__main__.main, melanet.data.__main__.main
PREPARE = {
    "own_images": (SHARP, "mine"),
    **{
        name: (SHARP, name)
        for name in ("isbi2012", "dsb2018", "isic2018", "cvc_clinicdb", "covid_ct", "lung")
    },
    "isic2016": (MELA, "isic2016"),
    "xrays": (MELA, "normal_covid19"),
}
#: By command: what runs it, and its arguments; `{made}` is the folder that the fixture made.
SEGMENTATION = ["--data", "{made}/..", "--datasets", "phantom", "--out", "{tmp}/out",
                "--image-size", "16", "16", "--folds", "2", "--repeats", "1", "--epochs", "1",
                "--models", "unet", "--weights", "none"]  # fmt: skip
CLASSIFICATION = ["--out", "{tmp}/out", "--weights", "none", "--epochs", "1", "--gan-epochs", "1"]
COMMANDS: dict[str, tuple[Callable, list[str]]] = {
    **{
        made: (main, [name, "--download", "{made}", "--prepared", "{tmp}/prepared"])
        for made, (main, name) in PREPARE.items()
    },
    "table_3_1": (partial(run_table, table_3_1.TABLE), SEGMENTATION),
    "table_3_2": (partial(run_table, table_3_2.TABLE), SEGMENTATION),
    "kernel_ablation": (partial(run_table, kernel_ablation.TABLE), SEGMENTATION),
    "figure_3_9": (
        figure_3_9.main,
        ["--data", "{made}/..", "--dataset", "phantom", "--out", "{tmp}/out", "--image-size", "16",
         "16", "--folds", "2", "--models", "unet"],
    ),
    "table_2_1": (
        partial(run_table, table_2_1.TABLE),
        ["--data", "{made}/..", "--dataset", "phantom", *CLASSIFICATION],
    ),
    "table_2_2": (
        partial(run_table, table_2_2.TABLE),
        ["--data", "{made}", "--datasets", "phantom_normal", "phantom_pneumonia", *CLASSIFICATION],
    ),
    "synthetic_dataset": (
        synthetic_dataset.main,
        ["--generator", "{made}/gan.keras", "--source", "{made}/phantom_normal",
         "--encoder", "{made}/encoder.keras", "--out", "{tmp}/release"],
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Bad:
    """Bad input.

    Attributes:
        made: Name of the fixture that makes good input.
        spoil: Spoils its folder.
        parts: Parts of the message.
        command: A name in `COMMANDS`; that of the fixture if empty.
        words: Further arguments of the command.
    """

    made: str
    spoil: Callable[[Path], object]
    parts: tuple[str, ...]
    command: str = ""
    words: tuple[str, ...] = ()


def cut(name, keep):
    def spoil(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return spoil


def rewrite(name, old, new):
    def spoil(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return spoil


def write(name, content):
    def spoil(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return spoil


def image(array_or_mode, name="images/case-1.png", **how):
    """Replaces the image `name`."""

    def spoil(folder):
        if isinstance(array_or_mode, str):
            Image.new(array_or_mode, (48, 40)).save(folder / name, **how)
        else:
            Image.fromarray(array_or_mode).save(folder / name, **how)

    return spoil


def rename(name, new):
    return lambda folder: (folder / name).rename(folder / new)


def rename_case(new):
    """Renames the image `case-1` and its mask."""

    def spoil(folder):
        for kind in ("images", "masks"):
            (folder / kind / "case-1.png").rename(folder / kind / f"{new}.png")

    return spoil


def link(name, target):
    def spoil(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return spoil


def both(*spoilers):
    return lambda folder: [spoil(folder) for spoil in spoilers]


def edit_json(name, /, **fields):
    def spoil(folder):
        known = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**known, **fields}))

    return spoil


def edit_metadata(column, value, row=1):
    def spoil(folder):
        table = pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)
        table.loc[row, column] = value
        table.to_csv(folder / "metadata.csv", index=False)

    return spoil


def nothing(folder):
    return None


def huge_png(folder):
    """20,000 x 20,000 pixels in 50 kB."""
    Image.new("1", (20_000, 20_000)).save(folder / "images/case-1.png")


def huge_header(folder):
    """A NIfTI file of 1 kB whose header says 32,767 ** 3 voxels."""
    path = folder / "tr_im.nii.gz"
    header = nibabel.Nifti1Header()
    header.set_data_shape((32767, 32767, 32767))
    header["magic"], header["vox_offset"] = b"n+1", 352
    path.write_bytes(gzip.compress(header.binaryblock + bytes(1000)))


def huge_page(folder):
    """A TIFF file whose header says 60,000 x 60,000 pixels."""
    path = folder / "2d_images/ID_0007_Z_0080.tif"
    with tifffile.TiffFile(path) as file:
        tags = [file.pages[0].tags[tag] for tag in ("ImageWidth", "ImageLength", "RowsPerStrip")]
        places = [(tag.valueoffset, tag.valuebytecount) for tag in tags]
    content = bytearray(path.read_bytes())
    for place, size in places:
        content[place : place + size] = (60_000).to_bytes(size, "little")
    path.write_bytes(content)


def frames(name, **how):
    def spoil(folder):
        pages = [Image.new("RGB", (48, 40), colour) for colour in ("red", "green", "blue")]
        pages[0].save(folder / name, save_all=True, append_images=pages[1:], **how)

    return spoil


def ragged(name):
    def spoil(folder):
        with tifffile.TiffWriter(folder / name) as stack:
            for index in range(12):
                stack.write(square_mask(64, 64 - index), contiguous=False)

    return spoil


def zipped(name, content=b"", **attributes):
    """Adds an entry to the zip of the Data Science Bowl."""

    def spoil(folder):
        entry = zipfile.ZipInfo(name)
        for attribute, value in attributes.items():
            setattr(entry, attribute, value)
        with zipfile.ZipFile(folder / "stage1_train.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)

    return spoil


def lambda_model(name):
    def spoil(folder):
        layers = [keras.Input((32, 32, 1)), keras.layers.Lambda(lambda x: print("executed") or x)]
        keras.Sequential(layers).save(folder / name)

    return spoil


def other_model(name):
    def spoil(folder):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        (folder / name).parent.mkdir(exist_ok=True)
        (model.save_weights if name.endswith(".weights.h5") else model.save)(folder / name)

    return spoil


def zip_of(name, **entries):
    def spoil(folder):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)

    return spoil


TRAIN = "ISBI2016_ISIC_Part3_Training"
LABELS = f"{TRAIN}_GroundTruth.csv"
ISIC_IMAGES = "ISIC2018_Task1-2_Training_Input"
METADATA = "covid-chestxray-dataset/metadata.csv"
XRAY = "covid-chestxray-dataset/images/three.png"
CLASSES = "rsna-pneumonia-detection-challenge/stage_2_detailed_class_info.csv"
DICOM = "rsna-pneumonia-detection-challenge/stage_2_train_images/aaaa-2.dcm"
NIH = "rsna-pneumonia-detection-challenge/nih_source.csv"
VOLUME = np.random.default_rng(0).integers(-1000, 1000, (24, 24, 4)).astype("int16")


def dicom(**attributes):
    return lambda folder: write_dicom(folder / DICOM, gradient(), **attributes)


#: A file of every format in every layout; each is emptied and cut in half.
CUT = [
    ("own_images", "images/case-1.png"), ("own_images", "masks/case-1.png"),
    ("isbi2012", "train-volume.tif"), ("isbi2012", "train-labels.tif"),
    ("dsb2018", "stage1_train.zip"), ("isic2018", f"{ISIC_IMAGES}/ISIC_0000001.jpg"),
    ("cvc_clinicdb", "Original/25.tif"), ("cvc_clinicdb", "Ground Truth/25.tif"),
    ("covid_ct", "tr_im.nii.gz"), ("covid_ct", "tr_mask.nii.gz"),
    ("lung", "2d_images/ID_0007_Z_0080.tif"), ("lung", "2d_masks/ID_0007_Z_0080.tif"),
    ("lung", "3d_images/IMG_0002.nii.gz"), ("lung", "3d_images/MASK_0002.nii.gz"),
    ("isic2016", f"{TRAIN}_Data/ISIC_1.jpg"), ("isic2016", LABELS),
    ("xrays", METADATA), ("xrays", CLASSES), ("xrays", DICOM), ("xrays", XRAY),
]  # fmt: skip
#: The same for files that commands read later: the fixture, its file, and the command.
CUT_LATER = [
    ("small_phantom", "dataset.json", "table_3_1"), ("small_phantom", "metadata.csv", "table_3_2"),
    ("small_phantom", "images/phantom-001.png", "kernel_ablation"),
    ("small_phantom", "masks/phantom-001.png", "figure_3_9"),
    ("dermoscopy", "dataset.json", "table_2_1"), ("dermoscopy", "metadata.csv", "table_2_1"),
    ("release", "phantom_pneumonia/dataset.json", "table_2_2"),
    ("release", "phantom_normal/metadata.csv", "table_2_2"),
    ("release", "gan.keras", "synthetic_dataset"), ("release", "gan.json", "synthetic_dataset"),
    ("release", "encoder.keras", "synthetic_dataset"),
    ("release", "phantom_normal/dataset.json", "synthetic_dataset"),
]  # fmt: skip
BAD = {
    **{
        f"{'half' if keep else 'nothing'} of {made}'s {name}": Bad(
            made, cut(name, keep), (Path(name).stem.split(".")[0],)
        )
        for made, name in CUT
        for keep in (0, 0.5)
        if not (name == METADATA and keep)  # its first half is a good table of fewer images
    },
    **{
        f"{'half' if keep else 'nothing'} of {name} for {command}": Bad(
            made, cut(name, keep), (Path(name).name,), command
        )
        for made, name, command in CUT_LATER
        for keep in (0, 0.5)
    },
    # Names
    "a PNG that is a program for a printer": Bad(
        "own_images", image("RGB", format="EPS"), ("case-1.png", "cannot be read as an image"),
    ),
    "a PNG that is a web page": Bad(
        "own_images", write("images/case-1.png", b"<html>"), ("case-1.png", "get it anew"),
    ),
    "a PNG that is a folder": Bad(
        "own_images",
        lambda f: [(f / "images/case-1.png").unlink(), (f / "images/case-1.png").mkdir()],
        ("case-1.png", "is a folder"),
    ),
    "a suffix that is not read": Bad(
        "own_images", rename("images/case-1.png", "images/case-1.webp"), ("case-1.webp", "convert"),
    ),
    "a name with a line end": Bad("own_images", rename_case("a\nb"), (r"images/a\nb.png",)),
    "a name with an escape": Bad("own_images", rename_case("a\33[2Jb"), (r"a\x1b[2Jb.png",)),
    "a name that is not Unicode": Bad(
        "own_images", rename_case(os.fsdecode(b"\xe9t\xe9")), (r"images/\udce9t\udce9.png",),
    ),
    "a name too long for an id": Bad("own_images", rename_case("x" * 240), ("xxx.png", "200 at")),
    "names that differ by case": Bad(
        "own_images",
        lambda f: [shutil.copy(f / k / "case-1.png", f / k / "CASE-1.png")
                   for k in ("images", "masks")],
        ("images/case-1.png", "ignoring case"),
    ),
    "a mask whose name differs by case": Bad(
        "own_images", rename("masks/case-1.png", "masks/Case-1.png"),
        ("images/case-1.png", "Case-1.png"),
    ),
    "suffixes that differ by case": Bad(
        "own_images", lambda f: shutil.copy(f / "images/case-1.png", f / "images/case-1.PNG"),
        ("case-1.png", "same name"),
    ),
    "a broken link": Bad(
        "own_images", link("images/case-1.png", "nowhere.png"), ("case-1.png", "is missing; mend"),
    ),
    "a link to itself": Bad("own_images", link("images/case-1.png", "case-1.png"), ("case-1.png",)),
    "a broken link to a volume": Bad(
        "covid_ct", link("tr_im.nii.gz", "nowhere"), ("tr_im.nii.gz", "http"),
    ),
    "a broken link to DICOM": Bad("xrays", link(DICOM, "nowhere"), ("aaaa-2.dcm",)),
    "a path too long": Bad(
        "own_images", nothing, ("too long",), words=("--prepared", "{tmp}/" + "x" * 300),
    ),
    "a download that is a file": Bad(
        "own_images", nothing, ("case-1.png",), words=("--download", "{made}/images/case-1.png"),
    ),
    "a dataset folder that is a file": Bad(
        "own_images", write("../prepared", b"mine"), ("prepared", "choose another"),
    ),
    "a dataset folder below a file": Bad(
        "own_images", write("../file", b"mine"), ("file", "is a file, not a folder"),
        words=("--prepared", "{tmp}/file/prepared"),
    ),
    # Images
    "animated PNG": Bad("own_images", frames("images/case-1.png"), ("case-1.png", "3 frames")),
    "animated GIF": Bad(
        "own_images", frames("images/case-1.png", format="GIF"), ("case-1.png", "3 frames"),
    ),
    "TIFF with pages": Bad("cvc_clinicdb", frames("Original/25.tif"), ("25.tif", "3 frames")),
    "an image of 16 bits": Bad(
        "cvc_clinicdb", image(np.zeros((40, 48), "uint16"), "Original/25.tif"), ("25.tif", "8-bit"),
    ),
    "16 bits under the name of a JPEG": Bad(
        "isic2016", image(np.zeros((40, 48), "uint16"), f"{TRAIN}_Data/ISIC_1.jpg", format="PNG"),
        ("ISIC_1.jpg", "8-bit"),
    ),
    "an X-ray of 16 bits": Bad(
        "xrays", image(np.zeros((40, 48), "uint16"), XRAY), ("three.png", "8-bit"),
    ),
    "pixels with fractions": Bad(
        "cvc_clinicdb", image(np.zeros((40, 48), "float32"), "Original/25.tif"),
        ("25.tif", "8-bit"),
    ),
    "an image of one pixel": Bad(
        "isic2016", image(np.zeros((1, 1), "uint8"), f"{TRAIN}_Data/ISIC_1.jpg"),
        ("ISIC_1.jpg", "1x1 is too small"),
    ),
    "an X-ray of one pixel": Bad(
        "xrays", dicom(Rows=1, Columns=1, PixelData=b"\0\0"), ("aaaa-2.dcm", "too small"),
    ),
    "an image that is long and thin": Bad(
        "own_images", image(np.zeros((8, 200), "uint8")), ("case-1.png", "200x8 is too long"),
    ),
    "a decompression bomb": Bad("own_images", huge_png, ("case-1.png", "89,478,485 pixels")),
    "a bomb in a NIfTI header": Bad("covid_ct", huge_header, ("tr_im.nii.gz", "voxels")),
    "a bomb in a TIFF header": Bad("lung", huge_page, ("ID_0007_Z_0080.tif", "pixels")),
    # Masks
    "an image without a mask": Bad(
        "own_images", lambda f: (f / "masks/case-1.png").unlink(),
        ("images/case-1.png", "has no mask"),
    ),
    "a mask without an image": Bad(
        "own_images", lambda f: (f / "images/case-1.png").unlink(),
        ("masks/case-1.png", "has no image"),
    ),
    "a mask of another size": Bad(
        "own_images", image(square_mask(48, 40), "masks/case-1.png"),
        ("masks/case-1.png", "differs", "images/case-1.png"),
    ),
    "a mask with soft edges": Bad(
        "own_images", image(square_mask() // 2 + square_mask(value=100), "masks/case-1.png"),
        ("masks/case-1.png", "not binary"),
    ),
    "a mask that outlines nothing": Bad(
        "own_images", image(square_mask(value=0) + 255, "masks/case-1.png"),
        ("masks/case-1.png", "nothing is outlined"),
    ),
    "a mask in colour": Bad(
        "own_images",
        image(np.eye(40, 48, dtype="uint8")[..., None] * np.uint8([255, 0, 0]), "masks/case-1.png"),
        ("masks/case-1.png", "in colour"),
    ),
    "a mask of a class too many": Bad(
        "covid_ct", lambda f: save_nifti(f / "tr_mask.nii.gz", np.full((24, 24, 4), 4, "uint8")),
        ("tr_mask.nii.gz", "class 4"),
    ),
    # Archives
    "a zip that climbs out": Bad("dsb2018", zipped("../a/images/a.png"), ("leaves the folder",)),
    "a zip that climbs out with \\": Bad(
        "dsb2018", zipped("a\\..\\..\\b.png"), ("stage1_train.zip", "leaves the folder"),
    ),
    "a zip that is absolute": Bad("dsb2018", zipped("/a/images/a.png"), ("leaves the folder",)),
    "a zip of drives": Bad("dsb2018", zipped("C:/a/images/a.png"), ("leaves the folder",)),
    "a zip with a link": Bad(
        "dsb2018", zipped("a/images/a.png", b"/etc/passwd", external_attr=0o120777 << 16),
        ("stage1_train.zip", "a/images/a.png", "is a link"),
    ),
    "a zip with a bomb": Bad(
        "dsb2018", zipped("a/images/a.png", bytes(65 << 20)), ("a/images/a.png", "too large"),
    ),
    "a zip with ids that differ by case": Bad(
        "dsb2018",
        lambda f: write_dsb2018(f, {"a": (40, 48), "A": (40, 48)}), ("images/a.png", "ignoring"),
    ),
    "a zip without images": Bad("dsb2018", zip_of("stage1_train.zip", x="x"), ("no image was",)),
    "a downloaded zip that is empty": Bad(
        "isic2018",
        both(lambda f: shutil.rmtree(f / ISIC_IMAGES), write(f"{ISIC_IMAGES}.zip", b""),
             write(".downloading", b"")),
        (f"{ISIC_IMAGES}.zip", "remove it"),
    ),
    "a downloaded zip that climbs out": Bad(
        "isic2018",
        both(lambda f: shutil.rmtree(f / ISIC_IMAGES),
             zip_of(f"{ISIC_IMAGES}.zip", **{"../x": ""}), write(".downloading", b"")),
        (f"{ISIC_IMAGES}.zip", "remove it"),
    ),
    # TIFF stacks, volumes, DICOM
    "ragged pages": Bad("isbi2012", ragged("train-volume.tif"), ("train-labels.tif", "differs")),
    "a stack in colour": Bad(
        "isbi2012", lambda f: tifffile.imwrite(
            f / "train-volume.tif", np.zeros((12, 64, 64, 3), "uint8"), photometric="rgb"),
        ("train-volume.tif", "grey"),
    ),
    "a stack of 16 bits": Bad(
        "isbi2012",
        lambda f: tifffile.imwrite(f / "train-volume.tif", np.zeros((12, 64, 64), "uint16")),
        ("train-volume.tif", "8-bit"),
    ),
    "a slice of NaN": Bad(
        "lung",
        lambda f: tifffile.imwrite(
            f / "2d_images/ID_0007_Z_0080.tif", np.full((24, 24), np.nan, "float32")),
        ("ID_0007_Z_0080.tif", "finite"),
    ),
    "a volume of two dimensions": Bad(
        "covid_ct", lambda f: save_nifti(f / "tr_im.nii.gz", VOLUME[:, :, 0]),
        ("tr_im.nii.gz", "three dimensions"),
    ),
    "a volume of four dimensions": Bad(
        "covid_ct", lambda f: save_nifti(f / "tr_im.nii.gz", VOLUME[..., None, None]),
        ("tr_im.nii.gz", "three dimensions"),
    ),
    "an empty volume": Bad(
        "covid_ct", lambda f: save_nifti(f / "tr_im.nii.gz", VOLUME[:0, :0]), ("tr_im.nii.gz",),
    ),
    "a volume of complex numbers": Bad(
        "covid_ct", lambda f: save_nifti(f / "tr_im.nii.gz", VOLUME.astype("complex64")),
        ("tr_im.nii.gz",),
    ),
    "a volume in a plain file": Bad(
        "covid_ct",
        lambda f: nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4)), f / "x.nii")
        or (f / "x.nii").rename(f / "tr_im.nii.gz"),
        ("tr_im.nii.gz", "cannot be read as NIfTI"),
    ),
    "DICOM without pixels": Bad("xrays", dicom(PixelData=None), ("aaaa-2.dcm", "holds no pixels")),
    "DICOM with frames": Bad("xrays", dicom(NumberOfFrames=2), ("aaaa-2.dcm", "2 frames")),
    "DICOM in colour": Bad(
        "xrays", dicom(PhotometricInterpretation="RGB", SamplesPerPixel=3),
        ("aaaa-2.dcm", "colour"),
    ),
    "DICOM of impossible size": Bad(
        "xrays", dicom(Rows=65535, Columns=65535), ("aaaa-2.dcm", "pixels"),
    ),
    "a PNG under the name of DICOM": Bad(
        "xrays", image("L", DICOM, format="PNG"), ("aaaa-2.dcm", "as DICOM"),
    ),
    # Tables
    "a label that is NaN": Bad("isic2016", rewrite(LABELS, "malignant", "NaN"), ("'NaN'",)),
    "a label that is missing": Bad("isic2016", rewrite(LABELS, "malignant", ""), ("line 3", "''")),
    "an id twice": Bad("isic2016", rewrite(LABELS, "ISIC_1", "ISIC_0"), ("line 2", "twice")),
    "an unknown id": Bad("isic2016", rewrite(LABELS, "ISIC_1", "ISIC_9"), (LABELS, "ISIC_9")),
    "an id of another case": Bad("isic2016", rewrite(LABELS, "ISIC_1", "isic_1"), ("isic_1",)),
    "a table with one column": Bad("isic2016", rewrite(LABELS, ",", ";"), (LABELS, "columns")),
    "a table in UTF-16": Bad(
        "isic2016", lambda f: (f / LABELS).write_text((f / LABELS).read_text(), "utf-16"),
        (LABELS,),
    ),
    "a table with zero bytes": Bad("isic2016", rewrite(LABELS, "ISIC_1", "ISIC\0"), (LABELS,)),
    "a missing column": Bad("xrays", rewrite(METADATA, "finding", "x"), ("line 1", "'finding'")),
    "a column in capitals": Bad("xrays", rewrite(CLASSES, "class", "Class"), ("line 1", "'class'")),
    "a class that is NaN": Bad(
        "xrays", rewrite(CLASSES, "aaaa-2,Normal", "aaaa-2,nan"), ("line 3", "'nan'"),
    ),
    "an X-ray twice": Bad(
        "xrays", rewrite(METADATA, "three.png", "one.png"),
        ("metadata.csv: line 6:", "one.png again, after line 2"),
    ),
    "an X-ray that is missing": Bad(
        "xrays", rewrite(METADATA, "three.png", "four.png"),
        ("metadata.csv: line 6:", "images/four.png is not"),
    ),
    "an X-ray that climbs out": Bad(
        "xrays", rewrite(METADATA, "three.png", "../images/three.png"), ("not a file name",),
    ),
    "a DICOM id that climbs out": Bad(
        "xrays", rewrite(CLASSES, "aaaa-2", "../stage_2_train_images/aaaa-2"), ("rename",),
    ),
    "a patient that is NaN": Bad(
        "xrays", write(NIH, b"patientId,nih_image\naaaa-1,nan\n"), ("nih_source.csv", "'nan'"),
    ),
    # Datasets
    "metadata with a path that climbs out": Bad(
        "small_phantom", edit_metadata("file_name", "../../etc/passwd"),
        ("metadata.csv", "outside"), "table_3_1",
    ),
    "metadata with an absolute path": Bad(
        "small_phantom", edit_metadata("mask_file_name", "/etc/passwd"),
        ("metadata.csv", "outside"), "kernel_ablation",
    ),
    "metadata with an invalid id": Bad(
        "small_phantom", edit_metadata("file_name", "images/a b.png"), ("metadata.csv", "'a b'"),
        "table_3_1",
    ),
    "metadata with an unknown label": Bad(
        "dermoscopy", edit_metadata("label", "nan"), ("metadata.csv", "'nan'"), "table_2_1",
    ),
    "metadata with an unknown split": Bad(
        "dermoscopy", edit_metadata("split", "tset"), ("metadata.csv", "'tset'"), "table_2_1",
    ),
    "metadata with an unknown source": Bad(
        "small_phantom", edit_metadata("source", "?"), ("metadata.csv", "'?'"), "table_3_2",
    ),
    "metadata with an id twice": Bad(
        "small_phantom", edit_metadata("file_name", "images/phantom-000.png"),
        ("metadata.csv", "twice"), "table_3_1",
    ),
    "a dataset.json of impossible size": Bad(
        "small_phantom", edit_json("dataset.json", image_size=[10**9, 10**9]), ("8192",),
        "table_3_1",
    ),
    "a dataset.json of two channels": Bad(
        "dermoscopy", edit_json("dataset.json", channels=2), ("dataset.json", "channels"),
        "table_2_1",
    ),
    "a dataset.json whose channels are true": Bad(
        "small_phantom", edit_json("dataset.json", channels=True), ("channels",), "figure_3_9",
    ),
    "a dataset.json of too many classes": Bad(
        "small_phantom", edit_json("dataset.json", classes=10**9), ("classes", "256"), "table_3_1",
    ),
    "a dataset.json of the same label twice": Bad(
        "dermoscopy", edit_json("dataset.json", labels=["benign", "benign"]), ("labels",),
        "table_2_1",
    ),
    "a dataset.json without a name": Bad(
        "small_phantom", edit_json("dataset.json", name=None), ("dataset.json", "text"),
        "table_3_1",
    ),
    "a dataset.json nested too deeply": Bad(
        "small_phantom", write("dataset.json", b"[" * 100_000), ("dataset.json",), "table_3_1",
    ),
    "a dataset of another name": Bad(
        "small_phantom", edit_json("dataset.json", name="other"), ("'other'", "rename the folder"),
        "table_3_1",
    ),
    "an image of a dataset that is a JPEG": Bad(
        "small_phantom", image("L", "images/phantom-001.png", format="JPEG"), ("phantom-001.png",),
        "table_3_1",
    ),
    "an image of a dataset that is gone": Bad(
        "dermoscopy", link("images/phantom-0001.png", "nowhere"), ("phantom-0001.png", "missing"),
        "table_2_1",
    ),
    "a dataset of an earlier version": Bad(
        "release", rename("phantom_normal/metadata.csv", "phantom_normal/manifest.csv"),
        ("phantom_normal", "earlier version"), "synthetic_dataset",
    ),
    "an image of a dataset that was changed": Bad(
        "small_phantom", image(np.zeros((32, 32), "uint8"), "images/phantom-001.png"),
        ("phantom-001.png", "was changed"), "table_3_1",
    ),
    "a mask of a dataset that was changed": Bad(
        "small_phantom", image(square_mask(32, 32), "masks/phantom-001.png"),
        ("phantom-001.png", "was changed"), "figure_3_9",
    ),
    "a dataset of masks where labels are needed": Bad(
        "small_phantom", nothing, ("phantom", "has 0 classes"), "table_2_1",
    ),
    # Flags
    "a negative number": Bad("small_phantom", nothing, ("--epochs", "-3"), "table_3_1",
                             ("--epochs", "-3")),
    "no epochs": Bad("dermoscopy", nothing, ("--epochs",), "table_2_1", ("--epochs", "0")),
    "a batch of no images": Bad("release", nothing, ("--batch-size",), "table_2_2",
                              ("--batch-size", "0")),
    "a batch too large for memory": Bad(
        "release", nothing, ("--batch-size", "not between"), "synthetic_dataset",
        ("--batch-size", "9" * 19),
    ),
    "a number of too many digits": Bad(
        "small_phantom", nothing, ("--folds",), "table_3_2", ("--folds", "9" * 5000)
    ),
    "too many repeats": Bad(
        "small_phantom", nothing, ("--repeats", "1000"), "table_3_1", ("--repeats", "1000000000"),
    ),
    "too many folds": Bad(
        "small_phantom", nothing, ("11 folds",), "kernel_ablation", ("--folds", "11"),
    ),
    "too many filters": Bad(
        "dermoscopy", nothing, ("--gan-filters",), "table_2_1", ("--gan-filters", "4", "1000000"),
    ),
    "a learning rate that is NaN": Bad(
        "dermoscopy", nothing, ("--gan-rates", "nan"), "table_2_1", ("--gan-rates", "nan", "1"),
    ),
    "an infinite weight": Bad(
        "dermoscopy", nothing, ("--identity-weight", "inf"), "table_2_1",
        ("--identity-weight", "inf"),
    ),
    "a negative seed": Bad("small_phantom", nothing, ("--seed",), "figure_3_9", ("--seed", "-1")),
    "images of zero size": Bad(
        "small_phantom", nothing, ("--image-size",), "table_3_1", ("--image-size", "0", "0"),
    ),
    "images of a size too large": Bad(
        "small_phantom", nothing, ("--image-size",), "table_3_2",
        ("--image-size", "16", "1000000000"),
    ),
    "images of an unsuitable size": Bad(
        "dermoscopy", nothing, ("--image-size 100 96", "multiples"), "table_2_1",
        ("--image-size", "100", "96"),
    ),
    "a class that does not exist": Bad(
        "small_phantom", nothing, ("--class-index 7",), "figure_3_9", ("--class-index", "7"),
    ),
    "no such model": Bad("release", nothing, ("--models", "vgg"), "table_2_2",
                         ("--models", "vgg")),
    "no such data": Bad("small_phantom", nothing, ("--data", "no such folder"), "kernel_ablation",
                        ("--data", "{tmp}/no")),
    "data that is a file": Bad(
        "small_phantom", nothing, ("--data", "metadata.csv"), "figure_3_9",
        ("--data", "{made}/metadata.csv"),
    ),
    "data that is a link to itself": Bad(
        "small_phantom", lambda f: (f / "../loop").symlink_to("loop"), ("--data", "loop"),
        "table_3_1", ("--data", "{tmp}/loop"),
    ),
    "data whose name is too long": Bad(
        "dermoscopy", nothing, ("too long",), "table_2_1", ("--data", "x" * 300),
    ),
    "an output that is a file": Bad(
        "small_phantom", write("../out", b"mine"), ("--out", "/out"), "table_3_1",
    ),
    "an output below a file": Bad(
        "dermoscopy", write("../file", b"mine"), ("--out", "file/out"), "table_2_1",
        ("--out", "{made}/../file/out"),
    ),
    "a release where something else is": Bad(
        "release", write("../release/thesis.doc", b"mine"), ("release", "choose another"),
        "synthetic_dataset",
    ),
    # Models
    "weights that are damaged": Bad(
        "dermoscopy", write("../a.weights.h5", b"x" * 99), ("--weights", "a.weights.h5"),
        "table_2_1", ("--weights", "{made}/../a.weights.h5"),
    ),
    "weights of another model": Bad(
        "dermoscopy", other_model("../a.weights.h5"), ("--weights", "a.weights.h5", "fit"),
        "table_2_1", ("--weights", "{made}/../a.weights.h5"),
    ),
    "weights that are missing": Bad(
        "release", nothing, ("--weights", "no.h5"), "table_2_2",
        ("--weights", "no.h5", "--models", "vgg_gap"),
    ),
    "segmentation weights that are damaged": Bad(
        "small_phantom", write("../w/unet.weights.h5", b"x" * 99), ("unet.weights.h5", "move it"),
        "figure_3_9", ("--weights-from", "{made}/../w"),
    ),
    "segmentation weights of another model": Bad(
        "small_phantom", other_model("../w/unet.weights.h5"), ("unet.weights.h5", "fit unet"),
        "figure_3_9", ("--weights-from", "{made}/../w"),
    ),
    "a generator that is text": Bad(
        "release", write("gan.keras", b"not one"), ("gan.keras", "not a .keras file"),
        "synthetic_dataset",
    ),
    "a generator that is another zip": Bad(
        "release", zip_of("gan.keras", x="y"), ("gan.keras", "cannot be loaded"),
        "synthetic_dataset",
    ),
    "a generator that holds a lambda": Bad(
        "release", lambda_model("gan.keras"), ("gan.keras", "Lambda"), "synthetic_dataset",
    ),
    "a generator that is another model": Bad(
        "release", other_model("gan.keras"), ("gan.keras", "not a CycleGAN"), "synthetic_dataset",
    ),
    "an encoder that holds a lambda": Bad(
        "release", lambda_model("encoder.keras"), ("encoder.keras", "Lambda"), "synthetic_dataset",
    ),
    "an encoder of other images": Bad(
        "release", other_model("encoder.keras"), ("--encoder", "(32, 32, 1)"), "synthetic_dataset",
    ),
    "a record without the source": Bad(
        "release", write("gan.json", b'{"key": "gan"}'), ("gan.json", "'set'"), "synthetic_dataset",
    ),
    "a record of unknown ids": Bad(
        "release", edit_json("gan.json", train=["x"]), ("phantom_normal", "'x'"),
        "synthetic_dataset",
    ),
    "a record nested too deeply": Bad(
        "release", write("gan.json", b"[" * 100_000), ("gan.json", "move it"), "synthetic_dataset",
    ),
    "a source of other classes": Bad(
        "release", nothing, ("--source", "pneumonia"), "synthetic_dataset",
        ("--source", "{made}/phantom_pneumonia"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole_release(tmp_path_factory):
    """Two datasets of X-rays, an untrained CycleGAN with its record, and an encoder."""
    folder = tmp_path_factory.mktemp("release")
    source = write_xrays(folder)[0]
    keras.utils.set_random_seed(0)
    model = build_cyclegan((32, 32, 1), DOMAINS, generator_filters=4, discriminator_filters=4)
    saved(model, folder, source, list(source.metadata["id"]))
    encoder(folder)
    return folder


@pytest.fixture
def release(whole_release, tmp_path):
    return Path(shutil.copytree(whole_release, tmp_path / "made"))


@pytest.fixture
def made(request, tmp_path):
    """Makes the input of a fixture, by its name; returns its folder."""

    def make(name):
        value = request.getfixturevalue(name)
        return Path(getattr(value, "folder", value))

    return make


#: What a dataset's folder may gain at any time.
CACHES = (VERIFIED_FILE, COPIES_FILE)


def everything_below(folder):
    """Every path below a folder, of files also size and time; caches do not count."""
    found = {}
    for path in folder.rglob("*"):
        if path.name not in CACHES:
            status = path.lstat()
            found[str(path)] = path.is_dir() or (status.st_size, status.st_mtime_ns)
    return found


def run(command, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return command(words)
        except SystemExit as stopped:  # argparse
            return stopped.code


def assert_refused(command, words, parts, folder, capsys):
    before = everything_below(folder)
    capsys.readouterr()
    assert run(command, words) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    errors = [line for line in lines if re.match(r"(python -m \S+: )?error: ", line)]
    assert len(errors) == 1, printed.err
    for part in parts:
        assert part in errors[0]
    assert lines[-1] == errors[0]
    assert "Traceback" not in printed.err
    assert "executed" not in printed.out
    assert everything_below(folder) == before


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(case, made, tmp_path, capsys, monkeypatch):
    bad = BAD[case]
    folder = made(bad.made)
    bad.spoil(folder)
    monkeypatch.chdir(tmp_path)
    command, words = COMMANDS[bad.command or bad.made]
    words = [word.format(made=folder, tmp=tmp_path) for word in [*words, *bad.words]]
    assert_refused(command, words, bad.parts, tmp_path, capsys)


@pytest.fixture
def unprivileged():
    """A folder of a user without privileges: the file system refuses root nothing."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in [folder, *folder.iterdir()]:
            path.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize("closed", ["", "images", "masks", "images/a.png", "masks/a.png"])
def test_an_error_names_what_may_not_be_read(closed, unprivileged, capsys):
    for kind in ("images", "masks"):
        save_png(unprivileged / "own" / kind / "a.png", square_mask())
    before = set(unprivileged.iterdir())
    (unprivileged / "own" / closed).chmod(0)
    words = ["mine", "--download", str(unprivileged / "own"), "--prepared",
             str(unprivileged / "prepared")]  # fmt: skip
    try:
        assert SHARP(words) == 2
        error = capsys.readouterr().err.splitlines()[-1]
    finally:
        (unprivileged / "own" / closed).chmod(0o700)
    assert error.startswith("error: ")
    assert str(unprivileged / "own" / closed) in error
    assert set(unprivileged.iterdir()) == before


def reform(name, form):
    def change(folder):
        (folder / name).write_bytes(form((folder / name).read_text()).encode())

    return change


def crlf(text):
    return text.replace("\n", "\r\n")


def marked(text):
    return "\ufeff" + text


def mpo(folder):
    first, preview = Image.new("RGB", (48, 40), "red"), Image.new("RGB", (24, 20))
    path = folder / f"{ISIC_IMAGES}/ISIC_0000001.jpg"
    first.save(path, format="MPO", save_all=True, append_images=[preview])


def shifted_mask(folder):
    mask = square_mask() // 255
    Image.fromarray(mask * 255).convert("1").save(folder / "masks/case-1.png")


#: By case: the fixture, a change of its folder, and size and mode of an image of the dataset.
GOOD: dict[str, tuple[str, Callable, str, tuple]] = {
    "CMYK": ("isic2018", image("CMYK", f"{ISIC_IMAGES}/ISIC_0000001.jpg"), "ISIC_0000001",
             (48, 40, "RGB")),
    "a JPEG with a preview": ("isic2018", mpo, "ISIC_0000001", (48, 40, "RGB")),
    "a palette": ("own_images", image("P"), "case-1", (48, 40, "RGB")),
    "transparency": ("own_images", image("RGBA"), "case-1", (48, 40, "RGB")),
    "one bit": ("own_images", image("1"), "case-1", (48, 40, "RGB")),
    "a mask of one bit": ("own_images", shifted_mask, "case-1", (48, 40, "RGB")),
    "a JPEG called PNG": ("own_images", image("L", format="JPEG"), "case-1", (48, 40, "RGB")),
    "a suffix in capitals": ("own_images", rename("images/case-1.png", "images/case-1.PNG"),
                              "case-1", (48, 40, "RGB")),
    "a link to an image": (
        "own_images",
        both(rename("images/case-1.png", "x.png"),
             lambda f: (f / "images/case-1.png").symlink_to(f / "x.png")),
        "case-1", (48, 40, "RGB"),
    ),
    "another file whose name is not Unicode": (
        "own_images", write(os.fsdecode(b"\xe9"), b""), "case-1", (48, 40, "RGB"),
    ),
    "a mask in shades of grey in three channels": (
        "own_images", image(np.repeat(square_mask()[..., None], 3, 2), "masks/case-1.png"),
        "case-1", (48, 40, "RGB"),
    ),
    "a mask of 0 and 1": (
        "own_images", image(square_mask(value=1), "masks/case-1.png"), "case-1", (48, 40, "RGB"),
    ),
    "hidden files": ("own_images", write("images/.DS_Store", b""), "case-1", (48, 40, "RGB")),
    "hidden copies by another system": (
        "own_images",
        both(write("images/._case-1.png", b"x"), write("masks/._case-1.png", b"x"),
             write("images/Thumbs.db", b"x")),
        "case-1", (48, 40, "RGB"),
    ),
    "a broken link to something else": (
        "isic2018", lambda f: (f / "notes").symlink_to("nowhere"), "ISIC_0000001", (48, 40, "RGB"),
    ),
    "a link to its own folder": (
        "isic2018", lambda f: (f / "round").symlink_to(f), "ISIC_0000001", (48, 40, "RGB"),
    ),
    "ragged pages in both stacks": (
        "isbi2012", both(ragged("train-volume.tif"), ragged("train-labels.tif")), "slice-05",
        (59, 64, "L"),
    ),
    "a table with a byte-order mark": ("isic2016", reform(LABELS, marked), "ISIC_1",
                                       (40, 30, "RGB")),
    "a table with DOS line ends": ("isic2016", reform(LABELS, crlf), "ISIC_1", (40, 30, "RGB")),
    "a table with blank lines": ("isic2016", rewrite(LABELS, "\n", "\n\n"), "ISIC_1",
                                 (40, 30, "RGB")),
    "names with spaces": ("xrays", rewrite(METADATA, "1,0", " 1 ,0"), "two-b-", (40, 30, "L")),
    "a frame with leading zeros": (
        "cvc_clinicdb",
        both(rename("Original/25.tif", "Original/025.tif"),
             rename("Ground Truth/25.tif", "Ground Truth/025.tif")),
        "frame-025", (48, 40, "RGB"),
    ),
    "one more frame": (
        "cvc_clinicdb", lambda f: write_cvc_clinicdb(f, [3], suffix=".tif"), "frame-003",
        (48, 40, "RGB"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_unusual_but_good_input_is_read(case, made, tmp_path):
    name, change, id, expected = GOOD[case]
    folder = made(name)
    change(folder)
    command, words = COMMANDS[name]
    assert run(command, [word.format(made=folder, tmp=tmp_path) for word in words]) == 0
    with Image.open(tmp_path / f"prepared/images/{id}.png") as found:
        assert (*found.size, found.mode) == expected


@pytest.mark.parametrize("name", ["a b", "été", "a\nb", os.fsdecode(b"\xe9"), "-x", "a'b\"c"])
def test_folders_may_have_any_name(name, own_images, tmp_path, capsys):
    folder = own_images.rename(tmp_path / name)
    dataset = tmp_path / f"{name} prepared"
    assert SHARP(["mine", f"--download={folder}", f"--prepared={dataset}"]) == 0
    assert len(sharpunet.data.open_dataset(dataset).metadata) == 3
