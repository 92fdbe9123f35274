"""Environments of the suites that are installed, beside the suites' own steps; the others are skipped by name."""

import importlib.util
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.envs.contract import violations, wrong_attributes
from morl.registry import SUITES

UPRIGHT = ["reward/upright", "reward/small_control"]
CASES = {
    "gymnax": ("gymnax:CartPole-v1", {"reward": "rewards:upright_and_central", "max_episode_steps": 50}),
    "brax": (
        "brax:inverted_pendulum",
        {"reward": "rewards:upright_and_still", "max_episode_steps": 50, "physics": "spring"},
    ),
    "jumanji": ("jumanji:Snake-v1", {"reward": "rewards:fruit_and_time", "num_rows": 4, "num_cols": 4}),
    "playground": ("playground:CartpoleBalance", {"objectives": UPRIGHT, "max_episode_steps": 50}),
}


@pytest.fixture(autouse=True)
def functions(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def imported(suite):
    """Return the package of a suite, or skip the test by the suite's name."""
    package = SUITES[suite].package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(package, reason=f"{suite} is not installed")


def test_every_suite_has_a_case():
    assert set(CASES) == set(SUITES)


@pytest.mark.parametrize("suite", CASES)
def test_an_agent_trains(suite, tmp_path):
    imported(suite)
    id, kwargs = CASES[suite]
    env = morl.make(id, **kwargs)
    assert wrong_attributes(env) + violations(env) == []
    run = morl.train(
        "ppo",
        id,
        env_kwargs=kwargs,
        reference_point=(-1000.0, -1000.0),
        steps=256,
        num_policies=2,
        num_envs=2,
        rollout_steps=16,
        minibatches=1,
        epochs=1,
        evaluations=1,
        eval_episodes=2,
        final_episodes=2,
        out=tmp_path / "run",
        reporter=False,
    )
    assert np.isfinite(run.front.returns).all()
    assert run.config["env"] == id


def test_gymnax_steps_are_its_own_without_a_reset():
    gymnax = imported("gymnax")
    theirs, params = gymnax.make("CartPole-v1")
    env = morl.make("gymnax:CartPole-v1", reward="rewards:upright_and_central", max_episode_steps=9, gravity=5.0)
    assert (env.max_episode_steps, float(env.default_params.gravity)) == (9, 5.0)
    params = params.replace(max_steps_in_episode=9, gravity=5.0)
    key = jax.random.key(3)
    raw = jax.random.key_data(key)
    state, obs = env.reset(key, env.default_params)
    their_obs, their_state = theirs.reset_env(raw, params)
    step = jax.jit(env.step)
    ends = []
    for i in range(12):
        np.testing.assert_allclose(obs, their_obs, rtol=1e-6)
        state, obs, reward, terminated, truncated, _ = step(key, state, jnp.int32(i % 2), env.default_params)
        their_obs, their_state, their_reward, over, _ = theirs.step_env(raw, their_state, i % 2, params)
        np.testing.assert_allclose(reward, [their_reward, -abs(their_state.x)], rtol=1e-6)
        assert bool(terminated) == bool(over)
        ends.append((bool(terminated), bool(truncated)))
    assert ends[7:9] == [(False, False), (False, True)]  # cut off at the limit, and not over


def test_brax_metrics_are_the_rewards():
    imported("brax")
    env = morl.make("brax:reacher", objectives=["reward_dist", "reward_ctrl"], physics="spring")
    assert (env.id, env.max_episode_steps, env.action_space.shape) == ("brax:reacher", 1000, (2,))
    key, action = jax.random.key(1), jnp.array([0.5, -0.25])
    state, obs = jax.jit(env.reset)(key, ())
    _, after, reward, terminated, truncated, _ = jax.jit(env.step)(key, state, action, ())
    with jax.numpy_rank_promotion("allow"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brax import envs

        theirs = envs.get_environment("reacher", backend="spring")
        first = jax.jit(theirs.reset)(jax.random.key_data(key))
        second = jax.jit(theirs.step)(first, action)
    np.testing.assert_allclose(obs, first.obs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after, second.obs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(reward, [second.metrics["reward_dist"], second.metrics["reward_ctrl"]], rtol=1e-4)
    np.testing.assert_allclose(reward.sum(), second.reward, rtol=1e-4)
    assert not terminated
    assert not truncated


def test_jumanji_masks_joint_actions_and_leaves_its_time_limit_to_the_core():
    imported("jumanji")
    env = morl.make("jumanji:Snake-v1", reward="rewards:fruit_and_time", num_rows=3, num_cols=3, max_episode_steps=4)
    assert (env.max_episode_steps, env.action_space.n, env.observation_space.shape) == (4, 4, (3 * 3 * 5 + 1 + 4,))
    key = jax.random.key(0)
    state, obs = env.reset(key, ())
    np.testing.assert_array_equal(env.action_mask(obs), np.asarray(state.action_mask, np.int8))
    np.testing.assert_array_equal(env.action_mask(obs * 0), [1, 1, 1, 1])  # where none is allowed
    step = jax.jit(env.step)
    for _ in range(4):  # round and round
        head = state.head_position
        clockwise = {(0, 0): 1, (0, 1): 1, (0, 2): 2, (1, 2): 2, (2, 2): 3, (2, 1): 3, (2, 0): 0, (1, 0): 0, (1, 1): 1}
        action = clockwise[int(head.row), int(head.col)]
        state, obs, _, terminated, truncated, _ = step(key, state, jnp.int32(action), ())
        assert not terminated
        assert not truncated
    sweeper = morl.make("jumanji:Minesweeper-v0", reward="rewards:fruit_and_time")
    assert sweeper.action_space.n == 100
    np.testing.assert_array_equal(sweeper.inner.native_action(jnp.int32(37)), [3, 7])


@pytest.mark.skipif(importlib.util.find_spec("jumanji") is None, reason="jumanji is not installed")
def test_a_reward_of_each_agent_is_no_single_number():
    with pytest.raises(morl.errors.UserError, match=r"unknown objective of jumanji:Connector-v3 'reward'"):
        morl.make("jumanji:Connector-v3", objectives=["reward", "num_connections"])


def test_playground_takes_entries_of_its_configuration():
    imported("playground")
    env = morl.make("playground:CartpoleBalance", objectives=UPRIGHT, ctrl_dt=0.02)
    assert (env.max_episode_steps, env.inner.env.dt) == (1000, 0.02)
