"""Journal of a study: one JSON object a line, each safely on disk before the study continues.

A study is resumed from this file and not from Ray's own state. Ray's is pickled, so that a directory from somebody else
could run any code, and it is written only now and then. All that the searcher and the scheduler know follows from the
journal.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from morl.errors import UserError

State = Literal["started", "finished", "pruned", "failed"]
ENDS = ("finished", "pruned", "failed")
_LARGEST = 2**28  # most bytes of a journal that are read


@dataclass
class Trial:
    """Record of one trial.

    Attributes:
        number: counted from 0; also the name of its run directory.
        params: values of the searched settings; after population-based training, its last ones.
        state: ``started`` until it has ended.
        reports: scores that the training estimated on its way, by environment steps.
        result: numbers it ended with: score, stderr, hypervolume, expected_utility, steps, seconds.
        reason: why it failed.
    """

    number: int
    params: dict[str, Any]
    state: State = "started"
    reports: dict[int, float] = field(default_factory=dict)
    result: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def score(self) -> float:
        """Re-evaluated score of a finished trial, else the last one reported; NaN without any."""
        if self.state == "finished":
            return self.result["score"]
        return self.reports[max(self.reports)] if self.reports else math.nan


class Journal:
    """Journal of a study, open in one process at a time.

    Attributes:
        trials: all trials by number.
        held_out: results by seed of what was trained on held-out seeds, by its name.

    Raises:
        UserError: another process has it open, or it holds a line that no study writes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials: dict[int, Trial] = {}
        self.held_out: dict[str, dict[int, dict[str, float]]] = {}
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UserError(
                f"the study in {path.parent} is running in another process; wait for it, or stop it"
            ) from None
        try:
            self._end = self._read()
        except BaseException:
            self._file.close()
            raise

    def start(self, number: int, params: dict[str, Any]) -> None:
        """Record that a trial starts, for the first time or again."""
        self._add({"event": "start", "trial": number, "params": params})

    def report(self, number: int, steps: int, score: float) -> None:
        """Record a score that a trial has reported after so many environment steps."""
        self._add({"event": "report", "trial": number, "steps": steps, "score": score})

    def end(self, trial: int, state: State, **more: Any) -> None:
        """Record that a trial has ended, with ``params``, ``result`` and ``reason`` as in :class:`Trial`."""
        self._add({"event": "end", "trial": trial, "state": state, **more})

    def hold_out(self, name: str, results: dict[int, dict[str, float]]) -> None:
        """Record the results by seed of a training on held-out seeds."""
        self._add({"event": "held_out", "name": name, "results": {str(seed): one for seed, one in results.items()}})

    def close(self) -> None:
        """Close the file, and with it release the lock."""
        self._file.close()

    def _add(self, record: dict[str, Any]) -> None:
        """Append a record completely or not at all; it is on disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        self._take(json.loads(line := json.dumps(record)))
        data = f"{line}\n".encode()
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
            if record["event"] != "report":  # losing a report costs nothing
                os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(data)

    def _read(self) -> int:
        """Apply all records of the file, and cut off an incomplete last line.

        Returns:
            bytes of the complete lines.

        Raises:
            UserError: a line that no study writes.
        """
        self._file.seek(0)
        data = self._file.read(_LARGEST)
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                raise UserError(f"{self.path} is damaged in line {number} ({text})") from None
        self._file.truncate(whole)
        return whole

    def _take(self, record: dict[str, Any]) -> None:
        """Apply a record.

        Raises:
            ValueError, KeyError, TypeError: nothing that a study writes.
        """
        event = record["event"]
        if event == "held_out":
            self.held_out[str(record["name"])] = {int(seed): _numbers(one) for seed, one in record["results"].items()}
            return
        number = record["trial"]
        if not isinstance(number, int) or number < 0:
            raise ValueError(f"{number!r} is not the number of a trial")
        if event == "start":
            trial = self.trials.setdefault(number, Trial(number, {}))
            trial.params = dict(record["params"])
            return
        trial = self.trials[number]
        if event == "report":
            trial.reports[int(record["steps"])] = float(record["score"])
        elif event == "end":
            if record["state"] not in ENDS:
                raise ValueError(f"{record['state']!r} is not the end of a trial")
            trial.state = record["state"]
            trial.params = dict(record.get("params", trial.params))
            trial.result = _numbers(record.get("result", {}))
            trial.reason = str(record.get("reason", ""))
            if trial.state == "finished" and not math.isfinite(trial.result["score"]):
                raise ValueError("a score is not finite")
        else:
            raise ValueError(f"{event!r} is not an event")


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.items()}
