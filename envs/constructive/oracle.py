"""Objectives that are computed on the host: in batches, once for each object, optionally in worker processes.

Worker processes import this module, so it does not import JAX. :mod:`morl.envs.constructive.host_values` calls an
oracle from compiled code.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import sqlite3
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from morl.envs.constructive.oracle_cache import OracleCache
from morl.errors import UserCodeError, blame, whole_traceback

Object = TypeVar("Object", bound=Hashable)
Floats = NDArray[np.float32]

PARTS = 4  # parts of a batch for each process, to balance slow objects
CAPACITY = 100_000  # objects whose objectives are cached


class OracleError(UserCodeError):
    """Error of an oracle: it raised, returned something other than finite objectives, or a worker process ended."""


class Counts(NamedTuple):
    """Numbers of objects that an oracle was called with.

    Attributes:
        asked: objects, repetitions included.
        computed: objects whose objectives were computed, or found on disk; the budget at which methods are compared,
            which does not depend on earlier runs.
        on_disk: those of ``computed`` that were found on disk.
    """

    asked: int
    computed: int
    on_disk: int = 0

    @property
    def remembered(self) -> int:
        """Number of objects found in the cache, or repeated in a batch."""
        return self.asked - self.computed


class Oracle(Generic[Object]):
    """Objectives of objects by ``score``, which is called once for each object and cached.

    A call with n objects returns (n, R) float32. The cache holds the ``capacity`` objects asked for last. Calls are
    thread-safe.

    Args:
        score: returns the R objectives of one object. With processes it must be a function of a module, which they
            import.
        num_objectives: R.
        name: name of the task, for error messages.
        processes: worker processes that compute, started when first needed; 0 computes in the calling process.
        capacity: size of the cache, in objects.
        cache: file of objectives that earlier runs computed, and that new ones are added to.

    Raises:
        OracleError: in a call; the message names the object.
    """

    def __init__(
        self,
        score: Callable[[Object], Sequence[float]],
        num_objectives: int,
        name: str,
        processes: int = 0,
        capacity: int = CAPACITY,
        cache: OracleCache | None = None,
    ) -> None:
        self._score, self._num_objectives, self._name = score, num_objectives, name
        self._processes, self._capacity, self._cache = processes, capacity, cache
        self._known: dict[Object, tuple[float, ...]] = {}  # in the order of their last use
        self._counts = Counts(0, 0)
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def __call__(self, objects: Sequence[Object]) -> Floats:
        with self._lock:
            fresh = [x for x in dict.fromkeys(objects) if x not in self._known]
            found = self._on_disk(fresh)
            on_disk, missing = len(found), [x for x in fresh if x not in found]
            computed = dict(zip(missing, self._compute(missing), strict=True))
            self._keep(computed)
            found.update(computed)
            for x in dict.fromkeys(objects):
                found[x] = self._known[x] = found[x] if x in found else self._known.pop(x)
            while len(self._known) > self._capacity:
                del self._known[next(iter(self._known))]
            more = len(objects), len(fresh), on_disk
            self._counts = Counts(*(old + new for old, new in zip(self._counts, more, strict=True)))
        return np.array([found[x] for x in objects], np.float32).reshape(len(objects), self._num_objectives)

    @property
    def counts(self) -> Counts:
        """Counts since the oracle was made, or since :meth:`forget`."""
        return self._counts

    def forget(self) -> None:
        """Clear the cache and the counts, so that the budget of a run does not depend on earlier runs."""
        with self._lock:
            self._known, self._counts = {}, Counts(0, 0)

    def close(self) -> None:
        """End the worker processes, if any, and close the file; the next call starts and opens them again."""
        with self._lock:
            self._end_pool()
            if self._cache is not None:
                self._cache.close()

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _on_disk(self, objects: list[Object]) -> dict[Object, tuple[float, ...]]:
        """Return the objectives of those objects that the file has, if there is one."""
        if self._cache is None or not objects:
            return {}
        try:
            found = self._cache.read(objects)
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise OracleError(f"{self._name}: cannot read the oracle cache {self._cache.path}: {error}") from error
        return dict(zip(found, self._checked(list(found), list(found.values())), strict=True))

    def _keep(self, computed: dict[Object, tuple[float, ...]]) -> None:
        """Add objectives to the file, if there is one."""
        if self._cache is None or not computed:
            return
        try:
            self._cache.write(computed)
        except sqlite3.Error as error:
            raise OracleError(f"{self._name}: cannot write the oracle cache {self._cache.path}: {error}") from error

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
        except BaseException:  # also Ctrl-C: cancel what was submitted
            self._end_pool()
            raise
        return self._checked(objects, rows)

    def _checked(self, objects: list[Object], rows: list[Any]) -> list[tuple[float, ...]]:
        """Return the objectives of each object as floats.

        Raises:
            OracleError: the score of an object raised, has another number of objectives, or is not finite.
        """
        checked = []
        for x, row in zip(objects, rows, strict=True):
            if isinstance(row, _Failure):
                error = OracleError(f"{self._name}: its oracle raised {row.text} for {x!r}")
                error.details = row.details
                raise error
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
    """Description of an exception, its place and its traceback, as text: not every exception can be pickled."""

    text: str
    details: str


def _score_all(score: Callable[[Object], Sequence[float]], objects: list[Object]) -> list[Any]:
    rows: list[Any] = []
    for x in objects:
        try:
            rows.append(score(x))
        except (Exception, SystemExit) as error:  # any exception: the score may be a user's
            rows.append(_Failure(blame(error), whole_traceback(error)))
            break
    return rows + [None] * (len(objects) - len(rows))


def _leave_signals_to_the_parent() -> None:
    """Ignore Ctrl-C, which reaches all processes of a terminal: the parent may still have results to save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
