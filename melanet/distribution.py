"""Training on all GPUs of a host, or of several hosts, with `tf.distribute`.

    strategy = make_strategy("mirrored")  # or "multiworker", at the very start of the program
    with scope(strategy):
        model = ...
        model.compile(...)
    fit(model, images, epochs=100)

Each batch is shared by the replicas, and each counts for the images that it has: learning rate and
result stay what they are on one device, up to rounding. Batch normalisation takes its statistics
over all replicas, and where float16 overflows on one, all of them skip the step.

Over several hosts every one runs the same program with its own `TF_CONFIG`. All read the same
files; what is written, the chief writes: the host of index 0.
"""

import contextlib
import functools
import json
import os
import signal
import threading
import zlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from melanet.data import InputError

#: What `resolve` knows; "auto" is one of the others.
NAMES = ("auto", "none", "mirrored", "multiworker")
#: What TensorFlow raises when another host is gone.
WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)


def resolve(name: str) -> str:
    """What "auto" stands for here: "mirrored" on a host with more than one GPU, else "none"."""
    if name != "auto":
        return name
    return "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "none"


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """The strategy of that name: None, or one with a replica on each GPU, else on each CPU device.

    `"multiworker"` has the replicas of every host that the environment variable `TF_CONFIG` names.
    It must be made before TensorFlow does anything else, and waits until all hosts are there;
    afterwards the same one is returned.

    Raises:
        InputError: If `TF_CONFIG` is missing or does not name this host and others, or they
            cannot be joined.
        ValueError: If the name is unknown.
    """
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {', '.join(NAMES)}. Received: {name!r}")
    if name == "multiworker":
        return _strategy_of_all_hosts()
    if resolve(name) == "none":
        return None
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@functools.cache
def _strategy_of_all_hosts() -> tf.distribute.Strategy:
    hosts = _check_cluster(os.environ.get("TF_CONFIG"))
    print(f"joining {', '.join(hosts)}; waiting until all are there ...", flush=True)
    try:
        with _left_to_the_system(signal.SIGINT):  # TensorFlow's waiting would not heed Ctrl-C
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise InputError(
            f"TF_CONFIG: the hosts cannot be joined ({' '.join(str(error).split())}); each needs "
            "its own address with a free port, and must be joined before TensorFlow does anything"
        ) from None


