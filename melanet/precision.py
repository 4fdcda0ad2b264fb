"""The number format in which models compute, and the fastest one that a machine has units for."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from melanet import lazy

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy.module("keras")
    tf = lazy.module("tensorflow")


PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
#: Instructions of CPUs that compute bfloat16 natively, as Linux names them.
BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16")


def resolve_precision(precision: str) -> str:
    """The Keras dtype policy that `"auto"` stands for on this machine; others as they are.

    bfloat16 on NVIDIA GPUs of compute capability 8.0 or more and on CPUs that compute it natively,
    float16 on GPUs of 7.0 or more, else float32. Warns of a format that a CPU only emulates.

    Args:
        precision: A name in `PRECISIONS`.

    Example:
        >>> from melanet.precision import resolve_precision
        >>> resolve_precision("float32")
        'float32'
    """
    fastest = _fastest()[0]
    if precision not in ("auto", "float32", fastest) and not tf.config.list_physical_devices("GPU"):
        warnings.warn(
            f"--precision {precision}: this CPU emulates it, up to a hundred times slower; use "
            f"{fastest}",
            stacklevel=2,
        )
    return fastest if precision == "auto" else precision


def describe_precision(policy: str) -> str:
    """A sentence on a dtype policy: what is computed in it, and why.

    Args:
        policy: What `resolve_precision` has returned.

    Example:
        >>> from melanet.precision import describe_precision
        >>> describe_precision("mixed_float16").split(":")[0]
        'mixed_float16'
    """
    fastest, reason = _fastest()
    if policy == fastest:
        return f"{policy}: {reason}."
    return f"{policy}: chosen by --precision; auto would be {fastest}, because {reason}."


def _fastest() -> tuple[str, str]:
    """The fastest policy that this machine computes natively, and why it is."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        capability = min(detail.get("compute_capability", (0, 0)) for detail in details)
        reason = "the GPU has compute capability " + ".".join(map(str, capability))
        if capability >= (8, 0):
            return "mixed_bfloat16", reason
        return ("mixed_float16" if capability >= (7, 0) else "float32"), reason
    flags = cpu_information().get("flags", "").split()
    for unit in BFLOAT16_UNITS:
        if unit in flags:
            return "mixed_bfloat16", f"the CPU computes bfloat16 natively ({unit})"
    return "float32", f"the CPU has no units for bfloat16 ({' or '.join(BFLOAT16_UNITS)})"


@contextlib.contextmanager
def precision_policy(policy: str) -> Iterator[None]:
    """Builds models under the Keras dtype policy of that name; restores the previous one.

    Example:
        >>> import keras
        >>> from melanet.precision import precision_policy
        >>> with precision_policy("mixed_bfloat16"):
        ...     keras.layers.Dense(1).compute_dtype
        'bfloat16'
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def cpu_information() -> dict[str, str]:
    """The fields of the first processor, where the system lists them.

    Example:
        >>> from melanet.precision import cpu_information
        >>> isinstance(cpu_information(), dict)
        True
    """
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
        return {key.strip(): value.strip() for key, value in pairs}
    return {}
