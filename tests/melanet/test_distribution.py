"""Two devices and two hosts, in processes of their own, train like one device."""

import json
import os
import socket
import subprocess
import sys

import pytest

from melanet import distribution
from melanet.data import InputError
from melanet.distribution import make_strategy, resolve

SCRIPT = """
import json, sys
import keras, numpy as np, tensorflow as tf
from keras import layers

devices, what = sys.argv[1:]
if devices == "2":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
from melanet.checkpoint import EpochCheckpoint
from melanet.classifiers import vgg_gap
from melanet.cyclegan import build_cyclegan
from melanet.data.pipelines import make_epoch_counter, ordered_batches
from melanet.distribution import fit, is_chief, make_strategy, on_one_device, scope
from melanet.stargan import build_stargan
from sharpunet import LOSSES, Jaccard, sharp_unet

strategy = make_strategy({"1": "none", "2": "mirrored", "hosts": "multiworker"}[devices])
random = np.random.default_rng(0)
# Batches of 5: the last one has 4 images, which two devices can share, or 1, which they cannot.
count, watched_count = (19, 7) if what in ("cyclegan", "stargan", "vgg_gap") else (21, 6)
images = random.uniform(-1, 1, (count, 32, 32, 1 if what != "vgg_gap" else 3)).astype("float32")
labels = random.integers(0, 2, count)
if what == "overflow":  # float16 overflows on both devices
    images[8], images[9], labels[8], labels[9] = 1e4, 1e4, 0, 1
    keras.config.set_dtype_policy("mixed_float16")
targets = {
    "sharp_unet": (images > 0).astype("float32"),
    "cyclegan": random.uniform(-1, 1, images.shape).astype("float32"),
    "stargan": np.eye(3, dtype="float32")[np.arange(count) % 3],
}.get(what, np.eye(2, dtype="float32")[labels])
keras.utils.set_random_seed(0)
epoch_counter = make_epoch_counter()
samples = tf.data.Dataset.from_tensor_slices((images, targets))


def compiled():
    # Not Adam, which hides gradients of the wrong scale. The rates are small, because sums in
    # another order differ by rounding, which grows in fast trainings.
    if what == "cyclegan":
        model = build_cyclegan((32, 32, 1), generator_filters=4, discriminator_filters=4)
        model.compile(*(keras.optimizers.SGD(1e-5) for _ in range(2)))
    elif what == "stargan":
        model = build_stargan((32, 32, 1), "abc", generator_filters=4, discriminator_filters=4)
        model.compile(*(keras.optimizers.SGD(1e-5) for _ in range(2)))
    elif what == "vgg_gap":
        model = vgg_gap((32, 32, 3), weights=None)
        model.compile(keras.optimizers.SGD(1e-5), "categorical_crossentropy")
    elif what == "batch_norm":
        parts = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Conv2D(4, 3, strides=2)]
        parts += [layers.BatchNormalization(), layers.GlobalMaxPooling2D()]
        model = keras.Sequential([*parts, layers.Dense(2, "softmax")])
        model.build((None, 32, 32, 1))
        model.compile(keras.optimizers.SGD(1e-3), "categorical_crossentropy")
    elif what == "overflow":
        parts = [layers.Flatten(), layers.Dense(4)]
        model = keras.Sequential([*parts, layers.Dense(2, "softmax", dtype="float32")])
        model.build((None, 32, 32, 1))
        model.compile(keras.optimizers.SGD(1e-5), "categorical_crossentropy")
    else:
        model = sharp_unet((32, 32, 1))
        model.compile(keras.optimizers.SGD(1e-2), LOSSES["boundary"](1), metrics=[Jaccard()])
    return model


with scope(strategy):
    model = compiled()
watched = "val_" + ("generator_loss" if what.endswith("gan") else "loss")
stopping = keras.callbacks.EarlyStopping(watched, mode="max", patience=1, start_from_epoch=3)
saving = EpochCheckpoint(None, [stopping], epoch_counter)
fit(
    model,
    ordered_batches(
        samples,
        lambda *element: element,
        lambda *batch: batch,
        batch_size=5,
        shuffle=True,
        epoch_counter=epoch_counter,
    ),
    validation_data=samples.take(watched_count).batch(5),
    epochs=9,
    callbacks=[stopping, saving],
    shuffle=False,
    verbose=0,
)
plain = on_one_device(model, compiled())
weights = [float(np.abs(w).sum(dtype="float64")) for w in plain.get_weights()]
if what == "overflow":
    saving.history["skipped"] = [float(np.log2(2**15 / model.optimizer.dynamic_scale.numpy()))]
print(json.dumps([saving.history, sum(weights), is_chief()]))
"""


