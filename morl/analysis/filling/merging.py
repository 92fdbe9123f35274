"""Merging of policies: parameters are weighted sums of the parameters of a front's policies.

Every merge is a row of n weights that sum to 1, over the n policies of the front. A merge of merges is again such a
row, so policies are made only when they are evaluated, always from the originals.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from morl.errors import UserError
from morl.ops.running_statistics import RunningStats, deviation
from morl.types import PyTree

Floats = NDArray[np.float64]


def merged(params: PyTree, weights: Floats) -> PyTree:
    """Return K merged policies, stacked: θ(λ) = Σ λ_n θ_n for each row λ of the weights.

    Of running statistics the means and the *logarithms of the deviations* are summed in the same way, so a deviation
    stays positive beyond the ends of a line, and a policy keeps one normaliser to its one network. A row with a single
    weight of 1 is that policy, bit for bit.

    Args:
        params: n policies, stacked.
        weights: (K, n), rows sum to 1.

    Raises:
        UserError: integers in the parameters that differ.
    """
    alone = (weights == 1.0).any(axis=1) & ((weights != 0.0).sum(axis=1) == 1)
    which = weights.argmax(axis=1)

    def leaf(x: Any) -> Any:
        x = np.asarray(x)
        if not np.issubdtype(x.dtype, np.floating) and x.dtype.kind != "V":  # V: bfloat16 and its like
            if not (x == x[:1]).all():
                raise UserError("the policies hold whole numbers that differ, which cannot be merged")
            return x[which]
        return summed(x.astype(np.float64)).astype(x.dtype)

    def summed(x: Floats) -> Floats:
        return (weights @ x.reshape(len(x), -1)).reshape(len(weights), *x.shape[1:])

    def statistics(x: RunningStats) -> RunningStats:
        spread = np.exp(summed(np.log(np.asarray(jax.vmap(deviation)(x), np.float64))))
        unit = np.broadcast_to(np.asarray(x.unit).max(axis=0), spread.shape)
        var: Any = np.asarray((spread / unit) ** 2, np.float32)
        same: Any = np.asarray(unit, np.float32)
        return RunningStats(leaf(x.mean), var, np.maximum(leaf(x.seen), 0.0), same)

    def whole(x: Any) -> Any:
        found = statistics(x) if _is_statistics(x) else leaf(x)
        return jax.tree.map(lambda new, old: _with_rows(new, np.asarray(old)[which], alone), found, x)

    return jax.tree.map(whole, params, is_leaf=_is_statistics)


def _with_rows(new: Any, old: Any, taken: NDArray[np.bool_]) -> Any:
    """Return the rows of one array, and those of another where they are taken."""
    return np.where(taken.reshape(-1, *(1,) * (old.ndim - 1)), old, new)


def merged_preferences(preferences: Floats, weights: Floats) -> Floats:
    """Return the preferences (K, R) that stand for merges: the same weighted sums, put back onto the simplex.

    Args:
        preferences: (n, R) that the policies were trained for.
        weights: (K, n).
    """
    found = np.maximum(weights @ preferences, 0.0)
    total = found.sum(axis=1, keepdims=True)
    return np.where(total > 0, found / np.where(total > 0, total, 1.0), 1 / preferences.shape[1])


def inner_products(params: PyTree) -> Floats:
    """Return the inner products (n, n) of the parameters of n stacked policies, less their mean.

    Distances between merges follow from them: |Σ(λ_n − μ_n)θ_n|² = (λ − μ)ᵀG(λ − μ) where λ and μ sum to 1. Running
    statistics are left out: they are in the units of what was seen, and count it.
    """
    leaves = jax.tree.leaves(params, is_leaf=_is_statistics)
    found = np.zeros((len(jax.tree.leaves(params)[0]),) * 2)
    for x in leaves:
        if not _is_statistics(x):
            rows = np.asarray(x).reshape(len(x), -1).astype(np.float64)
            rows = rows - rows.mean(axis=0)
            found += rows @ rows.T
    return found


def _is_statistics(x: Any) -> bool:
    return isinstance(x, RunningStats)
