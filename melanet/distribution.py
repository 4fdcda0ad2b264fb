"""Training on all GPUs of a host, or of several hosts, with `tf.distribute`.

    strategy = make_strategy("mirrored")  # or "multiworker", at the very start of the program
    with scope(strategy):
        model = ...
        model.compile(...)
    fit(model, images, epochs=100)

Each batch is shared by the replicas, and each replica counts for the images that it has: learning
rate and result stay what they are on one device. What they cannot stay is the statistics of batch
normalisation, which are of each replica's part of the batch (ResNet-50, DenseNet-121 and
TernausNet-16 have it).

Over several hosts every one runs the same program with its own `TF_CONFIG`. All read the same
files; what is written, the chief writes: the host of index 0.
"""

import contextlib
import functools
import json
import os
import zlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from melanet.data.prepared import InputError

#: What `resolve` knows; "auto" is one of the others.
NAMES = ("auto", "none", "mirrored", "multiworker")
#: What TensorFlow raises when another host is gone.
LOST = (
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
    _check_cluster(os.environ.get("TF_CONFIG"))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        raise InputError(
            f"TF_CONFIG: the hosts cannot be joined ({' '.join(str(error).split())}); each needs "
            "its own address with a free port, and must be joined before TensorFlow does anything"
        ) from None


def _check_cluster(text: str | None) -> None:
    """An InputError if TF_CONFIG is not what several equal hosts need."""
    example = (
        'such as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    if not text:
        raise InputError(f"TF_CONFIG: is not set; each host needs its own, {example}")
    try:
        told = json.loads(text)
        hosts, task = told["cluster"]["worker"], told["task"]
        kind, index = task["type"], int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"TF_CONFIG: cannot be read ({error!r}); make it {example}") from None
    if set(told["cluster"]) != {"worker"} or kind != "worker":
        raise InputError(
            f"TF_CONFIG: only workers take part, the first is chief; make it {example}"
        )
    if not isinstance(hosts, list) or len(hosts) < 2 or len(set(hosts)) < len(hosts):
        raise InputError(f"TF_CONFIG: names not two different workers or more; make it {example}")
    if not 0 <= index < len(hosts):
        raise InputError(f"TF_CONFIG: the index {index} is none of its {len(hosts)} workers'")


@tf.function
def _summed(numbers):
    """Over all replicas."""
    # Collective operations ask which device a tensor is on: an argument is on none, its copy is.
    return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(numbers))


def is_alone() -> bool:
    """Whether this process works without other hosts."""
    return not _strategy_of_all_hosts.cache_info().currsize


def is_chief() -> bool:
    """Whether this process is the one that writes: the only one, or the first of several hosts."""
    return is_alone() or _strategy_of_all_hosts().cluster_resolver.task_id == 0


@contextlib.contextmanager
def chief_first() -> Iterator[None]:
    """The chief does what is inside, then the other hosts: they find its files and only read."""
    if not is_chief():
        wait_for_all()
    yield
    if is_chief():
        wait_for_all()


def wait_for_all() -> None:
    """Waits until every host is here."""
    check_same("where the hosts wait for each other", "")


def check_same(what: str, mark: object) -> None:
    """Checks that every host has the same `mark`; a host that is alone has it.

    Raises:
        InputError: If another host has another one: they do not do the same work.
    """
    if is_alone():
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
            the whole batch cannot be shared.
        batches: Batches of all replicas together, in the same order on every host. Each has an
            image for every replica, see `check_batches`.
        validation_data: Likewise. Both are of known cardinality.
        **arguments: Of `fit`, but `class_weight`: weigh the images in the dataset instead.

    Raises:
        InputError: If the hosts do not begin with the same epoch of the same model.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return model.fit(batches, validation_data=validation_data, **arguments)
    check_same("the training", (model.name, arguments.get("initial_epoch", 0)))
    with strategy.scope():
        model._symbolic_build(data_batch=next(iter(batches)))
    if not isinstance(model, _Shared):
        model.__class__ = type(type(model).__name__, (_Shared, type(model)), {})
    if validation_data is not None:
        arguments["validation_data"] = _shared(strategy, validation_data)
        arguments["validation_steps"] = int(validation_data.cardinality())
    steps = int(batches.cardinality())
    return model.fit(_shared(strategy, batches), steps_per_epoch=steps, **arguments)


class _Shared(keras.Model):
    """Mix-in of a model whose batches several replicas share, for plain `fit`.

    Keras 3 cannot build a model on a batch that lies on several hosts, nor reduce the scalars that
    a step of theirs logs (keras-team/keras issue 20585), and gives each replica the same weight
    however many images it has. The names with an underscore are its own: they hold for the version
    that is pinned.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: `fit` above has built the model on a batch of this host."""

    def compute_loss(self, x=None, *arguments, training=True, **named):
        loss = super().compute_loss(x, *arguments, training=training, **named)
        if not training:
            return loss
        # Its value is this replica's mean, which the logged mean weighs by images. Its gradient
        # counts for this replica's part of the batch: all are added, each divided by their number.
        weighed = tf.cast(part_of_batch(x), loss.dtype) * self._replicas * loss
        return weighed + tf.stop_gradient(loss - weighed)

    def train_step(self, data):
        return self._reducible(super().train_step(data))

    def test_step(self, data):
        return self._reducible(super().test_step(data))

    @property
    def _replicas(self) -> int:
        return self.distribute_strategy.num_replicas_in_sync

    def _reducible(self, logs):
        if not isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return logs
        return {name: tf.expand_dims(value, 0) for name, value in logs.items()}


def part_of_batch(images: tf.Tensor) -> tf.Tensor:
    """Which part of the whole batch this replica has, a float32 scalar in [0, 1]; 1 if alone."""
    count = tf.cast(tf.shape(images)[0], tf.float32)
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return tf.ones(())
    return count / context.all_reduce("SUM", count)


def _shared(strategy, batches: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """The batches, each cut into a part for every replica; the parts differ by one image at most.

    TensorFlow's own way leaves replicas without images where others have two. They have no end,
    for where they ended, replicas would take one more step with nothing: `fit` counts.
    """
    replicas = strategy.num_replicas_in_sync

    def of_this_host(context):
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def parts(*batch):
            count = tf.shape(batch[0], tf.int64)[0]

            def part(replica):
                low, high = (count * at // replicas for at in (replica, replica + 1))
                return tuple(each[low:high] for each in batch)

            return tf.data.Dataset.range(first, first + here).map(part)

        return batches.flat_map(parts).repeat().prefetch(2 * here)

    return strategy.distribute_datasets_from_function(of_this_host)


def on_one_device(trained: keras.Model, model: keras.Model) -> keras.Model:
    """`model`, built without a strategy, with the weights of `trained`."""
    model.set_weights(trained.get_weights())
    return model


def check_batches(strategy: tf.distribute.Strategy | None, count: int, batch_size: int) -> None:
    """Checks that every batch has an image for every replica.

    Args:
        strategy: Of the training.
        count: Number of images; the last batch takes what is left.
        batch_size: Images a batch, on all replicas together.

    Raises:
        InputError: If a batch is too small to be split.
    """
    replicas = count_replicas(strategy)
    last = count % batch_size or batch_size
    if min(batch_size, last) < replicas:
        raise InputError(
            f"{count} images in batches of {batch_size} leave a batch of {min(batch_size, last)}, "
            f"which {replicas} devices cannot share; choose another batch size, or train without "
            "distribution"
        )
