"""Training on all GPUs of one host, or of several hosts, with `tf.distribute`.

    strategy = make_strategy("mirrored")  # or "multiworker", at the very start of the program
    with scope(strategy):
        model = ...
        model.compile(...)
    fit(model, images, epochs=100)

The replicas share each batch and are weighted by their share of it, so that the learning rate and
the result are those of one device, up to rounding. Batch normalisation takes its statistics over
all replicas, and where float16 overflows on one replica, all of them skip the step.

On several hosts (workers) the same program runs on each with its own `TF_CONFIG`. All read the
same files; only the chief, the worker of index 0, writes.
"""

import contextlib
import functools
import json
import os
import signal
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from melanet.data import InputError
from melanet.names import STRATEGIES

#: Errors that TensorFlow raises when another worker is gone.
WORKER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)


def resolve(name: str) -> str:
    """Replaces "auto" by "mirrored" on a host with more than one GPU, else by "none".

    Example:
        >>> from melanet.distribution import resolve
        >>> resolve("mirrored")
        'mirrored'
    """
    if name != "auto":
        return name
    return "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "none"


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """Makes a distribution strategy.

    Args:
        name: `"mirrored"` for a replica on each GPU, or on each CPU device if there is no GPU;
            `"multiworker"` for the same on all hosts that the environment variable `TF_CONFIG`
            names; `"none"`; or `"auto"`, see `resolve`.

    Returns:
        The strategy; None for `"none"`. The one of several hosts must be made before TensorFlow
        does anything else; the call waits until all have joined, and later calls return the same.

    Raises:
        InputError: If `TF_CONFIG` is missing or does not name this host and others, or they
            cannot be joined.
        ValueError: If the name is unknown.

    Example:
        >>> from melanet.distribution import make_strategy
        >>> make_strategy("mirrored").num_replicas_in_sync
        1
    """
    if name not in STRATEGIES:
        raise ValueError(f"`name` must be one of {', '.join(STRATEGIES)}. Received: {name!r}")
    if name == "multiworker":
        return _multiworker_strategy()
    if resolve(name) == "none":
        return None
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@functools.cache
def _multiworker_strategy() -> tf.distribute.Strategy:
    hosts = _check_cluster(os.environ.get("TF_CONFIG"))
    print(f"joining {', '.join(hosts)}; waiting until all are there ...", flush=True)
    try:
        with _default_signals():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise InputError(
            f"TF_CONFIG: the hosts cannot be joined ({' '.join(str(error).split())}); each needs "
            "its own address with a free port, and must be joined before TensorFlow does anything"
        ) from None


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Lets Ctrl-C end TensorFlow's waiting, and SIGTERM the process, now and afterwards.

    While it waits, TensorFlow ignores Ctrl-C; and it takes SIGTERM for the announcement of a
    preemption and continues. A process that is killed here loses nothing.
    """
    if threading.current_thread() is not threading.main_thread():  # others cannot set handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _check_cluster(text: str | None) -> list[str]:
    """Parses TF_CONFIG; returns the addresses of the workers."""
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
            f"TF_CONFIG: only workers are supported, the first is the chief; make it {example}"
        )
    if not isinstance(hosts, list) or len(hosts) < 2 or len(set(hosts)) < len(hosts):
        raise InputError(f"TF_CONFIG: needs two different workers or more; make it {example}")
    if not 0 <= index < len(hosts):
        raise InputError(f"TF_CONFIG: the index {index} is none of its {len(hosts)} workers")
    return hosts


@tf.function
def _sum_over_replicas(numbers: tf.Tensor) -> tf.Tensor:
    # A copy, because collective operations need a tensor with a device and an argument has none.
    return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(numbers))


def is_single_worker() -> bool:
    """Whether this process trains without other hosts.

    Example:
        >>> from melanet.distribution import is_single_worker
        >>> is_single_worker()
        True
    """
    return not _multiworker_strategy.cache_info().currsize


def is_chief() -> bool:
    """Whether this process writes files: it is the only one, or the first of several workers.

    Example:
        >>> from melanet.distribution import is_chief
        >>> is_chief()
        True
    """
    return is_single_worker() or _multiworker_strategy().cluster_resolver.task_id == 0


@contextlib.contextmanager
def chief_first() -> Iterator[None]:
    """Runs a block on the chief first, so that the other workers find its files and only read.

    Example:
        >>> from melanet.distribution import chief_first
        >>> with chief_first():
        ...     print("prepares the dataset")
        prepares the dataset
    """
    if not is_chief():
        barrier()
    yield
    if is_chief():
        barrier()


def barrier() -> None:
    """Waits until every worker has called it.

    Example:
        >>> from melanet.distribution import barrier
        >>> barrier()
    """
    check_workers_agree("the barrier", "")


def check_workers_agree(what: str, value: object) -> None:
    """Checks that every worker calls it with the same value.

    Args:
        what: Name of the value, for the message.
        value: Anything whose text tells one job from another.

    Raises:
        InputError: If another worker has another value: they do not do the same work.

    Example:
        >>> from melanet.distribution import check_workers_agree
        >>> check_workers_agree("--out results", ["trial-1", "trial-2"])
    """
    if is_single_worker():
        return
    strategy = _multiworker_strategy()
    number = float(zlib.crc32(str(value).encode()) % 2**16)  # sums of squares stay exact
    summed = strategy.run(_sum_over_replicas, args=(tf.constant([number, number**2], tf.float64),))
    total, squares = strategy.experimental_local_results(summed)[0].numpy()
    if squares * strategy.num_replicas_in_sync != total**2:
        raise InputError(
            f"{what}: differs from host to host ({value} here); give all hosts the same command "
            "and the same files, on storage that they share, and start all again"
        )


def count_replicas(strategy: tf.distribute.Strategy | None) -> int:
    """Number of replicas that share each batch; 1 for None.

    Example:
        >>> from melanet.distribution import count_replicas
        >>> count_replicas(None)
        1
    """
    return 1 if strategy is None else strategy.num_replicas_in_sync


def scope(strategy: tf.distribute.Strategy | None) -> contextlib.AbstractContextManager:
    """Context in which a model must be built and compiled; it does nothing for None.

    Example:
        >>> import keras
        >>> from melanet.distribution import make_strategy, scope
        >>> with scope(make_strategy("none")):
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    """
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def fit(
    model: keras.Model,
    batches: tf.data.Dataset,
    *,
    validation_data: tf.data.Dataset | None = None,
    **arguments: Any,
) -> keras.callbacks.History:
    """Runs `model.fit` on all replicas of the strategy in whose scope the model was compiled.

    Callbacks, metrics, validation and early stopping are the same on every worker.

    Args:
        model: A compiled model whose loss has one value per image; a loss that depends on the
            whole batch cannot be distributed. A model with its own `train_step` must weight its
            losses by `batch_fraction`, and its batches need an image for every replica.
        batches: Batches for all replicas together, of known cardinality and in the same order on
            every worker.
        validation_data: Likewise.
        **arguments: Other arguments of `fit`, except `class_weight`: give the dataset sample
            weights instead.

    Returns:
        What `model.fit` returns.

    Raises:
        InputError: If the workers do not start with the same epoch of the same model.

    Example:
        >>> import keras, tensorflow as tf
        >>> from melanet.distribution import fit
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> batches = tf.data.Dataset.from_tensors((tf.eye(2), tf.ones((2, 1))))
        >>> sorted(fit(model, batches, verbose=0).history)
        ['loss']
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return model.fit(batches, validation_data=validation_data, **arguments)
    check_workers_agree("the training", (model.name, arguments.get("initial_epoch", 0)))
    with strategy.scope():
        model._symbolic_build(data_batch=next(iter(batches)))
    _make_distributed(model)
    if validation_data is not None:
        arguments["validation_data"] = _distribute(strategy, validation_data)
        arguments["validation_steps"] = int(validation_data.cardinality())
    steps = int(batches.cardinality())
    return model.fit(_distribute(strategy, batches), steps_per_epoch=steps, **arguments)


