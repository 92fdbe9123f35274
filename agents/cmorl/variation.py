"""Last stage of C-MORL, where it is asked for: children of archived policies, a little changed and evaluated alone.

Gradients do not reach what lies next to an archived policy in a dent of the front: an episode that accelerates once
less, say. Random changes of its network do, and an evaluation costs a few episodes. The operator is that of MAP-Elites
for policies (Vassiliades and Mouret, 2018, arXiv 1804.03906, "iso + line"; for fronts Pierrot et al., 2022, arXiv
2202.03057): a child is a parent, plus noise, plus a step along the line to another archived policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from morl.agents.ppo.types import Policy

LEAST_NOISE = 0.1  # smallest deviation of the noise of a child, as a share of the largest


@dataclass(frozen=True)
class Variation:
    """Variation of archived policies, see :class:`morl.types.Variation`.

    Attributes:
        steps: environment steps of a seed, those of all evaluations of children.
        children: of a seed and generation.
        episodes: of a child's first evaluation.
        limit: steps after which a child whose episode goes on is given up; None for the time limit.
        noise: largest deviation of the noise, in deviations of the parameters of a layer.
        line: deviation of the step along the line to the other parent, which 1 reaches.
    """

    steps: int
    children: int
    episodes: int
    limit: int | None
    noise: float
    line: float

    def children_of(self, policies: Any, rng: np.random.Generator) -> tuple[Policy, NDArray[np.int64]]:
        """Return stacked children of n stacked policies, and the row of the first parent of each.

        The actor's network is varied; all else is the first parent's. The deviation of the noise is drawn
        log-uniformly for each child.
        """
        number = len(jax.tree.leaves(policies)[0])
        first, second = rng.integers(number, size=(2, self.children))
        noise = self.noise * LEAST_NOISE ** rng.uniform(size=self.children)
        step = self.line * rng.normal(size=self.children)

        def varied(x: NDArray[Any]) -> NDArray[Any]:
            shape = (self.children, *[1] * (x.ndim - 1))
            deviation = noise * x.std(axis=tuple(range(1, x.ndim)))[first]
            along = step.reshape(shape) * (x[second] - x[first])
            child = x[first] + deviation.reshape(shape) * rng.normal(size=(self.children, *x.shape[1:])) + along
            return np.asarray(child, x.dtype)

        actor = jax.tree.map(varied, policies.actor)
        child: Policy = jax.tree.map(lambda x: x[first], policies)
        return child._replace(actor=actor), first
