"""Posterior of a user's utility after comparisons, by particles: resampled and moved after each answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from morl.analysis.preference.utilities import Floats, Ints, utilities

PARTICLES = 512
MOVES = 12
"""Metropolis steps of every particle after each answer."""
SHORTEST_STEP = 0.03  # of the moves; a step of 1 is a fresh draw of the prior
NOISE = 0.01
"""Difference of utility that is told in 73 of 100 cases; 1 is from the worst to the best in all objectives."""
LAPSES = 0.02
"""Share of the answers that are given at random."""


class Answer(NamedTuple):
    """Answer to a question: policies ``first`` and ``second``, and whether the first is ``better``; None for a tie."""

    first: int
    second: int
    better: bool | None

    @property
    def share(self) -> float:
        """1 where the first is better, 0 where the second is, and 0.5 where they are as good."""
        return 0.5 if self.better is None else float(self.better)


def probability(difference: Floats) -> Floats:
    """Return the probability that a user says that a policy is better whose utility is higher by a difference.

    The logistic model of Bradley and Terry (1952) with a share of random answers: P = λ/2 + (1 - λ) σ(Δu / τ).
    """
    said: Floats = LAPSES / 2 + (1 - LAPSES) * expit(difference / NOISE)
    return said


def log_likelihood(difference: Floats, share: Floats | float) -> Floats:
    """Return the log-likelihood of answers; a tie, a share of 0.5, is half an answer each way."""
    p = probability(difference)
    return share * np.log(p) + (1 - share) * np.log1p(-p)


class Posterior:
    """Particles of a user's utility.

    Args:
        points: (n, R) normalised returns of the policies.
        seed: of the random numbers.

    Attributes:
        particles: (K, R + 1, 2), equally likely.
        utilities: (K, n) of the policies.
        answers: learnt from.
    """

    def __init__(self, points: Floats, seed: int = 0) -> None:
        self.points = points
        self.answers: list[Answer] = []
        self._generator = np.random.default_rng(seed)
        self.particles: Floats = self._generator.standard_normal((PARTICLES, points.shape[1] + 1, 2))
        self.utilities = utilities(self.particles, points)

    def learn(self, answer: Answer) -> None:
        """Resample the particles by an answer's likelihood, then move each of them (Chopin, 2002)."""
        self.answers.append(answer)
        values = self.utilities
        logs = log_likelihood(values[:, answer.first] - values[:, answer.second], answer.share)
        self.particles = self._moved(self.particles[resampled(logs, self._generator.uniform())])
        self.utilities = utilities(self.particles, self.points)

    def _moved(self, now: Floats) -> Floats:
        """Return particles after steps of the preconditioned Crank-Nicolson random walk.

        It keeps the normal prior, so that it accepts by the likelihood alone (Cotter et al., 2013, section 4.2).
        """
        height, count = self._height(now), len(now)
        for _ in range(MOVES):
            step = SHORTEST_STEP ** self._generator.uniform(size=(count, 1, 1))
            proposed = np.sqrt(1 - step**2) * now + step * self._generator.standard_normal(now.shape)
            new = self._height(proposed)
            accepted = -self._generator.standard_exponential(count) < new - height
            now = np.where(accepted[:, None, None], proposed, now)
            height = np.where(accepted, new, height)
        return now

    def _height(self, particles: Floats) -> Floats:
        """Return the log-likelihood (K,) of all answers."""
        first, second = (self.points[list(rows)] for rows in list(zip(*self.answers, strict=True))[:2])
        difference = utilities(particles, first) - utilities(particles, second)
        logs = log_likelihood(difference, np.array([answer.share for answer in self.answers]))
        height: Floats = logs.sum(axis=1)
        return height


def resampled(logs: Floats, place: float) -> Ints:
    """Return indices (K,) of particles drawn by log-weights (K,) with one uniform number (Kitagawa, 1996)."""
    weights = np.exp(logs - np.max(logs))
    ends = np.cumsum(weights) / weights.sum()
    found = np.searchsorted(ends, (np.arange(len(ends)) + place) / len(ends))
    return np.minimum(found, len(ends) - 1)
