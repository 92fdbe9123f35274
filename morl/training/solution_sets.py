"""What a training keeps of the policies it meets, for each of its seeds, until the front is made at the end.

An archive of non-dominated policies where each is for its own preference. Where one policy takes any preference there
is nothing to choose from: the last one is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from morl.errors import UserError
from morl.ops import archive as archives
from morl.ops.pareto import non_dominated
from morl.ops.preferences import spread
from morl.runs.front import Floats
from morl.types import Evaluation, PyTree, Trainer

WATCHED = 21  # preferences of one evaluation during training, of a policy that takes any


class Keeper(Protocol):
    """What is kept, for S seeds."""

    def begin(self, policies: PyTree, preferences: Floats) -> None:
        """Nothing kept yet of policies like these, of all seeds, stacked; before anything else."""
        ...

    def saved(self) -> PyTree:
        """What is kept and the next look will not replace: NumPy arrays, whose shapes ``begin`` has fixed."""
        ...

    def restore(self, saved: PyTree) -> None:
        """Keep what was saved, of the shapes of ``saved()``."""
        ...

    def look(self, trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        """Evaluate the policies of all seeds, stacked, and keep what is worth it.

        Args:
            trainer: evaluates.
            policies: P of all seeds.
            preferences: those they were trained for.
            keys: (S,).
            episodes: of each policy and preference.

        Raises:
            UserError: all policies of a seed have diverged.
        """
        ...

    def returns(self, index: int) -> Floats:
        """(n, R) by training estimates, non-dominated, of the seed of this index."""
        ...

    def policies(self, index: int) -> PyTree:
        """Those of the seed of this index, stacked as ``returns``; only of an archive."""
        ...

    def metrics(self, index: int) -> dict[str, float]:
        """What the last look tells besides the quality of the front, by name; the same names every time."""
        ...

    def size(self, index: int) -> str:
        """What there is, in words."""
        ...

    def final(self, trainer: Trainer, keys: jax.Array, episodes: int) -> list[tuple[Evaluation, PyTree, Floats]]:
        """Each seed's evaluation on fresh episodes, with the parameters and the preferences behind its rows."""
        ...


class Archives(Keeper):
    """An archive for each seed, of ``per_seed`` policies offered each time."""

    def __init__(self, seeds: Sequence[int], per_seed: int, capacity: int) -> None:
        self._seeds, self._per_seed, self._capacity = seeds, per_seed, capacity
        self._insert = jax.jit(jax.vmap(archives.insert), donate_argnums=0)
        self._archive: PyTree = None

    def begin(self, policies: PyTree, preferences: Floats) -> None:
        first = jax.tree.map(lambda x: np.asarray(x)[0], (policies, preferences.astype(np.float32)))
        empty = archives.empty(self._capacity, preferences.shape[-1], first)
        self._archive = jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], len(self._seeds), axis=0), empty)

    def saved(self) -> PyTree:
        return jax.tree.map(np.asarray, self._archive)

    def restore(self, saved: PyTree) -> None:
        self._archive = saved

    def look(self, trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        evaluation = trainer.evaluate(policies, preferences, jnp.repeat(keys, self._per_seed, axis=0), episodes)
        seeds = len(self._seeds)

        def by_seed(x: Any) -> Any:
            return np.asarray(x).reshape(seeds, self._per_seed, *np.shape(x)[1:])

        items = jax.tree.map(by_seed, (policies, preferences.astype(np.float32)))
        returns = by_seed(np.asarray(evaluation.discounted).mean(axis=1))
        # a greedy choice among NaN is still a choice: returns alone do not show that a policy has diverged
        whole = [np.isfinite(x).reshape(*returns.shape[:2], -1).all(axis=2) for x in jax.tree.leaves(items)]
        self._archive = self._insert(self._archive, returns, items, np.logical_and.reduce(whole))
        for seed, valid in zip(self._seeds, np.asarray(self._archive.valid), strict=True):
            if not valid.any():
                raise UserError(f"every policy of seed {seed} has diverged; try a lower learning_rate")

    def _of(self, index: int) -> tuple[Floats, PyTree]:
        return archives.compact(jax.tree.map(lambda x: x[index], self._archive))

    def returns(self, index: int) -> Floats:
        return self._of(index)[0]

    def policies(self, index: int) -> PyTree:
        return self._of(index)[1][0]

    def metrics(self, index: int) -> dict[str, float]:
        return {}

    def size(self, index: int) -> str:
        return f"{len(self.returns(index))} archived policies"

    def final(self, trainer: Trainer, keys: jax.Array, episodes: int) -> list[tuple[Evaluation, PyTree, Floats]]:
        items = [self._of(i)[1] for i in range(len(self._seeds))]
        params, weights = jax.tree.map(lambda *x: np.concatenate(x), *items)
        sizes = [len(preferences) for _, preferences in items]
        evaluation = trainer.evaluate(params, weights, keys[np.repeat(np.arange(len(sizes)), sizes)], episodes)
        found, begin = [], 0
        for size in sizes:
            mine = slice(begin, begin + size)
            begin += size
            found.append(jax.tree.map(lambda x, mine=mine: x[mine], (evaluation, params, weights)))
        return found


def refuse_diverged(policies: PyTree, seeds: Sequence[int], what: str) -> None:
    """Nothing, where all numbers of the policies of these seeds, stacked, are finite.

    Raises:
        UserError: one has diverged.
    """
    finite = [np.isfinite(x).reshape(len(seeds), -1).all(axis=1) for x in jax.tree.leaves(policies)]
    for seed, whole in zip(seeds, np.logical_and.reduce(finite), strict=True):
        if not whole:
            raise UserError(f"the {what} of seed {seed} has diverged; try a lower learning_rate")


class LastPolicies(Keeper):
    """The last policy of each seed, which takes any of R objectives' preferences; ``number`` of them make its front."""

    def __init__(self, seeds: Sequence[int], num_objectives: int, number: int) -> None:
        self._seeds = seeds
        self._watched = spread(num_objectives, min(number, WATCHED))
        self._all = spread(num_objectives, number)
        self._returns: list[Floats] = []
        self._policies: PyTree = None

    def begin(self, policies: PyTree, preferences: Floats) -> None:
        pass

    def saved(self) -> PyTree:
        return ()

    def restore(self, saved: PyTree) -> None:
        pass

    def look(self, trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        refuse_diverged(policies, self._seeds, "policy")
        evaluation = trainer.evaluate(policies, self._repeated(self._watched), keys, episodes)
        means = np.asarray(evaluation.discounted, np.float64).mean(axis=2)
        self._returns = [points[non_dominated(points, keep_duplicates=False)] for points in means]
        self._policies = policies

    def returns(self, index: int) -> Floats:
        return self._returns[index]

    def policies(self, index: int) -> PyTree:
        raise NotImplementedError("no agent extends a policy that takes any preference")

    def metrics(self, index: int) -> dict[str, float]:
        return {}

    def size(self, index: int) -> str:
        return f"{len(self._watched)} preferences during training, {len(self._all)} at the end"

    def final(self, trainer: Trainer, keys: jax.Array, episodes: int) -> list[tuple[Evaluation, PyTree, Floats]]:
        evaluation = trainer.evaluate(self._policies, self._repeated(self._all), keys, episodes)
        return [
            (*jax.tree.map(lambda x, i=i: x[i], (evaluation, self._policies)), self._all)
            for i in range(len(self._seeds))
        ]

    def _repeated(self, preferences: Floats) -> Floats:
        return np.repeat(preferences[None], len(self._seeds), axis=0)
