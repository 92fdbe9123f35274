"""Threads that step environments of one process side by side.

They pay where most of a step releases Python's lock, as MuJoCo's does. Worker processes import this module, so it does
not import JAX.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class StepThreads:
    """``number`` threads, the calling one among them, that share out the calls of a step.

    Each takes the next item when it has done one, as falls and contacts make some steps longer than others. The threads
    end with :meth:`close` or with this object.
    """

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self._others = ThreadPoolExecutor(number - 1, "environments") if number > 1 else None

    def each(self, call: Callable[[int], None], items: Iterable[int]) -> None:
        """Call a function of each item, in any order; when this returns or raises, no call is running.

        Ctrl-C waits for the calls that have begun, where it comes a second time not even for them.

        Raises:
            BaseException: what a call has raised.
        """
        todo, running = deque(items), list[Future[None]]()

        def work() -> None:
            while True:
                try:
                    item = todo.popleft()
                except IndexError:
                    return
                call(item)

        try:
            if self._others is not None:
                for _ in range(min(self.number, len(todo)) - 1):
                    running.append(self._others.submit(work))
            work()
            wait(running)
        finally:
            todo.clear()
            wait(running)
        for one in running:
            one.result()

    def close(self) -> None:
        """End the threads."""
        if self._others is not None:
            self._others.shutdown()