def _make_distributed(model: keras.Model) -> None:
    """Gives a model the steps below, and makes its layers and optimizers agree on all replicas."""
    if not isinstance(model, _Distributed):
        custom = type(model).train_step is not keras.Model.train_step
        kind = _Distributed if custom else _DistributedStep
        model.__class__ = type(type(model).__name__, (kind, type(model)), {})
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    for optimizer in vars(model).values():
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer.__class__ = _SyncedLossScaleOptimizer


class _Distributed(keras.Model):
    """Mix-in for a model whose batches are shared by several replicas.

    Keras 3 can neither build a model on a batch that is spread over workers, nor reduce the scalars
    that their steps log (keras-team/keras issue 20585). The overridden names are private to Keras
    and hold for the pinned version.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing: `fit` above has built the model on a local batch."""

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


class _DistributedStep(_Distributed):
    """Keras's own steps, but with replicas weighted by their share of the batch.

    Keras gives every replica the same weight, however many images of the batch it has.
    """

    def train_step(self, data):
        batch, own = data
        with tf.GradientTape() as tape:
            loss, logs = self._evaluate_batch(batch, own, training=True)
            # The optimizer adds up the gradients of all replicas.
            objective = self.optimizer.scale_loss(tf.cast(batch_fraction(own), loss.dtype) * loss)
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(objective, weights), weights)
        return self._reducible(logs)

    def test_step(self, data):
        batch, own = data
        return self._reducible(self._evaluate_batch(batch, own, training=False)[1])

    def _evaluate_batch(self, batch, own, training):
        """The replica's mean loss, and the metrics, which count only the images that it owns."""
        images, truth, weights = keras.utils.unpack_x_y_sample_weight(batch)
        predicted = self(images, training=training)
        # Undoes Keras's division by the number of replicas; `batch_fraction` replaces it.
        replicas = self.distribute_strategy.num_replicas_in_sync
        loss = replicas * self.compute_loss(images, truth, predicted, weights, training=training)
        self._loss_tracker.update_state(loss, sample_weight=own)
        weights = None if weights is None else weights[:own]
        return loss, self.compute_metrics(images, truth[:own], predicted[:own], weights)


