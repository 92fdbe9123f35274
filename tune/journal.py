"""What a study has done so far, one JSON object a line, each safely on disk before the study goes on.

This file, and not Ray's own state, is what a study is resumed from: Ray's is pickled, so a directory from somebody else
could run any code, and it is written only now and then. All that the searcher and the scheduler know follows from it.
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
_LARGEST = 2**28  # bytes of a journal that are read


@dataclass
class Trial:
    """What is known of one trial.

    Attributes:
        number: counted from 0; the name of its run directory.
        params: of the settings that are searched, those it was given; after population-based training, its last ones.
        state: started until it has ended.
        reports: by environment steps, scores that the training estimated on its way.
        result: what it ended with: score, stderr, hypervolume, expected_utility, steps, seconds.
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
        """The re-evaluated one of a finished trial, else the last one reported; NaN without any."""
        if self.state == "finished":
            return self.result["score"]
        return self.reports[max(self.reports)] if self.reports else math.nan


class Journal:
    """The journal of a study, open for one process at a time.

    Attributes:
        trials: by number.
        held_out: by the name of what was trained on the held-out seeds, its results by seed.

    Raises:
        UserError: another process has it, or it holds what no study writes.
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
        """A trial begins, or begins again."""
        self._add({"event": "start", "trial": number, "params": params})

    def report(self, number: int, steps: int, score: float) -> None:
        """A trial has come so far."""
        self._add({"event": "report", "trial": number, "steps": steps, "score": score})

    def end(self, trial: int, state: State, **more: Any) -> None:
        """A trial is over: ``params``, ``result`` and ``reason`` as in :class:`Trial`."""
        self._add({"event": "end", "trial": trial, "state": state, **more})

    def hold_out(self, name: str, results: dict[int, dict[str, float]]) -> None:
        """What settings reach on seeds that the search has not seen."""
        self._add({"event": "held_out", "name": name, "results": {str(seed): one for seed, one in results.items()}})

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def _add(self, record: dict[str, Any]) -> None:
        """Append a record, whole or not at all; on disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        self._take(json.loads(line := json.dumps(record)))
        data = f"{line}\n".encode()
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
            if record["event"] != "report":  # to lose one of these costs nothing
                os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(data)

    def _read(self) -> int:
        """Take in what is there; a last line that was cut off goes. How many bytes are left."""
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
        """What a record says."""
        event = record["event"]
        if event == "held_out":
            self.held_out[str(record["name"])] = {int(seed): _numbers(one) for seed, one in record["results"].items()}
            return
        number = record["trial"]
        if not isinstance(number, int) or number < 0:
            raise ValueError(f"no trial is {number!r}")
        if event == "start":
            trial = self.trials.setdefault(number, Trial(number, {}))
            trial.params = dict(record["params"])
            return
        trial = self.trials[number]
        if event == "report":
            trial.reports[int(record["steps"])] = float(record["score"])
        elif event == "end":
            if record["state"] not in ENDS:
                raise ValueError(f"no trial ends as {record['state']!r}")
            trial.state = record["state"]
            trial.params = dict(record.get("params", trial.params))
            trial.result = _numbers(record.get("result", {}))
            trial.reason = str(record.get("reason", ""))
            if trial.state == "finished" and not math.isfinite(trial.result["score"]):
                raise ValueError("a score is not finite")
        else:
            raise ValueError(f"no event is {event!r}")


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in values.items()}
