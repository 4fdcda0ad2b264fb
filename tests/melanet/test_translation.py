"""A saved generator translates new images in their own sizes; interrupted runs resume."""

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from melanet import build_cyclegan, build_stargan, inference, translate_images, unet_generator
from melanet.command import run
from melanet.data import InputError
from melanet.saving import save_model


def negative(size=(16, 16), channels=3):
    """A generator that turns black to white."""
    layer = keras.layers.Rescaling(-1.0)
    return keras.Sequential([keras.Input((*size, channels)), layer])


def halving():
    """A generator of any size that halves and doubles."""
    layers = [keras.layers.MaxPooling2D(), keras.layers.UpSampling2D()]
    return keras.Sequential([keras.Input((None, None, 3)), *layers])


@pytest.fixture
def images(tmp_path):
    for name, size in {"a b": (30, 20), "c": (16, 16), "d": (16, 40)}.items():
        pixels = np.full((size[1], size[0], 3), (10, 100, 250), "uint8")
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"images/{name}.png")
    return tmp_path / "images"


def test_images_are_translated_in_their_own_sizes(images, tmp_path, capsys):
    save_model(negative(), tmp_path / "g.keras")
    command = ["translate", tmp_path / "g.keras", images, "--out", tmp_path / "out"]
    assert run("melanet", [str(word) for word in command]) == 0
    assert "translations.csv: 3 images" in capsys.readouterr().out
    made = Image.open(tmp_path / "out/images/a b.png")
    assert made.size == (30, 20)
    np.testing.assert_array_equal(np.unique(np.asarray(made)), [5, 155, 245])
    assert pd.read_csv(tmp_path / "out/translations.csv")["name"].tolist() == ["a b", "c", "d"]


def test_a_grey_generator_and_one_of_any_size(images, tmp_path):
    save_model(negative((None, None), 1), tmp_path / "g.keras")
    with pytest.raises(InputError, match="takes images of any size; say which by --image-size"):
        translate_images(tmp_path / "g.keras", images, tmp_path / "out")
    translate_images(tmp_path / "g.keras", images, tmp_path / "out", image_size=(8, 8))
    assert Image.open(tmp_path / "out/images/d.png").mode == "L"


def test_a_size_that_the_generator_cannot_halve_is_refused(images, tmp_path):
    save_model(halving(), tmp_path / "g.keras")
    with pytest.raises(InputError, match=r"--image-size 9 8: .* cannot translate .* multiples"):
        translate_images(tmp_path / "g.keras", images, tmp_path / "out", image_size=(9, 8))
    done = translate_images(tmp_path / "g.keras", images, tmp_path / "out", image_size=(8, 8))
    assert done.count == 3


def test_a_stargan_translates_to_the_class_that_is_asked_for(images, tmp_path, capsys):
    keras.utils.set_random_seed(0)
    model = build_stargan((16, 16, 3), "abc", generator_filters=4, discriminator_filters=4)
    save_model(model, tmp_path / "star.keras")
    save_model(model.generator_to("b"), tmp_path / "to_b.keras")
    command = ["translate", str(tmp_path / "star.keras"), str(images / "c.png"), "--target"]
    assert run("melanet", [*command, "b", "--out", str(tmp_path / "b")]) == 0
    translate_images(tmp_path / "to_b.keras", images / "c.png", tmp_path / "one")
    translate_images(tmp_path / "star.keras", images / "c.png", tmp_path / "c", target="c")
    made = [np.asarray(Image.open(tmp_path / f"{n}/images/c.png")) for n in ("b", "one", "c")]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()
    assert run("melanet", [*command, "d", "--out", str(tmp_path / "d")]) == 2
    assert "--target d: must be a class that" in capsys.readouterr().err
    with pytest.raises(InputError, match="translates to: a, b, c"):
        translate_images(tmp_path / "star.keras", images, tmp_path / "d")
    with pytest.raises(InputError, match="translates to one class only; leave it out"):
        translate_images(tmp_path / "to_b.keras", images, tmp_path / "d", target="b")
    with pytest.raises(InputError, match="other"):  # the folder holds those of another target
        translate_images(tmp_path / "star.keras", images / "c.png", tmp_path / "b", target="c")


def test_of_a_cyclegan_the_generator_to_the_second_class_is_taken(images, tmp_path):
    keras.utils.set_random_seed(0)
    model = build_cyclegan((16, 16, 3), generator_filters=4, discriminator_filters=4)
    save_model(model, tmp_path / "gan.keras")
    save_model(model.first_to_second, tmp_path / "g.keras")
    for name in ("gan", "g"):
        translate_images(tmp_path / f"{name}.keras", images / "c.png", tmp_path / name)
    pictures = [np.asarray(Image.open(tmp_path / f"{n}/images/c.png")) for n in ("gan", "g")]
    np.testing.assert_array_equal(*pictures)


def test_an_interrupted_translation_resumes(images, tmp_path, monkeypatch):
    save_model(unet_generator((16, 16, 3), filters=4), tmp_path / "g.keras")
    calls, real = [], inference.read_new_image

    def interrupted(path, channels):
        calls.append(path.stem)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(path, channels)

    monkeypatch.setattr(inference, "read_new_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        translate_images(tmp_path / "g.keras", images, tmp_path / "out", batch_size=1)
    assert translate_images(tmp_path / "g.keras", images, tmp_path / "out").count == 3
    assert calls == ["a b", "c", "c", "d"]


def test_a_classifier_is_no_generator(images, tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    save_model(model, tmp_path / "m.keras")
    with pytest.raises(InputError, match="is no generator"):
        translate_images(tmp_path / "m.keras", images, tmp_path / "out")
