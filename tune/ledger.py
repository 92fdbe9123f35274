"""State of a study on top of its journal: trials that run, the next one, and how others ended. It knows no Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from morl.errors import UserError
from morl.runs.csv import csv_text
from morl.tune.journal import Journal, Trial
from morl.tune.searchers import Searcher

LOSSES = 3  # times that a trial is lost with its machine until the trial is blamed
GRACE_SECONDS = 30.0  # time for trials to write their checkpoints when a study is stopped


class Reporter(Protocol):
    """Shows the progress of a study to a person."""

    def start(self, headline: str, path: Path) -> None:
        """Show what is about to run and where, before the first trial."""
        ...

    def update(self, trials: list[Trial], active: dict[int, dict[str, float]]) -> None:
        """Show all trials, and the last report of each that is running, by number."""
        ...

    def note(self, text: str) -> None:
        """Show a line that stays."""
        ...


class Ledger:
    """Keeps track of which trials run, which is next, and whether to stop.

    Args:
        journal: an open journal.
        searcher: a searcher that knows the trials that have ended.
        number: number of trials in all.
        first: settings of the first trial, the defaults.
        stop: path of the file that tells trials to write a checkpoint and end.
        max_concurrent: largest number of trials at a time; ``None`` for no limit.
        should_stop: tells whether to stop the study.
        reporter: shows the progress.
        board: writes scores and ends of trials to TensorBoard.

    Attributes:
        active: last report of each running trial, by number.
        error: why the study cannot continue, or ``None``.
        stopping: whether trials have been told to end.
    """

    def __init__(
        self,
        journal: Journal,
        searcher: Searcher,
        number: int,
        *,
        first: dict[str, Any],
        stop: Path,
        max_concurrent: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        reporter: Reporter | None = None,
        board: Board | None = None,
    ) -> None:
        self.journal, self.searcher, self.number = journal, searcher, number
        self._first = first
        self._stop, self._should_stop, self._reporter = stop, should_stop, reporter
        self._max_concurrent, self._board = max_concurrent, board
        self._waiting = [n for n, trial in sorted(journal.trials.items()) if trial.state == "started"]
        self.active: dict[int, dict[str, float]] = {}
        self._ending: dict[int, dict[str, Any]] = {}
        self._losses: dict[int, int] = {}
        self.error: Exception | None = None
        self._since: float | None = None

    @property
    def stopping(self) -> bool:
        return self._since is not None

    @property
    def finished(self) -> bool:
        """True if no trial runs and none is left to run."""
        return not self.active and (self.stopping or not (self._waiting or len(self.journal.trials) < self.number))

    def next(self) -> Trial | None:
        """Return a trial to run, an interrupted one or a new one; ``None`` where there is none at the moment."""
        if self.stopping or (self._max_concurrent is not None and len(self.active) >= self._max_concurrent):
            return None
        if self._waiting:
            number = self._waiting.pop(0)
        elif len(self.journal.trials) < self.number:
            number = len(self.journal.trials)
            self.journal.start(number, self.searcher.propose(number) if number else self._first)
        else:
            return None
        self.active[number] = {}
        return self.journal.trials[number]

    def heard(self, number: int, message: dict[str, Any]) -> None:
        """Take in a message of a running trial; see :func:`morl.tune.worker.execute`."""
        if any(name in message for name in ("final", "failed", "stopped", "unwritable")):
            self._ending[number] = message
            return
        self.active[number] = {
            name: float(message[name]) for name in ("score", "steps", "hypervolume", "expected_utility", "seconds")
        }
        self.journal.report(number, int(message["steps"]), float(message["score"]))
        if self._board:
            self._board.report(number, self.active[number])
        self._show()

    def has_ended(self, number: int) -> bool:
        """Return whether a trial has sent its last message, whatever becomes of its process."""
        return number in self._ending

    def over(self, number: int, params: dict[str, Any] | None = None, failure: str = "", lost: bool = False) -> None:
        """Take in that a trial's process has ended.

        Args:
            number: number of the trial.
            params: its last settings, where they have changed.
            failure: what ended the process, if neither the trial itself nor the scheduler did.
            lost: whether the machine it ran on has gone; the trial is then run again.

        Raises:
            UserError: the trial could not write its run directory, so that no other trial can write its own.
        """
        last = self.active.pop(number, {})
        message = self._ending.pop(number, {})
        more = {} if params is None else {"params": params}
        if "unwritable" in message:
            raise UserError(str(message["unwritable"]))
        if "final" in message:
            result = {k: v for k, v in message.items() if isinstance(v, int | float) and not isinstance(v, bool)}
            self._end(number, "finished", result=result, **more)
        elif "failed" in message:
            self._end(number, "failed", result=last, reason=str(message["failed"]), **more)
        elif "stopped" in message or self.stopping:
            self._waiting.append(number)
        elif lost and self._losses.get(number, 0) + 1 < LOSSES:
            self._losses[number] = self._losses.get(number, 0) + 1
            self._waiting.append(number)
            self.note(f"trial {number} was lost with the machine it ran on and is run again")
        elif failure:
            self._end(number, "failed", result=last, reason=failure, **more)
        else:
            self._end(number, "pruned", result=last, **more)
        self._show()

    def _end(self, number: int, state: Any, **more: Any) -> None:
        self.journal.end(number, state, **more)
        trial = self.journal.trials[number]
        self.searcher.learn(trial)
        if self._board:
            self._board.end(trial)
        if trial.reason:
            self.note(f"trial {number} failed: {trial.reason}")

    def fail(self, error: Exception) -> None:
        """Stop the study for an error; the first one counts."""
        self.error = self.error or error
        self._begin_stop()

    def must_end(self) -> bool:
        """Return whether running trials are no longer waited for; starts the stop where one is asked for."""
        if self._since is None:
            if not self._should_stop():
                return False
            self._begin_stop()
        assert self._since is not None  # noqa: S101
        return not self.active or time.monotonic() - self._since > GRACE_SECONDS

    def _begin_stop(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
            try:
                self._stop.touch()
            except OSError as error:
                self.error = self.error or error

    def note(self, text: str) -> None:
        """Show a line to a person."""
        if self._reporter:
            self._reporter.note(text)

    def _show(self) -> None:
        if self._reporter:
            self._reporter.update(list(self.journal.trials.values()), self.active)


class Board(Protocol):
    """Writes trials to TensorBoard."""

    def report(self, number: int, values: dict[str, float]) -> None:
        """Write the values of a running trial's report."""
        ...

    def end(self, trial: Trial) -> None:
        """Write the settings and results of a trial that has ended."""
        ...


def best(trials: dict[int, Trial]) -> Trial | None:
    """Return the finished trial of the highest score, the first of equal ones; ``None`` without finished trials."""
    finished = [trial for trial in trials.values() if trial.state == "finished"]
    return max(finished, key=lambda trial: (trial.score, -trial.number)) if finished else None


COLUMNS = ("trial", "state", "score", "stderr", "hypervolume", "expected_utility", "steps", "seconds")


def results_csv(trials: dict[int, Trial], names: list[str]) -> str:
    """Return a table with one row for each trial; a setting that a trial does not have is empty.

    Args:
        trials: all trials by number.
        names: names of the searched settings.
    """
    rows = []
    for trial in trials.values():
        known: dict[str, Any] = {**trial.result, "trial": trial.number, "state": trial.state}
        known["score"] = "" if math.isnan(trial.score) else trial.score
        values = [known.get(name, "") for name in COLUMNS]
        rows.append([*values, *(trial.params.get(name, "") for name in names), trial.reason])
    return csv_text([*COLUMNS, *names, "reason"], rows)
