"""The initial weights that a user asks for by `--weights`."""

import hashlib
from pathlib import Path


def initial_weights(given: str) -> str | None:
    """What a model builder takes for `--weights`: None for random weights.

    Example:
        >>> from experiments.common.weights import initial_weights
        >>> initial_weights("imagenet"), initial_weights("none")
        ('imagenet', None)
    """
    return None if given == "none" else given


def file_hash(weights: str | None) -> str | None:
    """SHA-256 of a weights file: another content makes another trial. None if it is no file."""
    if weights is None or not Path(weights).is_file():
        return None
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()
