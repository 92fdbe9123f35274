"""Solution sets: the policies that a training keeps for each of its seeds until the front is made at the end.

Where each policy has its own preference it is an archive of non-dominated policies. Where one policy takes any
preference there is nothing to choose from: the last one is kept. An agent's registration names its solution set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.errors import UserError
from morl.ops import archive as archives
from morl.ops.pareto import non_dominated, thinned
from morl.ops.preferences import equally_spaced_weights
from morl.runs.front import Floats, Front, mean_and_stderr
from morl.training.backends.environment import WATCHED
from morl.types import Agent, Evaluation, PyTree, Trainer
from morl.words import counted

if TYPE_CHECKING:
    from morl.training.setup import Setup


Unsupported = Mapping[str, str]  # reason by the name of a command


class SolutionSet(Protocol):
    """Solution set of S seeds; made from a setup, the seeds and the capacity of an archive.

    Attributes:
        kind: what the rows of its front are.
        conditional: the rows are one policy (or sampler) under several preferences.
        labelled: the rows are objects as they were labelled in training, exactly and once.
        unsupported: commands that cannot work on such a run, with the reason in words.
        evaluated: (S, N, R) mean returns of the last update, of the policies or preferences in their order; only where
            an agent has a :class:`morl.types.Guide`.
    """

    kind: ClassVar[Literal["policies", "objects"]]
    conditional: ClassVar[bool]
    labelled: ClassVar[bool] = False
    unsupported: ClassVar[Unsupported]
    evaluated: Floats

    def begin(self, policies: PyTree, preferences: Floats) -> None:
        """Prepare an empty set for policies like these, of all seeds, stacked; before anything else."""
        ...

    def saved(self) -> PyTree:
        """Return the part that the next update will not replace: NumPy arrays, whose shapes ``begin`` has fixed."""
        ...

    def restore(self, saved: PyTree) -> None:
        """Set what was saved, of the shapes of ``saved()``."""
        ...

    def update(self, trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        """Evaluate the policies of all seeds, stacked, and keep the good ones.

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
        """Return (n, R) non-dominated returns by training estimates, of the seed of this index."""
        ...

    def policies(self, index: int) -> PyTree:
        """Return the policies of ``returns``, stacked; only of an archive."""
        ...

    def metrics(self, index: int) -> dict[str, float]:
        """Return metrics of the last update besides those of the front, by name; the same names every time."""
        ...

    def describe(self, index: int) -> str:
        """Describe the set of a seed in words."""
        ...

    def final(self, trainer: Trainer, keys: jax.Array, episodes: int) -> list[tuple[Evaluation, PyTree, Floats]]:
        """Evaluate each seed's set on fresh episodes; return it with the parameters and preferences behind its rows."""
        ...

    def schedule(self, index: int, agent: Agent, update: int, archive: Floats) -> Floats:
        """Return the preferences of a seed's learners from an update on; see :meth:`morl.types.Agent.preference_at`."""
        return agent.preference_at(update, archive)

    def tables(self) -> dict[str, str]:
        """Return further CSV files of the run directory, by name."""
        return {}

    @staticmethod
    def evaluate_again(
        setup: Setup, trainer: Trainer, front: Front, key: jax.Array, episodes: int
    ) -> tuple[Evaluation, PyTree, Floats]:
        """Evaluate the rows of a finished run's front on episodes of a key (1,), as one item of :meth:`final`."""
        ...


