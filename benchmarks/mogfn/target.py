"""Draws from the target p(x | w) ∝ R(x | w)^β itself, of strings that cannot be counted, by long Metropolis chains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from drawing import Drawn, Floats
from numpy.typing import NDArray

Ints = NDArray[np.int32]
COLDEST = 0.05  # share of β that a chain from random strings begins with


def chains(
    env: Any,
    log_reward: Callable[[Floats], Floats],
    start: Ints,
    steps: int,
    kept: int,
    seed: int,
    warm: bool = False,
) -> Drawn:
    """Run a chain for each of P preferences, and return ``kept`` states of the last half of each, evenly apart.

    Args:
        env: task of strings with an oracle.
        log_reward: β log R (P,) of objectives (P, R).
        start: (P, L) strings.
        steps: of each chain, each one call of the oracle.
        kept: states.
        seed: of all randomness.
        warm: whether β grows to its value over the first half; else it is there from the start.
    """
    rng = np.random.default_rng(seed)
    strings = start.copy()
    values = _values(env, strings)
    rows, obs = [], []
    keep = set(np.linspace(steps // 2, steps - 1, kept).round().astype(int).tolist())
    for step in range(steps):
        share = max(COLDEST, min(1.0, 2 * step / steps)) if warm else 1.0
        proposed, log_ratio = zip(*(_proposal(env, row, rng) for row in strings), strict=True)
        others = np.stack(proposed)
        found = _values(env, others)
        gain = share * (log_reward(found) - log_reward(values)) + np.array(log_ratio)
        accepted = np.log(rng.random(len(strings))) < gain
        strings = np.where(accepted[:, None], others, strings)
        values = np.where(accepted[:, None], found, values)
        if step in keep:
            rows.append(values)
            obs.append(strings)
    return Drawn(np.stack(rows, axis=1), np.stack(obs, axis=1))


def _values(env: Any, strings: Ints) -> Floats:
    return np.asarray(env.oracle([env.text(row) for row in strings]), np.float64)


def _proposal(env: Any, row: Ints, rng: np.random.Generator) -> tuple[Ints, float]:
    """Return a change of a string (L,), and the log of how much likelier the way back is.

    One or two letters are drawn anew, one moves to another place, or one is inserted or deleted. A string that is not
    allowed is the string itself again.
    """
    letters = row[row < env.num_letters]
    number, kind = len(letters), rng.integers(0, 5)
    if kind < 2:
        changed = letters.copy()
        changed[rng.integers(0, number, kind + 1)] = rng.integers(0, env.num_letters, kind + 1)
        return _padded(env, changed), 0.0
    letter = rng.integers(0, env.num_letters)
    if kind == 2:
        less = np.delete(letters, rng.integers(0, number))
        return _padded(env, np.insert(less, rng.integers(0, number), letter)), 0.0
    if kind == 3 and number < env.horizon:
        return _padded(env, np.insert(letters, rng.integers(0, number + 1), letter)), float(np.log(env.num_letters))
    if kind == 4 and number > env.shortest_length:
        return _padded(env, np.delete(letters, rng.integers(0, number))), -float(np.log(env.num_letters))
    return row, 0.0


def _padded(env: Any, letters: Ints) -> Ints:
    return np.append(letters, np.full(env.horizon - len(letters), env.num_letters)).astype(np.int32)
