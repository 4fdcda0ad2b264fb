import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from melanet import precision
from melanet.checkpoint import EpochCheckpoint, training_variables
from melanet.precision import (
    PRECISIONS,
    describe_precision,
    precision_policy,
    resolve_precision,
)
from melanet.training import EventLog, KeptModels, seed_everything, train
from tests.conftest import logged_values


def test_precision_is_as_asked_and_the_policy_is_restored():
    assert resolve_precision("float32") == "float32"
    assert resolve_precision("auto") in PRECISIONS[1:]
    with precision_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("flags", "policy", "reason"),
    [
        ("sse avx512_bf16", "mixed_bfloat16", "the CPU computes bfloat16 natively (avx512_bf16)"),
        ("amx_bf16 sse", "mixed_bfloat16", "the CPU computes bfloat16 natively (amx_bf16)"),
        ("sse avx512f", "float32", "the CPU has no units for bfloat16 (amx_bf16 or avx512_bf16)"),
    ],
)
def test_auto_is_bfloat16_where_the_cpu_computes_it(monkeypatch, flags, policy, reason):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(precision, "cpu_information", lambda: {"flags": flags})
    assert resolve_precision("auto") == policy
    assert describe_precision(policy) == f"{policy}: {reason}."
    other = "mixed_float16: chosen by --precision; auto would be"
    assert describe_precision("mixed_float16") == f"{other} {policy}, because {reason}."


def test_a_format_that_the_cpu_emulates_is_taken_with_a_warning(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(precision, "cpu_information", lambda: {"flags": "avx2"})
    with pytest.warns(UserWarning, match=r"mixed_float16: this CPU emulates it.*use float32"):
        assert resolve_precision("mixed_float16") == "mixed_float16"


@pytest.mark.parametrize(
    ("capability", "policy"),
    [((9, 0), "mixed_bfloat16"), ((7, 5), "mixed_float16"), ((6, 1), "float32")],
)
def test_auto_on_a_gpu_follows_its_compute_capability(monkeypatch, capability, policy):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    details = {"compute_capability": capability}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert resolve_precision("auto") == policy


def test_a_new_trial_frees_the_memory_of_the_one_before():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
    held = weakref.ref(model.weights[0].value.handle)
    del model
    gc.collect()
    assert held() is not None  # if TensorFlow frees it by itself, this test and its cure can go
    seed_everything(0, deterministic=False)
    gc.collect()
    assert held() is None


def test_epochs_are_logged_for_tensorboard_under_the_names_of_keras(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = (np.eye(2), np.ones(2))
    for first in (0, 2):  # the second is a resumed training
        history = model.fit(
            *data,
            epochs=first + 2,
            initial_epoch=first,
            validation_data=data,
            callbacks=[EventLog(tmp_path / "log"), EventLog(None)],
            verbose=0,
        ).history
    logged = logged_values(tmp_path / "log/train")["epoch_loss"]
    assert list(logged) == [0, 1, 2, 3]
    assert [logged[2], logged[3]] == pytest.approx(history["loss"])
    assert list(logged_values(tmp_path / "log/validation")) == ["epoch_loss"]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


TRACED = []


def traced_loss(truth, predicted):
    TRACED.append(truth)
    return tf.reduce_mean((truth - predicted) ** 2)


def noisy_network():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5)]
    )
    model.compile(keras.optimizers.Adam(0.1), traced_loss, metrics=["mae"])
    return model


def trained(seed, kept=None):
    """Everything that a training leaves: weights, moments, random states, history, outputs."""
    seed_everything(seed)
    stopping = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1.0)
    checkpoint = EpochCheckpoint(None, [stopping])
    images = np.random.default_rng(seed).normal(size=(10, 4)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((images, images @ np.ones((4, 8)))).batch(4)
    model = train(
        noisy_network,
        batches,
        epochs=4,
        validation_data=batches,
        callbacks=[stopping],
        checkpoint=checkpoint,
        kept=kept and (kept, "noisy"),
    )
    values = [np.asarray(variable) for variable in training_variables(model)]
    return model, checkpoint.history, [*values, model.predict(images, verbose=0)]


def test_a_model_that_takes_over_graphs_is_trained_to_the_same_bits_without_tracing_anew():
    kept = KeptModels()
    first, _, _ = trained(0, kept)
    TRACED.clear()
    second, history, values = trained(1, kept)
    assert second is first
    assert not TRACED
    _, history_of_new, values_of_new = trained(1)
    assert TRACED
    assert history == history_of_new
    for one, other in zip(values, values_of_new, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_the_models_used_last_are_kept():
    kept = KeptModels(size=2)
    a, b = (kept.renewed(key, noisy_network) for key in "ab")
    assert kept.renewed("a", noisy_network) is a
    kept.renewed("c", noisy_network)
    assert kept.renewed("a", noisy_network) is a
    assert kept.renewed("b", noisy_network) is not b
