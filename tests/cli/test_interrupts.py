"""SIGINT is answered while the main thread is in compiled code, where Python's own handlers wait."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from morl.cli.running.interrupts import stop_on_interrupt
from morl.cli.train import _stops
from morl.training.terminal import TerminalReporter

# A hash that takes minutes stands for XLA's compiler: it lets other threads run and no handler.
BUSY = """
import hashlib
from morl.cli.running.interrupts import stop_on_interrupt

with stop_on_interrupt("this is written", **{options}):
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2_000_000_000)
"""


def interrupted(options, signals):
    """Return exit code, seconds and what was printed of a process that is sent signals while it is in compiled code."""
    code = BUSY.replace("{options}", options)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert process.stdout.readline() == "busy\n"
        time.sleep(0.1)
        begin = time.monotonic()
        for number in signals:
            process.send_signal(number)
            time.sleep(0.2)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, time.monotonic() - begin, errors


@pytest.mark.parametrize(
    ("options", "signals", "code", "text"),
    [
        ("{'leave': lambda: ('nothing is lost', 3)}", [signal.SIGINT], 3, "nothing is lost"),
        ("{}", [signal.SIGINT, signal.SIGTERM], 130, "stopping: this is written (again to abort)"),
        ("{'begun': lambda: False}", [signal.SIGTERM], 130, "aborted"),
    ],
)
def test_the_answer_does_not_wait_for_compiled_code(options, signals, code, text):
    returned, seconds, errors = interrupted(options, signals)
    assert (returned, text in errors) == (code, True), errors
    assert seconds < 3


def test_in_python_the_first_one_is_kept_and_the_second_raises(capsys):
    before = signal.getsignal(signal.SIGINT)
    received = []

    def stopped_twice():
        with stop_on_interrupt("this is written") as numbers:
            os.kill(os.getpid(), signal.SIGTERM)
            received.extend(numbers)
            time.sleep(0.3)  # the other thread answers
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        stopped_twice()
    assert received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is before
    assert not [thread for thread in threading.enumerate() if thread.name == "interrupts"]
    assert "stopping: this is written (again to abort)" in capsys.readouterr().err


def test_before_there_is_a_run_the_first_one_raises():
    def stopped():
        with _stops(TerminalReporter()):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        stopped()
