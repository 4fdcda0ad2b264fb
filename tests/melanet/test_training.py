import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from melanet import precision
from melanet.precision import (
    PRECISIONS,
    describe_precision,
    precision_policy,
    resolve_precision,
)
from melanet.training import seed_everything


def test_precision_is_as_asked_and_the_policy_is_restored():
    assert resolve_precision("mixed_float16") == "mixed_float16"
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
