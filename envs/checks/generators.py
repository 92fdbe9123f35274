"""State of NumPy's and Python's global random generators, which an environment must leave alone."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def global_generators_restored() -> Iterator[None]:
    """Puts NumPy's and Python's global generators back afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def seed_global_generators(seed: int) -> None:
    """Start both anew."""
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def global_state() -> dict[str, Any]:
    """Where each of the global generators is, by the name of its module."""
    state: Any = np.random.get_state()  # noqa: NPY002
    return {"numpy.random": (state[1].tobytes(), state[2:]), "random": random.getstate()}


def drawn_from(before: dict[str, Any]) -> str:
    """Names of the global generators that moved since ``before``."""
    now = global_state()
    return " and ".join(name for name in now if now[name] != before[name])
