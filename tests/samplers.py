"""Samplers trained by the back-end that ``morl train`` trains them with, but without a run directory."""

import jax
import numpy as np

from morl.agents.mogfn import MOGFN
from morl.constructive.backend import SamplerBackend
from morl.envs.constructive.host_values import oracle_errors


class Training:
    """Training of one sampler, from a fresh state or from one that is given."""

    def __init__(self, agent, key, state=None):
        self.backend = SamplerBackend(agent, 1, block=1, gamma=1.0)
        self._state = self.backend.init([key], None if state is None else [state])

    @property
    def state(self):
        """State of the learner."""
        return jax.tree.map(lambda x: x[0], self._state.learners)

    @oracle_errors()
    def run(self, updates):
        """Run some updates, all of them finite; return the mean of each metric over them."""
        self._state, sums = self.backend.run(self._state, updates)
        assert self.backend.nonfinite(self._state).number.tolist() == [0]
        assert sums.number.tolist() == [updates]
        return {name: float(values[0]) / updates for name, values in sums.metrics.items()}


def trained(env, config, updates, seed=0):
    """Train a sampler; return the learner and its policy."""
    agent = MOGFN(config, env, updates)
    training = Training(agent, jax.random.key(seed))
    metrics = training.run(updates)
    assert all(map(np.isfinite, metrics.values()))
    return agent, agent.policy(training.state)
