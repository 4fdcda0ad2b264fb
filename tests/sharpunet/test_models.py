from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from sharpunet import (
    KERNELS,
    MODELS,
    SharpBlock,
    encoder_unet,
    sharp_unet,
    ternausnet16,
    unet,
    wide_unet,
)

SMALL = (4, 6, 8, 10, 12)
ENCODED = ("ternausnet16", "sharp_ternausnet16", "unet_resnet50", "sharp_unet_resnet50")
#: Number of trainable parameters, and of all, for 3 channels.
PARAMETERS = {
    "unet": (7_760_097, 7_760_097),
    "sharp_unet": (7_760_097, 7_764_417),
    "wide_unet": (9_131_106, 9_131_106),
    "wide_sharp_unet": (9_131_106, 9_135_831),
    "ternausnet16": (23_748_241, 23_752_273),
    "sharp_ternausnet16": (23_748_241, 23_752_273 + 12_672),
    "unet_resnet50": (32_547_665, 32_602_769),
    "sharp_unet_resnet50": (32_547_665, 32_619_473),
}


def test_the_table_of_the_site_has_these_numbers():
    lines = (Path(__file__).parents[2] / "docs/python.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines]
    for plain in MODELS:
        if "sharp" in plain:
            continue
        (sharp,) = (name for name in MODELS if name != plain and plain_twin(name) == plain)
        frozen = PARAMETERS[sharp][1] - PARAMETERS[plain][1]
        expected = [f"`{plain}` / `{sharp}`", f"{PARAMETERS[plain][0]:,}", f"0 / {frozen:,}"]
        assert expected in rows


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def sharp_blocks(model):
    return [layer for layer in model.layers if isinstance(layer, SharpBlock)]


def small(name, shape=(32, 32, 3), classes=1):
    """A model of `MODELS`, with few filters where they can be chosen."""
    return MODELS[name](shape, classes, **({} if name in ENCODED else {"filters": SMALL}))


def plain_twin(name):
    return name.replace("sharp_", "")


@pytest.mark.parametrize("name", MODELS)
class TestEveryModel:
    """Checks that every model passes, whatever its encoder."""

    def test_parameter_counts_of_plain_and_sharp(self, name):
        model = MODELS[name]((32, 32, 3))
        assert (trainable(model), model.count_params()) == PARAMETERS[name]
        assert trainable(model) == PARAMETERS[plain_twin(name)][0]
        frozen = PARAMETERS[name][1] - PARAMETERS[plain_twin(name)][1]
        assert frozen == 9 * sum(block.depthwise_kernel.shape[2] for block in sharp_blocks(model))
        assert bool(sharp_blocks(model)) == name.startswith(("sharp", "wide_sharp"))

    @pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 4)])
    def test_probabilities_before_and_after_saving(self, name, channels, classes, tmp_path):
        model = small(name, (64, 32, channels), classes)
        images = np.random.default_rng(0).random((2, 64, 32, channels), "float32")
        output = ops.convert_to_numpy(model(images))
        assert output.shape == (2, 64, 32, classes)
        assert output.min() >= 0
        assert output.max() <= 1
        if classes > 1:
            np.testing.assert_allclose(output.sum(axis=-1), 1, atol=1e-5)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(output, ops.convert_to_numpy(again(images)))
        kernels = [block.kernel for block in sharp_blocks(model)]
        assert [block.kernel for block in sharp_blocks(again)] == kernels

    @pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
    def test_training_lowers_the_loss_and_outputs_are_float32(self, name, policy):
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(policy)
        try:
            model = small(name)
        finally:
            keras.config.set_dtype_policy("float32")
        # Eagerly, because tracing would take longer than the steps.
        model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", run_eagerly=True)
        images = np.random.default_rng(0).random((4, 32, 32, 3), "float32")
        masks = (images[..., :1] > 0.5).astype("float32")
        losses = [model.train_on_batch(images, masks) for _ in range(3)]
        assert losses[-1] < losses[0]
        assert model(images).dtype == "float32"

    @pytest.mark.parametrize("shape", [(100, 96, 3), (96, 100, 3), (8, 96, 3)])
    def test_sides_that_do_not_divide_raise_and_name_sizes_that_work(self, name, shape):
        factor = 32 if name in ENCODED else 16
        works = "(96 or 112|16 or 32)" if factor == 16 else "(96 or 128|32 or 64)"
        with pytest.raises(ValueError, match=rf"multiples of {factor}.*{works} would do"):
            MODELS[name](shape)

    def test_unknown_sides_take_any_size(self, name):
        model = small(name, (None, None, 1))
        for height, width in ((32, 64), (64, 32)):
            assert model(np.zeros((1, height, width, 1))).shape == (1, height, width, 1)


def test_unet_for_one_channel_has_the_parameters_of_the_thesis():
    assert trainable(unet((32, 32, 1))) == 7_759_521


def test_a_wide_unet_with_wide_transposed_convolutions_has_more_parameters():
    assert trainable(wide_unet((32, 32, 3), up_filters=None)) == 9_282_876


def test_sharp_unet_has_a_block_on_each_of_four_skips_and_4320_frozen_weights():
    model = sharp_unet((32, 32, 3))
    frozen = sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights)
    assert [block.depthwise_kernel.shape[2] for block in sharp_blocks(model)] == [256, 128, 64, 32]
    assert frozen == 4320


