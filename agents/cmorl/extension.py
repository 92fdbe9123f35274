"""Second stage of C-MORL: rounds in which archived policies are extended along one objective, the others held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from morl.agents.cmorl.constrained import ConstrainedPPO
from morl.ops import running_statistics
from morl.ops.pareto import crowding_distance, farthest_apart
from morl.types import LearnerState, PyTree

Floats = NDArray[np.float64]

TRIALS = 512  # random thresholds to find the widest gap by
MARGINS = (0.05, 0.5)  # thresholds as shares of a gap's width from its far end: close to it, and in the middle
TURNS = 3  # rounds that share the policies to refine among them


class Start(NamedTuple):
    """Start of a learner in a round.

    Attributes:
        row: of the archive, the policy to start from.
        allowance: (R,) loss of each return that is allowed; infinite without a constraint.
        episodic: the constraints are on single episodes; else on their mean.
    """

    row: int
    allowance: Floats
    episodic: bool


@dataclass(frozen=True)
class Extension:
    """Second stage: ``rounds`` of ``updates`` updates, all learners of a round side by side.

    Learners go in groups of R. Those of every second group go for the widest gaps of the front: above one end of a gap
    in one objective, beyond its other end in the rest. Those of the other groups refine policies that lie far apart:
    they raise all objectives, one of them above all, and may lose ``refine_loss`` of the front's range in each. With
    ``refine_loss`` 0 they extend the least crowded policies as published (Liu et al., 2025): one objective is raised,
    and of the others the share β is kept. With the interior-point method the constraints of gaps and of refining are on
    single episodes (:mod:`.constrained`).

    Attributes:
        learner: learner of these rounds.
        num_learners: K of a seed.
        rounds: number of rounds.
        updates: updates of each learner in a round.
        constraint_beta: share β of the other returns that has to be kept.
        refine_loss: share of each objective's range, over the front, that a refining learner may give up.
    """

    learner: ConstrainedPPO
    num_learners: int
    rounds: int
    updates: int
    constraint_beta: float
    refine_loss: float = 0.0

    @property
    def extra_metrics(self) -> tuple[str, ...]:
        """Return the metrics of :class:`ConstrainedPPO` beyond those of PPO."""
        return ("feasible_share",)

    def preferences(self, index: int) -> Floats:
        """Return (K, R) weights of what each learner raises in the round of this index.

        That is one objective, for a refining learner half of the weight on it and half on all alike.
        """
        size = self.learner.ppo.num_objectives
        single = np.eye(size)[[number % size for number in self._numbers(index)]]
        refines = np.array([self._refines(number) for number in self._numbers(index)])
        return np.where(refines[:, None], (single + 1 / size) / 2, single)

    def _numbers(self, index: int) -> range:
        """Return the numbers of a round's learners, counted over all rounds; R in turn make a group."""
        return range(index * self.num_learners, (index + 1) * self.num_learners)

    def _in_even_group(self, number: int) -> bool:
        return number // self.learner.ppo.num_objectives % 2 == 0

    def _refines(self, number: int) -> bool:
        return self.refine_loss > 0 and self._in_even_group(number)

    def begin(
        self, index: int, returns: Floats, policies: PyTree, reference_point: Floats, taken: set[bytes]
    ) -> list[LearnerState]:
        """Return K learners at the start of a round; see :class:`morl.types.Extension`."""
        above = rows_above(returns, reference_point)
        returns = returns[above]
        span = np.ptp(returns, axis=0)
        unit = np.where(span > 0, span, np.abs(returns).max(axis=0))
        unit = np.where(unit > 0, unit, self._deviations(policies))  # of an objective that has been 0 throughout
        numbers, size = self._numbers(index), self.learner.ppo.num_objectives
        starts = self._refined(index, returns / unit, unit)
        for i in numbers:
            if not self._in_even_group(i) and (found := find_gap(returns, i % size, taken)):
                row, allowance = found
                allowance = np.where(np.arange(size) == i % size, np.inf, allowance)
                starts[i] = Start(row, allowance, episodic=True)
        starts |= self._extended([i for i in numbers if i not in starts], returns, unit, taken)
        learners = []
        for i in numbers:
            row, allowance, episodic = starts[i]
            archived = returns[row] if episodic and self.learner.method == "ipo" else None
            # the allowed loss is the unit, so that the barrier is the same for objectives of any scale
            scale = np.where(np.isfinite(allowance), allowance, unit)
            policy = jax.tree.map(lambda x, row=above[row]: x[row], policies)
            learners.append(self.learner.begin(policy, allowance, scale, archived))
        return learners

    def _refined(self, index: int, points: Floats, unit: Floats) -> dict[int, Start]:
        """Return the starts of the refining learners, by number; ``points`` (n, R) are the returns in ``unit`` (R,).

        The policies are the farthest apart, so many that they last for ``TURNS`` rounds; then they are chosen anew.
        """
        mine = [i for i in self._numbers(index) if self._refines(i)]
        if not mine:
            return {}
        rows = np.resize(farthest_apart(points, TURNS * len(mine)), TURNS * len(mine))
        rows = np.roll(rows, -(index % TURNS) * len(mine))
        return {
            i: Start(int(row), self.refine_loss * unit, episodic=True)
            for i, row in zip(mine, rows[: len(mine)], strict=True)
        }

    def _extended(self, numbers: list[int], returns: Floats, unit: Floats, taken: set[bytes]) -> dict[int, Start]:
        """Return the starts of the learners of these numbers that extend the least crowded policies, a group each."""
        size = self.learner.ppo.num_objectives
        groups = sorted({i // size for i in numbers})
        rows = dict(zip(groups, select(returns, len(groups), taken).tolist(), strict=True))
        starts = {}
        for i in numbers:
            row = rows[i // size]
            # |G| and not G: where returns are negative, βG is a stricter bound than G itself
            allowance = np.maximum((1.0 - self.constraint_beta) * np.abs(returns[row]), 0.01 * unit)
            starts[i] = Start(row, np.where(np.arange(size) == i % size, np.inf, allowance), episodic=False)
        return starts

    def _deviations(self, policies: PyTree) -> Floats:
        """Return the largest deviation (R,) of the returns that stacked policies met in training."""
        found = np.asarray(jax.vmap(running_statistics.deviation)(policies.return_stats), np.float64)
        return np.asarray(found.max(axis=0))


def find_gap(returns: Floats, objective: int, tried: set[bytes]) -> tuple[int, Floats] | None:
    """Find the widest gap of a front (n, R) in one objective that was not ``tried``; None if there is no other.

    The first is the range beyond the front's end in that objective, without a constraint. The others are found by
    thresholds on the other objectives, each at the return of some policy: the best policy on or above all thresholds
    and the best policy above them are the two ends of a range in which nothing is archived, as in the boxes of the
    epsilon-constraint method (Haimes et al., 1971). The second is the one to start from.

    Args:
        returns: (n, R).
        objective: index of the one to raise.
        tried: notes on the gaps found before; the new one is added.

    Returns:
        The row to start from, and (R,) the allowed loss of each return, the gap's width for ``objective``; infinite
        without a constraint.
    """
    n, num_objectives = returns.shape
    mine = np.arange(num_objectives) == objective
    end = b"end %d" % objective
    if end not in tried:
        tried.add(end)
        return int(returns[:, objective].argmax()), np.full(num_objectives, np.inf)
    picks = np.random.default_rng(len(tried)).integers(n, size=(TRIALS, num_objectives))
    floor = np.unique(np.where(mine, -np.inf, np.take_along_axis(returns, picks, 0)), axis=0)
    floor = floor[np.any((returns > floor[:, None]).all(axis=-1), axis=1)]
    above, on = (returns > floor[:, None]).all(axis=-1), (returns >= floor[:, None]).all(axis=-1)
    rows = np.where(above, returns[:, objective], -np.inf).argmax(axis=1)
    widths = returns[rows] - floor
    widths[:, objective] = np.where(on, returns[:, objective], -np.inf).max(axis=1) - returns[rows, objective]
    span = np.ptp(returns, axis=0)
    volume = (widths / np.where(span > 0, span, 1.0)).prod(axis=1)
    for i in np.argsort(-volume, kind="stable"):
        if volume[i] <= 0:
            break
        for margin in MARGINS:
            key = np.append(widths[i], (objective, margin, *returns[rows[i]])).tobytes()
            if key not in tried:
                tried.add(key)
                return int(rows[i]), widths[i] * np.where(mine, 1.0, 1.0 - margin)
    return None


def rows_above(returns: Floats, reference_point: Floats) -> NDArray[np.int64]:
    """Return the rows of an archive (n, R) that exceed the reference point (R,); all rows if none does."""
    good = (returns > reference_point).all(axis=1)
    return np.flatnonzero(good if good.any() else np.ones(len(returns), bool))


def select(returns: Floats, number: int, taken: set[bytes]) -> NDArray[np.int64]:
    """Select rows (number,) of the archive (n, R) to start from: the least crowded that were not ``taken`` before.

    If there are too few, those taken before follow, and then all once more. The selected are added to ``taken``.
    """
    rows = np.argsort(-crowding_distance(returns), kind="stable")
    known = np.array([returns[row].tobytes() in taken for row in rows])
    rows = np.resize(np.concatenate([rows[~known], rows[known]]), number)
    taken.update(returns[row].tobytes() for row in rows)
    return rows
