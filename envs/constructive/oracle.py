"""Objectives that are computed on the host: in batches, each object once, over worker processes if wanted.

Nothing here imports JAX: worker processes import this module. :mod:`morl.envs.constructive.host_values` calls an oracle
    from compiled code.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from morl.errors import UserError, blame

Object = TypeVar("Object", bound=Hashable)
Floats = NDArray[np.float32]

PARTS = 4  # that a batch is cut into for each process, so that none waits long for the slowest
CAPACITY = 100_000  # objects that are remembered


class OracleError(UserError):
    """An oracle raised, gave something else than finite objectives, or its worker processes ended."""


class Counts(NamedTuple):
    """What an oracle was asked.

    Attributes:
        asked: objects, with repetitions.
        computed: objects whose objectives were computed: the budget that methods are compared at.
    """

    asked: int
    computed: int

    @property
    def remembered(self) -> int:
        """Objects whose objectives were known already (or asked for twice in a batch)."""
        return self.asked - self.computed


class Oracle(Generic[Object]):
    """The objectives of objects by ``score``, which is asked once for each object that it is not known of.

    Called with n objects it gives (n, R) float32. The last ``capacity`` different objects are remembered, those that
    were asked for longest ago are forgotten first. It may be called from several threads.

    Args:
        score: the R objectives of one object. With processes it is a function of a module, which they import.
        num_objectives: R.
        name: of the task, for errors.
        processes: worker processes that compute; with 0 the caller's does. They start when first needed.
        capacity: objects to remember.

    Raises:
        OracleError: in a call; the message says of which object.
    """

    def __init__(
        self,
        score: Callable[[Object], Sequence[float]],
        num_objectives: int,
        name: str,
        processes: int = 0,
        capacity: int = CAPACITY,
    ) -> None:
        self._score, self._num_objectives, self._name = score, num_objectives, name
        self._processes, self._capacity = processes, capacity
        self._known: dict[Object, tuple[float, ...]] = {}  # in the order they were last asked for
        self._counts = Counts(0, 0)
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def __call__(self, objects: Sequence[Object]) -> Floats:
        with self._lock:
            fresh = [x for x in dict.fromkeys(objects) if x not in self._known]
            found = dict(zip(fresh, self._compute(fresh), strict=True))
            for x in dict.fromkeys(objects):
                found[x] = self._known[x] = found[x] if x in found else self._known.pop(x)
            while len(self._known) > self._capacity:
                del self._known[next(iter(self._known))]
            self._counts = Counts(self._counts.asked + len(objects), self._counts.computed + len(fresh))
        return np.array([found[x] for x in objects], np.float32).reshape(len(objects), self._num_objectives)

    @property
    def counts(self) -> Counts:
        """Of the calls since it was made, or last forgot."""
        return self._counts

    def forget(self) -> None:
        """Forget all objects and start counting anew: what runs are compared by must not depend on earlier ones."""
        with self._lock:
            self._known, self._counts = {}, Counts(0, 0)

    def close(self) -> None:
        """End the worker processes, if there are any; the next call starts others."""
        with self._lock:
            self._end_pool()

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _compute(self, objects: list[Object]) -> list[tuple[float, ...]]:
        if not self._processes or len(objects) < 2:
            return self._checked(objects, _score_all(self._score, objects))
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # JAX's threads do not survive a fork
            self._pool = ProcessPoolExecutor(self._processes, context, _leave_signals_to_the_parent)
        size = math.ceil(len(objects) / (PARTS * self._processes))
        try:
            parts = [
                self._pool.submit(_score_all, self._score, objects[i : i + size]) for i in range(0, len(objects), size)
            ]
            rows = [row for part in parts for row in part.result()]
        except BrokenProcessPool as error:
            self._end_pool()
            hint = "a script must guard its entry by if __name__ == '__main__'"
            raise OracleError(f"{self._name}: a worker process of its oracle ended ({hint})") from error
        except BaseException:  # Ctrl-C too: what was submitted is not wanted any more
            self._end_pool()
            raise
        return self._checked(objects, rows)

    def _checked(self, objects: list[Object], rows: list[Any]) -> list[tuple[float, ...]]:
        """The objectives of each as floats.

        Raises:
            OracleError: one was a failure, of another number or not finite.
        """
        checked = []
        for x, row in zip(objects, rows, strict=True):
            if isinstance(row, _Failure):
                raise OracleError(f"{self._name}: its oracle raised {row.text} for {x!r}")
            with contextlib.suppress(TypeError, ValueError):
                numbers = tuple(map(float, row))
                if len(numbers) == self._num_objectives and all(map(math.isfinite, numbers)):
                    checked.append(numbers)
                    continue
            raise OracleError(
                f"{self._name}: its oracle gave {row!r} for {x!r}; allowed: {self._num_objectives} finite numbers"
            )
        return checked


class _Failure(NamedTuple):
    """What was raised, and where: any exception can be told so by a worker process, and not all can be sent."""

    text: str


def _score_all(score: Callable[[Object], Sequence[float]], objects: list[Object]) -> list[Any]:
    rows: list[Any] = []
    for x in objects:
        try:
            rows.append(score(x))
        except Exception as error:  # of any kind: it may be a user's own
            rows.append(_Failure(blame(error)))
            break
    return rows + [None] * (len(objects) - len(rows))


def _leave_signals_to_the_parent() -> None:
    """Ctrl-C reaches all processes of a terminal; the parent may have something to save yet."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