class _SyncedLossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Skips a step on all replicas if float16 overflows on any; Keras asks only the first."""

    def check_finite(self, grads):
        overflowed = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        return tf.distribute.get_replica_context().all_reduce("SUM", overflowed) == 0


def batch_fraction(count: tf.Tensor) -> tf.Tensor:
    """Returns the share of the whole batch that a replica has, to weight its loss by.

    Args:
        count: Number of its images, an integer scalar.

    Returns:
        A float32 scalar in [0, 1]; 1 without a strategy.

    Example:
        >>> from melanet.distribution import batch_fraction
        >>> float(batch_fraction(5))
        1.0
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.ones(())
    count = tf.cast(count, tf.float32)
    return count / context.all_reduce("SUM", count)


def _distribute(
    strategy: tf.distribute.Strategy, batches: tf.data.Dataset
) -> tf.distribute.DistributedDataset:
    """Cuts each batch into one part per replica, paired with the number of images it owns.

    Parts differ in size by one image at most; TensorFlow's own way leaves some replicas without
    images while others have two. A batch with fewer images than replicas goes to all of them, and
    the first owns it: an empty part would have no shape to compute with. The dataset never ends,
    because at an end replicas would take one more, empty step; `fit` counts the steps instead.
    """
    replicas = strategy.num_replicas_in_sync

    def local_parts(context):
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

    return strategy.distribute_datasets_from_function(local_parts)


def on_one_device(trained: keras.Model, model: keras.Model) -> keras.Model:
    """Copies the weights of a distributed model to one built without a strategy.

    Args:
        trained: The trained model.
        model: The same model, built outside of `scope`.

    Returns:
        `model`.

    Example:
        >>> import keras
        >>> from melanet.distribution import on_one_device
        >>> first, second = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...                  for _ in range(2))
        >>> on_one_device(first, second) is second
        True
    """
    model.set_weights(trained.get_weights())
    return model
