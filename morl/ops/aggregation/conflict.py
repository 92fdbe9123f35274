"""Conflict-averse aggregations: MGDA, PCGrad, CAGrad and IMTL-G. Arguments as in :mod:`morl.ops.aggregation.named`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from morl.ops.aggregation.quadratic import non_negative_minimum
from morl.ops.aggregation.symmetric import power

SEARCHES, CANDIDATES = 5, 16


def mgda(gram: jax.Array, preference: jax.Array) -> jax.Array:
    """Return argmin of α·Gα over the simplex (Désidéri, 2012; Sener and Koltun, 2018, equation 3); no preference.

    The minimum over the simplex is in proportion to that of x·Gx/2 - Σ x_i over x >= 0. An objective whose gradient is
    0 is left out, as it would stop the others.
    """
    found = non_negative_minimum(gram, jnp.where(jnp.diag(gram) > 0, jnp.ones_like(preference), 0.0))
    return found / jnp.maximum(jnp.sum(found), np.finfo(gram.dtype).tiny)


def normalised_mgda(gram: jax.Array, preference: jax.Array) -> jax.Array:
    """Return the weights α of g_i that :func:`mgda` gives to g_i / |g_i| (Sener and Koltun's ``l2`` variant)."""
    norm = jnp.sqrt(jnp.diag(gram))
    inverse = jnp.where(norm > 0, 1 / jnp.where(norm > 0, norm, 1.0), 0.0)
    return mgda(gram * inverse[:, None] * inverse[None], preference) * inverse


def pcgrad(gram: jax.Array, preference: jax.Array, key: jax.Array) -> jax.Array:
    """Return R Σ_i p_i v_i: each gradient less its projections on those it conflicts with (Yu et al., 2020, alg. 1).

    v_i holds the coefficients of the projected g_i. The others are gone through in random order.
    """
    size = gram.shape[0]
    square = jnp.diag(gram)

    def project(own: jax.Array, order: jax.Array) -> jax.Array:
        def one(step: jax.Array, coefficients: jax.Array) -> jax.Array:
            j = order[step]
            product = jnp.sum(coefficients * gram[j])
            conflict = (product < 0) & (j != own) & (square[j] > 0)
            return coefficients.at[j].add(jnp.where(conflict, -product / jnp.where(conflict, square[j], 1.0), 0.0))

        found: jax.Array = jax.lax.fori_loop(0, size, one, jax.nn.one_hot(own, size, dtype=gram.dtype))
        return found

    orders = jax.vmap(lambda k: jax.random.permutation(k, size))(jax.random.split(key, size))
    projected = jax.vmap(project)(jnp.arange(size, dtype=jnp.int32), orders)
    return size * jnp.sum(preference[:, None] * projected, axis=0)


def cagrad(gram: jax.Array, preference: jax.Array, radius: float) -> jax.Array:
    """Return α of the direction within c|g_0| of Σ p_i g_i that raises the worst objective most (Liu et al., 2021).

    With g_0 = Σ p_i g_i that is g_0 + c |g_0| g_w / |g_w|, where w minimises g_w·g_0 + c |g_0| |g_w| over the simplex
    (equation 2). Instead of w it solves for y = c |g_0| w / |g_w| >= 0: for a gain ν of the worst objective y is the
    minimum of y·Gy/2 + y·(Gp - ν), and ν is where |g_y| = c |g_0|, by nested grids. Gradients that are 0 do not count.

    Args:
        gram: G (R, R).
        preference: p (R,).
        radius: c.
    """
    gains = jnp.sum(gram * preference[None], axis=1)
    norm = jnp.sqrt(jnp.sum(preference * gains))
    wanted, square = radius * norm, jnp.diag(gram)

    def raised(level: jax.Array) -> jax.Array:
        return non_negative_minimum(gram, jnp.where(square > 0, level - gains, -norm))

    def length(y: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.sum(y[:, None] * gram * y[None]))

    def narrow(_: jax.Array, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        grid = low + (high - low) * jnp.linspace(0, 1, CANDIDATES, dtype=gram.dtype)
        lengths = jax.vmap(lambda level: length(raised(level)))(grid)
        last = jnp.clip(jnp.sum(lengths <= wanted, dtype=jnp.int32) - 1, 0, CANDIDATES - 2)
        return grid[last], grid[last + 1]

    # at the least gain of g_0 there is nothing to add; no gain is above |g_i| times the longest direction
    least, shortest = (jnp.min(jnp.where(square > 0, x, jnp.inf)) for x in (gains, square))
    begin = least, (1 + radius) * norm * jnp.sqrt(shortest)
    low, high = jax.lax.fori_loop(0, SEARCHES, narrow, begin)
    y = raised((low + high) / 2)
    return preference + y * wanted / jnp.maximum(length(y), np.finfo(gram.dtype).tiny)


def imtl_g(gram: jax.Array, preference: jax.Array) -> jax.Array:
    """Return G⁺d / Σ(G⁺d), d_i = R p_i |g_i|: equal projections on all unit gradients (Liu et al., 2021, IMTL-G).

    Other preferences than the even one make the projections proportional to them. Weights can be negative; they add up
    to 1, or are 0 where that is impossible.
    """
    size = gram.shape[0]
    inverse, _ = power(gram, -1.0)
    found = jnp.sum(inverse * (size * preference * jnp.sqrt(jnp.diag(gram)))[None], axis=1)
    total = jnp.sum(found)
    possible = jnp.abs(total) > 1e-6 * jnp.sum(jnp.abs(found))
    return jnp.where(possible, found / jnp.where(possible, total, 1.0), 0.0)
