"""MO-REINFORCE: one policy for every preference, trained by policy gradients (Lin et al., 2022, arXiv 2203.15386).

Baseline of Jain et al. (2023, section 5): the sampler of MOGFN-PC (:mod:`morl.agents.mogfn.algorithm`) with its network
and conditions, trained to build the best object for a preference instead of drawing in proportion to its reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from morl.agents.mogfn import conditions
from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.config import MOGFNConfig, NetworkName
from morl.agents.mogfn.networks import with_rows
from morl.agents.mogfn.trajectories import AnyTask, Finished, Trajectories, forward, log_forward
from morl.envs.constructive.base import scale_fault
from morl.errors import UserError
from morl.ops import preferences
from morl.ops.masking import mask_logits
from morl.ops.optimisers import in_float32
from morl.ops.units import power_of_two
from morl.types import Metrics, PyTree
from morl.validation import check_integer, check_range


@dataclass(frozen=True)
class MOReinforceConfig:
    """Settings of a policy that is trained by policy gradients; those of the network are MOGFN's."""

    batch: int = 128
    """Objects of one update."""
    samples: int = 16
    """Objects of each preference, whose mean reward is the baseline of each; must divide the batch."""
    scalarisation: Literal["weighted_sum", "log_sum", "tchebycheff"] = "weighted_sum"
    """Reward under a preference."""
    floor: float = 1e-8
    """Smallest objective or reward before the logarithm that rewards are computed in."""
    entropy: float = 0.01
    """Weight of the entropy of steps, beside rewards of standard deviation 1."""
    concentration: float = 1.0
    """Concentration of the Dirichlet distribution that preferences are drawn from; 1 is uniform."""
    bins: int = 0
    """Bins of the thermometer that encodes each weight; 0 encodes them as they are."""
    learning_rate: float = 3e-3
    """Adam's step size."""
    anneal: bool = True
    """Anneal it to 1 % over the run, along a cosine."""
    max_grad_norm: float | None = None
    """Global norm that gradients are clipped to; by default they are not."""
    network: NetworkName = "mlp"
    """Network of the policy."""
    hidden: tuple[int, ...] = (64, 64, 64)
    """Widths of the hidden layers of the mlp."""
    activation: Literal["tanh", "relu", "silu"] = "relu"
    """Activation of the hidden layers of the mlp."""
    width: int = 64
    """Width of the transformer."""
    num_blocks: int = 3
    """Blocks of the transformer."""
    num_heads: int = 8
    """Attention heads of each block; must divide the width."""

    def __post_init__(self) -> None:
        check_integer(self, "samples", low=2)
        check_range(self, "entropy", low=0)
        _ = self.sampler  # checks what they have in common
        if self.batch % self.samples:
            raise UserError(f"samples must divide batch = {self.batch}, not {self.samples}")

    @property
    def sampler(self) -> MOGFNConfig:
        """Settings of a MOGFN with this network, condition and reward."""
        own = {"samples", "entropy"}
        return MOGFNConfig(**{name: value for name, value in vars(self).items() if name not in own})


class MOReinforceState(NamedTuple):
    """State of one policy.

    Attributes:
        policy: the network.
        opt_state: Adam's moments.
        updates: () int32.
    """

    policy: PyTree
    opt_state: PyTree
    updates: jax.Array


