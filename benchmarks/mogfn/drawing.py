"""Objects drawn by samplers or found by searches, and how good they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.optimiser import Params
from morl.agents.mogfn.trajectories import AnyTask, Finished
from morl.constructive import metrics as gfn_metrics
from morl.constructive import sampling
from morl.ops import metrics
from morl.ops.pareto import non_dominated

Floats = NDArray[np.float64]

SAMPLES, TOP = 128, 10  # objects drawn for each preference, and best of them, as published
WIDTH, ROWS = 64, 65_536  # most preferences and most objects of one compiled call


@dataclass
class Drawn:
    """Objects of P preferences, n of each.

    Attributes:
        values: (P, n, R) objectives.
        obs: (P, n, *shape) observations.
    """

    values: Floats
    obs: NDArray[Any]


Sampler = Callable[[jax.Array, jax.Array], Finished]  # preferences (n, R) and a key -> n objects


def draw(sample: Sampler, weights: Floats, seed: int, samples: int = SAMPLES) -> Drawn:
    """Return ``samples`` objects for each of the preferences (P, R)."""
    values, obs = [], []
    # equal parts, so that one compiled program draws them all
    width = min(WIDTH, max(1, ROWS // samples))
    parts = next(n for n in range(-(-len(weights) // width), len(weights) + 1) if len(weights) % n == 0)
    for i, part in enumerate(np.split(weights, parts)):
        repeated = jnp.asarray(np.repeat(part, samples, axis=0), jnp.float32)
        found = sample(repeated, jax.random.fold_in(jax.random.key(seed + 1000), i))
        values.append(np.asarray(found.values, np.float64).reshape(len(part), samples, -1))
        obs.append(np.asarray(found.obs).reshape(len(part), samples, *found.obs.shape[1:]))
    return Drawn(np.concatenate(values), np.concatenate(obs))


def sampler_of(agent: MOGFN, policy: Params) -> Sampler:
    """Return the sampler at the highest β."""
    beta = agent.config.beta_range[1]
    return lambda weights, key: agent.sample(policy, Condition(weights, jnp.full(len(weights), beta)), key).end


class Best:
    """The best 10 different objects of a stream for each of the preferences (P, R), and its front."""

    def __init__(self, weights: Floats) -> None:
        self._weights = weights.astype(np.float32)
        self._new: list[tuple[Any, Any]] = []
        self._count = 0
        self.front = np.zeros((0, weights.shape[1]))
        self.number = 0

    def add(self, found: Finished) -> None:
        self._new.append((np.asarray(found.values), np.asarray(found.obs)))
        self._count += len(found.values)
        self.number += len(found.values)
        if self._count > 8192:
            self._merge()

    def _merge(self) -> NDArray[np.int64]:
        """Keep objects among the best 10 of any preference; return the places (P, 10) of each one's best."""
        values, obs = (np.concatenate(parts) for parts in zip(*self._new, strict=True))
        points = np.concatenate([self.front, values.astype(np.float64)])
        self.front = points[non_dominated(points, keep_duplicates=False)]
        _, first = np.unique(obs.reshape(len(obs), -1), axis=0, return_index=True)
        reward = self._weights @ values[first].T
        places = np.argpartition(-reward, TOP - 1, axis=1)[:, :TOP]
        kept, which = np.unique(places, return_inverse=True)
        self._new, self._count = [(values[first[kept]], obs[first[kept]])], 0
        return which.reshape(places.shape)

    def drawn(self) -> Drawn:
        """Return the best 10 (P, 10, ...) of each preference, the front's values apart."""
        places = self._merge()
        values, obs = self._new[0]
        return Drawn(values[places].astype(np.float64), obs[places])


@dataclass(frozen=True)
class Quality:
    """Quality of the objects drawn.

    Attributes:
        hypervolume: of the best object of each preference.
        of_all: hypervolume of all objects.
        reward: mean weighted sum of each preference's best 10.
        diversity: mean distance between each preference's best 10.
    """

    hypervolume: float
    of_all: float
    reward: float
    diversity: float


def quality(env: AnyTask, drawn: Drawn, weights: Floats, every: Floats | None = None) -> Quality:
    """Return how good the objects are that were drawn for preferences (P, R), or kept of all found.

    ``every`` (n, R) are the objectives whose hypervolume is that of all, by default those drawn.
    """
    reward = np.einsum("pnr,pr->pn", drawn.values, weights)
    places = gfn_metrics.top_k(reward, TOP)
    best = drawn.values[np.arange(len(weights)), places[:, 0]]
    zero = np.zeros(weights.shape[1])
    top = np.take_along_axis(drawn.obs.reshape(*reward.shape, -1), places[..., None], axis=1)
    words = sampling.texts(env, top.reshape(-1, *drawn.obs.shape[2:]))
    far = [sampling.diversity(env, words[i : i + TOP]) for i in range(0, len(words), TOP)]
    return Quality(
        hypervolume=metrics.hypervolume(best, zero),
        of_all=metrics.hypervolume(drawn.values.reshape(-1, len(zero)) if every is None else every, zero),
        reward=gfn_metrics.top_k_reward(reward, TOP),
        diversity=float(np.mean(far)),
    )
