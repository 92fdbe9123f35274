"""Second stage of C-MORL: rounds in which archived policies are extended along one objective, the others held."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import NDArray

from morl.agents.cmorl.constrained import ConstrainedPPO
from morl.ops import running_statistics
from morl.ops.pareto import crowding_distance
from morl.types import LearnerState, PyTree

Floats = NDArray[np.float64]

TRIALS = 512  # random thresholds to find the widest gap by
MARGINS = (0.05, 0.5)  # thresholds as shares of a gap's width from its far end: close to it, and in the middle


@dataclass(frozen=True)
class Extension:
    """Second stage: ``rounds`` of ``updates`` updates, all learners of a round side by side.

    Half of the learners extend the least crowded policies (Liu et al., 2025), and keep the share β of the
    other returns as published. The other half go for the widest gaps of the front: above one end of a gap in one
    objective, beyond its other end in the rest. With the interior-point method their constraints are on single episodes
    (:mod:`.constrained`).

    Attributes:
        learner: learner of these rounds.
        num_learners: K of a seed. Each extends one objective in turn; R of them extend one policy, or go for its gaps.
        rounds: number of rounds.
        updates: updates of each learner in a round.
        constraint_beta: share β of the other returns that has to be kept.
    """

    learner: ConstrainedPPO
    num_learners: int
    rounds: int
    updates: int
    constraint_beta: float

    @property
    def extra_metrics(self) -> tuple[str, ...]:
        """Return the metrics of :class:`ConstrainedPPO` beyond those of PPO."""
        return ("feasible_share",)

    def preferences(self, index: int) -> Floats:
        """Return (K, R), 1 for the objective that each learner raises in the round of this index."""
        size = self.learner.ppo.num_objectives
        return np.eye(size)[[number % size for number in self._numbers(index)]]

    def _numbers(self, index: int) -> range:
        """Return the numbers of a round's learners, counted over all rounds; R in turn make a group."""
        return range(index * self.num_learners, (index + 1) * self.num_learners)

    def begin(
        self, index: int, returns: Floats, policies: PyTree, reference_point: Floats, taken: set[bytes]
    ) -> list[LearnerState]:
        """Return K learners at the start of a round; see :class:`morl.types.Extension`."""
        numbers, size = self._numbers(index), self.learner.ppo.num_objectives
        above = rows_above(returns, reference_point)
        returns = returns[above]
        gaps = {i: find_gap(returns, i % size, taken) for i in numbers if i // size % 2}
        groups = sorted({i // size for i in numbers if gaps.get(i) is None})
        rows = dict(zip(groups, select(returns, len(groups), taken), strict=True))
        span = np.ptp(returns, axis=0)
        unit = np.where(span > 0, span, np.abs(returns).max(axis=0))
        unit = np.where(unit > 0, unit, self._deviations(policies))  # of an objective that has been 0 throughout
        least = 0.01 * unit
        learners = []
        for i, objective in zip(numbers, self.preferences(index), strict=True):
            archived = None
            if found := gaps.get(i):
                row, allowance = found
                archived = returns[row] if self.learner.method == "ipo" else None
            else:
                row = int(rows[i // size])
                # |G| and not G: where returns are negative, βG is a stricter bound than G itself
                allowance = np.maximum((1.0 - self.constraint_beta) * np.abs(returns[row]), least)
            # the allowed loss is the unit, so that the barrier is the same for objectives of any scale
            scale = np.where(np.isfinite(allowance), allowance, unit)
            policy = jax.tree.map(lambda x, row=above[row]: x[row], policies)
            allowance = np.where(objective > 0, np.inf, allowance)
            learners.append(self.learner.begin(policy, allowance, scale, archived))
        return learners

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