@dataclass(frozen=True)
class MOReinforce:
    """Learner of :class:`MOReinforceState` on one constructive task. ``total_updates`` is for annealing only.

    Raises:
        UserError: the task is not constructive (:mod:`morl.envs.constructive.base`), or not for this network.
    """

    config: MOReinforceConfig
    env: AnyTask
    total_updates: int

    def __post_init__(self) -> None:
        _ = self.sampler  # checks the task
        if fault := scale_fault(self.env):
            raise UserError(f"MO-REINFORCE cannot train on {self.env.id}: its reward_space {fault}")

    @cached_property
    def sampler(self) -> MOGFN:
        """Sampler with this network, condition and reward."""
        return MOGFN(self.config.sampler, self.env, self.total_updates)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        c = self.config
        schedule = optax.cosine_decay_schedule(c.learning_rate, max(1, self.total_updates), alpha=0.01)
        clip = optax.identity() if c.max_grad_norm is None else optax.clip_by_global_norm(c.max_grad_norm)
        return in_float32(optax.chain(clip, optax.adam(schedule if c.anneal else c.learning_rate)))

    def init(self, key: jax.Array) -> MOReinforceState:
        """Return a fresh policy, about uniform over actions; not to be called under ``jit``."""
        policy = self.sampler.init(key).params.policy
        return MOReinforceState(policy, self._optimiser.init(policy), jnp.int32(0))

    @partial(jax.jit, static_argnames=("self", "updates"))
    def run(self, state: MOReinforceState, key: jax.Array, updates: int) -> tuple[MOReinforceState, Metrics]:
        """Run ``updates`` updates; return the state and scalar metrics (updates,).

        With the same key, a number of updates and then another are the same as both at once.
        """
        keys = jax.vmap(partial(jax.random.fold_in, key))(state.updates + jnp.arange(updates, dtype=jnp.int32))
        return jax.lax.scan(self.update, state, keys)

    def update(self, state: MOReinforceState, key: jax.Array) -> tuple[MOReinforceState, Metrics]:
        """Sample objects for some preferences, and take one step towards those better than the mean of theirs."""
        state, metrics, _ = self.iterate(state, key)
        return state, metrics

    def iterate(self, state: MOReinforceState, key: jax.Array) -> tuple[MOReinforceState, Metrics, Finished]:
        """Run one update; return the new state, scalar metrics and the objects (B, ...) that were rewarded."""
        c = self.config
        key_preference, key_forward = jax.random.split(key)
        drawn = preferences.dirichlet(key_preference, len(self.env.objectives), c.batch // c.samples, c.concentration)
        preference = jnp.repeat(drawn, c.samples, axis=0)
        batch = self._forward(state.policy, preference, key_forward)
        reward = jnp.exp(self.sampler.log_reward(batch.end.values, preference, 1.0))
        of_loss = partial(jax.grad(self.loss, has_aux=True), state.policy, batch, preference, reward)
        gradient, metrics = with_rows(self.sampler._network, batch, of_loss)
        step, opt_state = self._optimiser.update(gradient, state.opt_state, state.policy)
        metrics |= {"reward": jnp.mean(reward), "length": jnp.mean(batch.length.astype(jnp.float32))}
        state = MOReinforceState(optax.apply_updates(state.policy, step), opt_state, state.updates + 1)
        return state, metrics, batch.end

    def loss(
        self, policy: PyTree, batch: Trajectories, preference: jax.Array, reward: jax.Array, rows: int | None = None
    ) -> tuple[jax.Array, Metrics]:
        """Compute a loss whose gradient is minus the policy gradient (Lin et al., 2022, equation 13) and an entropy's.

        Deviation from the paper: rewards are divided by their standard deviation in a batch, so that one weight of the
        entropy is for tasks of any rewards.

        Args:
            policy: parameters.
            batch: trajectories (B, T), those of a preference side by side.
            preference: (B, R).
            reward: (B,) rewards of their objects.
            rows: see :func:`~morl.agents.mogfn.networks.with_rows`.
        """
        c = self.config
        network = self.sampler._network
        output = network.outputs(policy, batch, self._encode(preference), rows)
        mask = self.env.action_mask(batch.obs)
        log_prob = log_forward(output, batch, mask).sum(axis=1)
        reward = reward / power_of_two(jnp.max(jnp.abs(reward)))  # so that no square of its deviation vanishes
        spread, groups = jnp.std(reward), reward.reshape(-1, c.samples)
        advantage = (groups - groups.mean(axis=1, keepdims=True)).reshape(-1) / jnp.where(spread > 0, spread, 1.0)
        log_step = jax.nn.log_softmax(mask_logits(output, mask))
        each = -jnp.sum(jnp.exp(log_step) * log_step, axis=-1)
        entropy = jnp.sum(jnp.where(batch.valid, each, 0.0)) / batch.length.sum(dtype=jnp.int32).astype(jnp.float32)
        loss = -jnp.mean(advantage * log_prob) - c.entropy * entropy
        return loss, {"loss": loss, "entropy": entropy}

    @partial(jax.jit, static_argnames="self")
    def sample(self, state: MOReinforceState, weights: jax.Array, key: jax.Array) -> Trajectories:
        """Sample a trajectory for each of n preferences (n, R); its ``end`` is the object built."""
        return self._forward(state.policy, weights, key)

    def _forward(self, policy: PyTree, preference: jax.Array, key: jax.Array) -> Trajectories:
        reader = self.sampler._network.reader(policy, self._encode(preference))
        return forward(self.env, self.env.default_params, reader, len(preference), 0.0, key)

    def _encode(self, preference: jax.Array) -> jax.Array:
        return conditions.encode(preference, jnp.ones(len(preference), jnp.float32), (1.0, 1.0), self.config.bins)
