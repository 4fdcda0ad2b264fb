"""ISIC-2018, task 1: dermoscopic images of skin lesions, each with its outline as a mask."""

from functools import partial
from pathlib import Path

from melanet.data import DatasetBuilder, DatasetInfo, Sample
from melanet.data.download import fetch_files
from sharpunet.data.pairs import find_files, pair_files

INSTRUCTIONS = (
    "Get ISIC2018_Task1-2_Training_Input.zip (10.4 GB) and ISIC2018_Task1_Training_GroundTruth.zip "
    "(26 MB) of the ISIC 2018 challenge (https://challenge.isic-archive.com/data/#2018; "
    "CC BY-NC 4.0, no account), unpack both and put their two folders there; "
    "a folder that is empty or not there is filled by download"
)
SERVER = "https://isic-archive.s3.amazonaws.com/challenges/2018/"
URLS = {
    name: SERVER + name
    for name in (
        "ISIC2018_Task1-2_Training_Input.zip",
        "ISIC2018_Task1_Training_GroundTruth.zip",
    )
}


def _read(folder: Path) -> list[Sample]:
    """One sample per image. The files name no patients, so each image is its own group."""
    images = folder / "ISIC2018_Task1-2_Training_Input"
    masks = folder / "ISIC2018_Task1_Training_GroundTruth"
    return pair_files(
        find_files(images, "ISIC_*.jpg", INSTRUCTIONS),
        find_files(masks, "ISIC_*_segmentation.png", INSTRUCTIONS),
        id_of="ISIC_{}".format,
    )


BUILDER = DatasetBuilder(
    DatasetInfo("isic2018", "ISIC-2018", image_size=(192, 256), channels=3, keep_aspect_ratio=True),
    _read,
    INSTRUCTIONS,
    published_count=2594,
    fetch=partial(fetch_files, urls=URLS),
)
