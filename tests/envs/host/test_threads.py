"""Threads that step environments side by side: each once, errors and Ctrl-C included, with the same episodes."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import Any

import gymnasium
import numpy as np
import pytest

import morl
from morl.envs.host.threads import StepThreads, available_cores
from morl.errors import UserCodeError, UserError
from tests.envs.host.counting import ID

COUNTING = f"tests.envs.host.counting:{ID}"


def test_each_item_is_called_once_and_side_by_side() -> None:
    called: list[int] = []
    both = threading.Barrier(2)

    def call(item: int) -> None:
        if item < 2:
            both.wait(timeout=30)  # for another thread
        called.append(item)

    with contextlib.closing(StepThreads(2)) as threads:
        threads.each(call, range(50))
    assert sorted(called) == list(range(50))


@pytest.mark.parametrize("failing", ["calling", "other"])
def test_an_error_is_raised_once_all_calls_are_over(failing: str) -> None:
    running: list[int] = []
    both = threading.Barrier(2)

    def call(item: int) -> None:
        both.wait(timeout=30)
        if (threading.current_thread() is threading.main_thread()) == (failing == "calling"):
            raise ZeroDivisionError
        running.append(item)
        time.sleep(0.05)
        running.remove(item)

    with contextlib.closing(StepThreads(2)) as threads:
        with pytest.raises(ZeroDivisionError):
            threads.each(call, range(2))
        assert not running
        both.reset()
        with pytest.raises(ZeroDivisionError):  # they still work
            threads.each(call, range(2))


def test_ctrl_c_in_another_threads_call_ends_all_of_them() -> None:
    called: list[int] = []

    def call(item: int) -> None:
        called.append(item)
        if threading.current_thread() is not threading.main_thread() and len(called) < 100:
            signal.raise_signal(signal.SIGINT)  # which Python handles in the main thread
        time.sleep(0.001)

    with contextlib.closing(StepThreads(2)) as threads:
        with pytest.raises(KeyboardInterrupt):
            threads.each(call, range(100_000))
        number = len(called)
        time.sleep(0.05)
        assert len(called) == number < 1000


def test_threads_end_with_the_environments() -> None:
    before = set(threading.enumerate())
    envs = morl.make(COUNTING).make_vector(4, threads=3)
    envs.reset(seed=0)
    envs.step(np.ones(4, int))
    stepping = set(threading.enumerate()) - before  # others may end meanwhile
    assert stepping
    envs.close()
    assert not any(thread.is_alive() for thread in stepping)


@pytest.mark.parametrize(("processes", "threads"), [(0, 3), (2, 2)])
def test_threads_step_any_environment_the_same(processes: int, threads: int) -> None:
    outcomes = []
    for how in ({"processes": 0}, {"processes": processes, "threads": threads}):
        envs = morl.make(COUNTING).make_vector(6, **how)
        seen = [envs.reset(seed=3)]
        for t in range(20):
            step = envs.step((np.arange(6) + t) % 5)
            seen += [step.obs, step.next_obs, step.reward, step.terminated, step.truncated]
        outcomes.append(seen)
        envs.close()
    for one, other in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "raise",
            r"Counting-v0: step 2 of an episode raised ZeroDivisionError: division by zero \(.*counting.py:\d+\)",
        ),
        ("leave", r"Counting-v0: step 2 of an episode raised SystemExit: 0 \(.*counting.py:\d+\)"),
        ("nan", r"Counting-v0, step 2 of an episode: reward \[0.0, nan, 1.0\] is not finite"),
    ],
)
@pytest.mark.parametrize("processes", [0, 1])
def test_an_error_in_a_thread_names_environment_method_and_step(fault: str, message: str, processes: int) -> None:
    envs = morl.make(COUNTING, fault=fault).make_vector(6, processes, threads=3)
    envs.reset(seed=0)

    def run() -> None:
        for _ in range(30):
            envs.step(np.ones(6, int))

    with pytest.raises(UserError, match=message):
        run()
    envs.close()


def test_simulators_on_mujoco_have_a_thread_a_core_and_others_one() -> None:
    pytest.importorskip("mujoco")

    def threads(id: str, **how: Any) -> int:
        envs: Any = morl.make(id, "host").make_vector(64, **how)
        envs.close()
        number: int = envs._envs._threads.number
        return number

    assert threads("mo-hopper-v5") == threads("mo-reacher-v5") == available_cores()
    assert threads("mo-hopper-v5", threads=3) == 3
    assert threads("mo-hopper-v5", threads=100) == 64
    assert threads(COUNTING) == 1


def test_a_wrapped_simulator_stays_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave alone what a wrapper of the user's may share between environments."""
    pytest.importorskip("mujoco")

    class Doubled(gymnasium.RewardWrapper[Any, Any]):
        def reward(self, reward: Any) -> Any:
            return 2 * reward

    spec = gymnasium.spec("mo-hopper-v5")
    extra = gymnasium.envs.registration.WrapperSpec("Doubled", f"{__name__}:Doubled", {})
    monkeypatch.setitem(globals(), "Doubled", Doubled)
    gymnasium.register(
        "doubled-hopper-v5",
        spec.entry_point,
        max_episode_steps=10,
        additional_wrappers=(extra,),
        disable_env_checker=True,
    )
    try:
        envs: Any = morl.make("doubled-hopper-v5", "host").make_vector(4)
    finally:
        del gymnasium.registry["doubled-hopper-v5"]
    assert envs._envs._threads.number == 1
    envs.close()


def test_an_error_of_mujoco_in_a_thread_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    mujoco = pytest.importorskip("mujoco")
    envs: Any = morl.make("mo-hopper-v5", "host").make_vector(4, threads=2)
    envs.reset(seed=0)

    def fails(*_: Any, **__: Any) -> None:
        raise mujoco.FatalError("stack overflow")

    monkeypatch.setattr(mujoco, "mj_step", fails)
    with pytest.raises(UserCodeError, match="mo-hopper-v5: step 1 raised FatalError: stack overflow"):
        envs.step(np.zeros((4, 3), np.float32))
    envs.close()


def test_ctrl_c_while_simulators_step_leaves_them_usable() -> None:
    pytest.importorskip("mujoco")
    envs: Any = morl.make("mo-hopper-v5", "host").make_vector(16, threads=2)
    envs.reset(seed=0)
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    timer.start()

    def run() -> None:
        while True:
            envs.step(np.zeros((16, 3), np.float32))

    with pytest.raises(KeyboardInterrupt):
        run()
    timer.join()
    times = [env.unwrapped.data.time for env in envs._envs.envs]
    time.sleep(0.05)
    assert times == [env.unwrapped.data.time for env in envs._envs.envs]  # no thread steps on
    one, two = (morl.make("mo-hopper-v5", "host").make_vector(16, threads=1), envs)
    np.testing.assert_array_equal(one.reset(seed=7), two.reset(seed=7))
    np.testing.assert_array_equal(*(each.step(np.ones((16, 3), np.float32)).obs for each in (one, two)))
    one.close()
    two.close()
