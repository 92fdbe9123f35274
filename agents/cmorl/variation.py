"""Last stage of C-MORL, where it is asked for: changed episodes of archived policies, and copies that imitate them.

Gradients of the mean return do not reach what lies next to an archived policy in a dent of the front: a trip that
accelerates once less, or that digs where one policy digs and drives home as another does. So an episode is changed:
another archived policy takes over at some step, as in crossover, or an output is forced for a few steps, and the policy
goes on from where that leads, as in Go-Explore (Ecoffet et al., 2021, arXiv 2004.12919). A copy of the policy learns
the episodes that no archived policy dominates, by imitation (compare Oh et al., 2018, arXiv 1806.05635), which takes no
environment steps, and is evaluated alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from morl.agents.cmorl.imitation import Demonstration, imitate
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.types import Policy
from morl.ops import archive as archives
from morl.ops.pareto import non_dominated
from morl.runs.front import mean_and_stderr
from morl.types import PyTree, Recorded, Simulator

SWITCHES = 0.4  # share of the children in which another policy takes over
FORCED_TOO = 0.7  # share of these that have forced steps as well; all others have
LONG = 0.3  # share of forced outputs that last for more than a step, twice as likely for k as for k + 1
SLACK, SPARE = 1.25, 4  # an episode is given up beyond SLACK times the longest of its parents, and SPARE steps
BLOCK = 4  # children that are imitated, or evaluated, in one call
ELSEWHERE = 32  # observations of other children at which a copy is to act as before
MOST_BYTES = 2**28  # of the observations of a generation
NEVER = 2**30

Floats = NDArray[np.float64]


class Child(NamedTuple):
    """Episode of two policies with a change.

    Attributes:
        first, second: the policies.
        preference: (R,) of the first one.
        switch: () int32 step from which the second one acts.
        forced_from, forced_steps: () int32 steps at which ``forced`` stands in for the network's output.
        forced: (A,) float32.
    """

    first: Policy
    second: Policy
    preference: Any
    switch: Any
    forced_from: Any
    forced_steps: Any
    forced: Any


@dataclass(frozen=True)
class Variation:
    """Variation of archived policies, see :class:`morl.types.Variation`.

    Attributes:
        learner: whose policies they are.
        steps: environment steps of a seed.
        children: changed episodes of a generation.
        first_episodes: episodes of a child before it is imitated.
        episodes: of a copy that has learnt them, the same first ones included.
    """

    learner: PPO
    steps: int
    children: int
    first_episodes: int
    episodes: int

    def size(self, policy: int, episode: int, capacity: int, num_seeds: int) -> int:
        """Return the bytes of archives, of children, and of recorded episodes, see :class:`morl.types.Variation`."""
        item = policy + 4 * self.learner.num_objectives * (self.episodes + 1)
        children = self.generation(episode)
        recorded = children * self.first_episodes + BLOCK * self.episodes
        return 3 * num_seeds * capacity * item + 4 * children * policy + 3 * recorded * episode

    def generation(self, episode: int) -> int:
        """Return the children of a generation, fewer where the observations of an episode take many bytes."""
        return max(1, min(self.children, MOST_BYTES // (self.first_episodes * episode)))

    def begin(
        self,
        simulator: Simulator,
        starts: Sequence[tuple[PyTree, Floats]],
        keys: jax.Array,
        capacity: int,
        epsilon: float,
    ) -> list[Population]:
        """Return a population for each seed, see :class:`morl.types.Variation`."""
        programs = Programs(
            first=simulator.recorder(self.act, self.first_episodes),
            whole=simulator.recorder(self.act, self.episodes),
            imitate=simulator.jit(jax.vmap(partial(imitate, self.learner))),
            insert=simulator.jit(partial(archives.insert, epsilon=epsilon)),
        )
        return [
            Population(self, programs, *start, key=key, capacity=capacity)
            for start, key in zip(starts, keys, strict=True)
        ]

    def act(self, child: Child, obs: jax.Array, step: jax.Array) -> jax.Array:
        """Return the actions (E, ...) of a child for observations (E, ...) at a step ()."""
        first, second = (self.learner.output(policy, obs, child.preference) for policy in child[:2])
        output = jnp.where(step < child.switch, first, second)
        forced = self.learner.masked(jnp.broadcast_to(child.forced[None], output.shape), obs)
        stands_in = (step >= child.forced_from) & (step < child.forced_from + child.forced_steps)
        return self.learner.actions.mode(jnp.where(stands_in, forced, output), child.first.log_std)


class Programs(NamedTuple):
    """Compiled functions of a variation: recorders of a child's episodes and of a copy's, imitation, archive."""

    first: Any
    whole: Any
    imitate: Any
    insert: Any


class Population:
    """Archive of one seed during its variation; see :class:`morl.types.Population`.

    All its episodes have the same random numbers, so that children differ from archived policies by what they do.

    Attributes:
        archive: its items are policies, preferences, returns (E, R) of single episodes, and the longest of these.
        spent: environment steps so far.
    """

    def __init__(
        self,
        variation: Variation,
        programs: Programs,
        policies: PyTree,
        preferences: Floats,
        *,
        key: jax.Array,
        capacity: int,
    ) -> None:
        self._variation, self._programs, self._key = variation, programs, key
        self._rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        self.spent = 0
        episodes, size = variation.episodes, preferences.shape[1]
        first = jax.tree.map(lambda x: np.asarray(x)[0], policies)
        item = first, np.zeros(size, np.float32), np.zeros((episodes, size), np.float32), np.int32(0)
        self.archive: archives.Archive = archives.empty(capacity, size, item)
        self._offer(policies, preferences.astype(np.float32))

    def front(self) -> archives.Archive:
        """Return the archive with policies and preferences alone as its items."""
        return self.archive._replace(items=self.archive.items[:2])

    def advance(self) -> None:
        """Run one generation of children; imitate, evaluate and archive those that no archived policy dominates."""
        children, parents, limits = self._children()
        found: Recorded = jax.tree.map(np.asarray, self._programs.first(children, limits, self._key))
        self.spent += int(found.length.sum(dtype=np.int64))
        held = archives.compact(self.archive)[1][:2]
        for rows in in_blocks(self._promising(found)):
            later = children.switch[rows] < found.length[rows].mean(axis=1) / 2  # the second one acted for longer
            chosen = np.where(later, parents[1][rows], parents[0][rows])
            policies, preferences = _take(held, chosen)
            shown = self._shown(found, rows, preferences)
            padded = np.resize(np.arange(len(rows)), BLOCK)
            copies = self._programs.imitate(_take(policies, padded), _take(shown, padded))
            self._offer(_take(copies, np.arange(len(rows))), preferences)

    def _children(self) -> tuple[Child, tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int32]]:
        """Return children, the rows of their parents among the archived, and the steps after which to give up."""
        rng, number = self._rng, self._variation.generation(self._programs.first.bytes_each)
        policies, preferences, _, longest = archives.compact(self.archive)[1]
        first, other = rng.integers(len(longest), size=(2, number))
        switches = rng.random(number) < SWITCHES
        second = np.where(switches, other, first)
        length = np.maximum(longest[first], longest[second])
        forced = ~switches | (rng.random(number) < FORCED_TOO)
        long = rng.random(number) < LONG
        child = Child(
            first=_take(policies, first),
            second=_take(policies, second),
            preference=preferences[first],
            switch=np.where(switches, 1 + rng.integers(np.maximum(longest[first] - 1, 1)), NEVER).astype(np.int32),
            forced_from=rng.integers(length).astype(np.int32),
            forced_steps=np.where(forced, 1 + long * rng.geometric(0.5, number), 0).astype(np.int32),
            forced=rng.normal(size=(number, self._variation.learner.actions.num_outputs)).astype(np.float32),
        )
        return child, (first, second), np.ceil(length * SLACK + SPARE).astype(np.int32)

    def _promising(self, found: Recorded) -> NDArray[np.int64]:
        """Return the children whose episodes have ended and that nothing dominates, by the first episodes alone."""
        samples: Floats = archives.compact(self.archive)[1][2].astype(np.float64)
        held = samples[:, : self._variation.first_episodes].mean(axis=1)
        means = np.asarray(found.discounted, np.float64).mean(axis=1)
        rows: NDArray[np.int64] = np.flatnonzero(found.ended.all(axis=1) & np.isfinite(means).all(axis=1))
        rows = rows[~(held[None] >= means[rows][:, None]).all(axis=2).any(axis=1)]
        return rows[non_dominated(means[rows], keep_duplicates=False)] if len(rows) else rows

    def _shown(self, found: Recorded, rows: NDArray[np.int64], preferences: Floats) -> Demonstration:
        """Return what the children of these rows did, and observations of any children, to act at as before."""
        length: Any = found.length
        most = 1 << int(length[rows].max() - 1).bit_length()  # few sizes, as each is compiled
        steps = np.resize(np.arange(found.obs.shape[2]), most) if most > found.obs.shape[2] else np.arange(most)
        weight = (np.arange(most) < length[rows][:, :, None]).astype(np.float32)

        def flat(x: Any) -> Any:
            return np.asarray(x)[rows][:, :, steps].reshape(len(rows), -1, *x.shape[3:])

        child, episode = (self._rng.integers(n, size=(len(rows), ELSEWHERE)) for n in length.shape)
        step = self._rng.integers(length[child, episode])
        return Demonstration(
            obs=flat(found.obs),
            action=flat(found.action),
            weight=weight.reshape(len(rows), -1),
            elsewhere=np.asarray(found.obs)[child, episode, step],
            preference=preferences,
        )

    def _offer(self, policies: PyTree, preferences: Any) -> None:
        """Evaluate N stacked policies, and offer those whose episodes end to the archive."""
        outputs = self._variation.learner.actions.num_outputs
        for rows in in_blocks(np.arange(len(preferences))):
            padded = np.resize(rows, BLOCK)
            policy, preference = _take((policies, np.asarray(preferences)), padded)
            none = np.zeros(BLOCK, np.int32)
            alone = Child(policy, policy, preference, none + NEVER, none, none, np.zeros((BLOCK, outputs), np.float32))
            limits = none + NEVER if not self.archive.valid.any() else none + self._longest()
            found: Recorded = jax.tree.map(np.asarray, self._programs.whole(alone, limits, self._key))
            mine = np.arange(BLOCK) < len(rows)
            self.spent += int(found.length[mine].sum(dtype=np.int64))
            measured: Any = mean_and_stderr(found.discounted)
            behind: Any = np.full(BLOCK, self._variation.episodes, np.int32)
            finite = [np.isfinite(x).reshape(BLOCK, -1).all(axis=1) for x in jax.tree.leaves(policy)]
            candidates = archives.Candidates(
                returns=measured[0].astype(np.float32),
                stderr=measured[1].astype(np.float32),
                episodes=behind,
                valid=mine & found.ended.all(axis=1) & np.logical_and.reduce(finite),
                items=(policy, preference, found.discounted, found.length.max(axis=1)),
            )
            self.archive = self._programs.insert(self.archive, candidates)

    def _longest(self) -> int:
        """Return the steps after which a copy is given up."""
        return int(np.asarray(self.archive.items[3])[np.asarray(self.archive.valid)].max() * SLACK + SPARE)


def in_blocks(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split rows into blocks of at most ``BLOCK``."""
    return [rows[begin : begin + BLOCK] for begin in range(0, len(rows), BLOCK)]


def _take(tree: PyTree, rows: NDArray[Any]) -> Any:
    return jax.tree.map(lambda x: np.asarray(x)[rows], tree)
