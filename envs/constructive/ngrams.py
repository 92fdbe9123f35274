"""N-grams: write a string of amino acids in which given pairs or single letters are frequent (Jain et al., 2023).

The task of the paper's section 5.1 (after Stanton et al., 2022); its exact target is known by counting strings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from morl.envs.base import Objective
from morl.envs.constructive.base import Outcomes
from morl.envs.constructive.strings import State, Strings
from morl.errors import UserError
from morl.ops.pareto import non_dominated

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

    Letters, stop and observation are as of all strings (:mod:`morl.envs.constructive.strings`); there are 20 letters,
    and blanks are 20. Occurrences may overlap, as AV and VA do in AVA.

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
            value = getattr(self, name)
            if isinstance(value, str):  # of the command line, A,V,C or 17,18
                value = [int(part) if part.isdecimal() else part for part in value.split(",")]
            if isinstance(value, list):
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
        there = (letters[None] == first) & ((following[None] == second) | (second == -1))
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

    def draw(self, rng: np.random.Generator, outcomes: ArrayLike) -> NDArray[np.int32]:
        """Strings (n, L), each any of those of a class of ``outcomes`` (n,) with equal probability.

        With classes drawn from an exact target they are draws from it. Letters are found from the last one backwards,
        by the number of beginnings that each of them leaves (:func:`_by_last_letter`).
        """
        classes, tables = _classes(self.ngrams), list(_by_last_letter(self.ngrams, self.horizon))
        lengths = np.arange(self.shortest_length, self.horizon + 1)
        totals = np.stack([tables[length].sum(axis=0) for length in lengths])
        count = np.argwhere(totals.sum(axis=0) > 0)[np.asarray(outcomes)]
        length = lengths[_choose(rng, totals[:, *count.T].T)]
        # of the class before (rows) and after (columns); the last one, no letter, is what follows the last letter
        new = np.array([[_new(self.ngrams, i, j) if j else [False] * len(count.T) for j in classes] for i in classes])
        others = [i for i, letter in enumerate(ALPHABET) if letter not in classes]
        letters = np.full((len(count), self.horizon), BLANK, np.int32)
        after = np.full(len(count), len(classes) - 1)
        for place in reversed(range(self.horizon)):
            row = np.flatnonzero(place < length)
            left = count[row, None] - new[:, after[row]].swapaxes(0, 1)
            number = tables[place + 1][np.arange(len(classes)), *np.moveaxis(np.maximum(left, 0), -1, 0)]
            chosen = _choose(rng, np.where((left >= 0).all(axis=-1), number, 0.0))
            count[row], after[row] = left[np.arange(len(row)), chosen], chosen
            named = np.array([*map(ALPHABET.find, classes[:-2]), -1, -1])[chosen]
            letters[row, place] = np.where(named >= 0, named, rng.choice(others, len(row)))
        return letters

    def true_front(self, gamma: float = 1.0) -> Floats:
        """Exact non-dominated discounted returns (n, R), by counting the strings of each length."""
        tables = _counts(self.ngrams, self.horizon)
        returns = [
            np.argwhere(tables[length] > 0) / np.array(self._most) * gamma ** min(length, self.horizon - 1)
            for length in range(self.shortest_length, self.horizon + 1)
        ]
        points = np.unique(np.concatenate(returns), axis=0)
        return points[non_dominated(points)]


def _choose(rng: np.random.Generator, weights: Floats) -> NDArray[np.int64]:
    """Columns (n,) drawn in proportion to the weights (n, m) of each row."""
    share = np.cumsum(weights, axis=1)
    place = rng.random(len(weights)) * share[:, -1]
    return np.asarray((share <= place[:, None]).sum(axis=1))


@cache
def _counts(ngrams: tuple[str, ...], longest: int) -> Floats:
    """Number of strings (L + 1, most + 1, ...) of each length with each count of each n-gram."""
    table = np.stack([strings.sum(axis=0) for strings in _by_last_letter(ngrams, longest)])
    table.setflags(write=False)
    return table


def _classes(ngrams: tuple[str, ...]) -> list[str]:
    """Letters by the class they are in: each that is in an n-gram by itself, all others together, and no letter."""
    return [*sorted(set("".join(ngrams))), "-", ""]


def _new(ngrams: tuple[str, ...], before: str, letter: str) -> list[bool]:
    """Which n-grams a letter completes after another one, both by their classes."""
    return [gram in (letter, before + letter) for gram in ngrams]


def _by_last_letter(ngrams: tuple[str, ...], longest: int) -> Iterator[Floats]:
    """Number of strings (classes, most + 1, ...) by last letter and count of each n-gram, for lengths 0, 1, ..."""
    classes = _classes(ngrams)
    most = [longest // len(gram) for gram in ngrams]
    strings = np.zeros((len(classes), *(n + 1 for n in most)))
    strings[-1][(0,) * len(most)] = 1.0
    yield strings
    for _ in range(longest):
        longer = np.zeros_like(strings)
        for (i, before), (j, letter) in product(enumerate(classes), enumerate(classes[:-1])):
            counted = _new(ngrams, before, letter)
            into = tuple(slice(1, None) if new else slice(None) for new in counted)
            out_of = tuple(slice(None, -1) if new else slice(None) for new in counted)
            size = len(ALPHABET) - len(classes) + 2 if letter == "-" else 1
            longer[(j, *into)] += size * strings[(i, *out_of)]
        strings = longer
        yield strings