def test_the_decoder_receives_the_sharpened_encoder_features():
    model = sharp_unet((32, 32, 1), filters=SMALL)
    for block in sharp_blocks(model):
        encoder = block.input._keras_history.operation
        assert isinstance(encoder, keras.layers.Conv2D)
        receivers = {node.operation.__class__ for node in block._outbound_nodes}
        assert receivers == {keras.layers.Concatenate}


def test_plain_and_sharp_start_from_the_same_weights_for_one_seed():
    models = []
    for build in (unet, sharp_unet):
        keras.utils.set_random_seed(3)
        models.append(build((32, 32, 1), filters=SMALL))
    for plain, sharp in zip(*(m.trainable_weights for m in models), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(plain), ops.convert_to_numpy(sharp))


def test_it_saves_and_loads_without_custom_objects(tmp_path):
    model = sharp_unet((32, 32, 1), filters=SMALL, kernel="log")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((1, 32, 32, 1), "float32")
    np.testing.assert_array_equal(
        model.predict(images, verbose=0), again.predict(images, verbose=0)
    )
    assert {block.kernel for block in sharp_blocks(again)} == {"log"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "classes"),
        ({"filters": (32,)}, "filters"),
        ({"up_filters": (32, 16)}, "`up_filters` must be 4"),
        ({"input_shape": (32, 32)}, "input_shape"),
        ({"kernel": "unknown"}, "kernel"),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        sharp_unet(**{"input_shape": (32, 32, 1), **arguments})


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_chosen_by_name(kernel):
    blocks = sharp_blocks(sharp_unet((32, 32, 1), filters=SMALL, kernel=kernel))
    assert [block.kernel for block in blocks] == [kernel] * 4


@pytest.mark.parametrize(
    ("encoder", "skips"),
    [("VGG19", 5), ("DenseNet121", 4), ("EfficientNetV2B0", 4), ("MobileNetV2", 4)],
)
def test_other_encoders_work(encoder, skips):
    model = encoder_unet(encoder, (32, 32, 3), skip="sharp")
    blocks = sharp_blocks(model)
    assert len(blocks) == skips
    sides = [block.input.shape[1] for block in blocks]
    assert sides == [2, 4, 8, 16, 32][:skips]
    assert model(np.zeros((1, 32, 32, 3))).shape == (1, 32, 32, 1)


def test_ternausnet16_has_four_skips_none_at_full_resolution():
    blocks = sharp_blocks(MODELS["sharp_ternausnet16"]((32, 32, 3)))
    assert [block.input.shape[1] for block in blocks] == [2, 4, 8, 16]
    assert encoder_unet("VGG16", (32, 32, 3)).count_params() == 23_761_489  # with all five


def test_an_encoder_gets_its_own_preprocessing():
    model = encoder_unet("VGG16", (32, 32, 3))
    images = np.zeros((1, 32, 32, 3), "float32")
    images[..., 0] = 1  # pure red
    fed = keras.Model(model.input, model.get_layer("block1_conv1").input)(images)
    # VGG's: blue, green, red in [0, 255] minus the means of ImageNet.
    np.testing.assert_allclose(fed[0, 0, 0], [-103.939, -116.779, 255 - 123.68], rtol=1e-5)


def test_weights_files_load_or_raise(tmp_path):
    first = encoder_unet("MobileNetV2", (32, 32, 3))
    first.save_weights(tmp_path / "first.weights.h5")
    again = encoder_unet("MobileNetV2", (32, 32, 3), weights=tmp_path / "first.weights.h5")
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"first.weights.h5 does not fit"):
        encoder_unet("MobileNetV2", (32, 32, 3), 4, weights=tmp_path / "first.weights.h5")


@pytest.mark.parametrize("layout", ["weights.h5", "h5"])
def test_weights_of_the_encoder_alone_load(layout, tmp_path):
    encoder = keras.applications.VGG16(include_top=False, weights=None)
    path = tmp_path / f"vgg16_notop.{layout}"
    if layout == "h5":  # the layout of the files that Keras distributes
        write_legacy_weights(path, encoder)
    else:
        encoder.save_weights(path)
    model = ternausnet16((32, 32, 3), weights=path)
    for layer in (layer for layer in encoder.layers if layer.weights):
        loaded = model.get_layer(layer.name).get_weights()
        for one, other in zip(layer.get_weights(), loaded, strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=rf"vgg16_notop.{layout} does not fit"):
        encoder_unet("VGG19", (32, 32, 3), weights=path)


def write_legacy_weights(path, model):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, value in zip(names, layer.get_weights(), strict=True):
                group[name] = value


def test_a_damaged_weights_file_raises(tmp_path):
    (tmp_path / "damaged.weights.h5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match=r"damaged.weights.h5 does not fit"):
        encoder_unet("MobileNetV2", (32, 32, 3), weights=tmp_path / "damaged.weights.h5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "VGG99"}, "encoder"),
        ({"encoder": unet}, "encoder"),
        ({"encoder": "Xception"}, "does not halve"),
        ({"skip": "dense"}, "skip"),
        ({"weights": "missing.h5"}, "no such file: missing.h5"),
        ({"input_shape": (32, 32, 2)}, "1 or 3 channels"),
        ({"decoder_filters": (8, 8)}, "does not halve"),
        ({"skip_count": 5}, "`skip_count` must be from 0 to 4"),
    ],
)
def test_invalid_encoder_arguments_raise(arguments, message):
    config = {"encoder": "MobileNetV2", "input_shape": (128, 128, 3), **arguments}
    with pytest.raises(ValueError, match=message):
        encoder_unet(**config)
