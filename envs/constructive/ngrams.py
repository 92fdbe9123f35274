"""N-grams: strings of amino acids in which given pairs or single letters are frequent (Jain et al., 2023).

The task is that of the paper's section 5.1 (after Stanton et al., 2022). Its exact target is known by counting strings.
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
from morl.validation import check_discount

Floats = NDArray[np.float64]

ALPHABET = "ARNDCEQGHILKMFPSTWYV"
BLANK = STOP = len(ALPHABET)  # number of a blank in an observation, and of the action stop
LENGTHS = {1: (17, 18), 2: (33, 36)}  # as published, by the length of the longest n-gram


class Params(NamedTuple):
    """Constants of the task.

    Attributes:
        patterns: (R, 2) int32 letters of each n-gram; the second is -1 for a single letter.
        most: (R,) float32, largest number of occurrences of each in a string.
    """

    patterns: jax.Array
    most: jax.Array


@dataclass(frozen=True)
class NGrams(Strings[Params]):
    """String of amino acids, written from left to right, that is rewarded for its n-grams.

    - Objectives: for each n-gram, its number of occurrences as a share of the largest possible number. Occurrences may
      overlap, as AV and VA do in AVA.
    - Observation: the letters, (L,) int32, with blanks (20) after the end.
    - Action: one of 20 letters or stop, see :mod:`morl.envs.constructive.strings`.
    - Termination: stop, allowed from the fewest letters on, or the longest length.
    - Source: Jain et al. (2023), section 5.1, after Stanton et al. (2022).

    >>> env = NGrams()
    >>> values, log_count = env.outcomes()
    >>> values.shape, len(env.true_front())
    ((2451, 3), 21)
    """

    ngrams: tuple[str, ...] = ("AV", "VC", "CA")
    """Two to four different n-grams, of one letter or two different letters each."""
    lengths: tuple[int, int] | None = None
    """Smallest and largest number of letters; 33 and 36 by default, 17 and 18 for single letters."""

    id = "ngrams-v0"
    alphabet = ALPHABET

    def __post_init__(self) -> None:
        for name in ("ngrams", "lengths"):
            value = getattr(self, name)
            if isinstance(value, str):  # from the command line, such as A,V,C or 17,18
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
        """Number of letters from which on stop is allowed."""
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
        """Largest number of occurrences of each n-gram."""
        return tuple(self.horizon // len(gram) for gram in self.ngrams)

    def _reward(self, letters: jax.Array, finishes: jax.Array, params: Params) -> jax.Array:
        return jnp.where(finishes, self._values(letters, params), 0.0)

    def _values(self, letters: jax.Array, params: Params) -> jax.Array:
        """Return the objectives (R,) of a string (L,)."""
        following = jnp.append(letters[1:], BLANK)
        first, second = params.patterns[:, :1], params.patterns[:, 1:]
        there = (letters[None] == first) & ((following[None] == second) | (second == -1))
        return there.sum(axis=1, dtype=jnp.int32).astype(jnp.float32) / params.most

    def render(self, state: State, params: Params) -> NDArray[np.uint8]:
        """Draw the string so far and the number of each n-gram, (H, W, 3) uint8."""
        from morl.envs.pictures import ngrams

        return ngrams.draw(state, params, self.ngrams)

    # Exact distributions

    def outcomes(self) -> Outcomes:
        """Return all strings, counted by the number of occurrences of each n-gram."""
        table = _counts(self.ngrams, self.horizon)[self.shortest_length :].sum(axis=0)
        there = np.argwhere(table > 0)
        return Outcomes(there / np.array(self._most), np.log(table[table > 0]))

    def draw(self, rng: np.random.Generator, outcomes: ArrayLike) -> NDArray[np.int32]:
        """Draw strings (n, L), uniformly from the given classes (n,) of ``outcomes``.

        Classes drawn from an exact target give exact samples of it. Letters are drawn from the last to the first, in
        proportion to the number of beginnings that each leaves (:func:`_by_last_letter`).
        """
        classes, tables = _classes(self.ngrams), list(_by_last_letter(self.ngrams, self.horizon))
        lengths = np.arange(self.shortest_length, self.horizon + 1)
        totals = np.stack([tables[length].sum(axis=0) for length in lengths])
        count = np.argwhere(totals.sum(axis=0) > 0)[np.asarray(outcomes)]
        length = lengths[_choose(rng, totals[:, *count.T].T)]
        # by the class of the letter before (rows) and after (columns); "no letter" follows the last letter
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
        """Return the exact non-dominated discounted returns (n, R), by counting the strings of each length."""
        gamma = check_discount(gamma)
        tables = _counts(self.ngrams, self.horizon)
        returns = [
            np.argwhere(tables[length] > 0) / np.array(self._most) * gamma ** min(length, self.horizon - 1)
            for length in range(self.shortest_length, self.horizon + 1)
        ]
        points = np.unique(np.concatenate(returns), axis=0)
        return points[non_dominated(points)]


def _choose(rng: np.random.Generator, weights: Floats) -> NDArray[np.int64]:
    """Draw columns (n,) in proportion to the weights (n, m) of each row."""
    share = np.cumsum(weights, axis=1)
    place = rng.random(len(weights)) * share[:, -1]
    return np.asarray((share <= place[:, None]).sum(axis=1))


@cache
def _counts(ngrams: tuple[str, ...], longest: int) -> Floats:
    """Return the number of strings of each length and each count of each n-gram, (L + 1, most + 1, ...)."""
    table = np.stack([strings.sum(axis=0) for strings in _by_last_letter(ngrams, longest)])
    table.setflags(write=False)
    return table


def _classes(ngrams: tuple[str, ...]) -> list[str]:
    """Return the classes of letters: one for each letter of an n-gram, one for all others ("-"), one for no letter."""
    return [*sorted(set("".join(ngrams))), "-", ""]


def _new(ngrams: tuple[str, ...], before: str, letter: str) -> list[bool]:
    """Return, for each n-gram, whether a letter completes it after another; both are given by their classes."""
    return [gram in (letter, before + letter) for gram in ngrams]


def _by_last_letter(ngrams: tuple[str, ...], longest: int) -> Iterator[Floats]:
    """Yield the number of strings (classes, most + 1, ...) by last letter and n-gram counts, for lengths 0, 1, ..."""
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
