"""A saved classifier predicts new images: probabilities, the class by threshold, Grad-CAM."""

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet.data import load_images
from melanet.inference import predict
from melanet.saving import ModelInfo, save_model

INFO = ModelInfo("classification", (16, 16), 3, ("benign", "malignant"), keep_aspect_ratio=True)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_classes_by_threshold_probabilities_and_overlays_in_the_original_size(tmp_path, threshold):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers, keras.layers.Dense(2, "softmax")])
    save_model(model, tmp_path / "m.keras", INFO)
    (tmp_path / "images").mkdir()
    for index, name in enumerate(("a b.jpg", "c.png", "d.bmp")):
        pixels = np.random.default_rng(index).integers(0, 256, (24, 30, 3), "uint8")
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    done = predict(
        tmp_path / "m.keras", tmp_path / "images", tmp_path / "out",
        batch_size=2, threshold=threshold,
    )  # fmt: skip
    table = pd.read_csv(done.table)
    assert table["name"].tolist() == ["a b", "c", "d"]
    assert set(table["predicted"]) == {"malignant" if threshold == 0 else "benign"}
    expected = model.predict(load_images(tmp_path / "images", INFO), verbose=0)
    columns = ["probability_benign", "probability_malignant"]
    np.testing.assert_allclose(table[columns], expected, atol=1e-5)
    assert Image.open(tmp_path / "out/grad_cam/a b.png").size == (30, 24)
