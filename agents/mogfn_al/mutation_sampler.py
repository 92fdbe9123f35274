"""GFlowNet that edits known strings in proportion to a power of an expensive value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.trajectories import Trajectories
from morl.agents.mogfn_al.config import MOGFNALConfig
from morl.agents.mogfn_al.labels import Floats, Ints
from morl.envs.constructive.mutations import Mutations, Params
from morl.types import LearnerState


@dataclass(frozen=True)
class MutationSampler:
    """GFlowNet over edits of strings, by trajectory balance, whose reward is computed on the host.

    Sampling and learning are compiled, and the reward of a batch is asked for in between.
    """

    config: MOGFNALConfig
    task: Mutations

    @cached_property
    def agent(self) -> MOGFN:
        """Learner of the edits."""
        return MOGFN(self.config.gflownet, self.task, self.config.updates)

    @property
    def _condition(self) -> Condition:
        """Condition of all trajectories, as there is one objective only."""
        return Condition(jnp.ones((self.config.batch, 1), jnp.float32), jnp.ones(self.config.batch, jnp.float32))

    @partial(jax.jit, static_argnames=("self", "explores"))
    def sample(self, state: LearnerState, bases: jax.Array, key: jax.Array, explores: bool) -> Trajectories:
        """Sample a batch of trajectories that edit strings (K, L)."""
        epsilon = self.config.epsilon if explores else 0.0
        return self.agent.rollout(self.agent.policy(state), self._condition, key, Params(bases), epsilon)

    @partial(jax.jit, static_argnames="self")
    def learn(
        self, state: LearnerState, batch: Trajectories, log_reward: jax.Array
    ) -> tuple[LearnerState, jax.Array, jax.Array]:
        """Take one step; return the state, the loss before it and log Z after it."""
        state, loss = self.agent.learn(state, batch, self._condition, log_reward)
        return state, loss, self.agent.log_z(self.agent.policy(state), self._condition)[0]

    @partial(jax.jit, static_argnames="self")
    def log_excess(self, state: LearnerState, batch: Trajectories) -> jax.Array:
        """Compute Σ log P_B − Σ log P_F (B,); for an untrained policy the mean of its sum with log R is about log Z."""
        built = self.agent.log_probability(self.agent.policy(state), self._condition, batch)
        excess: jax.Array = batch.log_backward.sum(axis=1) - built
        return excess

    def train(
        self, bases: Ints, log_value: Callable[[Ints], Floats], key: jax.Array
    ) -> tuple[LearnerState, dict[str, float]]:
        """Train a sampler of edits of strings (K, L) in proportion to the power β of a value.

        Args:
            bases: strings to edit.
            log_value: function from strings (n, L) to the logarithms (n,) of their values.
            key: of everything random.

        Returns:
            The learner, and its ``loss``, ``log_z`` and mean ``log_value`` over the last tenth of the updates.
        """
        c = self.config
        key_init, key_steps = jax.random.split(key)
        state, start = self.agent.init(key_init), jnp.asarray(bases)
        shift, level, rows = 0.0, 0.0, []
        for i in range(c.updates):
            batch = self.sample(state, start, jax.random.fold_in(key_steps, i), True)
            values = log_value(np.asarray(batch.end.state.letters))
            if i == 0:
                # so that log Z is about 0 at first, as the network has it: it would take long to learn from far off
                shift = float(values.mean())
                level = float(np.asarray(self.log_excess(state, batch)).mean())
            log_reward = np.maximum(c.exponent(i) * (values - shift), c.min_log_reward) - level
            state, loss, log_z = self.learn(state, batch, jnp.asarray(log_reward, jnp.float32))
            rows.append((loss, log_z, values.mean()))
        last = np.array(jax.device_get(rows[-max(1, c.updates // 10) :]), np.float64).mean(axis=0)
        return state, dict(zip(("loss", "log_z", "log_acquisition"), last.tolist(), strict=True))

    def draw(self, state: LearnerState, bases: Ints, number: int, key: jax.Array) -> Ints:
        """Draw ``number`` strings (number, L) with a trained sampler."""
        keys = jax.random.split(key, -(-number // self.config.batch))
        parts = [self.sample(state, jnp.asarray(bases), one, False).end.state.letters for one in keys]
        drawn: Ints = np.concatenate(parts)[:number]
        return drawn


def remembered(value: Callable[[Any], Floats]) -> tuple[Callable[[Ints], Floats], dict[bytes, float]]:
    """Return a function of strings (n, L) that computes each once, and its memory by the bytes of a string."""
    known: dict[bytes, float] = {}

    def of(strings: Ints) -> Floats:
        keys = [row.tobytes() for row in strings]
        fresh = {key: row for key, row in zip(keys, strings, strict=True) if key not in known}
        if fresh:
            known.update(zip(fresh, value(np.array(list(fresh.values()))).tolist(), strict=True))
        return np.array([known[key] for key in keys])

    return of, known
