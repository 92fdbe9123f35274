"""Constrained policy optimisation (Achiam et al., 2017) for several constraints, in terms of objectives to be raised.

One step solves, to first order in the objectives and second order in the divergence from the policy that acted,

    max_x p·Gx   subject to   G_j x >= -slack_j for the constrained j,   x'Hx / 2 <= delta,

with G the (R, n) gradients of the objectives and H the Fisher matrix (its equations 10 to 12). The optimum has the
direction H⁻¹G'(p + nu) for multipliers nu >= 0, so everything but H⁻¹G' happens in R dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from morl.types import PyTree

ITERATIONS = 10  # of the conjugate gradients
DAMPING = 0.1  # added to H's diagonal
SWEEPS = 30  # of the dual's coordinates
TOLERANCE = 1e-3  # by which the line search lets a constraint be missed
LARGEST = 100.0  # multiplier; where no step mends a broken constraint, it counts so much more than what is raised
SHORTER, TRIALS = 0.8, 10  # of the step, powers that the line search tries


class SurrogateEstimate(NamedTuple):
    """What a policy promises by the samples of the one that acted.

    Attributes:
        gains: (R,) change of each objective.
        divergence: () mean Kullback-Leibler divergence from the policy that acted.
    """

    gains: jax.Array
    divergence: jax.Array


def step(
    params: PyTree,
    outlook: Callable[[PyTree], SurrogateEstimate],
    preference: jax.Array,
    slack: jax.Array,
    max_kl: float,
) -> PyTree:
    """Better parameters; the same ones where no step along the line keeps the constraints and the divergence.

    Args:
        params: of the policy that acted.
        outlook: of parameters, differentiable; zero for ``params``.
        preference: (R,) weights p of what is raised.
        slack: (R,) how far each objective may fall; negative, how far it has to rise; infinite without a constraint.
        max_kl: largest divergence, delta.
    """
    start, unravel = ravel_pytree(params)

    def gains(x: jax.Array) -> jax.Array:
        return outlook(unravel(x)).gains

    def curvature(v: jax.Array) -> jax.Array:
        divergence = jax.grad(lambda x: outlook(unravel(x)).divergence)
        product: jax.Array = jax.jvp(divergence, (start,), (v,))[1]
        return product + DAMPING * v

    gradients = jax.jacrev(gains)(start)
    directions = jax.vmap(lambda g: conjugate_gradients(curvature, g))(gradients)
    gram = gradients @ directions.T
    gram = (gram + gram.T) / 2
    weights = preference + multipliers(gram, preference, slack, max_kl)
    length = jnp.sqrt(2 * max_kl / jnp.maximum(weights @ gram @ weights, 1e-12))
    move = length * weights @ directions

    fractions = SHORTER ** jnp.arange(float(TRIALS))
    trials = jax.vmap(lambda fraction: outlook(unravel(start + fraction * move)))(fractions)
    broken = slack < 0
    # what is broken has to get better in all, and the rest may give way; else nothing may break and p has to gain
    mends = (jnp.where(broken, trials.gains, 0.0).sum(axis=-1) > 0) & broken.any()
    holds = (trials.gains >= -slack - TOLERANCE).all(axis=-1) & (trials.gains @ preference > 0)
    good = jnp.isfinite(trials.gains).all(axis=-1) & (trials.divergence <= 1.5 * max_kl) & (mends | holds)
    first = jnp.argmax(good)
    return unravel(start + jnp.where(good.any(), fractions[first], 0.0) * jnp.where(jnp.isfinite(move), move, 0.0))


def conjugate_gradients(product: Callable[[jax.Array], jax.Array], b: jax.Array) -> jax.Array:
    """About H⁻¹b, from products with H, symmetric and positive definite (Hestenes and Stiefel, 1952)."""

    def body(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        x, residual, direction, size = carry
        image = product(direction)
        pace = size / jnp.maximum(direction @ image, 1e-20)
        x, residual = x + pace * direction, residual - pace * image
        new_size = residual @ residual
        return x, residual, residual + new_size / jnp.maximum(size, 1e-20) * direction, new_size

    solution: jax.Array = jax.lax.fori_loop(0, ITERATIONS, body, (jnp.zeros_like(b), b, b, b @ b))[0]
    return solution


def multipliers(gram: jax.Array, preference: jax.Array, slack: jax.Array, max_kl: float) -> jax.Array:
    """nu (R,) in [0, LARGEST], minimising sqrt(2 delta (p + nu)'S(p + nu)) + nu·slack, the dual with S = GH⁻¹G'.

    Coordinate by coordinate, each exactly: convex and smooth, with bounds on single coordinates, it converges. Where
    no x keeps a constraint, its multiplier is the largest, and the step is nearly all for it: recovery.
    """
    reach = slack / jnp.sqrt(2 * max_kl)
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
