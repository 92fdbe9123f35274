"""Warm start: one network learns the front of policies that know the way, and the core counts and keeps the rest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl.agents.capql import CAPQLConfig
from morl.agents.cmorl import CMORLConfig
from morl.agents.d3po import D3POConfig
from morl.agents.imitation.sac import recorded_by_sac
from morl.agents.imitation.teacher import Teacher
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.agents.sac.action_space import for_space
from morl.errors import UserError
from morl.ops import distributions
from morl.ops.pareto import convex_coverage_set
from morl.settings import TrainSettings
from morl.training.backends import warm_start
from morl.training.setup import prepare
from tests.training.test_loop import metric_rows

TREASURE = {"env": "deep-sea-treasure-v0", "gamma": 1.0, "reference_point": (0.0, -25.0), "final_episodes": 1}
TINY = {
    "capql": CAPQLConfig(
        num_envs=4, rollout_steps=8, batch_size=16, learning_starts=32, hidden=(8,), replay_capacity=640
    ),
    "d3po": D3POConfig(num_envs=4, rollout_steps=8, hidden=(8,), minibatches=2, epochs=2),
}
LEARNING = {
    "capql": CAPQLConfig(
        num_envs=16, rollout_steps=16, n_step=5, hidden=(64, 64), update_ratio=0.25, learning_rate=1e-3, batch_size=128
    ),
    "d3po": D3POConfig(rollout_steps=32),
}
_TREASURES = [(1, 0, 0.7), (2, 1, 8.2), (3, 2, 11.5), (4, 3, 14.0), (4, 4, 15.1)]
_TREASURES += [(4, 5, 16.1), (7, 6, 19.6), (7, 7, 20.3), (9, 8, 22.4), (10, 9, 23.7)]
RETURNS = np.array([(value, -(row + column)) for row, column, value in _TREASURES], np.float32)
DOWN, RIGHT = 1, 3


class Diver:
    """Teacher that knows the way to each of the treasures: along the surface to its column, and down.

    Args:
        shift: by so many columns it goes too far.
    """

    def __init__(self, shift=0):
        self.columns = jnp.asarray(np.minimum(np.arange(10) + shift, 9), jnp.int32)

    def act(self, obs, weights, key):
        column = self.columns[jnp.argmax(weights @ jnp.asarray(RETURNS).T, axis=-1)]
        return jnp.where(obs[:, 1] < column, RIGHT, DOWN).astype(jnp.int32)


@pytest.fixture(scope="module")
def treasure_run(tmp_path_factory):
    """Return the directory of a run of C-MORL, of no merit."""
    out = tmp_path_factory.mktemp("runs") / "cmorl"
    config = CMORLConfig(num_policies=2, num_envs=4, rollout_steps=8, minibatches=2, epochs=1, extension="none")
    fast = {"steps": 64, "evaluations": 1, "eval_episodes": 1}
    return morl.train("cmorl", TrainSettings(**TREASURE, **fast, out=out), config).path


def tiny(agent, run, steps=128, warm_start_steps=64):
    return dataclasses.replace(TINY[agent], warm_start=run, warm_start_steps=warm_start_steps, num_preferences=5), steps


def train(agent, run, out, should_stop=lambda: False, **changes):
    config, steps = tiny(agent, run, **changes)
    settings = TrainSettings(**TREASURE, steps=steps, evaluations=1, eval_episodes=1, out=out, checkpoint_minutes=0.0)
    return morl.train(agent, settings, config, should_stop=should_stop)


def distilled(agent, teacher, out, monkeypatch):
    """Train by imitation alone, and return the front."""
    monkeypatch.setattr(warm_start, "read_teacher", lambda *_: teacher)
    steps = 32_768
    config = dataclasses.replace(LEARNING[agent], warm_start=out, warm_start_steps=steps)
    settings = TrainSettings(**TREASURE, steps=steps, evaluations=1, eval_episodes=1, out=out)
    return morl.train(agent, settings, config).front


@pytest.mark.parametrize("agent", [pytest.param("capql", marks=pytest.mark.slow), "d3po"])
def test_one_network_has_the_whole_convex_front_of_its_teacher(agent, tmp_path, monkeypatch):
    """All returns are there that are the best for some preference: nine, as the tenth lies on a line between two."""
    front = distilled(agent, Diver(), tmp_path / "run", monkeypatch)
    wanted = RETURNS[convex_coverage_set(RETURNS)]
    assert len(wanted) == 9
    missing = np.abs(wanted[:, None] - front.returns[None]).max(axis=2).min(axis=1)
    np.testing.assert_allclose(missing, 0, atol=1e-4)


@pytest.mark.slow
def test_of_a_teacher_that_goes_astray_it_has_another_front(tmp_path, monkeypatch):
    front = distilled("d3po", Diver(shift=4), tmp_path / "run", monkeypatch)
    assert front.returns[:, 1].max() <= -8  # no short way


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["capql", "d3po"])
def test_a_resumed_run_is_the_same_bit_for_bit(agent, treasure_run, tmp_path, monkeypatch):
    """Stopped in the warm start and once more after it, the run goes on as one that was never stopped."""
    monkeypatch.setattr("morl.training.learning.CHUNK_SECONDS", 0.0)  # one update a chunk
    whole = train(agent, treasure_run, tmp_path / "whole")
    looks = iter([True])
    train(agent, treasure_run, tmp_path / "cut", lambda: next(looks, False))
    looks = iter([False, False, True])
    morl.train(resume=tmp_path / "cut", should_stop=lambda: next(looks, False))
    resumed = morl.train(resume=tmp_path / "cut")
    assert metric_rows(resumed.path) == metric_rows(whole.path)
    assert (resumed.path / "front.csv").read_text() == (whole.path / "front.csv").read_text()


@pytest.mark.slow
def test_its_steps_are_steps_of_the_training(treasure_run, tmp_path):
    run = train("d3po", treasure_run, tmp_path / "run")
    row = metric_rows(run.path)[-1]
    assert row["step"] == "128"
    text = (run.path / "log.txt").read_text()
    assert f"policies of {treasure_run} act for 64 steps" in text


@pytest.mark.slow
def test_after_the_warm_start_the_run_it_came_from_is_not_needed(treasure_run, tmp_path, monkeypatch):
    run = train("capql", treasure_run, tmp_path / "run")
    monkeypatch.setattr(warm_start, "read_teacher", lambda *_: pytest.fail("read again"))
    assert len(morl.load(run.path).front) >= 1
    assert len(morl.train(resume=run.path, steps=192).front) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["capql", "d3po"])
def test_on_the_host(agent, tmp_path):
    """Continuous actions, and environments that step in Python."""
    shared = {"env": "mo-mountaincarcontinuous-v0", "backend": "host", "evaluations": 1, "eval_episodes": 1}
    settings = TrainSettings(**shared, steps=128, final_episodes=1, out=tmp_path / "cmorl")
    small = CMORLConfig(num_policies=2, num_envs=4, rollout_steps=8, minibatches=2, epochs=1, extension="none")
    run = morl.train("cmorl", settings, small)
    config, _ = tiny(agent, run.path)
    settings = dataclasses.replace(settings, out=tmp_path / "run")
    assert np.isfinite(morl.train(agent, settings, config).front.returns).all()


def test_the_best_policy_for_a_preference_acts():
    """Each of three policies is the best for one of the preferences, and its actions are its own network's."""
    learner = PPO(PPOConfig(hidden=(8,)), spaces.Box(-1, 1, (3,)), spaces.Discrete(4), 2, 0.9, 1)
    policies = [learner.policy(learner.init(jax.random.key(i))) for i in range(3)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *policies)
    returns = np.array([[10.0, 0.0], [7.0, 7.0], [0.0, 10.0]])
    teacher = Teacher(learner, stacked, np.eye(2)[[0, 1, 1]], returns)
    obs = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (60, 3)), jnp.float32)
    weights = jnp.asarray(np.repeat([[0.9, 0.1], [0.5, 0.5], [0.05, 0.95]], 20, axis=0), jnp.float32)
    got = teacher.act(obs, weights, jax.random.key(0))
    wanted = np.concatenate(
        [
            learner.act(policy, obs[20 * i : 20 * i + 20], jnp.ones(2), jax.random.key(0), greedy=True)
            for i, policy in enumerate(policies)
        ]
    )
    np.testing.assert_array_equal(got, wanted)
    assert len(np.unique(wanted)) > 1


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(5, start=2),
        spaces.MultiDiscrete([3, 4, 2]),
        spaces.MultiBinary(3),
        spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32)),
    ],
    ids=str,
)
def test_actions_of_one_are_those_of_the_other(space):
    """The environment gets the same action, recorded by PPO or converted to how soft actor-critics record it."""
    ppo, sac = distributions.for_space(space), for_space(space)
    output = jnp.asarray(np.random.default_rng(1).normal(size=(40, ppo.num_outputs)), jnp.float32)
    action = ppo.mode(output, ppo.initial_log_std())
    np.testing.assert_allclose(sac.to_env(recorded_by_sac(sac, action)), ppo.to_env(action), rtol=1e-6)


