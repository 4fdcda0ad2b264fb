import keras
import numpy as np
import pytest
import tensorflow as tf

from melanet.cyclegan import CycleGAN, build_cyclegan
from melanet.losses import cycle_loss, discriminator_loss, generator_loss


def small(**compile_arguments):
    keras.utils.set_random_seed(0)
    model = build_cyclegan((32, 32, 3), generator_filters=4, discriminator_filters=4)
    model.compile(**compile_arguments)
    return model


def images(count=2, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 32, 32, 3)).astype("float32")


def unpaired(count=4):
    return tf.data.Dataset.from_tensor_slices((images(count, 1), images(count, 2))).batch(1)


def numbers(tensors):
    return [tensor.numpy() for tensor in tensors]


def identity_cyclegan(**compile_arguments):
    """A CycleGAN whose generators change nothing and whose discriminators give logits of 0."""
    inputs = keras.Input((32, 32, 3))
    unchanged = [keras.Model(inputs, keras.layers.Identity()(inputs)) for _ in range(2)]
    undecided = [
        keras.Model(
            inputs, keras.layers.Conv2D(1, 16, strides=16, kernel_initializer="zeros")(inputs)
        )
        for _ in range(2)
    ]
    model = CycleGAN(*unchanged, *undecided)
    model.compile(**compile_arguments)
    return model


def test_cycle_and_identity_losses_are_zero_if_nothing_changes():
    terms = identity_cyclegan(identity_weight=1).compute_losses(images(seed=1), images(seed=2))
    for name, term in terms.items():
        if name.startswith(("cycle", "identity")):
            assert float(term) == 0
        elif name.startswith("adversarial"):
            assert float(term) == pytest.approx(np.log(2), rel=1e-5)  # -log(1/2)
        elif name.startswith("discriminator_") and name != "discriminator_loss":
            assert float(term) == pytest.approx(2 * np.log(2), rel=1e-5)


def test_a_model_that_is_not_compiled_can_be_saved(tmp_path):
    model = build_cyclegan((32, 32, 1), generator_filters=4, discriminator_filters=4)
    model.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert not loaded.compiled
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 1))
    np.testing.assert_array_equal(
        *(m.translate(image, "benign_to_malignant") for m in (model, loaded))
    )


def test_eq_2_1_is_the_weighted_sum_of_the_terms():
    model = small(cycle_weight=7, identity_weight=0.5)
    terms = {k: float(v) for k, v in model.compute_losses(images(1, 1), images(1, 2)).items()}
    parts = {
        kind: terms[f"{kind}_benign"] + terms[f"{kind}_malignant"]
        for kind in ("adversarial", "cycle", "identity", "discriminator")
    }
    total = parts["adversarial"] + 7 * parts["cycle"] + 0.5 * parts["identity"]
    assert terms["generator_loss"] == pytest.approx(total, rel=1e-5)
    assert terms["discriminator_loss"] == pytest.approx(parts["discriminator"], rel=1e-5)


def slow_gradients(model, benign, malignant):
    """The gradients of one step, written plainly: one call per image, one tape per network."""
    to_malignant, to_benign = model.first_to_second, model.second_to_first
    benign_discriminator, malignant_discriminator = (
        model.first_discriminator,
        model.second_discriminator,
    )
    variant = model.adversarial_loss

    def generators_loss():
        fake_malignant, fake_benign = to_malignant(benign), to_benign(malignant)
        return (
            generator_loss(malignant_discriminator(fake_malignant), variant)
            + generator_loss(benign_discriminator(fake_benign), variant)
            + model.cycle_weight * cycle_loss(benign, to_benign(fake_malignant))
            + model.cycle_weight * cycle_loss(malignant, to_malignant(fake_benign))
            + model.identity_weight * cycle_loss(benign, to_benign(benign))
            + model.identity_weight * cycle_loss(malignant, to_malignant(malignant))
        )

    gradients = []
    for network in (to_malignant, to_benign):
        with tf.GradientTape() as tape:
            loss = generators_loss()
        gradients += tape.gradient(loss, network.trainable_weights)
    for discriminator, real, fake in (
        (benign_discriminator, benign, to_benign(malignant)),
        (malignant_discriminator, malignant, to_malignant(benign)),
    ):
        with tf.GradientTape() as tape:
            loss = discriminator_loss(discriminator(real), discriminator(fake), variant)
        gradients += tape.gradient(loss, discriminator.trainable_weights)
    return gradients


