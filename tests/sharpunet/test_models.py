import keras
import numpy as np
import pytest
from keras import ops

from sharpunet import KERNELS, MODELS, SharpBlock, sharp_unet, unet, wide_sharp_unet, wide_unet

SMALL = (4, 6, 8, 10, 12)
PAIRS = [(unet, sharp_unet), (wide_unet, wide_sharp_unet)]


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def sharp_blocks(model):
    return [layer for layer in model.layers if isinstance(layer, SharpBlock)]


@pytest.mark.parametrize(
    ("build", "channels", "parameters"),
    [
        (unet, 1, 7_759_521),
        (unet, 3, 7_760_097),
        (sharp_unet, 3, 7_760_097),
        (wide_unet, 3, 9_282_876),
        (wide_sharp_unet, 3, 9_282_876),
    ],
)
def test_trainable_parameters_of_the_thesis(build, channels, parameters):
    assert trainable(build((32, 32, channels))) == parameters


@pytest.mark.parametrize(("plain", "sharp"), PAIRS)
def test_the_sharp_twin_learns_as_much_and_freezes_nine_weights_a_skip_channel(plain, sharp):
    with_blocks, without = sharp((32, 32, 1)), plain((32, 32, 1))
    skip_channels = sum(block.depthwise_kernel.shape[2] for block in sharp_blocks(with_blocks))
    assert trainable(with_blocks) == trainable(without)
    assert with_blocks.count_params() - without.count_params() == 9 * skip_channels


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


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 4)])
def test_output_is_one_probability_a_pixel_and_class(name, channels, classes):
    model = MODELS[name]((48, 32, channels), classes, filters=SMALL)
    images = np.random.default_rng(0).random((2, 48, 32, channels), "float32")
    output = ops.convert_to_numpy(model(images))
    assert output.shape == (2, 48, 32, classes)
    assert output.min() >= 0
    assert output.max() <= 1
    if classes > 1:
        np.testing.assert_allclose(output.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_training_lowers_the_loss_and_probabilities_are_float32(policy):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        model = sharp_unet((32, 32, 1), filters=SMALL)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    images = np.random.default_rng(0).random((4, 32, 32, 1), "float32")
    masks = (images > 0.5).astype("float32")
    losses = model.fit(images, masks, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model(images).dtype == "float32"


def test_keras_file_round_trip_without_custom_objects(tmp_path):
    model = sharp_unet((32, 32, 1), filters=SMALL, kernel="log")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((1, 32, 32, 1), "float32")
    np.testing.assert_array_equal(
        model.predict(images, verbose=0), again.predict(images, verbose=0)
    )
    assert {block.kernel for block in sharp_blocks(again)} == {"log"}


def test_any_size_is_possible_where_none_is_given():
    model = sharp_unet((None, None, 1), filters=SMALL)
    for height, width in ((32, 48), (64, 16)):
        assert model(np.zeros((1, height, width, 1))).shape == (1, height, width, 1)


@pytest.mark.parametrize("build", MODELS.values())
@pytest.mark.parametrize("shape", [(100, 96, 3), (96, 100, 3), (8, 96, 3)])
def test_sides_that_the_poolings_do_not_divide_are_refused_with_sizes_that_work(build, shape):
    with pytest.raises(ValueError, match=r"multiples of 16.*(96 or 112|16 or 32) would do"):
        build(shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 0}, "classes"),
        ({"filters": (32,)}, "filters"),
        ({"input_shape": (32, 32)}, "input_shape"),
        ({"kernel": "unknown"}, "kernel"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        sharp_unet(**{"input_shape": (32, 32, 1), **arguments})


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_chosen_by_name(kernel):
    blocks = sharp_blocks(sharp_unet((32, 32, 1), filters=SMALL, kernel=kernel))
    assert [block.kernel for block in blocks] == [kernel] * 4
