"""Variants of the same work take turns, each in a process of its own.

A machine's speed drifts, by its temperature and by what else it does. Variants that take turns
drift together, so that their ratios mean something; processes of their own keep the thread pools
of TensorFlow and PyTorch apart.
"""

import dataclasses
import importlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

WARM_UP = 2  # calls that build graphs and allocate


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way of doing a piece of work.

    Attributes:
        name: Name in tables.
        make: `module:function`; it returns the piece of work, a function without arguments.
        arguments: Of `make`.
    """

    name: str
    make: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds per call, one per round; none if the variant cannot run here, for a reason."""

    seconds: tuple[float, ...] = ()
    reason: str = ""

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    def ratios(self, base: "Timing") -> list[float]:
        """How many times as fast as `base` it was, in each round."""
        return [slow / quick for slow, quick in zip(base.seconds, self.seconds, strict=True)]


def measure(variants: Sequence[Variant], rounds: int = 10, calls: int = 3) -> dict[str, Timing]:
    """Times variants that take turns; returns their timings by name.

    Args:
        variants: With different names.
        rounds: Turns of each.
        calls: Calls in a turn, of which the mean counts.
    """
    workers = {variant.name: _Worker(variant) for variant in variants}
    reasons = {name: worker.receive() for name, worker in workers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            if not reasons[name]:
                seconds[name].append(worker.time(calls))
    for worker in workers.values():
        worker.stop()
    return {name: Timing(tuple(seconds[name]), reasons[name]) for name in workers}


class _Worker:
    """A process that makes a variant's work and times it when it is told to."""

    def __init__(self, variant: Variant):
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, variant), daemon=True)
        self._process.start()
        other.close()

    def receive(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError:
            return "its process ended"

    def time(self, calls: int) -> float:
        self._pipe.send(calls)
        return self.receive()

    def stop(self) -> None:
        self._pipe.close()
        self._process.join()


def _serve(pipe: Any, variant: Variant) -> None:
    module, function = variant.make.split(":")
    try:
        work: Callable[[], Any] = getattr(importlib.import_module(module), function)(
            **variant.arguments
        )
    except ImportError as error:
        pipe.send(f"{error.name} is not installed")
        return
    for _ in range(WARM_UP):
        work()
    pipe.send("")
    while True:
        try:
            calls = pipe.recv()
        except EOFError:
            return
        started = time.perf_counter()
        for _ in range(calls):
            work()
        pipe.send((time.perf_counter() - started) / calls)
