"""Settings of logs and of their evaluation. Imports no JAX: help texts need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from morl.errors import UserError
from morl.validation import check_integer, check_range, convert_fields

Target = Literal["sampled", "greedy"]
Estimator = Literal["pdis", "snpdis", "dr"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)


@dataclass(frozen=True)
class BehaviourSettings:
    """Settings of the behaviour that a log is of."""

    behaviour: Target = "sampled"
    """Actions in a log: sampled from the policy, or greedy ones, which have probability 1 without --epsilon."""
    epsilon: float = 0.0
    """Share of the actions in a log that are uniform over the allowed ones instead."""
    mixture: bool = False
    """Draw one of all policies of the front for each episode of a log, in place of --preference or --policy."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check_range(self, "epsilon", low=0, high=1)


@dataclass(frozen=True)
class LogSettings:
    """Settings of judging a front from logged episodes."""

    target: Target = "sampled"
    """Policies that are judged by a log: with sampled actions, or greedy ones, for choices among few actions only."""
    estimator: Estimator = "dr"
    """Estimator that is printed, the file of --out has all: per-decision importance sampling (pdis), self-normalised
    (snpdis), or doubly robust (dr)."""
    min_effective: float = 50.0
    """Least effective number of logged episodes; a policy that has fewer is not judged."""
    preference: tuple[float, ...] | None = None
    """Weights of the objectives for SharpeRatio@k; by default equal ones."""
    top_k: int = 3
    """Policies k that SharpeRatio@k is over, the best by their estimates; all where there are fewer."""
    resamples: int = 2000
    """Bootstrap resamples of the logged episodes behind the intervals."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check_range(self, "min_effective", low=1)
        check_integer(self, "top_k", low=2)
        check_integer(self, "resamples", low=100, high=100_000)


def check_log_path(path: object) -> None:
    """Check that a log's name has a format that is known.

    Raises:
        UserError: another suffix than .npz and .parquet.
    """
    if not str(path).lower().endswith((".npz", ".parquet")):
        raise UserError(f"{path} is no name of a log; allowed: .npz, .parquet")
