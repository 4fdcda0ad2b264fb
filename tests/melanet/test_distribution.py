"""Two logical CPU devices in a process of their own give what one device gives."""

import json
import subprocess
import sys

import pytest

from melanet.data import InputError
from melanet.distribution import check_batches, make_strategy, resolve

SCRIPT = """
import json, sys
import keras, numpy as np, tensorflow as tf

devices, what = int(sys.argv[1]), sys.argv[2]
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * devices
)
from melanet.checkpoint import EpochCheckpoint
from melanet.classifiers import vgg_gap
from melanet.cyclegan import cyclegan
from melanet.data.stream import each_pass, pass_counter, prefetched, shuffled
from melanet.distribution import make_strategy, on_one_device, scope
from sharpunet import sharp_unet

random = np.random.default_rng(0)
images = random.uniform(-1, 1, (20, 32, 32, 1 if what != "vgg_gap" else 3)).astype("float32")
targets = {
    "sharp_unet": (images > 0).astype("float32"),
    "vgg_gap": np.eye(2, dtype="float32")[random.integers(0, 2, 20)],
    "cyclegan": random.uniform(-1, 1, images.shape).astype("float32"),
}[what]
keras.utils.set_random_seed(0)
strategy = make_strategy("mirrored" if devices > 1 else "none")
passes = pass_counter()
cached = tf.data.Dataset.from_tensor_slices((images, targets)).cache()
ordered = each_pass(lambda number: shuffled(cached, 20, 0, number), 20, passes)


def compiled():
    # Small rates: float32 sums in another order, and what trains fast tells such sums apart.
    if what == "cyclegan":
        model = cyclegan((32, 32, 1), generator_filters=4, discriminator_filters=4)
        model.compile(*(keras.optimizers.Adam(1e-6, beta_1=0.5) for _ in range(2)))
    elif what == "vgg_gap":
        model = vgg_gap((32, 32, 3), weights=None)
        model.compile(keras.optimizers.Adam(1e-6), "categorical_crossentropy")
    else:
        model = sharp_unet((32, 32, 1))
        model.compile(keras.optimizers.Adam(1e-5), "binary_crossentropy")
    return model


with scope(strategy):
    model = compiled()
saving = EpochCheckpoint(None, passes=passes)
model.fit(prefetched(ordered.batch(4)), epochs=4, callbacks=[saving], shuffle=False, verbose=0)
plain = on_one_device(model, compiled())
print(json.dumps([saving.history, float(sum(np.abs(w).sum() for w in plain.get_weights()))]))
"""


def history(devices, what):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(devices), what], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("what", ["sharp_unet", "vgg_gap", "cyclegan"])
def test_two_devices_give_the_losses_of_one_over_20_steps(what):
    (one, weights), (two, again) = history(1, what), history(2, what)
    assert len(next(iter(one.values()))) == 4
    for name, losses in one.items():
        assert two[name] == pytest.approx(losses, rel=1e-5, abs=1e-7)
    assert again == pytest.approx(weights, rel=1e-6)


class Replicas:
    """Stands for a strategy of so many replicas."""

    def __init__(self, count):
        self.num_replicas_in_sync = count


def test_a_batch_that_cannot_be_shared_is_named():
    check_batches(None, 5, 4)
    check_batches(Replicas(2), 6, 4)
    check_batches(Replicas(4), 16, 4)
    with pytest.raises(InputError, match="5 images in batches of 4 leave a batch of 1, which 2"):
        check_batches(Replicas(2), 5, 4)
    with pytest.raises(InputError, match="batches of 1 leave a batch of 1, which 4"):
        check_batches(Replicas(4), 100, 1)


def test_on_a_host_without_gpus_nothing_is_distributed_unless_asked_for():
    assert resolve("auto") == "none"
    assert make_strategy("auto") is None
    assert make_strategy("none") is None
    assert resolve("mirrored") == "mirrored"
    with pytest.raises(ValueError, match="`name` must be one of auto, none, mirrored"):
        make_strategy("parameter_server")
