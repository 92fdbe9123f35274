"""Trials for TensorBoard: scores as they are reported, and settings beside results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from morl.tune.journal import Trial


class TensorBoard:
    """Writer of one folder of events for each trial.

    Args:
        directory: parent of these folders.
        settings: the agent's settings by name, for those that a trial does not set.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        self._directory, self._settings = directory, settings
        self._writers: dict[int, Any] = {}

    def report(self, number: int, values: dict[str, float]) -> None:
        """Write the values of a running trial's report, by name, at its ``steps``."""
        steps = int(values["steps"])
        self._writer(number).scalars({n: v for n, v in values.items() if n != "steps"}, steps)

    def end(self, trial: Trial) -> None:
        """Write the settings and results of a trial that has ended, and close its folder."""
        writer = self._writer(trial.number)
        results = {
            f"trial/{n}": v for n, v in trial.result.items() if n in ("score", "hypervolume", "expected_utility")
        }
        settings = {
            "state": trial.state,
            **{name: trial.params.get(name, self._settings[name]) for name in self._settings},
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        writer.hparams(settings, results, int(trial.result.get("steps", 0)))
        writer.close()
        del self._writers[trial.number]

    def close(self) -> None:
        """Write what is left of trials that have not ended, and close their folders."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, number: int) -> Any:
        if number not in self._writers:
            from morl.runs.loggers.tensorboard import TensorBoardWriter

            folder = self._directory / f"{number:05}"
            folder.mkdir(parents=True, exist_ok=True)
            self._writers[number] = TensorBoardWriter(folder)
        return self._writers[number]
