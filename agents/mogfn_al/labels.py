"""Strings that an oracle has labelled, each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.envs.constructive.base import Constructive
from morl.errors import UserError
from morl.ops.initial import zeros
from morl.ops.pareto import crowding_distance, non_dominated

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Oracle = Callable[[Ints], Floats]


class StringTask(Constructive[Any, Any], Protocol):
    """Constructive task of strings (:mod:`morl.envs.constructive.strings`)."""

    @property
    def num_letters(self) -> int: ...
    @property
    def shortest_length(self) -> int: ...

    def text(self, letters: Any) -> str:
        """Return the string of an observation (L,)."""
        ...


class Labels(NamedTuple):
    """Labels of one search as arrays of fixed shapes, with room for N of them; no array for JAX, but NumPy's.

    Attributes:
        strings: (N, L) int32.
        values: (N, R) float64.
        rounds: (N,) int32.
        number: () int32 labels there are; what is after them is zero.
        metrics: (M,) float64 metrics of the last round (:data:`morl.agents.mogfn_al.algorithm.METRICS`), NaN without.
    """

    strings: Ints
    values: Floats
    rounds: Ints
    number: Any
    metrics: Floats


class Labelled:
    """Strings with labels. A label is a call of the oracle, and no string is labelled twice.

    Attributes:
        strings: (n, L) int32, in the order they were labelled; blanks after their end.
        values: (n, R) float64.
        rounds: (n,) int32 round of each label; 0 is the start.
    """

    def __init__(self, length: int, num_objectives: int) -> None:
        self.strings = np.zeros((0, length), np.int32)
        self.values = np.zeros((0, num_objectives))
        self.rounds = np.zeros(0, np.int32)
        self._known: set[bytes] = set()

    def __len__(self) -> int:
        return len(self.strings)

    def is_known(self, string: Ints) -> bool:
        """Return whether a string (L,) has a label."""
        return string.astype(np.int32).tobytes() in self._known

    def fresh(self, strings: Ints) -> Ints:
        """Return the strings of (n, L) that have no label, each once, in their order."""
        rows = {row.astype(np.int32).tobytes(): row for row in reversed(strings)}
        order = [row for key, row in reversed(rows.items()) if key not in self._known]
        return np.array(order, np.int32).reshape(-1, self.strings.shape[1])

    def label(self, oracle: Oracle, strings: Ints, index: int) -> None:
        """Ask the oracle for the values of strings (n, L), in the round of this index.

        Raises:
            ValueError: a string has a label already, or is there twice.
        """
        if len(self.fresh(strings)) != len(strings):
            raise ValueError("a string would be labelled twice")
        self._add(strings, oracle(strings), np.full(len(strings), index))

    def _add(self, strings: Any, values: Any, rounds: Any) -> None:
        self.strings = np.concatenate([self.strings, np.asarray(strings, np.int32)])
        self.values = np.concatenate([self.values, np.asarray(values, np.float64)])
        self.rounds = np.concatenate([self.rounds, np.asarray(rounds, np.int32)])
        self._known = {row.tobytes() for row in self.strings}

    @property
    def next_round(self) -> int:
        """Index of the round that comes next."""
        return int(self.rounds.max(initial=-1)) + 1

    def best_first(self) -> NDArray[np.int64]:
        """Return indices of all strings: the front, then the front of the others, and so on, least crowded first."""
        left, order = np.arange(len(self)), []
        while len(left):
            front = left[non_dominated(self.values[left])]
            order.append(front[np.argsort(-crowding_distance(self.values[front]), kind="stable")])
            left = np.setdiff1d(left, front)
        return np.concatenate(order) if order else left

    def front(self) -> NDArray[np.int64]:
        """Return indices of the non-dominated strings, the first of equal ones, by falling first objective."""
        found = np.flatnonzero(non_dominated(self.values, keep_duplicates=False))
        return found[np.argsort(-self.values[found, 0], kind="stable")]

    def arrays(self, capacity: int, metrics: Floats) -> Labels:
        """Return the labels as arrays of room for ``capacity``, with metrics of the last round."""
        (length,), (num_objectives,) = self.strings.shape[1:], self.values.shape[1:]
        labels = empty(capacity, length, num_objectives, len(metrics))
        labels.strings[: len(self)] = self.strings
        labels.values[: len(self)] = self.values
        labels.rounds[: len(self)] = self.rounds
        return labels._replace(number=np.int32(len(self)), metrics=metrics)

    @staticmethod
    def from_arrays(labels: Labels) -> Labelled:
        """Return the strings of arrays."""
        known = Labelled(labels.strings.shape[1], labels.values.shape[1])
        known._add(*(array[: int(labels.number)] for array in labels[:3]))
        return known


def empty(capacity: int, length: int, num_objectives: int, num_metrics: int) -> Labels:
    """Return room for ``capacity`` labels."""
    return Labels(
        zeros((capacity, length), np.int32),
        zeros((capacity, num_objectives), np.float64),
        zeros((capacity,), np.int32),
        np.int32(0),
        np.full(num_metrics, np.nan),
    )


def check(labels: Labels, env: StringTask, sizes: tuple[int, ...]) -> None:
    """Raise UserError if arrays are not labels of a task after one of its rounds.

    Args:
        labels: of one search.
        env: the task.
        sizes: numbers of labels that there may be, after each round.
    """
    known = Labelled.from_arrays(labels)
    lengths = (known.strings < env.num_letters).sum(axis=1)
    blank_after = (np.arange(env.horizon) >= lengths[:, None]) == (known.strings == env.num_letters)
    wanted = np.searchsorted(sizes, np.arange(len(known)), "right") - 1
    faults = {
        "a string is not of this task": known.strings.min(initial=0) < 0 or not blank_after.all(),
        "a value is not finite": not np.isfinite(known.values).all(),
        "a string has two labels": len(known._known) != len(known),
        f"{int(labels.number)} labels are not those of whole rounds": int(labels.number) not in sizes,
        "a label is of another round": not np.array_equal(known.rounds, wanted),
    }
    for fault, there in faults.items():
        if there:
            raise UserError(f"the labels are damaged, or of another task: {fault}")


def oracle_of(env: StringTask) -> Oracle:
    """Return the function from strings (n, L) to objectives (n, R): the task's oracle if it has one, else its steps."""
    if hasattr(env, "oracle"):
        return lambda strings: np.asarray(env.oracle([env.text(row) for row in strings]), np.float64)

    @jax.jit
    def written(strings: jax.Array) -> jax.Array:
        def one(string: jax.Array) -> jax.Array:
            key, params = jax.random.key(0), env.default_params  # steps of a constructive task draw nothing
            state, _ = env.reset(key, params)

            def step(state: Any, letter: jax.Array) -> tuple[Any, jax.Array]:
                state, _, reward, *_ = env.step(key, state, letter, params)
                return state, reward

            # the number of a blank is that of the action that stops
            _, rewards = jax.lax.scan(step, state, jnp.append(string, env.num_letters))
            return rewards.sum(axis=0)

        return jax.vmap(one)(strings)

    return lambda strings: np.asarray(written(jnp.asarray(strings)), np.float64)
