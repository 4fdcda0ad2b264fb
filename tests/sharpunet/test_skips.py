import keras
import numpy as np
import pytest
from keras import layers, ops

from sharpunet import SharpBlock, encoder_unet, sharp_unet, sharpen_skips, unet

SMALL = (4, 6, 8, 10, 12)


def sharp_blocks(model):
    return [layer for layer in model.layers if isinstance(layer, SharpBlock)]


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def images(model, count=2, side=32):
    return np.random.default_rng(0).random((count, side, side, model.input_shape[-1]), "float32")


def foreign_unet(merge, resize, residual=False, input_shape=(32, 32, 3)):
    """A U-Net not built here: other merges and upsampling, residual blocks on both sides."""

    def block(x, filters):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        if residual:
            x = x + layers.Conv2D(filters, 3, padding="same")(x)
        return x

    inputs = x = keras.Input(input_shape)
    skips = []
    for filters in (4, 8):
        x = block(x, filters)
        skips.append(x)
        x = layers.AveragePooling2D(2)(x)
    x = block(x, 16)
    for filters, skip in zip((8, 4), reversed(skips), strict=True):
        x = layers.Conv2D(filters, 1)(resize()(x))
        x = block(merge([x, skip]), filters)
    return keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(x))


MERGES = {
    "layer Concatenate": lambda pair: layers.Concatenate()(pair),
    "layer Add": lambda pair: layers.Add()(pair),
    "keras.ops": lambda pair: ops.concatenate(pair, axis=-1),
    "plus": lambda pair: pair[0] + pair[1],
}


@pytest.mark.parametrize("merge", MERGES.values(), ids=MERGES)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    "shape", [(32, 64, 3), (48, 32, 3), (None, None, 3)], ids=["wide", "tall", "unknown"]
)
def test_only_the_long_skips_of_a_foreign_unet_get_a_block(merge, residual, shape):
    model = foreign_unet(merge, lambda: layers.UpSampling2D(2), residual, shape)
    sharpened = sharpen_skips(model)
    assert [block.input.shape[-1] for block in sharp_blocks(sharpened)] == [8, 4]
    assert trainable(sharpened) == trainable(model)


@pytest.mark.parametrize(
    "resize",
    [
        lambda: layers.UpSampling2D(2, interpolation="bilinear"),
        lambda: layers.Conv2DTranspose(8, 2, strides=2),
        lambda: layers.Lambda(lambda x: ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)),
    ],
    ids=["upsampling", "transposed convolution", "a function"],
)
def test_any_upsampling_is_found(resize):
    assert len(sharp_blocks(sharpen_skips(foreign_unet(MERGES["plus"], resize)))) == 2


def test_it_turns_unet_into_sharp_unet():
    plain = unet((32, 32, 1), filters=SMALL)
    expected = sharp_unet((32, 32, 1), filters=SMALL, kernel="sharpen")
    trained = [weight for layer in plain.layers for weight in layer.get_weights()]
    for layer in expected.layers:
        if not isinstance(layer, SharpBlock) and layer.weights:
            layer.set_weights([trained.pop(0) for _ in layer.weights])
    sharpened = sharpen_skips(plain, kernel="sharpen")
    np.testing.assert_array_equal(sharpened(images(plain)), expected(images(plain)))


def test_the_identity_kernel_changes_no_output():
    model = foreign_unet(MERGES["plus"], lambda: layers.UpSampling2D(2), residual=True)
    same = sharpen_skips(model, kernel=[[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(same(images(model)), model(images(model)), atol=1e-6)
    assert np.abs(sharpen_skips(model)(images(model)) - model(images(model))).max() > 1e-3
    assert not sharp_blocks(model)  # the original is unchanged


def test_an_imagenet_encoder_and_a_nested_model():
    inner = encoder_unet("MobileNetV2", (32, 32, 3))
    assert len(sharp_blocks(sharpen_skips(inner))) == 4
    inputs = keras.Input((32, 32, 3))
    outer = keras.Model(inputs, inner(inputs))
    nested = next(x for x in sharpen_skips(outer).layers if isinstance(x, keras.Model))
    assert len(sharp_blocks(nested)) == 4


def test_a_gated_skip_is_sharpened_and_its_gate_is_not():
    inputs = x = keras.Input((32, 64, 3))
    skips = []
    for filters in (4, 8):
        x = layers.Conv2D(filters, 3, padding="same")(x)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    for skip in reversed(skips):
        asked = layers.Conv2D(4, 1)(layers.UpSampling2D(2)(x))
        both = layers.Add()([layers.Conv2D(4, 1)(skip), asked])
        gate = layers.Conv2D(1, 1, activation="sigmoid")(layers.ReLU()(both))
        x = layers.Concatenate()([layers.UpSampling2D(2)(x), layers.Multiply()([skip, gate])])
        x = layers.Conv2D(8, 3, padding="same")(x)
    sharpened = sharpen_skips(keras.Model(inputs, x))
    assert [block.input.shape[-1] for block in sharp_blocks(sharpened)] == [8, 4]
    for block in sharp_blocks(sharpened):
        assert type(block._outbound_nodes[0].operation) is layers.Concatenate


def test_an_embedding_of_one_pixel_is_not_a_skip():
    inputs, code = keras.Input((32, 64, 3)), keras.Input((4,))
    skip = layers.Conv2D(4, 3, padding="same")(inputs)
    x = layers.UpSampling2D(2)(layers.MaxPooling2D(2)(skip))
    x = layers.Add()([x, layers.Reshape((1, 1, 4))(code)])
    model = keras.Model([inputs, code], layers.Concatenate()([x, skip]))
    assert [block.input.shape[1:] for block in sharp_blocks(sharpen_skips(model))] == [(32, 64, 4)]


def test_the_copy_is_compiled_trains_and_saves(tmp_path):
    model = foreign_unet(MERGES["keras.ops"], lambda: layers.UpSampling2D(2))
    model.compile("sgd", "categorical_crossentropy")
    sharpened = sharpen_skips(model)
    masks = np.eye(2, dtype="float32")[np.zeros((2, 32, 32), int)]
    losses = [sharpened.train_on_batch(images(model), masks) for _ in range(3)]
    assert losses[-1] < losses[0]
    sharpened.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(images(model)), sharpened(images(model)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(1, 3, padding="same")

    def call(self, inputs):
        return self.convolution(inputs)


def test_models_that_are_not_functional_raise():
    sequential = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(1, 3)])
    for model in (sequential, Subclassed(), layers.Conv2D(1, 3), None):
        with pytest.raises(ValueError, match="`model` must be a functional"):
            sharpen_skips(model)


def test_without_a_long_skip_it_raises():
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    x = layers.Add()([x, layers.Conv2D(4, 3, padding="same")(x)])  # residual, not long
    x = layers.UpSampling2D(2)(layers.MaxPooling2D(2)(x))
    x = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same")(x)])
    with pytest.raises(ValueError, match="no long skip connection"):
        sharpen_skips(keras.Model(inputs, x))
    with pytest.raises(ValueError, match="`kernel`"):
        sharpen_skips(unet((32, 32, 1), filters=SMALL), kernel="unknown")
