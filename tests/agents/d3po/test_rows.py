"""D3PO on rows of features, one for each action, and the prior of the rewards now."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.d3po import D3POAgent, D3POConfig
from morl.agents.d3po.networks import RowInput
from morl.errors import UserError
from morl.ops.preferences import equally_spaced_weights
from morl.types import Task
from tests.probes import Probe, trainer

CONFIG = D3POConfig(
    num_envs=16,
    rollout_steps=16,
    epochs=4,
    minibatches=4,
    learning_rate=5e-3,
    hidden=(8,),
    network="rows",
    objective_scales=(1.0, 3.0),
    normalise_advantages="together",
    diversity_coefficient=0.0,
    num_preferences=5,
)
WEIGHTS = equally_spaced_weights(2, 5)
REWARDS = jnp.eye(2)


def features(obs):
    """Return the action's number as its only feature, (..., 2, 1)."""
    return jnp.broadcast_to(jnp.array([[0.0], [1.0]]), (*obs.shape[:-1], 2, 1))


def told(obs):
    return jnp.broadcast_to(REWARDS, (*obs.shape[:-1], 2, 2))


def agent_for(config, updates=60, **parts):
    env = Probe("choice")
    steps = updates * config.num_envs * config.rollout_steps
    return D3POAgent(config, Task(env.observation_space, env.action_space, 2, 0.9, steps, **parts))


def actions_of(learner, state):
    obs = jnp.zeros((len(WEIGHTS), 2))
    policy, preferences = learner.policy(state), jnp.asarray(WEIGHTS, jnp.float32)
    return np.asarray(learner.act(policy, obs, preferences, jax.random.key(0), greedy=True))


def test_with_a_prior_the_untrained_policy_is_the_myopic_one():
    learner = agent_for(replace(CONFIG, prior_scale=10.0), action_features=features, action_rewards=told).learner
    state = learner.init(jax.random.key(0))
    np.testing.assert_array_equal(actions_of(learner, state), np.argmax(WEIGHTS * [1.0, 3.0], axis=1))
    inputs = RowInput(features(jnp.zeros(2)), jnp.array([0.5, 0.5]), jnp.ones(2), told(jnp.zeros(2)) * 3.0)
    np.testing.assert_allclose(state.params.actor(inputs), [15.0, 15.0])


def test_forbidden_actions_do_not_count_in_the_values():
    learner = agent_for(CONFIG, action_features=features).learner
    critic = learner.init(jax.random.key(0)).params.critic
    first, second = jnp.array([[0.3], [0.0]]), jnp.array([[0.3], [9.0]])
    inputs = RowInput(first, jnp.array([0.5, 0.5]), jnp.array([1.0, 0.0]), None)
    np.testing.assert_allclose(critic(inputs), critic(inputs._replace(features=second)))
    assert np.abs(critic(inputs) - critic(inputs._replace(features=second, exists=jnp.ones(2)))).max() > 1e-4


def test_rows_learn_to_choose_by_the_preference():
    agent = agent_for(CONFIG, action_features=features)
    options = {"width": 5, "draw_preference": agent.draw_preference, "devices": jax.devices()[:1]}
    backend = trainer(Probe("choice"), agent.learner, agent.preferences, **options)
    state, _ = backend.run(backend.init([jax.random.key(3)]), agent.updates)
    found = backend.evaluate(backend.policies(state), WEIGHTS[None], jax.random.split(jax.random.key(4), 1), 1)
    chosen = np.asarray(found.discounted[0, :, 0])
    # the second objective counts three times: w = (0.75, 0.25) is where both are worth the same
    np.testing.assert_array_equal(chosen[WEIGHTS[:, 0] > 0.8], [[1, 0]])
    np.testing.assert_array_equal(chosen[WEIGHTS[:, 0] < 0.6], [[0, 1]] * 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective_scales": (1.0, 0.0)}, "objective_scales must be greater than 0 and finite"),
        ({"conditioning": "film"}, "network rows needs conditioning concat, not film"),
        ({"network": "flat", "prior_scale": 1.0}, "prior_scale needs network rows"),
        ({"prior_scale": 1.0, "objective_scales": None}, "prior_scale weighs rewards times objective_scales"),
        ({"prior_scale": -1.0}, "prior_scale must be"),
    ],
)
def test_settings_that_cannot_work(changes, message):
    with pytest.raises(UserError, match=message):
        replace(CONFIG, **changes)


def test_environments_without_what_the_settings_ask_for():
    with pytest.raises(UserError, match="network rows needs features of each action"):
        agent_for(CONFIG)
    with pytest.raises(UserError, match="prior_scale needs observations that tell the rewards"):
        agent_for(replace(CONFIG, prior_scale=1.0), action_features=features)
    with pytest.raises(UserError, match="objective_scales must be one number or 2, one an objective, not 3"):
        agent_for(replace(CONFIG, objective_scales=(1.0, 1.0, 1.0)), action_features=features)
