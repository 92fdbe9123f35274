"""Choice of the next question: which two policies of a front a user is asked to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from morl.analysis.preference.posterior import probability
from morl.analysis.preference.utilities import Floats, Ints

CANDIDATES = 24
"""Policies that are asked about at most: the likeliest to be the best."""
NEAR = 0.05  # utility behind the best at which a policy counts e times less


def candidates(utilities: Floats) -> Ints:
    """Return the rows (C,) of the policies that are likeliest to be the best for utilities (K, n), or close to it."""
    behind = utilities - utilities.max(axis=1, keepdims=True)
    likely = np.exp(behind / NEAR).mean(axis=0)
    return np.argsort(-likely, kind="stable")[:CANDIDATES]


def information(utilities: Floats, first: Ints, second: Ints) -> Floats:
    """Return the expected information gain (P,) of each question about the utility, in nats (Houlsby et al., 2011).

    Args:
        utilities: (K, C) of the candidates for each particle.
        first, second: (P,) columns of the pairs.
    """
    p = probability(utilities[:, first] - utilities[:, second])
    gain: Floats = _entropy(p.mean(axis=0)) - _entropy(p).mean(axis=0)
    return gain


def value_of_best(utilities: Floats, first: Ints, second: Ints) -> Floats:
    """Return the expected utility (P,) of the candidate that would be named after each question.

    E_answer[max_i E[u_i | answer]]: the expected value of information but for a constant (Viappiani and Boutilier,
    2010). Arguments are those of :func:`information`.
    """
    p = probability(utilities[:, first] - utilities[:, second]).T / len(utilities)
    said = p @ utilities
    value: Floats = said.max(axis=1) + (utilities.mean(axis=0) - said).max(axis=1)
    return value


RULES: dict[str, Callable[[Floats, Ints, Ints], Floats]] = {"value": value_of_best, "information": information}


def next_question(utilities: Floats, asked: Iterable[frozenset[int]], rule: str = "value") -> tuple[int, int] | None:
    """Return the two policies to ask about next; None where all pairs that matter have been asked about.

    Args:
        utilities: (K, n) of the policies for each particle.
        asked: pairs that are not asked about again.
        rule: of :data:`RULES`; ``benchmarks/scalarisation`` has what each finds.
    """
    rows = candidates(utilities)
    first, second = np.triu_indices(len(rows), 1)
    scores = RULES[rule](utilities[:, rows], first, second)
    known = set(asked)
    for i in np.argsort(-scores, kind="stable"):
        pair = int(rows[first[i]]), int(rows[second[i]])
        if frozenset(pair) not in known:
            return pair
    return None


def _entropy(p: Floats) -> Floats:
    return -p * np.log(p) - (1 - p) * np.log1p(-p)
