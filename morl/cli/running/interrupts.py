"""Answers to SIGINT and SIGTERM within a second, also while compiled code or the compiler has the main thread.

Python runs signal handlers in the main thread between two of its instructions, so none runs while XLA compiles there,
which can take half a minute. But the signal's number is written to a file descriptor at once
(:func:`signal.set_wakeup_fd`), and a thread that reads it can answer.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ABORT_SECONDS = 1.0  # that the main thread has to end by itself after a second signal
ABORTED = 130  # exit code, as of a shell's command that SIGINT ended


@contextmanager
def stop_on_interrupt(
    what: str,
    begun: Callable[[], bool] = lambda: True,
    leave: Callable[[], tuple[str, int] | None] = lambda: None,
) -> Iterator[list[int]]:
    """Catch SIGINT and SIGTERM: the first fills the list that is yielded, the second raises KeyboardInterrupt.

    Both other functions are called in another thread.

    Args:
        what: is done after the first signal, for the line that is printed at once.
        begun: whether there is anything to stop in order yet; before, the first signal is taken as a second one.
        leave: asked at the first signal whether the process can end at once, as nothing would be lost: returns the
            line to print and the exit code, or None to go on.
    """
    received: list[int] = []
    over = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if received or not begun():
            raise KeyboardInterrupt
        received.append(number)

    def answer() -> None:
        count = 0
        while numbers := reading.recv(16):
            for number in numbers:
                if over.is_set() or number not in before:
                    continue
                count += 1
                if count > 1 or not begun():
                    _abort_unless(over)
                elif ending := leave():
                    _end(*ending)
                else:
                    _print(f"stopping: {what} (again to abort)")

    reading, writing = socket.socketpair()
    writing.setblocking(False)
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    descriptor = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    answering = threading.Thread(target=answer, name="interrupts", daemon=True)
    answering.start()
    try:
        yield received
    finally:
        over.set()
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        writing.close()
        answering.join()
        reading.close()


def _abort_unless(over: threading.Event) -> None:
    """End the process where the main thread has not ended what it does in time."""
    if not over.wait(ABORT_SECONDS):
        _end("aborted", ABORTED)


def _end(text: str, code: int) -> None:
    """End the process at once, its worker processes too."""
    import multiprocessing

    _print(text)
    for child in multiprocessing.active_children():
        child.terminate()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)  # threads in compiled code cannot be ended otherwise


def _print(text: str) -> None:
    with suppress(OSError, ValueError):
        print(f"\n{text}", file=sys.stderr, flush=True)
