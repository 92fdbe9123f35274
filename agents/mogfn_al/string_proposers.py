"""Proposals of strings without a model: at random, by mutations of the best ones, by a genetic algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from morl.agents.mogfn_al.labels import Ints, Labelled, StringTask
from morl.errors import UserError

ATTEMPTS = 1000  # rounds of proposals in search of ones without a label


def random_strings(env: StringTask, number: int, rng: np.random.Generator) -> Ints:
    """Draw strings (n, L) with uniform lengths among the allowed ones, and uniform letters."""
    length = rng.integers(env.shortest_length, env.horizon + 1, (number, 1))
    letters = rng.integers(0, env.num_letters, (number, env.horizon))
    return np.where(np.arange(env.horizon) < length, letters, env.num_letters).astype(np.int32)


def mutated(env: StringTask, strings: Ints, max_edits: int, rng: np.random.Generator) -> Ints:
    """Edit strings (n, L) at random, 1 to ``max_edits`` edits each, as :mod:`morl.envs.constructive.mutations` does."""
    changed = strings.copy()
    for row, edits in zip(changed, rng.integers(1, max_edits + 1, len(strings)), strict=True):
        for _ in range(edits):
            length = int((row < env.num_letters).sum())
            place = int(rng.integers(0, min(length + 1, env.horizon)))
            shortens = place == length - 1 and length > env.shortest_length and rng.random() < 0.5
            others = np.setdiff1d(np.arange(env.num_letters), row[place : place + 1])
            row[place] = env.num_letters if shortens else rng.choice(others)
    return changed


def by_mutation(env: StringTask, known: Labelled, number: int, best: int, max_edits: int, rng: Any) -> Ints:
    """Return ``number`` new strings: random edits of any of the ``best`` labelled ones."""
    pool = known.best_first()[:best]
    return _until_new(known, number, lambda: mutated(env, known.strings[rng.choice(pool, number)], max_edits, rng))


def by_genetics(env: StringTask, known: Labelled, number: int, best: int, max_edits: int, rng: Any) -> Ints:
    """Return ``number`` new strings: parents by tournaments among the ``best``, crossed at one place and then edited.

    Selection is NSGA-II's (Deb et al., 2002): of two drawn at random the one of the better front, or the less crowded.
    """
    order = known.best_first()[:best]  # a smaller place in it is better

    def generation() -> Ints:
        parents = order[rng.integers(0, len(order), (2, number, 2)).min(axis=2)]
        first, second = known.strings[parents]
        lengths = np.minimum((first < env.num_letters).sum(axis=1), (second < env.num_letters).sum(axis=1))
        cut = rng.integers(0, lengths)[:, None]
        return mutated(env, np.where(np.arange(env.horizon) < cut, first, second), max_edits, rng)

    return _until_new(known, number, generation)


def _until_new(known: Labelled, number: int, propose: Any) -> Ints:
    """Propose until ``number`` different strings without a label are found.

    Raises:
        UserError: hardly any are left.
    """
    found = known.strings[:0]
    for _ in range(ATTEMPTS):
        found = known.fresh(np.concatenate([found, propose()]))
        if len(found) >= number:
            return found[:number]
    raise UserError("there are hardly any strings left that have no label; use fewer rounds, or more edits")
