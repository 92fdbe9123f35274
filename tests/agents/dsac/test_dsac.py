"""Separate soft actor-critics, each for its own preference, of discrete and of continuous actions."""

import jax
import numpy as np
import pytest

from morl.agents.dsac import SeparateSAC, SeparateSACConfig
from morl.types import Task
from tests.agents.sac.learning import GAMMA, SMALL
from tests.probes import Probe, trainer


def trained_returns(kind, updates=400):
    """Return (3, 2) of the policies of three preferences, which share the steps."""
    env = Probe(kind)
    config = SeparateSACConfig(**SMALL, num_policies=3, train_gamma=GAMMA)
    agent = SeparateSAC(config, Task(env.observation_space, env.action_space, 2, GAMMA, 3 * 32 * updates))
    assert agent.updates == updates
    np.testing.assert_array_equal(agent.preferences, [[1, 0], [0, 1], [0.5, 0.5]])
    backend = trainer(env, agent.learner, agent.preferences, devices=jax.devices()[:1])
    keys = jax.random.split(jax.random.key(3), 3)
    state, _ = backend.run(backend.init(list(keys)), updates)
    return backend.evaluate(backend.policies(state), agent.preferences, keys, 1).discounted[:, 0]


def test_each_policy_chooses_for_its_preference():
    found = trained_returns("choice")
    np.testing.assert_array_equal(found[:2], [[1, 0], [0, 1]])


@pytest.mark.slow
def test_each_policy_steers_for_its_preference():
    """Policies go to 0.6, -0.2 and, for even weights, 0.2; an untrained one goes to about 0."""
    found = trained_returns("steer")
    np.testing.assert_allclose(found, [[0, -0.64], [-0.64, 0], [-0.16, -0.16]], atol=0.15)


def test_relabelling_is_off_by_default_as_is_the_preference():
    config = SeparateSACConfig()
    assert not config.relabel_preferences
    assert not config.preference_input


@pytest.mark.parametrize("name", ["polyak", "hindsight", "warm_up"])
def test_names_of_settings_before(name):
    assert hasattr(SeparateSACConfig(), SeparateSACConfig.RENAMED[name])