@contextlib.contextmanager
def _left_to_the_system(interrupt: signal.Signals) -> Iterator[None]:
    """A signal ends the process at once, and SIGTERM does so ever after.

    TensorFlow takes SIGTERM for an announcement, and goes on. What is killed here loses nothing.
    """
    if threading.current_thread() is not threading.main_thread():  # others cannot set handlers
        yield
        return
    before = signal.signal(interrupt, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(interrupt, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _check_cluster(text: str | None) -> list[str]:
    """The hosts that TF_CONFIG names; an InputError if it is not what several equal ones need."""
    example = (
        'such as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    if not text:
        raise InputError(f"TF_CONFIG: is not set; each host needs its own, {example}")
    try:
        config = json.loads(text)
        hosts, task = config["cluster"]["worker"], config["task"]
        kind, index = task["type"], int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"TF_CONFIG: cannot be read ({error!r}); make it {example}") from None
    if set(config["cluster"]) != {"worker"} or kind != "worker":
        raise InputError(
            f"TF_CONFIG: only workers take part, the first is chief; make it {example}"
        )
    if not isinstance(hosts, list) or len(hosts) < 2 or len(set(hosts)) < len(hosts):
        raise InputError(f"TF_CONFIG: names not two different workers or more; make it {example}")
    if not 0 <= index < len(hosts):
        raise InputError(f"TF_CONFIG: the index {index} is none of its {len(hosts)} workers'")
    return hosts


@tf.function
def _summed(numbers):
    """Over all replicas."""
    # Collective operations ask which device a tensor is on: an argument is on none, its copy is.
    return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(numbers))


def is_single_worker() -> bool:
    """Whether this process works without other hosts."""
    return not _strategy_of_all_hosts.cache_info().currsize


def is_chief() -> bool:
    """Whether this process is the one that writes: the only one, or the first of several hosts."""
    return is_single_worker() or _strategy_of_all_hosts().cluster_resolver.task_id == 0


@contextlib.contextmanager
def chief_first() -> Iterator[None]:
    """The chief does what is inside, then the other hosts: they find its files and only read."""
    if not is_chief():
        barrier()
    yield
    if is_chief():
        barrier()


def barrier() -> None:
    """Waits until every host is here."""
    check_workers_agree("where the hosts wait for each other", "")


def check_workers_agree(what: str, mark: object) -> None:
    """Checks that every host has the same `mark`; a host that is alone has it.

    Raises:
        InputError: If another host has another one: they do not do the same work.
    """
    if is_single_worker():
        return
    strategy = _strategy_of_all_hosts()
    number = float(zlib.crc32(str(mark).encode()) % 2**16)  # sums of squares stay exact
    summed = strategy.run(_summed, args=(tf.constant([number, number**2], tf.float64),))
    total, squares = strategy.experimental_local_results(summed)[0].numpy()
    if squares * strategy.num_replicas_in_sync != total**2:
        raise InputError(
            f"{what}: differs from host to host ({mark} here); give all of them the same command "
            "and the same files, on storage that they share, and start all again"
        )


def count_replicas(strategy: tf.distribute.Strategy | None) -> int:
    """Devices that share each batch."""
    return 1 if strategy is None else strategy.num_replicas_in_sync


def scope(strategy: tf.distribute.Strategy | None) -> contextlib.AbstractContextManager:
    """Where a model is built and compiled; nothing special for None."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    *,
    validation_data: tf.data.Dataset | None = None,
    **arguments,
) -> keras.callbacks.History:
    """`model.fit`, by all replicas of the strategy in whose scope the model was compiled.

    Callbacks, metrics, validation and early stopping are the same on every host.

    Args:
        model: A compiled model. Its loss gives a value for each image, as most do: what depends on
            the whole batch cannot be shared. One with a `train_step` of its own weighs its losses
            by `batch_fraction`, and its batches have an image for every replica.
        batches: Batches of all replicas together, in the same order on every host.
        validation_data: Likewise. Both are of known cardinality.
        **arguments: Of `fit`, but `class_weight`: weigh the images in the dataset instead.

    Raises:
        InputError: If the hosts do not begin with the same epoch of the same model.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return model.fit(batches, validation_data=validation_data, **arguments)
    check_workers_agree("the training", (model.name, arguments.get("initial_epoch", 0)))
    with strategy.scope():
        model._symbolic_build(data_batch=next(iter(batches)))
    _make_shared(model)
    if validation_data is not None:
        arguments["validation_data"] = _shared(strategy, validation_data)
        arguments["validation_steps"] = int(validation_data.cardinality())
    steps = int(batches.cardinality())
    return model.fit(_shared(strategy, batches), steps_per_epoch=steps, **arguments)


def _make_shared(model: keras.Model) -> None:
    """Gives a model the steps below, and its parts what they need to agree on all replicas."""
    if not isinstance(model, _Shared):
        kind = _SharedStep if type(model).train_step is keras.Model.train_step else _Shared
        model.__class__ = type(type(model).__name__, (kind, type(model)), {})
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    for optimizer in vars(model).values():
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer.__class__ = _AgreeingLossScaleOptimizer


class _Shared(keras.Model):
    """Mix-in of a model whose batches several replicas share, for plain `fit`.

    Keras 3 can neither build a model on a batch that lies on several hosts, nor reduce the scalars
    that a step of theirs logs (keras-team/keras issue 20585). The names with an underscore are its
    own: they hold for the version that is pinned.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: `fit` above has built the model on a batch of this host."""

    def train_step(self, data):
        batch, _ = data
        return self._reducible(super().train_step(batch))

    def test_step(self, data):
        batch, _ = data
        return self._reducible(super().test_step(batch))

    def _reducible(self, logs):
        if not isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return logs
        return {name: tf.expand_dims(value, 0) for name, value in logs.items()}


class _SharedStep(_Shared):
    """The steps of a model that has none of its own: Keras's, but for what each replica counts for.

    Keras gives every replica the same weight, however many images of the batch it has.
    """

    def train_step(self, data):
        batch, own = data
        with tf.GradientTape() as tape:
            loss, logs = self._evaluated(batch, own, training=True)
            # The optimizer adds the gradients of all replicas.
            objective = self.optimizer.scale_loss(tf.cast(batch_fraction(own), loss.dtype) * loss)
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(objective, weights), weights)
        return self._reducible(logs)

    def test_step(self, data):
        batch, own = data
        return self._reducible(self._evaluated(batch, own, training=False)[1])

    def _evaluated(self, batch, own, training):
        """The replica's mean loss, and metrics that count its own images: all of them, or none."""
        images, truth, weights = keras.utils.unpack_x_y_sample_weight(batch)
        predicted = self(images, training=training)
        # Keras divides by the number of replicas, for those who add up what they have.
        replicas = self.distribute_strategy.num_replicas_in_sync
        loss = replicas * self.compute_loss(images, truth, predicted, weights, training=training)
        self._loss_tracker.update_state(loss, sample_weight=own)
        weights = None if weights is None else weights[:own]
        return loss, self.compute_metrics(images, truth[:own], predicted[:own], weights)


class _AgreeingLossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Where float16 overflows on one replica, all skip the step: Keras asks the first one only."""

    def check_finite(self, grads):
        overflowed = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        return tf.distribute.get_replica_context().all_reduce("SUM", overflowed) == 0


def batch_fraction(count: tf.Tensor) -> tf.Tensor:
    """Which part of the whole batch `count` images are, a float32 scalar in [0, 1]; 1 if alone."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.ones(())
    count = tf.cast(count, tf.float32)
    return count / context.all_reduce("SUM", count)


def _shared(strategy, batches: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """The batches, each cut into a part for every replica, and how many images of it are its own.

    The parts differ by one image at most, where TensorFlow's own way leaves replicas without images
    while others have two. Of a batch that has not one for each, every replica gets all, and the
    first one owns them: without any there would be no shape to compute with. There is no end, for
    where it ended, replicas would take one more step with nothing: `fit` counts.
    """
    replicas = strategy.num_replicas_in_sync

    def of_this_host(context):
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def parts(*batch):
            count = tf.shape(batch[0], tf.int64)[0]
            enough = count >= replicas

            def part(replica):
                low, high = (count * at // replicas for at in (replica, replica + 1))
                owned = tf.where(enough, high - low, tf.where(replica == 0, count, 0))
                low, high = tf.where(enough, low, 0), tf.where(enough, high, count)
                return tuple(each[low:high] for each in batch), owned

            return tf.data.Dataset.range(first, first + here).map(part)

        return batches.flat_map(parts).repeat().prefetch(2 * here)

    return strategy.distribute_datasets_from_function(of_this_host)


def on_one_device(trained: keras.Model, model: keras.Model) -> keras.Model:
    """`model`, built without a strategy, with the weights of `trained`."""
    model.set_weights(trained.get_weights())
    return model
