"""Linear model of a policy's action values, fitted on a log for the doubly robust estimator.

Q(s, a) is linear in the products of features of the state (1, time and its square, principal components of the
standardised observation) and of the action (one-hot; of real numbers 1, the numbers and their squares). It is fitted by
least-squares temporal differences (LSTD-Q; Lagoudakis and Parr, 2003) for each policy: no learning rate, no network.
The fit is on one half of the episodes, and its values are used on the other: the estimate stays unbiased.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from morl.analysis.offline.logs import Array, EpisodeLog

COMPONENTS = 16  # most principal components of observations
PROJECTED = 1024  # numbers of a larger observation after a random projection, before components are found
RIDGE = 1e-3  # times the number of steps
FARTHEST = 3.0  # values beyond so many times the largest logged return to go mean that the fit has failed
ROWS = 4096  # steps added up at once


class Fitted(NamedTuple):
    """Values of the N steps of a log under one policy.

    Attributes:
        q: (N, R) of the logged actions.
        v: (N, R) expectations over the policy's actions.
        failed: (R,) bool, whether a fit gave values that cannot be and was replaced by 0, which leaves PDIS.
    """

    q: jax.Array
    v: jax.Array
    failed: jax.Array


def state_features(log: EpisodeLog) -> Array:
    """Return features (N, S) float32 of the states of a log."""
    rows = log.observation.reshape(len(log), -1).astype(np.float32)
    if rows.shape[1] > PROJECTED:
        rng = np.random.default_rng(0)
        rows = rows @ rng.normal(size=(rows.shape[1], PROJECTED)).astype(np.float32) / np.float32(PROJECTED**0.5)
    deviation = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1.0)
    values, vectors = np.linalg.eigh((rows.T @ rows / len(rows)).astype(np.float64))
    kept = np.argsort(-values)[:COMPONENTS]
    kept = kept[values[kept] > 1e-6]
    components = rows @ (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    time = (log.step / max(1, int(log.lengths.max()))).astype(np.float32)[:, None]
    return np.concatenate([np.ones_like(time), time, time**2, components], axis=1)


def fit_values(
    state: jax.Array,
    action: jax.Array,
    expected: jax.Array,
    reward: jax.Array,
    last: jax.Array,
    halves: jax.Array,
    gamma: float,
) -> tuple[jax.Array, jax.Array]:
    """Return values q and v (N, R) of one policy, each half of the episodes by a fit on the other one.

    Solves Σ φ(s, a) [φ(s, a) - γ φ̄(s')]ᵀ w = Σ φ(s, a) r, with φ̄(s) = E_π[φ(s, a)] and 0 after the last step.

    Args:
        state: (N, S) features.
        action, expected: (N, F) features of the logged actions, and their expectation under the policy.
        reward: (N, R).
        last: (N,) bool, the last step of an episode.
        halves: (N, 2) float32, 1 for the half of the episodes that the step is in; 0 for both of rows that fill up.
        gamma: discount.
    """
    size = state.shape[1] * action.shape[1]
    following = jnp.where(last[:, None], 0.0, jnp.roll(state, -1, axis=0)), jnp.roll(expected, -1, axis=0)

    def padded(x: jax.Array) -> jax.Array:
        pad = -len(x) % ROWS
        return jnp.concatenate([x, jnp.zeros((pad, *x.shape[1:]), x.dtype)]).reshape(-1, ROWS, *x.shape[1:])

    def add(sums: tuple[jax.Array, jax.Array], rows: tuple[jax.Array, ...]) -> tuple[tuple[jax.Array, jax.Array], None]:
        s, a, next_s, next_a, r, parts = rows
        phi, next_phi = _products(s, a), _products(next_s, next_a)
        each = phi[None] * parts.T[..., None]  # (2, rows, size)
        matrix = jnp.einsum("hnf,ng->hfg", each, phi - jnp.float32(gamma) * next_phi)
        return (sums[0] + matrix, sums[1] + jnp.einsum("hnf,nr->hfr", each, r)), None

    rows = tuple(map(padded, (state, action, *following, reward, halves)))
    zeros = jnp.zeros((2, size, size), jnp.float32), jnp.zeros((2, size, reward.shape[1]), jnp.float32)
    (matrix, vector), _ = jax.lax.scan(add, zeros, rows)
    ridge = jnp.float32(RIDGE) * jnp.sum(halves, axis=0)
    solved = jnp.linalg.solve(matrix + ridge[:, None, None] * jnp.eye(size, dtype=jnp.float32)[None], vector)
    other = solved.reshape(2, state.shape[1], action.shape[1], -1)[::-1]  # used on the half it was not fitted on
    first, second = (jnp.einsum("ns,sfr->nfr", state, w) for w in other)
    chosen = jnp.where(halves[:, 0, None, None] > 0, first, second)
    q, v = (jnp.sum(chosen * features[..., None], axis=1) for features in (action, expected))
    return q, v


def plausible(q: jax.Array, v: jax.Array, largest: jax.Array) -> Fitted:
    """Return values that are 0 in objectives where the fit has failed.

    Args:
        q, v: (N, R).
        largest: (R,) largest size of a logged return to go.
    """
    most = jnp.max(jnp.maximum(jnp.abs(q), jnp.abs(v)), axis=0)
    failed = ~(most <= FARTHEST * largest)  # NaN has failed
    q, v = (jnp.where(failed[None], 0.0, x) for x in (q, v))
    return Fitted(q, v, failed)


def _products(state: jax.Array, action: jax.Array) -> jax.Array:
    return (state[:, :, None] * action[:, None, :]).reshape(len(state), -1)
