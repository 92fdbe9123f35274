"""Batches that are learnt from by parts: the same gradient, on one device and on two."""

from functools import partial

import jax
import numpy as np
import pytest
from gymnasium import spaces

from morl.agents.sac import networks
from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.training.backends.jax import JaxBackend
from tests.agents.sac.learning import learner_for
from tests.agents.sac.test_options import EACH, begun
from tests.probes import Probe


def stepped(learner, state):
    return learner.gradient_step(state.params, state.learning, state.replay, jax.random.key(5))


def assert_close(one, two, atol=1e-6):
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=atol)


def test_parts_of_a_batch_have_its_gradient(monkeypatch):
    options = {"prioritised_replay": True, "relabel_preferences": True, "learn_temperature": True}
    learner, state, _ = begun("choice", batch_size=24, **options)
    valid = state.replay.rows.valid.at[::3].set(False)  # parts of different weights
    state = state._replace(replay=state.replay._replace(rows=state.replay.rows._replace(valid=valid)))
    found = {}
    for size in (24, 4):
        monkeypatch.setattr(networks.Networks, "chunk_size", lambda self, batch_size, size=size: size)
        found[size] = jax.jit(partial(stepped, learner))(state)
    assert_close(found[4], found[24])


@pytest.mark.parametrize("policies", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_two_devices_for_a_policy_learn_as_one(policies):
    """One policy is on both devices and two are on one each; what is trained is the same up to rounding."""
    env = Probe("choice")
    learner = learner_for(env, 10, batch_size=24, learning_starts=16)
    keys, preferences = list(jax.random.split(jax.random.key(3), policies)), np.tile(EACH, (policies, 1, 1))
    trained = []
    for devices in (jax.devices()[:1], jax.devices()[:2]):
        backend = JaxBackend(env, learner, preferences, eval_episodes=1, gamma=1.0, devices=devices)
        assert backend._sharding.mesh.devices.shape == (
            min(policies, len(devices)),
            len(devices) if policies == 1 else 1,
        )
        state, sums = backend.run(backend.init(keys), 3)
        trained.append((backend.policies(state), sums))
    assert_close(*trained, atol=1e-5)


@pytest.mark.parametrize(
    ("batch_size", "options", "wanted"),
    [
        (256, {}, 128),
        (1024, {}, 256),
        (257, {}, 257),  # odd
        (2 * 257, {}, 2 * 257),  # only parts of one transition would divide it
        (256, {"critic_network": "batch_norm", "target_networks": False}, 256),
    ],
)
def test_sizes(batch_size, options, wanted):
    config = SACConfig(batch_size=batch_size, **options)
    learner = SAC(config, spaces.Box(-1, 1, (3,)), spaces.Discrete(2), 2, 0.9, 10)
    assert learner.networks.chunk_size(batch_size) == wanted
