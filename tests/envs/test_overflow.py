"""Environments of fixed sizes: whoever runs one stops with one line if an episode had more than there is room for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.envs.checks.check import check_env
from morl.envs.contract import missing_attributes, violations
from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv, GymnasiumVectorEnv
from morl.errors import UserError
from morl.training.backends.recording import Recorder
from morl.training.evaluation import evaluate
from tests import tiny
from tests.probes import Probe

LINE = r"probe-v0: no room for \d steps, of room = 3"


@dataclass(frozen=True)
class Shelf(Probe):
    """Endless probe, whose episodes of 5 steps have room for ``room`` of them."""

    kind: str = "endless"
    room: int = 5

    def overflow(self, state):
        return jnp.maximum(state.t.astype(jnp.int32) - self.room, 0)

    def overflow_message(self, number):
        return f"no room for {number} steps, of room = {self.room}"


LEARNER = tiny.Wanderer(2, 2, 2, 0.5)
POLICY = {"weights": np.zeros((1, 2, 2), np.float32)}


def evaluated(env):
    run = partial(evaluate, env, env.default_params, LEARNER, episodes=3, gamma=1.0)
    return jax.jit(run)(POLICY, np.eye(2, dtype=np.float32)[:1], jax.random.split(jax.random.key(0), 1))


def test_an_evaluation_counts_its_episodes_and_no_more() -> None:
    np.testing.assert_array_equal(evaluated(Shelf()).overflow, np.zeros((1, 3)))
    np.testing.assert_array_equal(evaluated(Shelf(room=3)).overflow, np.full((1, 3), 2))
    assert evaluated(Probe("endless")).overflow is None


@pytest.mark.parametrize("env", [Shelf(room=3), Shelf()])
def test_training_evaluation_and_recording(env: Shelf, tmp_path) -> None:
    few = {"evaluations": 1, "eval_episodes": 2, "final_episodes": 2, "reporter": False}
    train = partial(morl.train, "tests.tiny:SPEC", env, steps=1024, out=tmp_path, **few)
    act = lambda policy, obs, t: jnp.zeros(len(obs), jnp.int32)  # noqa: E731
    record = Recorder(env, env.default_params, LEARNER, act, jax.jit, episodes=2, gamma=1.0)
    if env.room == 5:
        assert len(train().fronts) == 1
        assert record(POLICY, np.array([5], np.int32), jax.random.key(0)).overflow.tolist() == [[0, 0]]
        return
    with pytest.raises(UserError, match=LINE):
        train()
    with pytest.raises(UserError, match=LINE):
        record(POLICY, np.array([5], np.int32), jax.random.key(0))
    record(POLICY, np.array([3], np.int32), jax.random.key(0))  # given up before


def test_gymnasium() -> None:
    env = GymnasiumEnv(Shelf(room=3))
    env.reset(seed=0)
    for _ in range(3):
        env.step(0)
    with pytest.raises(UserError, match="no room for 1 steps"):
        env.step(0)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_gymnasium_vectors(mode: str) -> None:
    envs = GymnasiumVectorEnv(Shelf(), num_envs=2, autoreset_mode=mode)  # the step after the end is not counted
    envs.reset(seed=0)
    for _ in range(5 if mode == "Disabled" else 12):
        envs.step(np.zeros(2, int))
    envs = GymnasiumVectorEnv(Shelf(room=4), num_envs=2, autoreset_mode=mode)
    envs.reset(seed=0)
    for _ in range(4):
        envs.step(np.zeros(2, int))
    with pytest.raises(UserError, match="no room for 1 steps"):
        envs.step(np.zeros(2, int))


def test_the_contract() -> None:
    class Dumb(Shelf):
        def overflow(self, state):
            return state.t > 3

    assert violations(Shelf()) == []
    assert [name for name, _ in violations(Dumb())] == ["overflow"]
    assert [finding.subject for finding in check_env(Dumb()).findings if finding.status == "fix"] == ["overflow"]

    class Mute(Probe):
        overflow = Shelf.overflow

    assert missing_attributes(Mute("endless"))[0][0] == "overflow_message"
