"""The fused optimizers compute what Keras's do."""

import keras
import numpy as np
import pytest

from melanet import optimizers

PAIRS = [
    (optimizers.Adam, keras.optimizers.Adam, {"learning_rate": 1e-2, "beta_1": 0.5}),
    (optimizers.Adam, keras.optimizers.Adam, {"learning_rate": 1e-2, "amsgrad": True}),
    (optimizers.Adam, keras.optimizers.Adam, {"learning_rate": 1e-2, "weight_decay": 0.1}),
    (optimizers.Adadelta, keras.optimizers.Adadelta, {"learning_rate": 1.0, "rho": 0.9}),
]


def weights_after(optimizer, steps=5):
    random = np.random.default_rng(0)
    variables = [keras.Variable(random.normal(size=shape)) for shape in [(3, 3, 2, 5), (5,), ()]]
    for _ in range(steps):
        gradients = [
            keras.ops.convert_to_tensor(random.normal(size=v.shape), "float32") for v in variables
        ]
        optimizer.apply(gradients, variables)
    return [np.asarray(v) for v in (*variables, *optimizer.variables)]


@pytest.mark.parametrize(("fused", "plain", "arguments"), PAIRS)
def test_updates_are_those_of_keras(fused, plain, arguments):
    expected = weights_after(plain(**arguments))
    for ours, theirs in zip(weights_after(fused(**arguments)), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["Adam", "Adadelta"])
def test_saved_models_keep_the_optimizer_and_its_state(tmp_path, name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(getattr(optimizers, name)(0.1), "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is getattr(optimizers, name)
    for ours, theirs in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_loss_scaling_skips_a_step_without_finite_gradients():
    optimizer = keras.optimizers.LossScaleOptimizer(optimizers.Adam(0.1))
    variable = keras.Variable([1.0])
    optimizer.apply([keras.ops.convert_to_tensor([np.inf])], [variable])
    assert np.asarray(variable) == [1.0]
