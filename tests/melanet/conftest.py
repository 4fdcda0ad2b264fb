import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def isic2016(tmp_path):
    """The official layout of ISIC-2016 task 3: five training and two test images."""
    folder = tmp_path / "isic2016"
    write_part(
        folder, "Training", {f"ISIC_{i}": "malignant" if i == 2 else "benign" for i in range(5)}
    )
    write_part(folder, "Test", {"ISIC_7": "0.0", "ISIC_8": "1.0"})
    return folder


def write_part(folder, part, labels):
    images = folder / f"ISBI2016_ISIC_Part3_{part}_Data"
    images.mkdir(parents=True, exist_ok=True)
    for id in labels:
        pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype("uint8")
        Image.fromarray(pixels).save(images / f"{id}.jpg")
    table = folder / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv"
    table.write_text("".join(f"{id},{label}\n" for id, label in labels.items()))
