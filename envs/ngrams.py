"""N-grams: write a string of amino acids in which given pairs or single letters are frequent (Jain et al., 2023).

The task of the paper's section 5.1 (after Stanton et al., 2022); its exact target is known by counting strings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.base import Objective
from morl.envs.constructive import Outcomes
from morl.envs.strings import State, Strings
from morl.errors import UserError
from morl.pareto import non_dominated

Floats = NDArray[np.float64]

ALPHABET = "ARNDCEQGHILKMFPSTWYV"
BLANK = STOP = len(ALPHABET)  # in an observation, and among the actions
LENGTHS = {1: (17, 18), 2: (33, 36)}  # as published, by the longest n-gram


class Params(NamedTuple):
    """Constants of the task.

    Attributes:
        patterns: (R, 2) int32 letters of each n-gram; the second is -1 for a single letter.
        most: (R,) float32, how often each can be in a string.
    """

    patterns: jax.Array
    most: jax.Array


@dataclass(frozen=True)
class NGrams(Strings[Params]):
    """Write a string from left to right; each objective is how often an n-gram is in it, as a share of the most.

    Letters, stop and observation are as of all strings (:mod:`morl.envs.strings`); there are 20 letters, and blanks are
    20. Occurrences may overlap, as AV and VA do in AVA.

    >>> env = NGrams()
    >>> values, log_count = env.outcomes()
    >>> values.shape, len(env.true_front())
    ((2451, 3), 21)
    """

    ngrams: tuple[str, ...] = ("AV", "VC", "CA")
    """Two to four different ones, of one letter or two different letters."""
    lengths: tuple[int, int] | None = None
    """Fewest and most letters; by default 33 and 36, of single letters 17 and 18."""

    id = "ngrams-v0"
    alphabet = ALPHABET

    def __post_init__(self) -> None:
        for name in ("ngrams", "lengths"):
            if isinstance(value := getattr(self, name), list):  # of a YAML file
                object.__setattr__(self, name, tuple(value))
        grams = self.ngrams
        if not isinstance(grams, tuple) or not 2 <= len(grams) <= 4 or len(set(grams)) < len(grams):
            raise UserError(f"ngrams must be two to four different ones, not {grams!r}")
        for gram in grams:
            if not isinstance(gram, str) or not 1 <= len(gram) <= 2 or len(set(gram)) < len(gram):
                raise UserError(f"ngrams are one letter or two different letters each, not {gram!r}")
            if not set(gram) <= set(ALPHABET):
                raise UserError(f"ngrams are of the letters {ALPHABET}, not {gram!r}")
        if self.lengths is not None:
            whole = len(self.lengths) == 2 and all(type(n) is int for n in self.lengths)
            if not whole or not 1 <= self.lengths[0] <= self.lengths[1] or self.lengths[1] < self._longest:
                raise UserError(
                    f"lengths are the fewest and the most letters, {self._longest} at least, not {self.lengths}"
                )

    @property
    def _longest(self) -> int:
        return max(map(len, self.ngrams))

    @property
    def shortest_length(self) -> int:
        """Letters from which on stop is allowed."""
        return (self.lengths or LENGTHS[self._longest])[0]

    @property
    def horizon(self) -> int:
        return (self.lengths or LENGTHS[self._longest])[1]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(Objective(gram) for gram in self.ngrams)

    @cached_property
    def reward_space(self) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (len(self.ngrams),), np.float32)

    @property
    def reference_point(self) -> Floats:
        return np.zeros(len(self.ngrams))

    @property
    def default_params(self) -> Params:
        patterns = [[*map(ALPHABET.index, gram), -1][:2] for gram in self.ngrams]
        return Params(jnp.array(patterns, jnp.int32), jnp.array(self._most, jnp.float32))

    @property
    def _most(self) -> tuple[int, ...]:
        """Most occurrences of each n-gram."""
        return tuple(self.horizon // len(gram) for gram in self.ngrams)

    def _reward(self, letters: jax.Array, finishes: jax.Array, params: Params) -> jax.Array:
        return jnp.where(finishes, self._values(letters, params), 0.0)

    def _values(self, letters: jax.Array, params: Params) -> jax.Array:
        """(R,) objectives of a string (L,)."""
        following = jnp.append(letters[1:], BLANK)
        first, second = params.patterns[:, :1], params.patterns[:, 1:]
        there = (letters == first) & ((following == second) | (second == -1))
        return there.sum(axis=1) / params.most

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """The string so far and how often each n-gram is in it, (H, W, 3) uint8."""
        from morl.envs.pictures import ngrams

        return ngrams.draw(state, params, self.ngrams)

    # What is known exactly

    def outcomes(self) -> Outcomes:
        """All strings by how often each n-gram is in them."""
        table = _counts(self.ngrams, self.horizon)[self.shortest_length :].sum(axis=0)
        there = np.argwhere(table > 0)
        return Outcomes(there / np.array(self._most), np.log(table[table > 0]))

    def true_front(self, gamma: float = 1.0) -> Floats:
        """Exact non-dominated discounted returns (n, R), by counting the strings of each length."""
        tables = _counts(self.ngrams, self.horizon)
        returns = [
            np.argwhere(tables[length] > 0) / np.array(self._most) * gamma ** min(length, self.horizon - 1)
            for length in range(self.shortest_length, self.horizon + 1)
        ]
        points = np.unique(np.concatenate(returns), axis=0)
        return points[non_dominated(points)]


@cache
def _counts(ngrams: tuple[str, ...], longest: int) -> Floats:
    """Number of strings (L + 1, most + 1, ...) of each length with each count of each n-gram.

    Dynamic programming over the last letter, where letters that are in no n-gram are one class, and the counts.
    """
    classes = sorted(set("".join(ngrams)))
    sizes = [1] * len(classes) + [len(ALPHABET) - len(classes)]
    letters = [*classes, "-"]
    most = [longest // len(gram) for gram in ngrams]
    strings = np.zeros((len(letters) + 1, *(n + 1 for n in most)))  # the last class is that of the empty string
    strings[-1][(0,) * len(most)] = 1.0
    tables = [strings.sum(axis=0)]
    for _ in range(longest):
        longer = np.zeros_like(strings)
        for (i, before), (j, letter) in product(enumerate([*letters, ""]), enumerate(letters)):
            counted = [gram in (letter, before + letter) for gram in ngrams]
            into = tuple(slice(1, None) if new else slice(None) for new in counted)
            out_of = tuple(slice(None, -1) if new else slice(None) for new in counted)
            longer[(j, *into)] += sizes[j] * strings[(i, *out_of)]
        strings = longer
        tables.append(strings.sum(axis=0))
    table = np.stack(tables)
    table.setflags(write=False)
    return table
