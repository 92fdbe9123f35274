"""Search for merges of a front's policies: lines, samples of groups, surrogates, proposals; round after round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from morl.analysis.filling.lines import neighbours, shortfalls
from morl.analysis.filling.proposals import proposals, sampled
from morl.analysis.filling.surrogate import fit_surrogate, num_terms
from morl.settings import FillSettings
from morl.training.solution_sets import distinct_rows

Floats = NDArray[np.float64]
Evaluate = Callable[[Floats], Floats]  # weights (K, n) -> returns (K, E, R) over the same E episodes for all

SHARES = np.array([0.25, 0.5, 0.75])  # of the way between two neighbours
POINTS_PER_TERM = 2  # of a surrogate


@dataclass(frozen=True)
class Line:
    """Line between two neighbours.

    Attributes:
        round: number of the round that looked at it, from 0.
        ends: rows of the pool.
        gap: distance of its ends, in units of the front's range.
        below: (R,) largest shortfall below the straight line, see :func:`morl.analysis.filling.lines.shortfalls`.
    """

    round: int
    ends: tuple[int, int]
    gap: float
    below: Floats

    @property
    def barrier(self) -> float:
        """Largest shortfall of all objectives; infinite where a policy on the line has no finite return."""
        return float(np.where(np.isfinite(self.below), self.below, np.inf).max())


@dataclass(frozen=True)
class Group:
    """Policies whose merges a surrogate was fitted to.

    Attributes:
        round: number of the round, from 0.
        members: rows of the pool.
        points: evaluated merges behind the fit.
        fit, left_out: (R,) R² of the fit, and of points that it has not seen.
    """

    round: int
    members: tuple[int, ...]
    points: int
    fit: Floats
    left_out: Floats


@dataclass
class Pool:
    """Merges and their returns; the first n are the front's own policies.

    Attributes:
        weights: (N, n).
        samples: (N, E, R) returns over the same episodes.
        lines, groups: what was measured on the way.
    """

    weights: Floats
    samples: Floats
    lines: list[Line] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    @property
    def means(self) -> Floats:
        """Mean returns (N, R)."""
        return np.asarray(self.samples.mean(axis=1))

    def front(self, epsilon: float) -> NDArray[np.int64]:
        """Return the rows that are non-dominated and no near-duplicates; of these the earlier ones stay."""
        return distinct_rows(self.samples, epsilon)

    def add(self, evaluate: Evaluate, weights: Floats) -> NDArray[np.int64]:
        """Evaluate merges; return their rows."""
        rows = np.arange(len(self.weights), len(self.weights) + len(weights))
        if len(weights):
            self.weights = np.concatenate([self.weights, weights])
            self.samples = np.concatenate([self.samples, evaluate(weights)])
        return rows


def search(evaluate: Evaluate, inner: Floats, epsilon: float, settings: FillSettings, rng: np.random.Generator) -> Pool:
    """Search for merges of n policies that belong to their front.

    Args:
        evaluate: evaluates merges.
        inner: (n, n) inner products of the policies' parameters, see :func:`.merging.inner_products`.
        epsilon: share of the front's range within which policies are near-duplicates.
        settings: of the filling.
        rng: of the random numbers.

    Returns:
        everything evaluated. Estimates on the same episodes chose it: they are the luckiest, and to be confirmed.
    """
    own = np.eye(len(inner))
    pool = Pool(own, evaluate(own))
    for number in range(settings.rounds):
        quarter = settings.candidates // 4
        _look_along_lines(pool, evaluate, number, quarter, epsilon)
        members = _choose_groups(pool, inner, settings, max(1, quarter // _points(settings)), epsilon)
        _propose(pool, evaluate, number, members, settings, epsilon, rng)
    return pool


def _points(settings: FillSettings) -> int:
    """Return the merges that a surrogate is fitted to, beside the members."""
    return POINTS_PER_TERM * num_terms(settings.members)


def _look_along_lines(pool: Pool, evaluate: Evaluate, number: int, most: int, epsilon: float) -> None:
    """Evaluate up to ``most`` merges on lines between neighbours that were not looked at, the longest lines first."""
    front, means = pool.front(epsilon), pool.means
    span = np.ptp(means[front], axis=0)
    unit = np.where(span > 0, span, 1.0)
    known = {line.ends for line in pool.lines}
    found = []
    for one, other in front[neighbours(means[front])]:
        ends = (int(min(one, other)), int(max(one, other)))
        if ends not in known:
            found.append((float(np.linalg.norm((means[one] - means[other]) / unit)), ends))
    found = sorted(found, key=lambda each: (-each[0], each[1]))[: most // len(SHARES)]
    weights = [
        (1 - SHARES)[:, None] * pool.weights[one] + SHARES[:, None] * pool.weights[other] for _, (one, other) in found
    ]
    rows = pool.add(evaluate, np.concatenate(weights) if weights else np.zeros((0, pool.weights.shape[1])))
    along = pool.means[rows].reshape(len(found), len(SHARES), -1)
    for (gap, ends), on_line in zip(found, along, strict=True):
        pool.lines.append(Line(number, ends, gap, shortfalls(means[list(ends)], on_line, SHARES, span)))


def _choose_groups(
    pool: Pool, inner: Floats, settings: FillSettings, most: int, epsilon: float
) -> list[tuple[int, ...]]:
    """Return up to ``most`` groups: the pairs of the widest gaps less their barriers, and policies near them.

    A gap that is wide, and a barrier that is low, leave room on the line. The others of a group are those of the front
    nearest to the pair in parameters, as merges of policies far apart act like none of them.
    """
    front, weights = pool.front(epsilon), pool.weights
    chosen: list[tuple[int, ...]] = []
    taken = {group.members for group in pool.groups}
    for line in sorted(pool.lines, key=lambda line: (line.barrier - line.gap, line.ends)):
        away = weights[front] - weights[list(line.ends)].mean(axis=0)
        distance = np.einsum("kn,nm,km->k", away, inner, away)
        near = [int(row) for row in front[np.argsort(distance, kind="stable")] if row not in line.ends]
        members = (*line.ends, *near[: settings.members - 2])
        if len(chosen) == most:
            break
        if members not in taken:
            chosen.append(members)
            taken.add(members)
    return chosen


def _propose(
    pool: Pool,
    evaluate: Evaluate,
    number: int,
    groups: list[tuple[int, ...]],
    settings: FillSettings,
    epsilon: float,
    rng: np.random.Generator,
) -> None:
    """Fit a surrogate to each group, and evaluate what it proposes."""
    designs, bases = [], []
    for members in groups:
        base = base_of(pool.weights[list(members)], settings.base)
        design = sampled(_points(settings), len(members), rng)
        designs.append(design)
        bases.append(base)
    merges = [
        weights_of(design, pool.weights[list(members)], base)
        for design, members, base in zip(designs, groups, bases, strict=True)
    ]
    if not merges:
        return
    rows = iter(np.split(pool.add(evaluate, np.concatenate(merges)), np.cumsum([len(x) for x in merges])[:-1]))
    means, tried = pool.means, []
    known = means[pool.front(epsilon)]
    share = settings.candidates // 2 // len(groups)
    for members, design, base, mine in zip(groups, designs, bases, rows, strict=True):
        coefficients = np.concatenate([np.eye(len(members)), design])
        returns = means[[*members, *mine]]
        finite = np.isfinite(returns).all(axis=1)
        surrogate = fit_surrogate(coefficients[finite], returns[finite])
        pool.groups.append(Group(number, members, int(finite.sum()), surrogate.fit, surrogate.left_out))
        found = proposals(surrogate, known, share, rng)
        tried.append(weights_of(found, pool.weights[list(members)], base))
    pool.add(evaluate, np.concatenate(tried))


def base_of(members: Floats, base: str) -> Floats:
    """Return the weights (n,) of the policy that merges of members (m, n) move from."""
    mean = np.asarray(members.mean(axis=0))
    if base == "mean":
        return mean
    return np.asarray(members[np.linalg.norm(members - mean, axis=1).argmin()])


def weights_of(coefficients: Floats, members: Floats, base: Floats) -> Floats:
    """Return the weights (K, n) of θ_0 + Σ c_n (θ_n − θ_0) (Li et al., 2024, eq. 3).

    Args:
        coefficients: (K, m).
        members: (m, n) weights of the members.
        base: (n,) of θ_0.
    """
    return np.asarray(base + coefficients @ (members - base))
