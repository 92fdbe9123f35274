"""Aggregations by bargaining and fairness: Nash-MTL and FairGrad."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from morl.ops.aggregation.quadratic import REGULARISATION
from morl.ops.aggregation.symmetric import solve

ITERATIONS = 25
LEAST_WEIGHT = 1e-3  # of a preference: a weight of 0 has no interior solution


def fairgrad(gram: jax.Array, preference: jax.Array, fairness: float) -> jax.Array:
    """Return α > 0 with (Gα)_i = R p_i α_i^(-1/a) (Ban and Ji, 2024, equation 4; Navon et al., 2022, for a = 1).

    The gains Gα are the α-fair ones: a = 1 is proportional fairness, the Nash bargaining solution; a large a is
    max-min. Solved as the minimum of the convex α·Gα/2 - Σ R p_i ψ(α_i), ψ'(x) = x^(-1/a), by damped Newton steps.

    Args:
        gram: G (R, R).
        preference: p (R,); the even one gives the published method.
        fairness: a > 0.
    """
    size = gram.shape[0]
    matrix = gram + jnp.diag(jnp.maximum(jnp.diag(gram), jnp.max(gram) * REGULARISATION)) * REGULARISATION
    weight = size * jnp.maximum(preference, LEAST_WEIGHT)
    power = 1.0 / fairness

    def potential(x: jax.Array) -> jax.Array:
        inner = jnp.log(x) if fairness == 1 else x ** (1 - power) / (1 - power)
        return jnp.sum(x[:, None] * matrix * x[None]) / 2 - jnp.sum(weight * inner)

    def step(_: jax.Array, x: jax.Array) -> jax.Array:
        slope = weight * x**-power
        gradient = jnp.sum(matrix * x[None], axis=1) - slope
        move = -solve(matrix + jnp.diag(power * slope / x), gradient)
        longest = jnp.min(jnp.where(move < 0, -0.99 * x / jnp.where(move < 0, move, 1.0), 1.0))
        lengths = jnp.minimum(longest, 1.0) * 0.5 ** jnp.arange(8, dtype=x.dtype)
        values = jax.vmap(lambda length: potential(x + length * move))(lengths)
        enough = values <= potential(x) + 1e-4 * lengths * jnp.sum(gradient * move)
        # the first that falls enough; near the minimum, where rounding hides any fall, the whole step
        return x + lengths[jnp.argmax(enough)] * move

    start = (weight / jnp.diag(matrix)) ** (fairness / (1 + fairness))  # the solution without conflicts
    found: jax.Array = jax.lax.fori_loop(0, ITERATIONS, step, start)
    return found


def nash_mtl(gram: jax.Array, preference: jax.Array) -> jax.Array:
    """Return α with Gα = R p / α, the Nash bargaining solution (Navon et al., 2022, claim 3.2)."""
    return fairgrad(gram, preference, 1.0)
