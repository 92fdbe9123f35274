"""State of NumPy's and Python's global random generators, which an environment must leave alone."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def global_generators_restored() -> Iterator[None]:
    """Restore NumPy's and Python's global generators after the block."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def seed_global_generators(seed: int) -> None:
    """Seed NumPy's and Python's global generators."""
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def global_state() -> dict[str, Any]:
    """Return the state of each global generator, by the name of its module."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return {"numpy.random": (state[1].tobytes(), state[2:]), "random": random.getstate()}


def drawn_from(before: dict[str, Any]) -> str:
    """Return the names of the global generators that were drawn from since ``before``."""
    now = global_state()
    return " and ".join(name for name in now if now[name] != before[name])