def test_runs_that_cannot_be_a_warm_start_are_refused(treasure_run, tmp_path):
    def refused(agent, message, run=treasure_run, env="deep-sea-treasure-v0", warm_start_steps=64, **changes):
        config, steps = tiny(agent, run, warm_start_steps=warm_start_steps)
        settings = TrainSettings(env=env, steps=steps, out=tmp_path / "out", **changes)
        with pytest.raises(UserError, match=message) as caught:
            morl.train(agent, settings, config)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()

    refused("capql", "environment of .* is deep-sea-treasure-v0, not minecart-v0", env="minecart-v0")
    refused("d3po", "observation space of .* is Box.0, 11.*, not Box", env_kwargs={"float_state": True})
    refused("capql", "no config.yaml", run=tmp_path)
    refused("d3po", "warm_start_steps must be at most steps = 128, not 1000", warm_start_steps=1000)
    refused("capql", "warm_start_steps must be above learning_starts = 32, not 16", warm_start_steps=16)
    own = train("d3po", treasure_run, tmp_path / "own")
    refused("capql", "takes a run of policies of one preference each, of cmorl or ppo; .* is one of d3po", run=own.path)


def test_steps_without_a_run_are_refused():
    with pytest.raises(UserError, match="warm_start_steps needs warm_start"):
        CAPQLConfig(warm_start_steps=5)
    with pytest.raises(UserError, match="warm_start_steps must be at least 1, not 0"):
        D3POConfig(warm_start_steps=0)


def test_it_may_have_all_steps_of_which_whole_updates_are_done(tmp_path):
    config = dataclasses.replace(TINY["d3po"], warm_start=tmp_path, warm_start_steps=100)  # updates of 32 steps
    assert prepare("d3po", TrainSettings(**TREASURE, steps=100), config).agent.warm_start.updates == 3


def test_agents_without_one_have_none():
    assert prepare("cmorl", TrainSettings(**TREASURE, steps=100_000)).agent.warm_start is None