class ParetoArchive(SolutionSet):
    """Pareto archive of each seed, which is offered as many policies as the agent has preferences each time.

    Near-duplicates are left out, by the setting ``archive_epsilon`` (:func:`morl.ops.archive.insert`).
    """

    kind = "policies"
    conditional = False
    unsupported: ClassVar[Unsupported] = MappingProxyType({"sample": "its policies draw no objects"})

    def __init__(self, setup: Setup, seeds: Sequence[int], capacity: int) -> None:
        self._seeds, self._per_seed, self._capacity = seeds, len(setup.agent.preferences), capacity
        self._epsilon = setup.archive_epsilon
        self._insert = jax.jit(jax.vmap(partial(archives.insert, epsilon=self._epsilon)), donate_argnums=0)
        self._archive: PyTree = None

    def begin(self, policies: PyTree, preferences: Floats) -> None:
        first = jax.tree.map(lambda x: np.asarray(x)[0], (policies, preferences.astype(np.float32)))
        empty = archives.empty(self._capacity, preferences.shape[-1], first)
        self._archive = jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], len(self._seeds), axis=0), empty)

    def saved(self) -> PyTree:
        return jax.tree.map(np.asarray, self._archive)

    def restore(self, saved: PyTree) -> None:
        self._archive = saved

    def update(self, trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        evaluation = trainer.evaluate(policies, preferences, jnp.repeat(keys, self._per_seed, axis=0), episodes)
        self._offer(evaluation.discounted, policies, preferences, episodes)
        for seed, valid in zip(self._seeds, np.asarray(self._archive.valid), strict=True):
            if not valid.any():
                raise UserError(f"every policy of seed {seed} has diverged; try a lower learning_rate")

    def _offer(self, samples: Any, policies: PyTree, preferences: Floats, episodes: int) -> None:
        """Offer to each seed's archive the policies of its own with these returns (N, E, R), N of all seeds."""
        seeds = len(self._seeds)

        def by_seed(x: Any) -> Any:
            return np.asarray(x).reshape(seeds, -1, *np.shape(x)[1:])

        items = jax.tree.map(by_seed, (policies, preferences.astype(np.float32)))
        returns = self.evaluated = by_seed(np.asarray(samples).mean(axis=1))
        # a greedy choice among NaN is still a choice: returns alone do not show that a policy has diverged
        whole = [np.isfinite(x).reshape(*returns.shape[:2], -1).all(axis=2) for x in jax.tree.leaves(items)]
        stderr = by_seed(mean_and_stderr(samples)[1].astype(np.float32))
        behind: Any = np.full(returns.shape[:2], episodes, np.int32)
        candidates = archives.Candidates(returns, stderr, behind, np.logical_and.reduce(whole), items)
        held = self._archive.episodes  # 0 from a checkpoint without them; a run has one number for all
        archive = self._archive._replace(episodes=np.where(held == 0, np.int32(episodes), held))
        self._archive = self._insert(archive, candidates)

    def items(self, index: int) -> tuple[PyTree, Floats]:
        """Return the policies of a seed, stacked, and their preferences (n, R)."""
        items: tuple[PyTree, Floats] = self._of(index)[1]
        return items

    def replace(self, found: Sequence[archives.Archive]) -> None:
        """Go on with these archives, one for each seed, in place of those held."""
        self._archive = jax.tree.map(lambda *x: np.stack(x), *found)

    def _of(self, index: int) -> tuple[Floats, PyTree]:
        return archives.compact(jax.tree.map(lambda x: x[index], self._archive))

    def returns(self, index: int) -> Floats:
        return self._of(index)[0]

    def policies(self, index: int) -> PyTree:
        return self._of(index)[1][0]

    def metrics(self, index: int) -> dict[str, float]:
        return {}

    def describe(self, index: int) -> str:
        return counted(len(self.returns(index)), "archived policy", "archived policies")

    def final(self, trainer: Trainer, keys: jax.Array, episodes: int) -> list[tuple[Evaluation, PyTree, Floats]]:
        items = [self._of(i)[1] for i in range(len(self._seeds))]
        params, weights = jax.tree.map(lambda *x: np.concatenate(x), *items)
        sizes = [len(preferences) for _, preferences in items]
        evaluation = trainer.evaluate(params, weights, keys[np.repeat(np.arange(len(sizes)), sizes)], episodes)
        found, begin = [], 0
        for size in sizes:
            mine = begin + distinct_rows(evaluation.discounted[begin : begin + size], self._epsilon)
            begin += size
            found.append(jax.tree.map(lambda x, mine=mine: x[mine], (evaluation, params, weights)))
        return found

    @staticmethod
    def evaluate_again(
        setup: Setup, trainer: Trainer, front: Front, key: jax.Array, episodes: int
    ) -> tuple[Evaluation, PyTree, Floats]:
        keys = jnp.repeat(key, len(front), axis=0)
        return trainer.evaluate(front.params, front.preferences, keys, episodes), front.params, front.preferences


def distinct_rows(samples: Any, epsilon: float) -> NDArray[np.int64]:
    """Return the rows of (n, E, R) returns that are finite, non-dominated and no near-duplicates, in order.

    Returns closer than the error of their difference over the same episodes are near-duplicates too, unless ``epsilon``
    is 0. All rows are returned if none is finite.

    Args:
        samples: (n, E, R) returns of n policies over the same E episodes.
        epsilon: share of the front's range within which policies are near-duplicates.
    """
    means = np.asarray(samples, np.float64).mean(axis=1)
    rows = np.flatnonzero(np.isfinite(means).all(axis=1))
    if not len(rows):
        return np.arange(len(means))
    rows = rows[non_dominated(means[rows], keep_duplicates=False)]
    return rows[thinned(means[rows], epsilon, samples[rows])] if epsilon else rows


def refuse_diverged(policies: PyTree, seeds: Sequence[int], what: str) -> None:
    """Raise UserError if a parameter of the policies of these seeds, stacked, is non-finite."""
    finite = [np.isfinite(x).reshape(len(seeds), -1).all(axis=1) for x in jax.tree.leaves(policies)]
    for seed, whole in zip(seeds, np.logical_and.reduce(finite), strict=True):
        if not whole:
            raise UserError(f"the {what} of seed {seed} has diverged; try a lower learning_rate")


class ConditionalPolicy(SolutionSet):
    """Last policy of each seed, which takes any preference; ``num_preferences`` of the agent make its front."""

    kind = "policies"
    conditional = True
    unsupported: ClassVar[Unsupported] = MappingProxyType(
        {
            "sample": "its policy draws no objects",
            "fill": "its one policy takes every preference: there are no policies to merge",
        }
    )

    def __init__(self, setup: Setup, seeds: Sequence[int], capacity: int) -> None:
        number, num_objectives = setup.agent.num_preferences, len(setup.objectives)
        self._seeds = seeds
        self._watched = equally_spaced_weights(num_objectives, min(number, WATCHED))
        self._all = equally_spaced_weights(num_objectives, number)
        self._returns: list[Floats] = []
        self._policies: PyTree = None

    def begin(self, policies: PyTree, preferences: Floats) -> None:
        pass

    def saved(self) -> PyTree:
        return ()

    def restore(self, saved: PyTree) -> None:
        pass

    def update(self, trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        refuse_diverged(policies, self._seeds, "policy")
        evaluation = trainer.evaluate(policies, self._repeated(self._watched), keys, episodes)
        means = self.evaluated = np.asarray(evaluation.discounted, np.float64).mean(axis=2)
        self._returns = [points[non_dominated(points, keep_duplicates=False)] for points in means]
        self._policies = policies

    def returns(self, index: int) -> Floats:
        return self._returns[index]

    def policies(self, index: int) -> PyTree:
        raise NotImplementedError("no agent extends a policy that takes any preference")

    def metrics(self, index: int) -> dict[str, float]:
        return {}

    def describe(self, index: int) -> str:
        return f"{len(self._watched)} preferences during training, {len(self._all)} at the end"

    def final(self, trainer: Trainer, keys: jax.Array, episodes: int) -> list[tuple[Evaluation, PyTree, Floats]]:
        evaluation = trainer.evaluate(self._policies, self._repeated(self._all), keys, episodes)
        return [
            (*jax.tree.map(lambda x, i=i: x[i], (evaluation, self._policies)), self._all)
            for i in range(len(self._seeds))
        ]

    @staticmethod
    def evaluate_again(
        setup: Setup, trainer: Trainer, front: Front, key: jax.Array, episodes: int
    ) -> tuple[Evaluation, PyTree, Floats]:
        policy = jax.tree.map(lambda x: np.asarray(x)[None], front.params)
        evaluation = trainer.evaluate(policy, front.preferences[None], key, episodes)
        rows: Evaluation = jax.tree.map(lambda x: x[0], evaluation)
        return rows, front.params, front.preferences

    def _repeated(self, preferences: Floats) -> Floats:
        return np.repeat(preferences[None], len(self._seeds), axis=0)


class LinearSupport(ConditionalPolicy):
    """Last policy of each seed, as :class:`ConditionalPolicy`, and the preferences to train it for next.

    The policy has a ``support`` of preferences that it was trained for, and ``return_units`` of what preferences weigh.
    It is evaluated for these preferences, and for equally spaced ones beside them. The values decide: the agent plans
    from them the preferences to train for (Alegre et al., 2023, algorithm 1).
    """

    def __init__(self, setup: Setup, seeds: Sequence[int], capacity: int) -> None:
        super().__init__(setup, seeds, capacity)
        self._agent: Any = setup.agent
        self._members: Floats = np.zeros((len(seeds), 0, len(setup.objectives)))
        self._sizes = np.zeros(len(seeds), np.int64)
        self._gaps = np.full(len(seeds), np.nan)

    def begin(self, policies: PyTree, preferences: Floats) -> None:
        shape = np.shape(policies.support.preference)
        self._members, self._sizes = np.zeros(shape), np.zeros(shape[0], np.int64)

    def saved(self) -> PyTree:
        return self._members, self._sizes

    def restore(self, saved: PyTree) -> None:
        self._members, self._sizes = jax.tree.map(np.asarray, saved)

    def update(self, trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        refuse_diverged(policies, self._seeds, "policy")
        visited = [
            np.asarray(weights, np.float64)[used > 0]
            for weights, used in zip(*map(np.asarray, policies.support), strict=True)
        ]
        visited = [weights / weights.sum(axis=1, keepdims=True) for weights in visited]
        evaluation = trainer.evaluate(policies, self._asked(visited), keys, episodes)
        means = np.asarray(evaluation.discounted, np.float64).mean(axis=2)
        self._returns = [points[non_dominated(points, keep_duplicates=False)] for points in means]
        self._policies = policies
        members, sizes, gaps = self._members.copy(), self._sizes.copy(), np.full(len(means), np.nan)
        for i, units in enumerate(np.asarray(policies.return_units, np.float64)):
            known = self._returns[i][np.isfinite(self._returns[i]).all(axis=1)]
            if not len(known):  # the plan stays
                continue
            found = self._agent.plan(known * (units / units.max()), visited[i])
            sizes[i], gaps[i] = len(found.members), found.gap
            members[i, : sizes[i]] = found.members
        self._members, self._sizes, self._gaps = members, sizes, gaps

    def returns(self, index: int) -> Floats:
        # a resumed run has its plan, and no values before its next evaluation
        return self._returns[index] if self._returns else np.zeros((0, self._members.shape[2]))

    def _asked(self, visited: Sequence[Floats]) -> Floats:
        """Return the preferences (S, N, R) to evaluate each policy for: those it was trained for, and others."""
        number = max(len(self._watched), self._members.shape[1])
        rows = []
        for weights in visited:
            left = number - len(weights)
            more = [equally_spaced_weights(weights.shape[1], left)] if left else []
            rows.append(np.concatenate([weights, *more]))
        return np.stack(rows)

    def schedule(self, index: int, agent: Agent, update: int, archive: Floats) -> Floats:
        size = self._sizes[index]
        if not size:
            return super().schedule(index, agent, update, archive)
        lanes: Floats = self._agent.lanes(update, self._members[index, :size])
        return lanes

    def metrics(self, index: int) -> dict[str, float]:
        return {"gap_bound": float(self._gaps[index])}