@pytest.mark.parametrize("adversarial_loss", ["log", "least_squares"])
@pytest.mark.parametrize("identity_weight", [0.0, 1.0])
def test_the_step_applies_the_gradients_of_a_plain_step_with_separate_tapes(
    adversarial_loss, identity_weight
):
    # With plain gradient descent of rate 1, the change of the weights is the gradient.
    model = small(
        generator_optimizer=keras.optimizers.SGD(1.0),
        discriminator_optimizer=keras.optimizers.SGD(1.0),
        adversarial_loss=adversarial_loss,
        identity_weight=identity_weight,
    )
    benign, malignant = tf.constant(images(1, 1)), tf.constant(images(1, 2))
    expected = numbers(slow_gradients(model, benign, malignant))
    weights = model.generator_weights + model.discriminator_weights
    before = [weight.numpy() for weight in weights]
    model.train_step((benign, malignant))
    for weight, old, gradient in zip(weights, before, expected, strict=True):
        np.testing.assert_allclose(old - weight.numpy(), gradient, atol=2e-5, rtol=1e-3)


def released_step(model, benign, malignant, rate):
    """One step as the released code makes it, written plainly, with gradient descent."""

    def descend(network, loss):
        with tf.GradientTape() as tape:
            value = loss()
        weights = network.trainable_weights
        for weight, gradient in zip(weights, tape.gradient(value, weights), strict=True):
            weight.assign_sub(rate * gradient)
        return float(value)

    to_malignant, to_benign = model.first_to_second, model.second_to_first
    of_benign, of_malignant = model.first_discriminator, model.second_discriminator
    fake_malignant, fake_benign = to_malignant(benign), to_benign(malignant)
    losses = []
    for discriminator, real, fake in (
        (of_benign, benign, fake_benign),
        (of_malignant, malignant, fake_malignant),
    ):
        on_real = descend(
            discriminator, lambda d=discriminator, x=real: tf.reduce_mean((d(x) - 1) ** 2)
        )
        on_fake = descend(discriminator, lambda d=discriminator, x=fake: tf.reduce_mean(d(x) ** 2))
        losses.append(on_real + on_fake)
    weights = to_malignant.trainable_weights + to_benign.trainable_weights
    with tf.GradientTape() as tape:
        fake_malignant, fake_benign = to_malignant(benign), to_benign(malignant)
        loss = (
            tf.reduce_mean((of_malignant(fake_malignant) - 1) ** 2)
            + tf.reduce_mean((of_benign(fake_benign) - 1) ** 2)
            + 10 * tf.reduce_mean(abs(benign - to_benign(fake_malignant)))
            + 10 * tf.reduce_mean(abs(malignant - to_malignant(fake_benign)))
            + tf.reduce_mean(abs(benign - to_benign(benign)))
            + tf.reduce_mean(abs(malignant - to_malignant(malignant)))
        )
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        weight.assign_sub(rate * gradient)
    return losses


