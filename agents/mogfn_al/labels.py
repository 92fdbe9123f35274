"""Strings that an oracle has labelled: each once, counted, and written down after every round."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.envs.constructive.base import Constructive
from morl.errors import UserError
from morl.ops.pareto import crowding_distance, non_dominated
from morl.runs import files
from morl.runs.csv import csv_text
from morl.runs.logger import Row

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Oracle = Callable[[Ints], Floats]


class StringTask(Constructive[Any, Any], Protocol):
    """A constructive task of strings (:mod:`morl.envs.constructive.strings`)."""

    @property
    def num_letters(self) -> int: ...
    @property
    def shortest_length(self) -> int: ...

    def text(self, letters: Any) -> str:
        """The string of an observation (L,)."""
        ...


class Labelled:
    """What a search knows. A label is a call of the oracle, and no string is labelled twice.

    Attributes:
        strings: (n, L) int32, in the order they were labelled; blanks after their end.
        values: (n, R) float64.
        rounds: (n,) int64, when; 0 is the start.
        rows: metrics after each round.
    """

    def __init__(self, length: int, num_objectives: int) -> None:
        self.strings = np.zeros((0, length), np.int32)
        self.values = np.zeros((0, num_objectives))
        self.rounds = np.zeros(0, np.int64)
        self.rows: list[Row] = []
        self._known: set[bytes] = set()

    def __len__(self) -> int:
        return len(self.strings)

    def is_known(self, string: Ints) -> bool:
        """Whether (L,) has a label."""
        return string.astype(np.int32).tobytes() in self._known

    def fresh(self, strings: Ints) -> Ints:
        """Those of (n, L) that have no label, each once, in their order."""
        rows = {row.astype(np.int32).tobytes(): row for row in reversed(strings)}
        order = [row for key, row in reversed(rows.items()) if key not in self._known]
        return np.array(order, np.int32).reshape(-1, self.strings.shape[1])

    def label(self, oracle: Oracle, strings: Ints, index: int) -> None:
        """Ask the oracle for the values of (n, L), none of them known and all different, in the round of this index."""
        if len(self.fresh(strings)) != len(strings):
            raise ValueError("a string would be labelled twice")
        self._add(strings, oracle(strings), np.full(len(strings), index))

    def _add(self, strings: Any, values: Any, rounds: Any) -> None:
        self.strings = np.concatenate([self.strings, np.asarray(strings, np.int32)])
        self.values = np.concatenate([self.values, np.asarray(values, np.float64)])
        self.rounds = np.concatenate([self.rounds, np.asarray(rounds, np.int64)])
        self._known = {row.tobytes() for row in self.strings}

    def best_first(self) -> NDArray[np.int64]:
        """Their numbers: the front, then the front of the others, and so on; of each the least crowded first."""
        left, order = np.arange(len(self)), []
        while len(left):
            front = left[non_dominated(self.values[left])]
            order.append(front[np.argsort(-crowding_distance(self.values[front]), kind="stable")])
            left = np.setdiff1d(left, front)
        return np.concatenate(order) if order else left

    def front(self) -> NDArray[np.int64]:
        """Numbers of the non-dominated ones, the first of equal ones, by falling first objective."""
        found = np.flatnonzero(non_dominated(self.values, keep_duplicates=False))
        return found[np.argsort(-self.values[found, 0], kind="stable")]

    def save(self, path: Path) -> None:
        """Write all of it as JSON, whole or not at all; numbers read back exactly."""
        state = {name: getattr(self, name).tolist() for name in ("strings", "values", "rounds")}
        files.write_text(path, json.dumps({**state, "rows": self.rows}))

    @staticmethod
    def load(path: Path, env: StringTask) -> Labelled:
        """What :meth:`save` wrote, of a task.

        Raises:
            UserError: unreadable, damaged, or of another task.
        """
        loaded = Labelled(env.horizon, len(env.objectives))
        try:
            state = json.loads(path.read_text())
            loaded._add(state["strings"], state["values"], state["rounds"])
            loaded.rows = [dict(row) for row in state["rows"]]
            numbers = all(type(x) in (int, float) for row in loaded.rows for x in row.values())
            lengths = (loaded.strings < env.num_letters).sum(axis=1)
            blank_after = (np.arange(env.horizon) >= lengths[:, None]) == (loaded.strings == env.num_letters)
            whole = loaded.strings.min(initial=0) >= 0 and blank_after.all() and np.isfinite(loaded.values).all()
            counted = len(loaded.rounds) == len(loaded) == len(loaded.values) == len(loaded._known)
            if not (numbers and whole and counted and loaded.rows):
                raise ValueError("not what was written")
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(f"cannot read {path}: it is damaged, or of another task ({error})") from error
        return loaded


def oracle_of(env: StringTask) -> Oracle:
    """The objectives (n, R) of strings (n, L): the task's own oracle where it has one, else by writing them."""
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


def table(seeds: dict[int, Labelled], env: StringTask, rows: Callable[[Labelled], Sequence[int]]) -> str:
    """A CSV of labelled strings by seed: which ``rows`` tells, and ``call`` counts the oracle's calls from 1."""
    lines = []
    for seed, known in seeds.items():
        front = set(known.front().tolist())
        for number, i in enumerate(rows(known)):
            values = map(float, known.values[i])
            lines.append([seed, number, i + 1, known.rounds[i], env.text(known.strings[i]), *values, int(i in front)])
    names = [objective.name for objective in env.objectives]
    return csv_text(["seed", "id", "call", "round", "object", *names, "in_front"], lines)
