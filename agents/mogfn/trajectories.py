"""Trajectories of a constructive task: forwards by a policy, backwards from finished objects; B of them at once."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from morl.envs import widths
from morl.envs.constructive.base import Constructive
from morl.ops.masking import mask_logits
from morl.types import PyTree

AnyTask = Constructive[Any, Any]
Memory = TypeVar("Memory")


class Finished(NamedTuple):
    """Finished objects, (B, ...).

    Attributes:
        state: state of the environment.
        obs: its observation.
        values: (B, R) objectives.
    """

    state: PyTree
    obs: jax.Array
    values: jax.Array


class Trajectories(NamedTuple):
    """Trajectories of at most T steps that build objects; entries after the last step are arbitrary.

    Attributes:
        obs: (B, T, ...) observations acted on.
        action: (B, T) int32.
        log_backward: (B, T) log P_B of each step, 0 after the last.
        length: (B,) int32 steps.
        end: finished objects.
    """

    obs: jax.Array
    action: jax.Array
    log_backward: jax.Array
    length: jax.Array
    end: Finished

    @property
    def valid(self) -> jax.Array:
        """Mask of the steps, (B, T) bool."""
        return jnp.arange(self.action.shape[1], dtype=jnp.int32)[None] < self.length[:, None]


class Reader(Protocol[Memory]):
    """Network under a condition, applied step by step along B trajectories."""

    def start(self) -> Memory:
        """Return the memory before the first observation."""
        ...

    def read(self, memory: Memory, obs: jax.Array) -> tuple[Memory, jax.Array]:
        """Return the memory after the next observation (B, ...), and the outputs (B, outputs), logits first."""
        ...


def log_backward(mask: jax.Array) -> jax.Array:
    """Compute log P_B, uniform over the legal parents of ``backward_mask`` (..., K); 0 at the start, which has none."""
    return -jnp.log(jnp.maximum(mask.sum(axis=-1), 1).astype(jnp.float32))


def forward(
    env: AnyTask, params: PyTree, reader: Reader[Any], batch: int, epsilon: jax.Array | float, key: jax.Array
) -> Trajectories:
    """Sample trajectories of a policy, with a uniformly drawn allowed action with probability ``epsilon``.

    A task that has ``values`` is asked for them once, at the end; the rewards of its steps are then not computed.

    Args:
        env, params: the task and its constants.
        reader: the policy.
        batch: B.
        epsilon: probability of a random step.
        key: drawn from.
    """
    key_start, key_steps = jax.random.split(key)
    num_actions = int(env.action_space.n)  # type: ignore[attr-defined]
    state, obs = jax.vmap(partial(widths.reset, env), (0, None))(jax.random.split(key_start, batch), params)
    keys = jax.random.split(key_steps, env.horizon)

    def step(carry: Any, key: jax.Array) -> tuple[Any, Any]:
        state, obs, memory, values, done = carry
        key_explore, key_action = jax.random.split(key)
        memory, output = reader.read(memory, obs)
        explores = jax.random.uniform(key_explore, (batch, 1), dtype=jnp.float32) < epsilon
        logits = jnp.where(explores, 0.0, output[:, :num_actions])
        action = jax.random.categorical(key_action, mask_logits(logits, env.action_mask(obs))).astype(jnp.int32)
        # steps of a constructive task draw nothing from their key
        step_all = jax.vmap(partial(widths.step, env), (None, 0, 0, None))
        after, next_obs, reward, ended, _, _ = step_all(key, state, action, params)
        backward = jnp.where(done, 0.0, log_backward(jax.vmap(env.backward_mask)(after)))
        row = obs, action, backward, ~done
        if not hasattr(env, "values"):
            values = values + reward
        return (after, next_obs, memory, values, ended), row

    def goes_on(loop: Any) -> jax.Array:
        t, (*_, done), _ = loop
        more: jax.Array = (t < env.horizon) & ~done.all()
        return more

    def one(loop: Any) -> Any:
        t, carry, rows = loop
        carry, row = step(carry, keys[t])
        return t + 1, carry, jax.tree.map(lambda all, new: all.at[t].set(new), rows, row)

    carry = state, obs, reader.start(), jnp.zeros((batch, len(env.objectives)), jnp.float32), jnp.zeros(batch, bool)
    shapes = jax.eval_shape(step, carry, keys[0])[1]
    rows = jax.tree.map(lambda x: jnp.zeros((env.horizon, *x.shape), x.dtype), shapes)
    # not a scan over the horizon: most batches are done long before it
    _, (state, last, _, values, _), rows = jax.lax.while_loop(goes_on, one, (jnp.int32(0), carry, rows))
    if hasattr(env, "values"):
        values = env.values(state, params)
    observations, action, backward, valid = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), rows)
    length = valid.sum(axis=1, dtype=jnp.int32)
    return Trajectories(observations, action, backward, length, Finished(state, last, values))


def backward(env: AnyTask, params: PyTree, end: Finished, key: jax.Array) -> Trajectories:
    """Sample trajectories by P_B from finished objects back to the start, returned in the order of building."""

    def step(state: PyTree, key: jax.Array) -> tuple[PyTree, Any]:
        mask = jax.vmap(env.backward_mask)(state)
        drawn = jax.random.categorical(key, mask_logits(jnp.zeros(mask.shape, jnp.float32), mask))
        chosen = drawn.astype(jnp.int32)
        parent, obs, action = jax.vmap(env.backward_step, (0, 0, None))(state, chosen, params)
        return parent, (obs, action, log_backward(mask), mask.any(axis=-1))

    _, rows = jax.lax.scan(step, end.state, jax.random.split(key, env.horizon))
    obs, action, log_prob, valid = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), rows)
    length = valid.sum(axis=1, dtype=jnp.int32)
    obs, action, log_prob = jax.vmap(_in_order)((obs, action, log_prob), length)
    return Trajectories(obs, action, log_prob, length, end)


def _in_order(rows: Any, length: jax.Array) -> Any:
    """Reverse rows (T, ...) that go from the last step to the first and then padding; padding stays last."""
    return jax.tree.map(lambda x: jnp.roll(x[::-1], length, axis=0), rows)


def log_forward(logits: jax.Array, trajectories: Trajectories, mask: jax.Array) -> jax.Array:
    """Compute log P_F (B, T) of each step, 0 after the last, from logits and action masks (B, T, A).

    These are the policy's own, not those of the mixture that explored (Malkin et al., 2022, section 3: any training
    distribution does).
    """
    log_prob = jax.nn.log_softmax(mask_logits(logits, mask))
    # one-hot and not a gather: its gradient is a scatter, which XLA's CPU backend runs one element at a time
    taken = jnp.arange(logits.shape[-1], dtype=jnp.int32)[None, None] == trajectories.action[..., None]
    return jnp.where(trajectories.valid, jnp.sum(jnp.where(taken, log_prob, 0.0), axis=-1), 0.0)
