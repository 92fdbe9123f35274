"""GMORL: the preferences its environments act for, and one policy for a whole front of continuous actions."""

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.agents.gmorl import GMORL, GMORLConfig
from morl.agents.sac.algorithm import SAC
from morl.ops.preferences import equally_spaced_weights
from morl.settings import TrainSettings
from morl.types import Task
from tests.agents.sac.learning import GAMMA, SMALL
from tests.probes import Probe, trainer

SETTINGS = {**SMALL, "train_gamma": GAMMA, "num_preferences": 5, "relabel_preferences": True}


def agent_for(env, steps=12_800, **changes):
    task = Task(env.observation_space, env.action_space, 2, GAMMA, steps)
    return GMORL(GMORLConfig(**{**SETTINGS, **changes}), task)


def backend_for(env, agent):
    options = {"width": agent.num_preferences, "draw_preference": agent.draw_preference}
    return trainer(env, agent.learner, agent.preferences, devices=jax.devices()[:1], **options)


class Storing(SAC):
    """SAC that stores transitions and does not learn."""

    def update(self, state, batch, key):
        return self._store(state, batch), {}


def stored_preferences(agent, updates=2):
    """Return (T, B, 2) of the transitions of some updates in episodes of two steps."""
    learner = Storing(*(getattr(agent.learner, field.name) for field in fields(SAC)))
    backend = backend_for(Probe("delayed"), agent).for_learner(learner)
    state, _ = backend.run(backend.init([jax.random.key(0)]), updates)
    config = agent.config
    rows = np.asarray(state.learners.replay.rows.preference)[0]
    return rows[: updates * config.rollout_steps * config.num_envs].reshape(-1, config.num_envs, 2)


def test_each_environment_has_a_preference_of_its_own():
    agent = agent_for(Probe("delayed"), steps=64, learning_starts=32)
    assert agent.draw_preference is None
    stored = stored_preferences(agent)
    lanes = equally_spaced_weights(2, 8).astype(np.float32)
    np.testing.assert_array_equal(stored, np.broadcast_to(lanes, stored.shape))


def test_each_episode_draws_a_preference():
    agent = agent_for(Probe("delayed"), steps=64, preference_draws="episodes", learning_starts=32)
    episodes = stored_preferences(agent).reshape(4, 2, 8, 2)
    np.testing.assert_array_equal(episodes[:, 0], episodes[:, 1])  # through the episode, and from update to update
    np.testing.assert_allclose(episodes.sum(axis=-1), 1, rtol=1e-6)
    assert len(np.unique(episodes[:, 0, :, 0])) == 4 * 8


def test_drawn_preferences_are_uniform_on_the_simplex():
    draw = agent_for(Probe("choice"), preference_draws="episodes").draw_preference
    drawn = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 4000)))
    assert drawn.shape == (4000, 2)
    np.testing.assert_allclose(np.quantile(drawn[:, 0], [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)


@pytest.mark.parametrize("draws", [pytest.param("lanes", marks=pytest.mark.slow), "episodes"])
def test_one_policy_has_the_front_of_continuous_actions(draws):
    """The returns are -(a - 0.6)² and -(a + 0.2)² at a = 0.6 w1 - 0.2 w2; untrained, a is about 0 for all."""
    env = Probe("steer")
    agent = agent_for(env, preference_draws=draws)
    backend = backend_for(env, agent)
    state, _ = backend.run(backend.init([jax.random.key(3)]), agent.updates)
    weights = equally_spaced_weights(2, 5)
    found = backend.evaluate(backend.policies(state), weights[None], jax.random.split(jax.random.key(4), 1), 1)
    best = weights @ [0.6, -0.2]
    wanted = -((best[:, None] - np.array([0.6, -0.2])) ** 2)
    np.testing.assert_allclose(found.discounted[0, :, 0], wanted, atol=0.15)
    assert np.ptp(found.discounted[0, :, 0], axis=0).min() > 0.4


def test_it_trains_on_continuous_actions_by_name(tmp_path):
    """Train by name with drawn preferences, write a front, read it back and act."""
    settings = TrainSettings(
        env="mo-mountaincarcontinuous-v0",
        steps=960,
        evaluations=2,
        eval_episodes=1,
        final_episodes=1,
        out=tmp_path / "run",
    )
    config = GMORLConfig(
        num_envs=8,
        rollout_steps=10,
        gradient_steps=2,
        batch_size=16,
        replay_capacity=800,
        learning_starts=80,
        hidden=(8,),
        num_preferences=3,
        preference_draws="episodes",
    )
    run = morl.train("gmorl", settings, config)
    policy = morl.load(run.path).front.at(0)
    space = morl.make(settings.env).observation_space
    obs = np.stack([space.sample() for _ in range(20)])
    actions = policy(obs, [0.3, 0.7])
    assert actions.shape == (20, 1)
    assert np.abs(actions).max() <= 1
    assert jnp.isfinite(actions).all()


def test_names_of_settings_before():
    assert set(GMORLConfig.RENAMED) == {"polyak", "hindsight", "warm_up"}
    assert all(hasattr(GMORLConfig(), name) for name in GMORLConfig.RENAMED.values())
    assert not any(hasattr(GMORLConfig(), name) for name in GMORLConfig.RENAMED)
