"""One step of the parameters of a soft actor-critic: its optimiser, and the best value so far."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from morl.agents.sac.config import SACConfig
from morl.agents.sac.types import Params
from morl.ops.optimisers import in_float32
from morl.types import PyTree
from morl.validation import schedule_length


def optimiser(config: SACConfig, total_updates: int) -> optax.GradientTransformation:
    """Return Adam of clipped gradients, whose learning rate may fall to 0 over so many updates."""
    steps = total_updates * config.steps_of_gradient
    rate = config.learning_rate
    schedule = optax.linear_schedule(rate, 0.0, schedule_length(steps)) if config.anneal else rate
    return in_float32(optax.chain(clip_each_by_norm(config.max_grad_norm), optax.adam(schedule, eps=1e-5)))


def clip_each_by_norm(max_norm: float) -> optax.GradientTransformation:
    """Return a transformation that clips the gradient of each field of :class:`Params` to a norm of its own.

    Followed by one Adam it is three optimisers, as Adam treats every number by itself, in fewer kernels.
    """
    clip = optax.clip_by_global_norm(max_norm)

    def update(gradients: Params, state: PyTree, params: PyTree = None) -> tuple[Params, PyTree]:
        return Params(*(clip.update(gradient, optax.EmptyState())[0] for gradient in gradients)), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def next_utopia(utopia: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Return the best value (R,) after the targets (N, R) of a gradient step.

    It rises at once and falls by a hundredth of the distance, as early estimates may be far too high.

    Args:
        utopia: (R,), -inf before the first targets.
        target: (N, R).
        weight: (N,) 0 for targets to leave out.
    """
    best = jnp.max(jnp.where(weight[:, None] > 0, target, -jnp.inf), axis=0)
    previous = jnp.where(jnp.isfinite(utopia), utopia, best)
    best = jnp.where(jnp.isfinite(best), best, previous)
    return jnp.maximum(best, 0.99 * previous + 0.01 * best)
