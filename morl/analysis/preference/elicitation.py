"""Elicitation: questions about the policies of one front, and which of them the answers speak for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morl.analysis.preference.posterior import Answer, Posterior
from morl.analysis.preference.questions import next_question
from morl.analysis.preference.utilities import LINEAR, Floats, families_of, normalised, weights_of
from morl.errors import UserError

CLOSE = 0.02
"""Utility below the best policy's, as a share of the front's range, that still counts as close to the best."""


@dataclass(frozen=True)
class Verdict:
    """Policy that the answers speak for.

    Attributes:
        policy: its row, that of the largest expected utility.
        best: posterior probability that it is the best of the front.
        close: posterior probability that its utility is within :data:`CLOSE` of the best one.
        importance, importance_sd: (R,) posterior mean and standard deviation of the weights of the objectives, each
            counted in its range over the front.
        preference: (R,) weights of returns in their own units for which no policy of the front has a larger weighted
            return, the mean of those that the answers speak for; None where they speak for none.
        linear: posterior probability that the utility is linear.
    """

    policy: int
    best: float
    close: float
    importance: Floats
    importance_sd: Floats
    preference: Floats | None
    linear: float


class Elicitation:
    """Posterior of a user's utility over the policies of a front.

    Args:
        returns: (n, R) of the policies.
        seed: of the particles; with the same answers the same one gives the same questions.

    Raises:
        UserError: a front of one policy.
    """

    def __init__(self, returns: Floats, seed: int = 0) -> None:
        if len(returns) < 2:
            raise UserError("this front has one policy: there is nothing to choose between")
        self.returns = np.asarray(returns, np.float64)
        self.posterior = Posterior(normalised(self.returns), seed)

    @property
    def answers(self) -> list[Answer]:
        return self.posterior.answers

    def question(self, rule: str = "value") -> tuple[int, int] | None:
        """Return the two policies to ask about next; see :func:`morl.analysis.preference.questions.next_question`."""
        asked = (frozenset((answer.first, answer.second)) for answer in self.answers)
        return next_question(self.posterior.utilities, asked, rule)

    def tell(self, first: int, second: int, better: bool | None) -> None:
        """Learn from an answer: whether the first of two policies is the better one; None where both are as good.

        Raises:
            UserError: a row that is not in the front, or a policy beside itself.
        """
        if first == second or not all(0 <= row < len(self.returns) for row in (first, second)):
            raise UserError(f"{first} and {second} are no two policies of this front, which has {len(self.returns)}")
        self.posterior.learn(Answer(first, second, better))

    def verdict(self) -> Verdict:
        """Return the policy of the largest expected utility, and how sure that is."""
        utilities, weights = self.posterior.utilities, weights_of(self.posterior.particles)
        linear = families_of(self.posterior.particles) < LINEAR
        policy = int(utilities.mean(axis=0).argmax())
        behind = utilities.max(axis=1) - utilities[:, policy]
        return Verdict(
            policy=policy,
            best=float((behind <= 0).mean()),
            close=float((behind <= CLOSE * np.ptp(utilities, axis=1)).mean()),
            importance=weights.mean(axis=0),
            importance_sd=weights.std(axis=0),
            preference=self._preference(policy, weights[linear & (behind <= 0)]),
            linear=float(linear.mean()),
        )

    def _preference(self, policy: int, weights: Floats) -> Floats | None:
        """Return the mean of weights (K, R) of ranges, all of which have a policy, as one of units that has it too.

        The best weights of a policy are a convex cone; digits are left off as far as that stays true.
        """
        if not len(weights):
            return None
        span = np.ptp(self.returns, axis=0)
        raw = np.where(span > 0, weights.mean(axis=0) / np.where(span > 0, span, 1.0), 0.0)
        raw /= raw.sum()
        largest = int(raw.argmax())
        for digits in range(2, 13):
            short = np.array([float(f"{w:.{digits}g}") for w in raw])
            short[largest] = round(1 - (short.sum() - short[largest]), 12)
            if int(np.argmax(self.returns @ short)) == policy:
                return short
        return None
