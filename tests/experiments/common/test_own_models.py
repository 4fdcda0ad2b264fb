"""`--models MODULE:FUNCTION`: a model of one's own, imported from the current folder."""

import argparse

import pytest

from experiments.common.own_models import (
    check_model,
    display_names,
    file_part,
    load_builder,
    model_name,
    rename_models,
)
from melanet.data import InputError

SMALL = """
def {name}(input_shape, classes=1):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, layers.Conv2D(classes, 1, activation="{activation}")(inputs))
"""


def test_a_function_of_the_current_folder_builds_the_model(write_module):
    name = write_module(SMALL.format(name="net", activation="sigmoid")) + ":net"
    model = check_model(name, load_builder(name), (8, 8, 1), 1, (8, 8, 1))
    assert model.output_shape == (None, 8, 8, 1)


def test_a_name_that_is_no_model_and_no_function_is_refused():
    with pytest.raises(argparse.ArgumentTypeError, match="none of unet, or MODULE:FUNCTION"):
        model_name(["unet"])("vnet")
    assert model_name(["unet"])("unet") == "unet"


@pytest.mark.parametrize(
    ("code", "function", "message"),
    [
        ("", "net", "has no function net"),
        ("net = 3", "net", "has no function net"),
        ("", "not a name", "is not MODULE:FUNCTION"),
        ("import a_package_that_is_not_there", "net", "fails: ModuleNotFoundError: No module"),
        ("raise SystemExit(3)", "net", "fails: SystemExit: 3"),
        ("def net(:", "net", "fails: SyntaxError: "),
        ("raise ValueError('two\\nlines')", "net", "fails: ValueError: two lines"),
    ],
)
def test_a_function_that_cannot_be_imported_is_refused_in_one_line(
    code, function, message, write_module
):
    with pytest.raises(argparse.ArgumentTypeError, match=message) as error:
        model_name(["unet"])(f"{write_module(code)}:{function}")
    assert "\n" not in str(error.value)


def test_a_module_that_is_missing_is_named_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"no module nowhere_to_be_found in {tmp_path}"):
        load_builder("nowhere_to_be_found.sub:net")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('a\\nb')", "it raises RuntimeError: a b"),
        ("return layers.Dense(1)", "returns Dense, not a keras.Model"),
        ("return None", "returns NoneType, not a keras.Model"),
        ("return type('Own', (keras.Model,), {})()", "return a keras.Model"),
        (
            "inputs = keras.Input(shape); return keras.Model(inputs, layers.Flatten()(inputs))",
            r"returns \(64,\) for an image of \(8, 8, 1\); \(8, 8, 1\) is expected",
        ),
        (
            "inputs = keras.Input(shape); return keras.Model(inputs, 5 * inputs)",
            "end it with a sigmoid or softmax",
        ),
        (
            "inputs = keras.Input((16, 16, 1)); return keras.Model(inputs, inputs)",
            "cannot predict an image: ValueError",
        ),
    ],
)
def test_what_is_no_model_of_the_images_is_refused_in_one_line(body, message, write_module):
    name = write_module(f"def net(shape, classes):\n    {body}\n") + ":net"
    with pytest.raises(InputError, match=message) as error:
        check_model(name, load_builder(name), (8, 8, 1), 1, (8, 8, 1))
    assert str(error.value).startswith(f"--models {name}: ")
    assert "\n" not in str(error.value)


def test_a_model_is_called_by_its_title_else_by_its_function(write_module):
    code = "def {0}(shape, classes): pass\n"
    module = write_module(
        "".join(map(code.format, ("net", "unet", "also", "fine", "bad")))
        + "fine.title = 'My net'\nalso.title = 'My net'\nbad.title = 3\n"
    )
    names = [f"{module}:{function}" for function in ("net", "unet", "fine", "also")]
    found = display_names(["unet", *names], {"unet": "U-Net"})
    assert list(found.values()) == ["unet", "net", f"{module}:unet", "My net", f"{module}:also"]
    [record] = rename_models([{"model": names[2], "key": "k"}], found)
    assert record == {"model": "My net", "key": "k"}
    with pytest.raises(InputError, match="its title 3 is not a line of text"):
        display_names([f"{module}:bad"], {})


def test_the_name_of_a_file_has_no_colon():
    assert file_part("my_module:my_unet") == "my_module.my_unet"
    assert file_part("sharp_unet") == "sharp_unet"
