import keras
import numpy as np
import pytest
import tensorflow as tf

from melanet.cyclegan import build_cyclegan
from melanet.networks import patchgan_discriminator, unet_generator
from melanet.stargan import StarGAN, build_stargan

CLASSES = ("a", "b", "c", "d")


def small(classes=CLASSES, **compile_arguments):
    keras.utils.set_random_seed(0)
    model = build_stargan((32, 32, 3), classes, generator_filters=4, discriminator_filters=4)
    model.compile(**compile_arguments)
    return model


def images(count=4, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 32, 32, 3)).astype("float32")


def labelled(count=16, classes=4):
    """Images whose brightness is that of their class."""
    numbers = np.arange(count) % classes
    brightness = (numbers / classes - 0.5)[:, None, None, None].astype("float32")
    labels = np.eye(classes, dtype="float32")[numbers]
    return tf.data.Dataset.from_tensor_slices((brightness + 0.1 * images(count), labels)).batch(4)


def shifted_star_gan(**compile_arguments):
    """Its generator adds 0.01, 0.02, ... by the target; its discriminator is undecided."""
    image, target = keras.Input((32, 32, 3)), keras.Input((4,))
    amounts = keras.layers.Dense(3, use_bias=False)
    added = keras.layers.Reshape((1, 1, 3))(amounts(target))
    amounts.set_weights([np.repeat([[0.01], [0.02], [0.03], [0.04]], 3, axis=1)])
    generator = keras.Model([image, target], keras.layers.Add()([image, added]))
    patches = keras.layers.Conv2D(1, 16, strides=16, kernel_initializer="zeros")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    classes = keras.layers.Dense(4, kernel_initializer="zeros")(pooled)
    model = StarGAN(generator, keras.Model(image, [patches, classes]), CLASSES)
    model.compile(**compile_arguments)
    return model


def test_losses_by_hand():
    model = shifted_star_gan(identity_weight=3, class_weight=2, cycle_weight=5)
    labels, targets = np.eye(4, dtype="float32")[[0, 1]], np.eye(4, dtype="float32")[[2, 3]]
    found = {k: float(v) for k, v in model.compute_losses(images(2), labels, targets).items()}
    expected = {
        "adversarial": np.log(2),  # -log(1/2)
        "class_of_translated": np.log(4),
        "cycle": ((0.03 + 0.01) + (0.04 + 0.02)) / 2,  # there and back
        "identity": (0.01 + 0.02) / 2,
        "discriminator": 2 * np.log(2),
        "class_of_real": np.log(4),
        "generator_loss": np.log(2) + 2 * np.log(4) + 5 * 0.05 + 3 * 0.015,
        "discriminator_loss": 2 * np.log(2) + 2 * np.log(4),
    }
    assert list(found) == model.terms
    assert found == pytest.approx(expected, rel=1e-4)


def test_targets_go_round_all_other_classes():
    model = small()
    labels = tf.eye(4)
    seen = []
    for step in range(6):
        model.generator_optimizer.iterations.assign(step)
        seen.append(np.argmax(model._next_classes(labels), axis=1).tolist())
    assert seen[:3] == [[1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]
    assert seen[3:] == seen[:3]


def test_with_two_classes_the_target_is_always_the_other():
    model = small(("a", "b"))
    for step in range(3):
        model.generator_optimizer.iterations.assign(step)
        assert np.argmax(model._next_classes(tf.eye(2)), axis=1).tolist() == [1, 0]


@pytest.mark.parametrize("classes", [2, 4, 7])
def test_a_class_more_costs_one_channel_and_one_output(classes):
    generator, discriminator = (
        build((32, 32, 3), 8, classes=classes).count_params() - build((32, 32, 3), 8).count_params()
        for build in (unet_generator, patchgan_discriminator)
    )
    assert generator == 4 * 4 * classes * 8
    assert discriminator == 8 * 8 * classes + classes


def test_two_networks_serve_any_number_of_classes_and_a_cyclegan_needs_four_for_two():
    pair = build_cyclegan((32, 32, 3))
    star = build_stargan((32, 32, 3), CLASSES)
    assert star.count_params() < 0.51 * pair.count_params()


def test_the_generator_heeds_the_target_and_the_class_head_the_image():
    model = small()
    batch = images(1)
    made = [model.translate(batch, name) for name in CLASSES]
    assert all(np.abs(made[0] - other).max() > 1e-3 for other in made[1:])
    logits = model.discriminator(images(2))[1].numpy()
    assert np.abs(logits[0] - logits[1]).max() > 1e-4  # no norm makes all images alike


def test_fit_logs_every_term_and_learns():
    model = small(cycle_weight=1.0)
    optimizers = [model.generator_optimizer, model.discriminator_optimizer]
    for optimizer in optimizers:
        optimizer.learning_rate = 2e-3
    history = model.fit(labelled(), epochs=24, verbose=0).history
    assert set(history) == set(model.terms)
    assert history["cycle"][-1] < 0.9 * history["cycle"][0]
    assert history["class_of_real"][-1] < history["class_of_real"][0]


def test_a_loaded_model_trains_on_like_the_saved_one(tmp_path):
    model = small(identity_weight=1.0, class_weight=0.5, adversarial_loss="least_squares")
    model.fit(labelled(), epochs=2, verbose=0)
    model.save(tmp_path / "star.keras")
    loaded = keras.saving.load_model(tmp_path / "star.keras")
    assert (loaded.domains, loaded.class_weight, loaded.identity_weight) == (CLASSES, 0.5, 1.0)
    histories = [each.fit(labelled(), epochs=1, verbose=0).history for each in (model, loaded)]
    assert histories[0] == histories[1]
    for own, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)


def test_translate_takes_a_class_or_one_per_image_of_arrays_and_datasets():
    model = small()
    names = ["b", "c", "d", "b", "a"]
    whole = model.translate(images(5), names)
    single = [model.translate(images(5)[n : n + 1], name)[0] for n, name in enumerate(names)]
    np.testing.assert_allclose(whole, single, atol=1e-5)
    batches = tf.data.Dataset.from_tensor_slices(images(5)).batch(2)
    streamed = np.concatenate([*model.translate(batches, names).as_numpy_iterator()])
    np.testing.assert_allclose(streamed, whole, atol=1e-5)
    to_c = np.concatenate([*model.translate(batches, "c").as_numpy_iterator()])
    np.testing.assert_allclose(to_c, model.translate(images(5), "c"), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_losses_are_float32_and_finite_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small(identity_weight=1.0)
    finally:
        keras.config.set_dtype_policy("float32")
    terms = model.compute_losses(images(), np.eye(4, dtype="float32"))
    assert {term.dtype for term in terms.values()} == {tf.float32}
    history = model.fit(labelled(8), verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    scaled = isinstance(model.generator_optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_stargan((32, 32, 3), ("a",)), "`classes` must be 2 or more"),
        (lambda: StarGAN(None, None, ("a",)), "`domains` must be two or more"),
        (lambda: small(class_weight=-1), "`class_weight` must be 0 or more"),
        (lambda: small(cycle_weight=-1), "`cycle_weight` and `identity_weight`"),
        (lambda: small(update_order="discriminators_first"), "must be \"together\""),
        (lambda: small().translate(images(2), "e"), "among a, b, c, d. Received: 'e'"),
        (lambda: small().translate(images(2), ["a"]), "Received: 1 for 2 images"),
    ],
)  # fmt: skip
def test_invalid_arguments_raise_an_error_that_names_them(call, message):
    with pytest.raises(ValueError, match=message):
        call()
