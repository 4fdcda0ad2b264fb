"""CVC-ClinicDB: 612 frames of colonoscopy videos, each with a polyp and its mask."""

from bisect import bisect_left
from pathlib import Path

import numpy as np

from melanet.data import DatasetBuilder, DatasetInfo, InputError, Sample
from sharpunet.data.pairs import find_files, pair_files, read_mask

INSTRUCTIONS = (
    "Get CVC-ClinicDB (https://polyp.grand-challenge.org/CVCClinicDB/, on request; or the copy "
    "https://www.kaggle.com/datasets/balraj98/cvcclinicdb, which needs an account; for research "
    "and education only) and put its folders Original and Ground Truth there, or the copy's "
    "folder PNG or TIF"
)
#: Where the two folders are, and their files' pattern: as published, then in the copy.
LAYOUTS = {".": "*.tif", "PNG": "*.png", "TIF": "*.tif"}
#: Number of the last frame of each of the 29 videos: frames 1 to 25 are the first video, 26 to 50
#: the second.
LAST_FRAMES = (
    25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317,
    342, 363, 383, 408, 428, 447, 466, 478, 503, 528, 546, 571, 591, 612,
)  # fmt: skip


def _read(folder: Path) -> list[Sample]:
    """One sample per frame; the frames of a video are one group, because they show one polyp."""
    layout = next((name for name in LAYOUTS if (folder / name / "Original").is_dir()), ".")
    images = find_files(folder / layout / "Original", LAYOUTS[layout], INSTRUCTIONS)
    masks = find_files(folder / layout / "Ground Truth", LAYOUTS[layout], INSTRUCTIONS)
    for number, path in images.items():
        if not number.isdecimal() or not 1 <= int(number) <= LAST_FRAMES[-1]:
            raise InputError(f"{path}: the frames are named 1 to {LAST_FRAMES[-1]}; move it away")
    return pair_files(images, masks, id_of=_id, group_of=_video, mask=_read_mask)


def _id(number: str) -> str:
    return f"frame-{int(number):03d}"


def _video(number: str) -> str:
    return f"video-{bisect_left(LAST_FRAMES, int(number)) + 1:02d}"


def _read_mask(path: Path) -> np.ndarray:
    # Masks that were saved anew have values between 0 and 255 along the outline.
    return np.where(read_mask(path) >= 128, 255, 0)


BUILDER = DatasetBuilder(
    DatasetInfo(
        "cvc_clinicdb", "CVC-ClinicDB", image_size=(192, 256), channels=3, keep_aspect_ratio=True
    ),
    _read,
    INSTRUCTIONS,
    published_count=612,
)
