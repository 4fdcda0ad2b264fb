"""New images without masks or labels are read as those that a model was trained on."""

import shutil

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from melanet.data import InputError, load_images
from melanet.data.new_images import find_images
from melanet.saving import ModelInfo
from sharpunet.data import load_dataset, prepare


def photo(path, size=(20, 14), mode="RGB", **arguments):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), "uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **arguments)
    return path


def test_every_format_is_read_and_names_are_kept(tmp_path):
    for name in ("a b.png", "sub/a b.jpg", "c.tif", "c.bmp", ".hidden.png", "__MACOSX/x.png"):
        photo(tmp_path / name)
    shutil.copy(get_testdata_file("CT_small.dcm"), tmp_path / "scan")
    (tmp_path / "notes.txt").write_text("not an image")
    assert list(find_images(tmp_path)) == ["a b", "c.bmp", "c.tif", "scan", "sub/a b"]
    batches = list(load_images(tmp_path, ModelInfo("segmentation", (16, 8), 3), batch_size=2))
    assert [batch.shape for batch in batches] == [(2, 16, 8, 3), (2, 16, 8, 3), (1, 16, 8, 3)]


@pytest.mark.parametrize("keep", [False, True])
def test_images_are_resized_and_scaled_as_in_training(tmp_path, keep):
    for name in ("images/a.png", "masks/a.png"):
        photo(tmp_path / "own" / name)
    Image.fromarray(np.eye(14, 20, dtype="uint8") * 255).save(tmp_path / "own/masks/a.png")
    dataset = prepare("own", tmp_path / "own", tmp_path / "prepared")
    arguments = {"image_size": (16, 16), "keep_aspect_ratio": keep}
    ((expected, _),) = load_dataset(dataset, **arguments)
    info = ModelInfo("segmentation", (16, 16), 3, keep_aspect_ratio=keep)
    (images,) = load_images(tmp_path / "own/images", info)
    np.testing.assert_array_equal(images, expected)


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no image was found"):
        find_images(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        find_images(tmp_path / "missing")


def test_a_file_that_is_given_twice_is_taken_once(tmp_path):
    path = photo(tmp_path / "sub/a.png")
    assert list(find_images([path, path])) == ["a"]
    assert list(find_images([tmp_path, path])) == ["sub/a"]
