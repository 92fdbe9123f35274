"""Solution set of a policy that is trained for corner weights: its values decide what it is trained for next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from morl.ops.pareto import non_dominated
from morl.ops.preferences import equally_spaced_weights
from morl.runs.front import Floats
from morl.training.solution_sets import ConditionalPolicy, refuse_diverged
from morl.types import Agent, PyTree, Trainer

if TYPE_CHECKING:
    from morl.training.setup import Setup


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
        asked = self._asked(visited)
        evaluation = trainer.evaluate(policies, asked, keys, episodes)
        means = np.asarray(evaluation.discounted, np.float64).mean(axis=2)
        self._returns = [points[non_dominated(points, keep_duplicates=False)] for points in means]
        self._policies = policies
        members, sizes, gaps = np.zeros_like(self._members), np.zeros_like(self._sizes), np.zeros(len(means))
        for i, units in enumerate(np.asarray(policies.return_units, np.float64)):
            found = self._agent.plan(self._returns[i] * (units / units.max()), visited[i])
            sizes[i], gaps[i] = len(found.members), found.gap
            members[i, : sizes[i]] = found.members
        self._members, self._sizes, self._gaps = members, sizes, gaps

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
