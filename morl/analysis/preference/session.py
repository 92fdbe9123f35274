"""Questions to a user about a finished run, with the answers kept in its directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from morl.analysis.preference.answers import answers_path, read_answers, write_answers
from morl.analysis.preference.elicitation import Elicitation, Verdict
from morl.analysis.preference.posterior import Answer
from morl.analysis.preference.utilities import Floats
from morl.analysis.results import Result, read_front
from morl.errors import UserError, user_code
from morl.loading import front_of_seed
from morl.runs.front import Front
from morl.words import brief_repr

QUESTIONS = 10
SURE = 0.95


@dataclass(frozen=True)
class Offer:
    """Policy that a user is asked about.

    Attributes:
        id: its row in ``front.csv``.
        objectives: R names.
        returns: (R,) mean discounted returns in the environment's units.
        stderr: (R,) their standard errors.
    """

    id: int
    objectives: tuple[str, ...]
    returns: Floats
    stderr: Floats


AnswerFunction = Callable[[Offer, Offer], bool | None]


@dataclass(frozen=True)
class Preferred:
    """Policy that a user's answers speak for; see :class:`morl.analysis.preference.elicitation.Verdict`.

    Attributes:
        policy: its id in ``front.csv``.
        training_seed: of the front.
        returns: (R,) of it.
        verdict: how sure that is, and the weights.
        answers: all answers, those of earlier calls too.
        path: the file that keeps them.
    """

    policy: int
    training_seed: int
    returns: Floats
    verdict: Verdict
    answers: tuple[Answer, ...]
    path: Path
    __repr__ = brief_repr


class Session:
    """Elicitation about the front of a run whose answers are in its directory.

    Args:
        run: directory of a finished run.
        training_seed: whose front; by default that of the first seed.
        restart: begin anew; the first answer replaces those there are.
        seed: of the method's random numbers.

    Raises:
        UserError: not a finished run, no such seed, a front of one policy, or answers about another front.
    """

    def __init__(
        self, run: str | os.PathLike[str], training_seed: int | None = None, restart: bool = False, seed: int = 0
    ) -> None:
        self.result: Result = read_front(Path(run))
        fronts = self.result.fronts
        self.front: Front = front_of_seed(fronts, training_seed)
        self.training_seed = next(key for key, front in fronts.items() if front is self.front)
        if len(self.front) < 2:
            raise UserError(f"the front of {run} has one policy: there is nothing to choose between")
        self.path = answers_path(self.result.path, self.training_seed)
        before = [] if restart else read_answers(self.path, self.front)
        self.elicitation = Elicitation(self.front.returns, seed)
        for answer in before:
            self.elicitation.tell(*answer)

    @property
    def answers(self) -> list[Answer]:
        return self.elicitation.answers

    def offer(self, row: int) -> Offer:
        """Return a policy of the front."""
        return Offer(row, self.front.objectives, self.front.returns[row], self.front.stderr[row])

    def ask(self, answer: AnswerFunction, questions: int = QUESTIONS, sure: float = SURE) -> Preferred:
        """Ask until there are so many answers in all, or it is sure enough; return the policy they speak for.

        Args:
            answer: called with two policies: True if the first is better, False if the second is, None if they are as
                good. It may raise EOFError to answer no more.
            questions: answers in all, with those that there are already.
            sure: posterior probability of being close to the best at which it asks no more.

        Raises:
            UserError: an answer that is neither, an error in ``answer``, or a file that cannot be written.
        """
        while len(self.answers) < questions and self.elicitation.verdict().close < sure:
            pair = self.elicitation.question()
            if pair is None:
                break
            a, b = (self.offer(row) for row in pair)
            with user_code("answer", f"a call on policies {a.id} and {b.id}"):
                try:
                    said = answer(a, b)
                except EOFError:
                    break
            if said is not None and not isinstance(said, bool | np.bool_):
                raise UserError(f"answer must return True, False or None, not {said!r}")
            self.elicitation.tell(*pair, None if said is None else bool(said))
            write_answers(self.path, self.front, self.answers)
        verdict = self.elicitation.verdict()
        return Preferred(
            policy=verdict.policy,
            training_seed=self.training_seed,
            returns=self.front.returns[verdict.policy],
            verdict=verdict,
            answers=tuple(self.answers),
            path=self.path,
        )


def prefer(
    run: str | os.PathLike[str],
    answer: AnswerFunction,
    *,
    questions: int = QUESTIONS,
    sure: float = SURE,
    training_seed: int | None = None,
    restart: bool = False,
    seed: int = 0,
) -> Preferred:
    """Find the policy of a finished run that a user likes best, by asking which of two is better.

    >>> import morl
    >>> found = morl.prefer("runs/x", lambda a, b: a.returns.min() > b.returns.min())  # doctest: +SKIP
    >>> morl.play("runs/x", policy=found.policy)  # doctest: +SKIP

    Answers are kept in the run directory and a second call goes on from them.

    Args:
        run: run directory.
        answer: called with two :class:`Offer`: True if the first is better, False if the second is, None if they are as
            good; EOFError ends the questions.
        questions: most answers in all.
        sure: posterior probability of being within 2 % of the best at which it asks no more; 1 asks them all.
        training_seed: whose front; by default that of the first seed.
        restart: begin anew; the first answer replaces those of earlier calls.
        seed: of the method's random numbers.

    Raises:
        UserError: not a finished run, a front of one policy, numbers out of range, answers about another front, or an
            answer that is neither True, False nor None.
    """
    check_limits(questions, sure)
    return Session(run, training_seed, restart, seed).ask(answer, questions, sure)


def check_limits(questions: int, sure: float) -> None:
    """Check how many questions are asked.

    Raises:
        UserError: less than one, or no probability.
    """
    if isinstance(questions, bool) or not isinstance(questions, int) or questions < 1:
        raise UserError(f"questions must be a whole number of at least 1, not {questions}")
    if not 0 < sure <= 1:
        raise UserError(f"sure must be above 0 and at most 1, not {sure}")
