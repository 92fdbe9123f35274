"""Training and evaluation on MuJoCo: the same numbers whatever the threads and worker processes."""

import contextlib
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.training.backends.host import HostBackend
from tests.tiny import Wanderer

pytest.importorskip("mujoco")

KEYS = list(jax.random.split(jax.random.key(0), 3))
PREFERENCES = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


@dataclass(frozen=True)
class Torques(Wanderer):
    """Learner with torques for actions."""

    rollout_steps: int = 12

    def act(self, policy, obs, preference, key, *, greedy):
        torques = obs.astype(jnp.float32) @ policy["weights"]
        noise = 0.0 if greedy else jax.random.normal(key, torques.shape, jnp.float32)
        return jnp.tanh(torques + noise)


def outcome(**how):
    """Return the learners after two updates, an evaluation and another update, and that evaluation."""
    env = morl.make("mo-hopper-2obj-v5", max_episode_steps=40)
    learner = Torques(observations=11, actions=3, num_objectives=2, step=0.1)
    trainer = HostBackend(env, learner, PREFERENCES, eval_episodes=6, gamma=0.9, devices=jax.devices()[:1], **how)
    with contextlib.closing(trainer):
        state, _ = trainer.run(trainer.init(KEYS), 2)
        found = trainer.evaluate(trainer.policies(state), PREFERENCES, jax.random.split(KEYS[0], 3), 6)
        state, _ = trainer.run(state, 1)
        return jax.tree.leaves((trainer.saved(state), found))


@pytest.mark.parametrize("bound", [None, 12])
def test_threads_and_processes_change_no_bit(bound):
    """A bound of as many environments as training has makes evaluations borrow them."""
    expected = outcome(threads=1, max_envs=bound)
    for how in ({}, {"threads": 3}, {"processes": 2, "threads": 2}):
        for one, other in zip(outcome(max_envs=bound, **how), expected, strict=True):
            np.testing.assert_array_equal(one, other)
