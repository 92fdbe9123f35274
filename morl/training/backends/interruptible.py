"""Ctrl-C in scripts and notebooks: KeyboardInterrupt is raised at once, also by a compilation, and is not lost.

XLA compiles in one call of C++, during which Python runs no signal handler: KeyboardInterrupt would wait for its end,
half a minute maybe. So a thread compiles, and the main thread waits for it, which a signal interrupts. And Python drops
what is raised in destructors and callbacks of its garbage collector, which JAX has: such a KeyboardInterrupt is raised
again.

Commands have handlers of their own (:mod:`morl.cli.running.interrupts`).
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import jax

from morl.training.terminal import in_notebook

_received: list[int] = []  # signals since a training began, whether or not what they have raised was dropped


@contextmanager
def interruptible() -> Iterator[None]:
    """Keep in mind that SIGINT has come while the block runs, for :func:`raise_again`.

    Only where SIGINT raises KeyboardInterrupt: in the main thread, by Python's own handler, which is put back.
    """
    if not _ctrl_c_raises():
        yield
        return
    _received.clear()
    before = signal.signal(signal.SIGINT, _keep_and_raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _received.clear()


def raise_again() -> None:
    """Raise KeyboardInterrupt if SIGINT has come and the training goes on nevertheless."""
    if _received:
        raise KeyboardInterrupt


def _keep_and_raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt


class Compiled:
    """Function compiled by ``jax.jit``, for arguments by position that are pytrees of arrays.

    While it is compiled, KeyboardInterrupt is raised at once where SIGINT has Python's own handler, and in the main
    thread. The compiler cannot be stopped: it goes on in its thread, and a script ends once it has finished. A handler
    of somebody else's (of :mod:`morl.cli.running.interrupts`, say) stays as it is and is called when it was before.

    Args:
        function: to compile.
        options: of ``jax.jit``.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self._jitted = jax.jit(function, **options)
        self._compiled_for: set[Any] = set()

    def __call__(self, *args: Any) -> Any:
        """Call the function, compiled for the types of these arguments."""
        if _ctrl_c_raises():
            leaves, structure = jax.tree.flatten(args)
            kind = structure, tuple(map(jax.typeof, leaves))
            if kind not in self._compiled_for:
                raise_again()
                in_thread(self._jitted.lower(*args).compile)  # JAX keeps the program for the call below
                self._compiled_for.add(kind)
        return self._jitted(*args)


def in_thread(call: Callable[[], Any]) -> Any:
    """Return the result of a call in a thread of its own, or raise its error; Ctrl-C ends the wait, not the call."""
    outcome: list[Any] = []
    over = threading.Event()

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # for the caller
            outcome.append((None, error))
        finally:
            over.set()

    # No daemon: a thread that comes back from C++ when Python has ended aborts the process. And no join to wait: until
    # Python 3.13 an interrupted one takes the thread for ended.
    try:
        threading.Thread(target=run, name="compilation").start()
        over.wait()
    except KeyboardInterrupt:
        if not over.is_set() and not _goes_on():
            print("interrupted; the compiler cannot be, and this process ends when it has finished", file=sys.stderr)
        raise
    result, error = outcome.pop()
    if error is not None:
        raise error
    return result


def _ctrl_c_raises() -> bool:
    """Return whether SIGINT raises KeyboardInterrupt in this thread, by Python's own handler or the one here."""
    here = threading.current_thread() is threading.main_thread()
    return here and signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _keep_and_raise)


def _goes_on() -> bool:
    """Return whether the process goes on after a KeyboardInterrupt: an interpreter or a notebook's kernel."""
    return hasattr(sys, "ps1") or in_notebook()
