"""Ctrl-C while a training compiles, in a script or a notebook."""

import os
import signal
import subprocess
import sys
import threading
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.training.backends import interruptible
from morl.training.backends.interruptible import Compiled, in_thread, raise_again
from morl.training.backends.jax import JaxBackend
from tests.probes import Probe


@pytest.fixture(autouse=True)
def default_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("kernel", [True, False])
def test_it_ends_the_wait_and_not_what_is_waited_for(kernel, capsys, monkeypatch):
    """Say so, but not in a notebook; a script that runs notebooks has imported the kernel, but is none."""
    goes_on, ended = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    if kernel:
        shell = types.SimpleNamespace(kernel=None)
        monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))

    def compile_slowly():
        os.kill(os.getpid(), signal.SIGINT)
        goes_on.wait()
        ended.set()

    try:
        with pytest.raises(KeyboardInterrupt):
            in_thread(compile_slowly)
        assert not ended.is_set()
        assert ("this process ends when it has finished" in capsys.readouterr().err) is not kernel
    finally:
        goes_on.set()
    assert ended.wait(60)


def test_results_and_errors_are_those_of_the_call():
    assert in_thread(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        in_thread(lambda: 1 / 0)


def test_a_program_is_compiled_once_and_in_the_thread(monkeypatch, caplog):
    """Use all that the back-ends use: options, donated arguments and a split over devices."""
    waited = []
    monkeypatch.setattr(interruptible, "in_thread", lambda call: waited.append(call) or in_thread(call))
    learner = PPO(
        PPOConfig(num_envs=2, rollout_steps=2, minibatches=1, epochs=1, hidden=(4,)),
        Probe("choice").observation_space,
        Probe("choice").action_space,
        2,
        0.9,
        1,
    )
    trainer = JaxBackend(Probe("choice"), learner, np.eye(2), eval_episodes=1, gamma=0.9)
    jax.config.update("jax_log_compiles", True)
    try:
        state = trainer.init(list(jax.random.split(jax.random.key(0), 2)))
        state, sums = trainer.run(state, 1)
        state, _ = trainer.run(state, 1, sums)
        for seed in range(2):
            keys = jax.random.split(jax.random.key(seed), 2)
            trainer.evaluate(trainer.policies(state), np.eye(2), keys, 1)
    finally:
        jax.config.update("jax_log_compiles", False)
    told = [line for line in caplog.messages if line.startswith("Finished XLA compilation of jit(")]
    for name in ("_run_shard", "evaluate", "start_batch"):
        assert sum(f"jit({name})" in line for line in told) == 1, told
    assert len(waited) == 3


def test_one_that_python_has_dropped_is_raised_again(monkeypatch):
    """Raise it in a destructor, whose exceptions Python only prints."""

    class Dropping:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", lambda about: dropped.append(about.exc_type))
    with interruptible.interruptible():
        raise_again()
        one = Dropping()
        del one
        assert dropped == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            raise_again()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    raise_again()  # of the training that has ended


@pytest.mark.parametrize("own", [True, False])
def test_a_handler_of_somebody_elses_and_other_threads_compile_as_ever(own, monkeypatch):
    monkeypatch.setattr(interruptible, "in_thread", lambda call: pytest.fail("a thread"))
    double = Compiled(lambda x: 2 * x)
    if own:
        signal.signal(signal.SIGINT, lambda *_: None)
        assert double(jnp.float32(2)) == 4
        return
    found = []
    thread = threading.Thread(target=lambda: found.append(double(jnp.float32(2))))
    thread.start()
    thread.join()
    assert found == [4]


SCRIPT = """
import os, signal, sys, threading
import morl
from morl.training.backends import interruptible

real, waiting = interruptible.in_thread, []

def in_thread(call):
    def interrupted():
        if not waiting:
            waiting.append(os.kill(os.getpid(), signal.SIGINT))
        return call()
    return real(interrupted)

interruptible.in_thread = in_thread
morl.train("ppo", "deep-sea-treasure-v0", steps=256, num_policies=2, num_envs=2, rollout_steps=4, out=sys.argv[1])
"""


def test_a_script_ends_as_python_ends_one(tmp_path):
    """Show the traceback, without a crash of the thread; the run directory says why as well."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "run"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (1, -signal.SIGINT), done.stderr
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "KeyboardInterrupt" in (tmp_path / "run" / "log.txt").read_text()
