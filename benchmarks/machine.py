"""What the machine is, as the page of benchmarks names it."""

import os
import platform

import keras
import numpy as np
import tensorflow as tf

from melanet.precision import cpu_information


def describe() -> list[tuple[str, str]]:
    """The processor, the memory and the versions, as rows of a table."""
    information = cpu_information()
    native = {"avx512_bf16", "amx_bf16", "avx512f", "avx2"} & set(
        information.get("flags", "").split()
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return [
        ("processor", information.get("model name", platform.processor())),
        ("cores", str(len(os.sched_getaffinity(0)))),
        ("instructions", ", ".join(sorted(native)) or "unknown"),
        ("memory", f"{memory:.0f} GiB"),
        ("system", f"{platform.system()}, Python {platform.python_version()}"),
        ("TensorFlow, Keras, NumPy", f"{tf.__version__}, {keras.__version__}, {np.__version__}"),
        ("PyTorch", _torch_version()),
    ]


def _torch_version() -> str:
    try:
        import torch
    except ImportError:
        return "not installed"
    return torch.__version__
