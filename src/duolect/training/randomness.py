"""Random states as plain numbers and tensors, so that a run continues exactly and nothing is unpickled."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch (CPU and GPU); processes of other rank draw other numbers (dropout)."""
    mixed = (seed * 1_000_003 + rank) % 2**32
    random.seed(mixed)
    np.random.seed(mixed)  # noqa: NPY002  (the global generator is what other libraries draw from)
    torch.manual_seed(mixed)


def random_state() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The states of Python's and NumPy's generators as JSON values, and torch's as tensors ("cpu", "cuda")."""
    version, words, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    numbers = {
        "python": [version, list(words), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), int(place), int(has_gauss), float(cached)],
    }
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    return numbers, tensors


def restore_random_state(numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Put back what `random_state` gave; a GPU's state is left alone where there is none now."""
    version, words, gauss = numbers["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, place, has_gauss, cached = numbers["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), place, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(tensors["cpu"].cpu())
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"].cpu())


@contextlib.contextmanager
def untouched_randomness() -> Generator[None]:
    """Leave all generators as they were, whatever the block draws.

    Loading data and evaluating must not take numbers from the stream that dropout draws from: a resumed run starts its
    workers anew, which would shift the stream.
    """
    state = random_state()
    try:
        yield
    finally:
        restore_random_state(*state)
