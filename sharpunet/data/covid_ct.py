"""COVID-19 CT Segmentation: 100 axial slices with three findings of a COVID-19 pneumonia."""

from functools import lru_cache, partial
from pathlib import Path

from melanet.data import DatasetBuilder, DatasetInfo, Sample
from melanet.data.builders import require_file
from melanet.data.download import fetch_files
from melanet.data.readers.nifti import read_nifti
from sharpunet.data.ct import slice_volume

INSTRUCTIONS = (
    "Get tr_im.nii.gz and tr_mask.nii.gz of MedSeg's COVID-19 CT segmentation dataset "
    "(http://medicalsegmentation.com/covid19, also https://doi.org/10.6084/m9.figshare.13521488; "
    "all its files 167 MB; CC0, no account) and put them there; "
    "a folder that is empty or not there is filled by download"
)
URLS = {
    "tr_im.nii.gz": "https://ndownloader.figshare.com/files/25953977",
    "tr_mask.nii.gz": "https://ndownloader.figshare.com/files/25953980",
}
#: Background 0, ground-glass 1, consolidation 2, pleural effusion 3.
CLASSES = 4
#: Hounsfield units that become 0 and 255: air, and the densest soft tissue.
WINDOW = (-1000, 400)


def _read(folder: Path) -> list[Sample]:
    """One sample per slice.

    The slices are of about 40 patients, but the files do not say whose each is. Each slice is its
    own group, so `clean` cannot keep a patient on one side.
    """
    image = require_file(folder, "tr_im.nii.gz", INSTRUCTIONS)
    mask = require_file(folder, "tr_mask.nii.gz", INSTRUCTIONS)
    unpack = lru_cache(maxsize=2)(read_nifti)
    return slice_volume(image, mask, unpack, prefix="slice", window=WINDOW)


BUILDER = DatasetBuilder(
    DatasetInfo(
        "covid_ct", "COVID-19 CT Segmentation", image_size=(512, 512), channels=1, classes=CLASSES
    ),
    _read,
    INSTRUCTIONS,
    published_count=100,
    allow_empty_masks=True,
    fetch=partial(fetch_files, urls=URLS),
)