@pytest.mark.parametrize("graph", [False, True])
def test_discriminators_first_makes_the_step_of_the_released_code(graph):
    rate, models = 0.05, []
    for _ in range(2):
        model = small(
            generator_optimizer=keras.optimizers.SGD(rate),
            discriminator_optimizer=keras.optimizers.SGD(rate),
            adversarial_loss="least_squares",
            identity_weight=1.0,
            update_order="discriminators_first",
        )
        models.append(model)
    model, plain = models
    benign, malignant = tf.constant(images(1, 1)), tf.constant(images(1, 2))
    step = tf.function(model.train_step) if graph else model.train_step
    logs = step((benign, malignant))
    expected = released_step(plain, benign, malignant, rate)
    for ours, theirs in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    for name, value in zip(model.domains, expected, strict=True):
        assert float(logs[f"discriminator_{name}"]) == pytest.approx(value, rel=1e-4)


def test_the_released_networks_and_order_are_saved_and_trained_on(tmp_path):
    model = build_cyclegan((16, 16, 1), generator_filters=2, discriminator_filters=2, norm="layer")
    model.compile(update_order="discriminators_first")
    model.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert loaded.update_order == "discriminators_first"
    pair = [np.random.default_rng(i).uniform(-1, 1, (1, 16, 16, 1)) for i in (0, 1)]
    pair = [tf.constant(x, tf.float32) for x in pair]
    for each in (model, loaded):
        each.train_step(pair)
    # Two steps of the discriminators for one of the generators.
    assert int(loaded.discriminator_optimizer.iterations) == 2
    assert int(loaded.generator_optimizer.iterations) == 1
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_fit_on_another_backend_is_refused_in_one_line(monkeypatch):
    model = small()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match=r"KERAS_BACKEND=tensorflow.*runs on jax$"):
        model.fit(unpaired(1))


def test_fit_logs_every_term_and_learns_the_cycle():
    model = small()
    history = model.fit(unpaired(), epochs=8, verbose=0, shuffle=False).history
    assert set(history) == set(model.terms)
    assert history["cycle_benign"][-1] < history["cycle_benign"][0]


def test_defaults_match_the_thesis():
    model = small()
    assert (model.cycle_weight, model.identity_weight, model.adversarial_loss) == (10, 0, "log")
    assert float(model.generator_optimizer.learning_rate) == pytest.approx(2e-4)


def test_translate_works_both_ways_on_arrays_and_datasets():
    model = small()
    benign = images(3)
    there = model.translate(benign, "benign_to_malignant")
    back = model.translate(benign, "malignant_to_benign")
    assert there.shape == benign.shape
    assert not np.allclose(there, back)
    batches = model.translate(
        tf.data.Dataset.from_tensor_slices(benign).batch(2), "benign_to_malignant"
    )
    np.testing.assert_allclose(np.concatenate(list(batches.as_numpy_iterator())), there, atol=1e-5)
    with pytest.raises(ValueError, match="benign_to_malignant, malignant_to_benign"):
        model.translate(benign, "benign_to_normal")


def test_a_loaded_model_trains_on_like_the_saved_one(tmp_path):
    model = small(identity_weight=1, adversarial_loss="least_squares")
    model.fit(unpaired(2), verbose=0, shuffle=False)
    model.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert loaded.identity_weight == 1
    assert loaded.adversarial_loss == "least_squares"
    for each in (model, loaded):
        each.fit(unpaired(2), verbose=0, shuffle=False)
    for a, b in zip(model.generator_weights, loaded.generator_weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)
    for a, b in zip(
        model.discriminator_optimizer.variables,
        loaded.discriminator_optimizer.variables,
        strict=True,
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_losses_are_float32_and_finite_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy("float32")
    assert {term.dtype for term in model.compute_losses(images(1, 1), images(1, 2)).values()} == {
        tf.float32
    }
    history = model.fit(unpaired(2), epochs=2, verbose=0, shuffle=False).history
    assert all(np.isfinite(values).all() for values in history.values())
    scaled = isinstance(model.generator_optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cycle_weight": -1}, "cycle_weight"),
        ({"adversarial_loss": "hinge"}, "least_squares"),
        ({"update_order": "generators_first"}, "discriminators_first"),
    ],
)
def test_invalid_arguments_raise_an_error_that_names_them(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
