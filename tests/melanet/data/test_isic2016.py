import shutil

import numpy as np
import pytest
from PIL import Image

from melanet.data import InputError, prepare

pytestmark = pytest.mark.filterwarnings("ignore:.*images found:UserWarning")
TRAIN = "ISBI2016_ISIC_Part3_Training"
TEST = "ISBI2016_ISIC_Part3_Test"


def table(prefix):
    return f"{prefix}_GroundTruth.csv"


def test_both_csv_forms_and_the_official_split(isic2016, tmp_path):
    metadata = prepare("isic2016", isic2016, tmp_path / "prepared").metadata.set_index("id")
    assert list(metadata["split"]) == ["train"] * 5 + ["test"] * 2
    assert metadata["label"]["ISIC_2"] == metadata["label"]["ISIC_8"] == "malignant"
    assert (metadata["label"] == "benign").sum() == 5


def test_the_test_part_may_be_missing(isic2016, tmp_path):
    (isic2016 / table(TEST)).unlink()
    shutil.rmtree(isic2016 / f"{TEST}_Data")
    assert len(prepare("isic2016", isic2016, tmp_path / "prepared").metadata) == 5


def test_large_originals_are_reduced(isic2016, tmp_path):
    path = isic2016 / f"{TRAIN}_Data/ISIC_0.jpg"
    Image.fromarray(np.zeros((700, 1400, 3), "uint8")).save(path)
    dataset = prepare("isic2016", isic2016, tmp_path / "prepared")
    assert Image.open(dataset.folder / "images/ISIC_0.png").size == (512, 256)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_images_become_rgb(mode, isic2016, tmp_path):
    Image.new(mode, (40, 30)).save(isic2016 / f"{TRAIN}_Data/ISIC_0.jpg")
    dataset = prepare("isic2016", isic2016, tmp_path / "prepared")
    assert Image.open(dataset.folder / "images/ISIC_0.png").mode == "RGB"


def rewrite(prefix, old, new):
    def spoil(folder):
        path = folder / table(prefix)
        path.write_text(path.read_text().replace(old, new))

    return spoil


CASES = {
    "a label without its image": (
        lambda f: (f / f"{TRAIN}_Data/ISIC_1.jpg").unlink(),
        ["ISIC_1 has a label", "ISIC_1.jpg is not there"],
    ),
    "an image without its label": (
        rewrite(TRAIN, "ISIC_1,benign\n", ""),
        ["ISIC_1.jpg", "has no label"],
    ),
    "an unknown word": (rewrite(TRAIN, "malignant", "evil"), ["line 3", "'evil'"]),
    "an id in train and test": (
        lambda f: [
            rewrite(TEST, "ISIC_7", "ISIC_1")(f),
            (f / f"{TEST}_Data/ISIC_7.jpg").rename(f / f"{TEST}_Data/ISIC_1.jpg"),
        ],
        ["ISIC_1", "in train and test"],
    ),
    "a column too many": (rewrite(TRAIN, ",benign", ",benign,1"), [table(TRAIN)]),
    "one column": (
        lambda f: (f / table(TRAIN)).write_text("ISIC_0\nISIC_1\n"),
        [table(TRAIN), "has 1 columns; two are expected"],
    ),
    "an empty table": (lambda f: (f / table(TRAIN)).write_text(""), [table(TRAIN), "cannot be"]),
    "no table": (lambda f: (f / table(TRAIN)).unlink(), [table(TRAIN), "no such file"]),
    "test images without their table": (
        lambda f: (f / table(TEST)).unlink(),
        [table(TEST), "no such file"],
    ),
    "no images": (
        lambda f: (f / f"{TRAIN}_Data").rename(f / "elsewhere"),
        [f"{TRAIN}_Data: no such folder"],
    ),
    "a truncated image": (
        lambda f: (f / f"{TRAIN}_Data/ISIC_0.jpg").write_bytes(b"\xff\xd8\xff"),
        ["ISIC_0.jpg", "cannot be read"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named_and_nothing_is_written(case, isic2016, tmp_path):
    spoil, expected = CASES[case]
    spoil(isic2016)
    with pytest.raises(InputError) as raised:
        prepare("isic2016", isic2016, tmp_path / "prepared")
    for part in expected:
        assert part in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["isic2016"]


def test_real_isic2016(real_data, tmp_path):
    metadata = prepare("isic2016", real_data / "isic2016", tmp_path / "prepared").metadata
    assert dict(metadata["label"].value_counts()) == {"benign": 687, "malignant": 173}
