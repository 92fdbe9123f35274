"""Recorded probabilities are those of the policies that acted, whatever the actions and wherever the environment is."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.analysis.offline import recording
from morl.analysis.offline.behaviour import Acting, Behaviour
from morl.analysis.offline.logs import check, check_task
from morl.analysis.offline.policies import action_model
from morl.settings import TrainSettings
from morl.training.setup import prepare

CASES = [
    ("ppo", "deep-sea-treasure-v0", "host"),
    ("ppo", "mo-mountaincarcontinuous-v0", "jax"),
    ("capql", "mo-mountaincarcontinuous-v0", "jax"),
]


@pytest.mark.parametrize(("agent", "env", "backend"), CASES)
def test_probabilities_of_untrained_policies(agent, env, backend, monkeypatch):
    """One policy acts, so that each probability is that of its distribution with the uniform one mixed in."""
    monkeypatch.setattr(recording, "CHUNK", 100)
    setup = prepare(agent, TrainSettings(env=env, backend=backend, steps=100_000))
    learner = setup.agent.learner
    policy = learner.policy(learner.init(jax.random.key(1)))
    size = len(setup.objectives)
    front = SimpleNamespace(params=policy, preferences=np.full((1, size), 1 / size), conditional=True)
    model = action_model(learner, setup.env.action_space, "sampled")
    log = recording.record(setup, front, [0], Behaviour(model, 0.25), 3, 7, "a test")
    check(log, "log")
    check_task(log, setup, "log")
    assert len(log.lengths) == 3
    obs, action = jnp.asarray(log.observation), jnp.asarray(log.action)
    described = model.describe(policy, obs, jnp.full(size, 1 / size, jnp.float32))
    own, even = (np.exp(np.asarray(model.log_prob(each, action), float)) for each in (described, model.uniform(obs)))
    np.testing.assert_allclose(log.probability, 0.75 * own + 0.25 * even, rtol=5e-3)
    assert np.ptp(log.probability) > 0


def test_idle_lanes_are_left_out():
    """Two of 128 lanes go on and are kept, beside as many others as fill 16."""
    alive = jnp.zeros(128, bool).at[jnp.asarray([5, 70])].set(True)
    runners = {"obs": jnp.arange(128, dtype=jnp.int32)}
    acting = Acting(jnp.arange(128, dtype=jnp.int32), jnp.arange(256, dtype=jnp.float32).reshape(2, 128))
    (kept, acted, flags), lanes = recording._without_idle_lanes((runners, acting, alive), np.arange(128))
    assert len(lanes) == 16
    assert lanes[:2].tolist() == [5, 70]
    np.testing.assert_array_equal(kept["obs"], lanes)
    np.testing.assert_array_equal(acted.drawn, lanes)
    np.testing.assert_array_equal(acted.log_likelihood, [lanes, lanes + 128])
    assert np.flatnonzero(flags).tolist() == [0, 1]
    assert len(recording._without_idle_lanes((runners, acting, alive & False), np.arange(128))[1]) == 0
    assert len(recording._without_idle_lanes((runners, acting, ~alive), np.arange(128))[1]) == 128
