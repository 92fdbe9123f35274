"""Constrained policy optimisation (Achiam et al., 2017) with several constraints, for objectives to be raised.

One step solves, to first order in the objectives and second order in the divergence from the policy that acted,

    max_x p·Gx   subject to   G_j x >= -slack_j for the constrained j,   x'Hx / 2 <= delta,

with G the (R, n) gradients of the objectives and H the Fisher matrix (its equations 10 to 12). The optimum has the
direction H⁻¹G'(p + nu) for multipliers nu >= 0, so everything but H⁻¹G' happens in R dimensions.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from morl.agents.ppo.losses import SurrogateEstimate
from morl.types import PyTree

ITERATIONS = 10  # of the conjugate gradients
DAMPING = 0.1  # added to the diagonal of H
SWEEPS = 30  # over the coordinates of the dual
TOLERANCE = 1e-3  # by which the line search lets a step miss a constraint
LARGEST = 100.0  # multiplier: the weight of a constraint that no step can mend, against that of what is raised
SHORTER, TRIALS = 0.8, 10  # factor of the step length in the line search, number of lengths that it tries


def step(
    params: PyTree,
    estimate: Callable[[PyTree], SurrogateEstimate],
    gradients: PyTree,
    preference: jax.Array,
    slack: jax.Array,
    max_kl: float,
) -> PyTree:
    """Return better parameters, or the same ones if no step length keeps the constraints and the divergence.

    Args:
        params: parameters of the policy that acted.
        estimate: differentiable function of parameters; 0 for ``params``.
        gradients: pytree (R, ...) like ``params``, of the estimated gains at ``params``.
        preference: (R,) weights p of what is raised.
        slack: (R,) how far each objective may fall; if negative, how far it has to rise; infinite without a constraint.
        max_kl: largest divergence, delta.
    """
    start, unravel = ravel_pytree(params)
    matrix = jax.vmap(lambda gradient: ravel_pytree(gradient)[0])(gradients)

    def curvature(v: jax.Array) -> jax.Array:
        divergence = jax.grad(lambda x: estimate(unravel(x)).divergence)
        product: jax.Array = jax.jvp(divergence, (start,), (v,))[1]
        return product + DAMPING * v

    directions = jax.vmap(lambda g: conjugate_gradients(curvature, g))(matrix)
    gram = matrix @ directions.T
    gram = (gram + gram.T) / 2
    weights = preference + multipliers(gram, preference, slack, max_kl)
    length = jnp.sqrt(2 * max_kl / jnp.maximum(weights @ gram @ weights, 1e-12))
    move = length * weights @ directions

    fractions = SHORTER ** jnp.arange(TRIALS, dtype=jnp.float32)
    trials = jax.vmap(lambda fraction: estimate(unravel(start + fraction * move)))(fractions)
    broken = slack < 0
    # the sum of the broken constraints has to rise, and the others may give way; or none may break and p has to gain
    mends = (jnp.where(broken[None], trials.gains, 0.0).sum(axis=-1) > 0) & broken.any()
    holds = (trials.gains >= (-slack - TOLERANCE)[None]).all(axis=-1) & (trials.gains @ preference > 0)
    good = jnp.isfinite(trials.gains).all(axis=-1) & (trials.divergence <= 1.5 * max_kl) & (mends | holds)
    first = jnp.argmax(good)
    return unravel(start + jnp.where(good.any(), fractions[first], 0.0) * jnp.where(jnp.isfinite(move), move, 0.0))


def conjugate_gradients(product: Callable[[jax.Array], jax.Array], b: jax.Array) -> jax.Array:
    """Return about H⁻¹b, from products with H, symmetric and positive definite (Hestenes and Stiefel, 1952)."""

    def body(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        x, residual, direction, size = carry
        image = product(direction)
        length = size / jnp.maximum(direction @ image, 1e-20)
        x, residual = x + length * direction, residual - length * image
        new_size = residual @ residual
        return x, residual, residual + new_size / jnp.maximum(size, 1e-20) * direction, new_size

    solution: jax.Array = jax.lax.fori_loop(0, ITERATIONS, body, (jnp.zeros_like(b), b, b, b @ b))[0]
    return solution


def multipliers(gram: jax.Array, preference: jax.Array, slack: jax.Array, max_kl: float) -> jax.Array:
    """Return nu (R,) in [0, LARGEST] that minimises the dual sqrt(2 delta (p + nu)'S(p + nu)) + nu·slack, S = GH⁻¹G'.

    Each coordinate in turn is solved exactly. The dual is convex and smooth with bounds on single coordinates, so this
    converges. A constraint that no x keeps gets the largest multiplier, and the step is nearly all for it: recovery.
    """
    reach = slack / jnp.sqrt(jnp.float32(2 * max_kl))
    free = jnp.isinf(slack)

    def coordinate(i: jax.Array, nu: jax.Array) -> jax.Array:
        j = i % len(nu)
        rest = (preference + nu).at[j].add(-nu[j])
        a = jnp.maximum(gram[j, j], 1e-12)
        b = gram[j] @ rest
        left = jnp.maximum(a * (rest @ gram @ rest) - b**2, 0.0)
        s = reach[j]
        inner = jnp.sign(-s) * jnp.abs(s) * jnp.sqrt(left / jnp.maximum(a - s**2, 1e-12))
        best = jnp.where(a > s**2, (inner - b) / a, jnp.where(s > 0, 0.0, LARGEST))
        return nu.at[j].set(jnp.where(free[j], 0.0, jnp.clip(best, 0.0, LARGEST)))

    nu: jax.Array = jax.lax.fori_loop(0, SWEEPS * len(preference), coordinate, jnp.zeros_like(preference))
    return nu
