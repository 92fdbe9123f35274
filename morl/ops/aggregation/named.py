"""Aggregations of gradients by name.

An aggregation turns the Gram matrix G_ij = <g_i, g_j> (R, R) of the objectives' gradients, which are of returns to
maximise, and a preference p (R,) on the simplex into weights α (R,). The direction to go is d = Σ_i α_i g_i. Each finds
one Pareto-stationary policy, and not a front. Weights are unique up to a factor; :func:`aggregate` scales them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.ops.aggregation.cones import aligned_mtl, dualproj, upgrad
from morl.ops.aggregation.conflict import cagrad, imtl_g, mgda, normalised_mgda, pcgrad
from morl.ops.aggregation.fair import fairgrad, nash_mtl


class Options(NamedTuple):
    """Constants of the aggregations that have one, as published.

    Attributes:
        radius: c of CAGrad, 0.4 to 0.5 in its experiments.
        fairness: α of FairGrad, 1 to 3 in its experiments.
    """

    radius: float = 0.4
    fairness: float = 2.0


PUBLISHED = Options()
Aggregation = Callable[[jax.Array, jax.Array, jax.Array, Options], jax.Array]

AGGREGATIONS: dict[str, Aggregation] = {
    "linear": lambda _gram, preference, _key, _options: preference,
    "mgda": lambda gram, preference, _key, _options: mgda(gram, preference),
    "mgda-normalised": lambda gram, preference, _key, _options: normalised_mgda(gram, preference),
    "pcgrad": lambda gram, preference, key, _options: pcgrad(gram, preference, key),
    "cagrad": lambda gram, preference, _key, options: cagrad(gram, preference, options.radius),
    "nash-mtl": lambda gram, preference, _key, _options: nash_mtl(gram, preference),
    "fairgrad": lambda gram, preference, _key, options: fairgrad(gram, preference, options.fairness),
    "imtl-g": lambda gram, preference, _key, _options: imtl_g(gram, preference),
    "aligned-mtl": lambda gram, preference, _key, _options: aligned_mtl(gram, preference),
    "upgrad": lambda gram, preference, _key, _options: upgrad(gram, preference),
    "dualproj": lambda gram, preference, _key, _options: dualproj(gram, preference),
}
"""Functions of Gram matrix, preference, random key and options that return weights (R,), by name."""


def aggregate(
    name: str, gram: jax.Array, preference: jax.Array, key: jax.Array, options: Options = PUBLISHED
) -> jax.Array:
    """Return the weights α (R,) of an aggregation, scaled to Σ|α_i| = 1.

    The weight of a gradient that is 0 is 0. Where that leaves none, the weights are the preference.

    Args:
        name: of :data:`AGGREGATIONS`.
        gram: G (R, R).
        preference: p (R,), at least 0 and with a sum of 1.
        key: for what is random (PCGrad's order).
        options: constants.
    """
    unit = jnp.trace(gram)
    # gradients that are all 0 are replaced by orthogonal ones, so that no number is infinite
    known = jnp.where(unit > 0, gram / jnp.where(unit > 0, unit, 1.0), jnp.eye(gram.shape[0], dtype=gram.dtype))
    weights = AGGREGATIONS[name](known, preference, key, options)
    weights = jnp.where(jnp.diag(gram) > 0, weights, 0.0)
    size = jnp.sum(jnp.abs(weights))
    return jnp.where(size > 0, weights / jnp.where(size > 0, size, 1.0), preference)
