"""Report of an environment check, and the findings that both kinds of environment share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from morl.envs.host.reward_steps import lost_in_float32
from morl.errors import MissingExtraError, UserError, blame

ENDLESS = "no episode ended in {} steps"


@dataclass(frozen=True)
class Finding:
    """Line of a report.

    Attributes:
        status: ``ok``, ``fix`` (must be fixed), ``note`` (for information) or ``skip`` (not checked).
        subject: name of the check.
        text: the observation and, for ``fix``, the remedy; for ``skip``, the reason.
    """

    status: Literal["ok", "fix", "note", "skip"]
    subject: str
    text: str = ""

    def __str__(self) -> str:
        status = "FIX" if self.status == "fix" else self.status
        return f"{status:<4}  {self.subject}{f': {self.text}' if self.text else ''}"


class Fault(Exception):
    """Error of the environment that makes the rest of a check impossible."""


class Report:
    """Findings in the order of the checks; ``str`` gives one on each line."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def fix(self, subject: str, text: str) -> None:
        """Add a finding that must be fixed; only the first for a subject is kept."""
        if not any(f.subject == subject and f.status == "fix" for f in self.findings):
            self.findings.append(Finding("fix", subject, " ".join(text.split())))

    def note(self, subject: str, text: str) -> None:
        """Add a finding for information."""
        self.findings.append(Finding("note", subject, " ".join(text.split())))

    def skip(self, subject: str, why: str) -> None:
        """Add a check that was not made, and the reason."""
        self.findings.append(Finding("skip", subject, why))

    @contextlib.contextmanager
    def about(self, subject: str, told: str = "") -> Iterator[None]:
        """Add ``ok`` unless the block adds a finding to fix or skip; an exception in the block must be fixed.

        Raises:
            MissingExtraError: the block raised it.
        """
        before = len(self.findings)
        try:
            yield
        except Fault as fault:
            self.fix(subject, str(fault))
        except MissingExtraError:  # to install, not to fix
            raise
        except UserError as error:
            self.fix(subject, str(error))
        except (Exception, SystemExit) as error:  # any exception: it is the environment's
            self.fix(subject, f"raised {blame(error)}")
        if not any(f.status in ("fix", "skip") for f in self.findings[before:]):
            self.findings.insert(before, Finding("ok", subject, told))

    def closes(self, close: Callable[[], Any]) -> None:
        """Close an environment; what it raises must be fixed."""
        try:
            close()
        except (Exception, SystemExit) as error:  # any exception: it is the environment's
            self.fix("close", f"raised {blame(error)}; it must close what there is, also before the first reset")

    def passed(self) -> bool:
        """Return whether nothing must be fixed."""
        return not any(f.status == "fix" for f in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


def check_reference_point(report: Report, point: Any, names: Any, returns: NDArray[Any]) -> None:
    """Add a note where the mean of ``returns`` (n, R) of random actions is below the reference point (R,), or None."""
    mean = returns.mean(axis=0)
    if point is None:
        report.note(
            "reference point",
            f"none: a training needs --reference-point; random actions return {np.round(mean, 3).tolist()} on average,"
            f" {np.round(returns.min(axis=0), 3).tolist()} at worst",
        )
        return
    below = [str(name) for name, low, value in zip(names, point, mean, strict=True) if value < low]
    if below:
        report.note(
            "reference point",
            f"random actions return {np.round(mean, 3).tolist()} on average, worse than {np.asarray(point).tolist()} in"
            f" {', '.join(below)}: what is worse than it there counts nothing in the hypervolume",
        )


def outside(reward: NDArray[Any], space: spaces.Box) -> NDArray[np.bool_]:
    """Return which rewards (..., R) are outside of their space by more than rounding, whatever their unit."""
    bounds = [np.where(np.isfinite(bound), np.abs(bound), 0) for bound in (space.low, space.high)]
    slack = 1e-5 * np.maximum(np.maximum(*bounds), np.abs(reward))
    return np.asarray((reward < space.low - slack) | (reward > space.high + slack))


def note_lost(report: Report, subject: str, values: NDArray[Any], advice: str) -> None:
    """Add a note where the values (n, ...) of a part change by less than float32 resolves."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    low, high = flat.min(axis=0), flat.max(axis=0)
    found = np.flatnonzero(lost_in_float32(low, high))
    if len(found):
        i = int(found[0])
        report.note(
            subject, f"part {i} is from {low[i]:.9g} to {high[i]:.9g}, which float32 hardly tells apart: {advice}"
        )


def check_terminations_at_limit(report: Report, ends: list[tuple[int, bool]], limit: int) -> None:
    """Add a finding if all ``ends`` (length, terminated) of episodes are terminations at the time limit."""
    if len(ends) > 1 and all(length == limit and terminated for length, terminated in ends):
        report.fix(
            "time limit",
            f"every episode terminates at step {limit}, its max_episode_steps: if that is only where time is up, leave"
            " terminated False; if the task is over there, register no max_episode_steps",
        )
