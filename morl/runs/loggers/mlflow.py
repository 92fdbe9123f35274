"""MLflow. Its own environment variables say where runs go: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from morl.runs.loggers.base import Opening, Row, scalars

MOST_OF_A_VALUE = 500  # characters that MLflow takes of a parameter, in the oldest version supported


class MLflowLogger:
    """Logger of a run of the experiment ``morl`` (or MLFLOW_EXPERIMENT_NAME)."""

    def __init__(self, opening: Opening) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._client, self._metric = MlflowClient(), Metric
        if opening.identity is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "morl"
            found = self._client.get_experiment_by_name(name)
            experiment = found.experiment_id if found else self._client.create_experiment(name)
            self._run = self._client.create_run(experiment, run_name=opening.path.name).info.run_id
            params = [Param(key, str(value)[:MOST_OF_A_VALUE]) for key, value in opening.settings.items()]
            self._client.log_batch(self._run, params=params)
        else:
            self._run = opening.identity
            self._client.update_run(self._run, status="RUNNING")
        self.identity: str | None = self._run

    def write(self, row: Row) -> None:
        """Log the finite numbers of a row at its step."""
        self._log(scalars(row), int(row["step"]))

    def image(self, name: str, image: Any, step: int) -> None:
        """Log a picture as an artifact."""
        self._client.log_image(self._run, image, f"{name}.png")

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float], step: int) -> None:
        """Log the results as metrics of the last step."""
        self._log(results, step)

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [self._metric(name, float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)