def start(devices, what, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, devices, what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def result(process):
    printed, complaints = process.communicate(timeout=600)
    assert process.returncode == 0, complaints[-2000:]
    return json.loads(printed.splitlines()[-1])


def start_hosts(what, count=2):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in sockets]
    for free in sockets:
        free.close()
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    config = [json.dumps({"cluster": {"worker": addresses}, "task": task}) for task in tasks]
    return [start("hosts", what, TF_CONFIG=text) for text in config]


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["sharp_unet", "vgg_gap", "cyclegan", "stargan", "batch_norm", "overflow"]
)
def test_two_devices_and_two_hosts_train_as_one_device_does(what):
    history, weights, _ = result(start("1", what))
    runs = [result(start("2", what))]
    if what not in ("vgg_gap", "stargan"):  # the others cover all that they need
        first, second = map(result, start_hosts(what))
        assert first[:2] == second[:2]  # to the bit, so that callbacks decide alike
        assert [first[2], second[2]] == [True, False]
        runs.append(first)
    if what == "overflow":
        assert history["skipped"][0] >= 1
    else:
        assert 5 <= len(history["val_loss" if "val_loss" in history else "generator_loss"]) < 9
    for shared, again, _ in runs:
        assert again == pytest.approx(weights, rel=1e-6)
        assert shared.keys() == history.keys()
        for name, values in history.items():
            assert shared[name] == pytest.approx(values, rel=1e-5, abs=1e-6)


CLUSTER = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not set"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        (json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}), "cannot be read"),
        (json.dumps({**CLUSTER, "task": {"type": "worker", "index": "x"}}), "cannot be read"),
        (json.dumps({**CLUSTER, "task": {"type": "worker", "index": 2}}), "the index 2 is none"),
        (json.dumps({**CLUSTER, "task": {"type": "worker", "index": -1}}), "the index -1 is none"),
        (json.dumps({**CLUSTER, "task": {"type": "ps", "index": 0}}), "only workers are supported"),
        (json.dumps({**CLUSTER, "cluster": {"worker": ["a:1"]}}), "two different workers"),
        (json.dumps({**CLUSTER, "cluster": {"worker": ["a:1", "a:1"]}}), "two different workers"),
        (json.dumps({**CLUSTER, "cluster": {"worker": "a:1"}}), "two different workers"),
        (json.dumps({**CLUSTER, "cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}}), "only"),
    ],
)
def test_a_wrong_TF_CONFIG_is_named(text, reason, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=f"TF_CONFIG: .*{reason}") as config:
        make_strategy("multiworker")
    assert "\n" not in str(config.value)
    assert distribution.is_single_worker()


def test_a_single_worker_is_chief_and_waits_for_nobody():
    assert distribution.is_chief()
    done = []
    with distribution.chief_first():
        done.append(1)
    distribution.check_workers_agree("the work", object())
    assert done == [1]


def test_without_gpus_auto_does_not_distribute():
    assert resolve("auto") == "none"
    assert make_strategy("auto") is None
    assert make_strategy("none") is None
    assert resolve("mirrored") == "mirrored"
    with pytest.raises(ValueError, match="`name` must be one of auto, none, mirrored"):
        make_strategy("parameter_server")
