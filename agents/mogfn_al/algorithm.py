"""MOGFN-AL: a GFlowNet that proposes what an expensive oracle is to label next (Jain et al., 2023, section 4.2).

In each round a surrogate is fitted to all labels, and a fresh GFlowNet learns to edit the best strings so far in
proportion to a power of what a label would add to the hypervolume. The loop is :mod:`morl.agents.mogfn_al.loop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.agents.mogfn.algorithm import MOGFN, Condition, MOGFNState
from morl.agents.mogfn.config import MOGFNConfig
from morl.agents.mogfn.trajectories import Trajectories
from morl.agents.mogfn_al.labels import Ints
from morl.envs.constructive.mutations import Mutations, Params
from morl.errors import UserError, unknown_name
from morl.search_space import Choice, Integer, Parameter, Space, log_real
from morl.validation import check_integer, check_range

Floats = NDArray[np.float64]
Proposer = Literal["gflownet", "genetic", "random"]


@dataclass(frozen=True)
class MOGFNALConfig:
    """Settings of a search by labels; but for the first six they are of the GFlowNet."""

    proposer: Proposer = "gflownet"
    """What proposes: a GFlowNet on a surrogate, or to compare, without one, a genetic algorithm or random edits."""
    rounds: int = 20
    """Batches of labels after the start."""
    round_size: int = 16
    """Labels of a round; calls of the oracle are initial + rounds * round_size."""
    initial: int = 64
    """Random strings that are labelled at the start."""
    bases: int = 16
    """Best strings so far that are edited."""
    max_edits: int = 4
    """Most letters that a proposal differs in from one of them."""
    pool: int = 128
    """Proposals in a round, of which those are labelled that add most together."""
    posterior_samples: int = 16
    """Of the surrogate, over which the acquisition is averaged."""
    updates: int = 200
    """Of the GFlowNet in a round."""
    batch: int = 64
    """Trajectories of an update."""
    beta: float = 4.0
    """Exponent of the acquisition in the reward."""
    beta_start: float = 0.5
    """Exponent at the first update, above 0; it rises to beta over the first half of them."""
    min_log_reward: float = -75.0
    """Least logarithm of the reward, where 0 is the mean of untrained proposals."""
    epsilon: float = 0.05
    """Probability of a random step while training."""
    learning_rate: float = 2e-3
    """Adam's step size of the policy."""
    log_z_learning_rate: float = 0.1
    """Adam's step size of log Z."""
    max_grad_norm: float = 10.0
    """Global norm that gradients are clipped to."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the policy."""

    def __post_init__(self) -> None:
        if isinstance(hidden := getattr(self, "hidden"), list):  # noqa: B009  # of a YAML file
            object.__setattr__(self, "hidden", tuple(hidden))
        if self.proposer not in get_args(Proposer):
            raise unknown_name("proposer", self.proposer, get_args(Proposer))
        for name in ("rounds", "round_size", "bases", "max_edits", "posterior_samples", "updates", "batch"):
            check_integer(self, name, low=1)
        check_integer(self, "initial", low=2)
        check_integer(self, "pool", low=1)
        for name in ("beta", "beta_start"):
            check_range(self, name, low=0, open_low=True)
        if self.beta_start > self.beta:
            raise UserError(f"beta_start must be at most beta = {self.beta}, not {self.beta_start}")
        check_range(self, "min_log_reward", low=-np.inf, high=0, open_high=True)
        if self.bases > self.initial:
            raise UserError(f"bases must be at most initial = {self.initial}, not {self.bases}")
        if self.pool < self.round_size:
            raise UserError(f"pool must be at least round_size = {self.round_size}, not {self.pool}")
        _ = self.gflownet  # checks the rest

    @property
    def budget(self) -> int:
        """Calls of the oracle."""
        return self.initial + self.rounds * self.round_size

    @property
    def gflownet(self) -> MOGFNConfig:
        """Of the learner; the exponent is none of its own, as rewards are given to it with theirs."""
        return MOGFNConfig(
            batch=self.batch,
            epsilon=self.epsilon,
            learning_rate=self.learning_rate,
            log_z_learning_rate=self.log_z_learning_rate,
            anneal=False,
            max_grad_norm=self.max_grad_norm,
            hidden=self.hidden,
        )

    def exponent(self, update: int) -> float:
        """β of an update, counted from 0."""
        return self.beta_start + (self.beta - self.beta_start) * min(1.0, update / max(1, self.updates // 2))


SPACE: Space = {
    "learning_rate": Parameter(log_real(3e-4, 1e-2)),
    "log_z_learning_rate": Parameter(log_real(1e-2, 1.0)),
    "epsilon": Parameter(log_real(5e-3, 0.3)),
    "beta": Parameter(log_real(1.0, 16.0)),
    "updates": Parameter(Choice((100, 200, 400))),
    "batch": Parameter(Choice((32, 64, 128))),
    "bases": Parameter(Choice((4, 16, 32))),
    "max_edits": Parameter(Integer(1, 6)),
    "hidden": Parameter(Choice(((64, 64), (128, 128)))),
}


@dataclass(frozen=True)
class MutationSampler:
    """A GFlowNet over edits of strings, by trajectory balance, whose reward is computed on the host.

    Sampling and learning are compiled, and the reward of a batch is asked for in between.
    """

    config: MOGFNALConfig
    task: Mutations

    @cached_property
    def agent(self) -> MOGFN:
        """The learner."""
        return MOGFN(self.config.gflownet, self.task, self.config.updates)

    @property
    def _condition(self) -> Condition:
        """There is one objective: all trajectories are for it."""
        return Condition(jnp.ones((self.config.batch, 1)), jnp.ones(self.config.batch))

    @partial(jax.jit, static_argnames=("self", "explores"))
    def sample(self, state: MOGFNState, bases: jax.Array, key: jax.Array, explores: bool) -> Trajectories:
        """A batch of trajectories."""
        epsilon = self.config.epsilon if explores else 0.0
        return self.agent.rollout(state, self._condition, key, Params(bases), epsilon)

    @partial(jax.jit, static_argnames="self")
    def learn(
        self, state: MOGFNState, batch: Trajectories, log_reward: jax.Array
    ) -> tuple[MOGFNState, jax.Array, jax.Array]:
        """One step, the loss before it and log Z after it."""
        state, loss = self.agent.learn(state, batch, self._condition, log_reward)
        return state, loss, self.agent.log_z(state, self._condition)[0]

    @partial(jax.jit, static_argnames="self")
    def log_excess(self, state: MOGFNState, batch: Trajectories) -> jax.Array:
        """(B,) Σ log P_B − Σ log P_F; of an untrained policy the mean of its sum with log R is about log Z."""
        built = self.agent.log_probability(state, self._condition, batch)
        excess: jax.Array = batch.log_backward.sum(axis=1) - built
        return excess

    def train(
        self, bases: Ints, log_value: Callable[[Ints], Floats], key: jax.Array
    ) -> tuple[MOGFNState, dict[str, float]]:
        """A sampler of edits of strings (K, L) in proportion to the power β of a value.

        Args:
            bases: to edit.
            log_value: logarithms (n,) of the values of strings (n, L).
            key: of everything random.

        Returns:
            the sampler, and its ``loss``, ``log_z`` and mean ``log_value`` over the last tenth of the updates.
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

    def draw(self, state: MOGFNState, bases: Ints, number: int, key: jax.Array) -> Ints:
        """``number`` strings (number, L) of a trained sampler."""
        keys = jax.random.split(key, -(-number // self.config.batch))
        parts = [self.sample(state, jnp.asarray(bases), one, False).end.state.letters for one in keys]
        drawn: Ints = np.concatenate(parts)[:number]
        return drawn


def remembered(value: Callable[[Any], Floats]) -> tuple[Callable[[Ints], Floats], dict[bytes, float]]:
    """A function of strings (n, L) that computes each once, and what it remembers by the bytes of a string."""
    known: dict[bytes, float] = {}

    def of(strings: Ints) -> Floats:
        keys = [row.tobytes() for row in strings]
        fresh = {key: row for key, row in zip(keys, strings, strict=True) if key not in known}
        if fresh:
            known.update(zip(fresh, value(np.array(list(fresh.values()))).tolist(), strict=True))
        return np.array([known[key] for key in keys])

    return of, known
