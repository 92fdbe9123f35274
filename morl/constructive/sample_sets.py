"""Solution set of samplers: the last sampler of each seed, and how well the objects it draws are spread."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, cast

import jax
import numpy as np

from morl.constructive import metrics as gfn_metrics
from morl.constructive.backend import Sampler
from morl.constructive.sampling import diversity
from morl.ops.pareto import non_dominated
from morl.ops.preferences import equally_spaced_weights
from morl.runs.front import Floats, Front
from morl.training.backends.environment import WATCHED
from morl.training.solution_sets import SolutionSet, Unsupported, refuse_diverged
from morl.types import Evaluation, PyTree, Trainer

if TYPE_CHECKING:
    from morl.training.setup import Setup

BEST = 10  # objects of a preference that top-k metrics are of
EXACT = 11  # preferences of exact distances


class SampledObjects(SolutionSet):
    """Non-dominated objects among those that the last sampler of each seed draws for equally spaced preferences."""

    kind = "objects"
    conditional = True
    unsupported: ClassVar[Unsupported] = MappingProxyType(
        {
            "export": "it holds a sampler of objects, not a policy that acts; see morl sample",
            "fill": "its one sampler takes every preference: there are no policies to merge",
        }
    )

    def __init__(self, setup: Setup, seeds: Sequence[int], capacity: int) -> None:
        sampler, number = cast(Sampler, setup.agent.learner), setup.agent.num_preferences
        num_objectives = len(setup.objectives)
        self._seeds, self._sampler, self._true_front = seeds, sampler, setup.true_front
        self._watched = equally_spaced_weights(num_objectives, min(number, WATCHED))
        self._all = equally_spaced_weights(num_objectives, number)
        self._drawn: Evaluation | None = None
        self._policies: PyTree = None
        self._exact: gfn_metrics.Target | None = None
        if hasattr(sampler.env, "outcomes"):
            self._condition = sampler.condition(equally_spaced_weights(num_objectives, EXACT))
            outcomes = sampler.env.outcomes()
            preference, beta = (np.asarray(part, np.float64)[:, None] for part in self._condition)
            self._exact = gfn_metrics.target(outcomes, sampler.log_reward(outcomes.values[None], preference, beta))

    def begin(self, policies: PyTree, preferences: Floats) -> None:
        pass

    def saved(self) -> PyTree:
        return ()

    def restore(self, saved: PyTree) -> None:
        pass

    def update(self, trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, episodes: int) -> None:
        refuse_diverged(policies, self._seeds, "sampler")
        self._drawn = trainer.evaluate(
            policies, np.repeat(self._watched[None], len(self._seeds), axis=0), keys, episodes
        )
        self._policies = policies

    def _of(self, index: int) -> Evaluation:
        """Return the objects drawn for the watched preferences."""
        drawn: Evaluation = jax.tree.map(lambda x: x[index], self._drawn)
        return drawn

    def returns(self, index: int) -> Floats:
        points = np.asarray(self._of(index).discounted, np.float64)
        points = np.unique(points.reshape(-1, points.shape[-1]), axis=0)
        return points[non_dominated(points)]

    def metrics(self, index: int) -> dict[str, float]:
        drawn, number = self._of(index), len(self._watched)
        values, objects = np.asarray(drawn.undiscounted, np.float64), drawn.objects
        assert objects is not None  # noqa: S101  # a trainer of samplers gives them
        rewards = np.exp(self._sampler.log_reward(values, self._watched[:, None], 1.0))
        best = gfn_metrics.top_k(rewards, min(BEST, rewards.shape[1]))
        points = values.reshape(-1, values.shape[-1])
        found = {
            "r2": gfn_metrics.r2(points[non_dominated(points, keep_duplicates=False)], self._all),
            "top_10_reward": gfn_metrics.top_k_reward(rewards, best.shape[1]),
            "top_10_diversity": float(
                np.mean([diversity(self._sampler.env, objects[i][best[i]].tolist()) for i in range(number)])
            ),
        }
        if self._true_front is not None:
            found["pc_entropy"] = gfn_metrics.pareto_clusters_entropy(points, self._true_front)
        if self._exact is not None:
            mine = jax.tree.map(lambda x: x[index], self._policies)
            error = np.abs(np.asarray(self._sampler.log_z(mine, self._condition)) - self._exact.log_z)
            found["log_z_error"] = float(error.max())
            if hasattr(self._sampler.env, "distribution"):
                learnt = self._sampler.distribution(mine, self._condition)
                found["l1"] = float(gfn_metrics.l1_distance(learnt, self._exact.probability).mean())
        return found

    def policies(self, index: int) -> PyTree:
        raise NotImplementedError("no agent extends a sampler")

    def describe(self, index: int) -> str:
        return f"{len(self._watched)} preferences during training, {len(self._all)} at the end"

    def final(self, trainer: Trainer, keys: jax.Array, episodes: int) -> list[tuple[Evaluation, PyTree, Floats]]:
        return best_objects(trainer, self._policies, self._all, keys, episodes)

    @staticmethod
    def evaluate_again(
        setup: Setup, trainer: Trainer, front: Front, key: jax.Array, episodes: int
    ) -> tuple[Evaluation, PyTree, Floats]:
        """Return the best of ``episodes`` fresh objects for each of the preferences that a training ends with."""
        policy = jax.tree.map(lambda x: np.asarray(x)[None], front.params)
        preferences = equally_spaced_weights(len(setup.objectives), setup.agent.num_preferences)
        return best_objects(trainer, policy, preferences, key, episodes)[0]


def best_objects(
    trainer: Trainer, policies: PyTree, preferences: Floats, keys: jax.Array, number: int
) -> list[tuple[Evaluation, PyTree, Floats]]:
    """Return the non-dominated objects among ``number`` drawn for each of M preferences by each of S samplers.

    Of objects with the same objectives the first one drawn stands for all, with the preference that drew such objects
    most often.

    Args:
        trainer: draws.
        policies: S samplers, stacked.
        preferences: (M, R).
        keys: (S,).
        number: objects for each preference.

    Returns:
        For each sampler an evaluation with a row for each object, the sampler's parameters, and the preferences behind
        the rows.
    """
    seeds = len(jax.tree.leaves(policies)[0])
    drawn = trainer.evaluate(policies, np.repeat(preferences[None], seeds, axis=0), keys, number)
    found = []
    for i in range(seeds):
        mine: Evaluation = jax.tree.map(lambda x, i=i: x[i].reshape(-1, 1, *x.shape[3:]), drawn)
        points = np.asarray(mine.discounted)[:, 0]
        different, first, which = np.unique(points, axis=0, return_index=True, return_inverse=True)
        kept = np.flatnonzero(non_dominated(different))
        behind = [np.bincount(np.flatnonzero(which.reshape(-1) == k) // number).argmax() for k in kept]
        rows: Evaluation = jax.tree.map(lambda x, kept=first[kept]: x[kept], mine)
        found.append((rows, jax.tree.map(lambda x, i=i: x[i], policies), preferences[behind]))
    return found
