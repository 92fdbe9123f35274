"""Trainings that run in Ray's worker processes: trials of a search, and those on held-out seeds.

Their functions are nested ones, which Ray pickles by value: a worker can extend its import path before it imports
anything of this package.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from morl.tune.ledger import Ledger
from morl.tune.on_ray import failures
from morl.tune.settings import StudySettings
from morl.tune.worker import Job


def trainable(job: Job, trials: Path) -> Callable[[dict[str, Any]], None]:
    """Return the function that Tune runs for each trial, given the trial's number and settings.

    Args:
        job: what all trials share.
        trials: directory of the trials' run directories.
    """
    values, path, roots = asdict(job), str(trials.resolve()), list(sys.path)

    def trial(config: dict[str, Any]) -> None:
        import sys
        from pathlib import Path

        sys.path += [entry for entry in roots if entry not in sys.path]
        from ray import tune

        from morl.tune import worker

        job = worker.Job(**values)
        number = tune.get_context().get_trial_name().partition("_")[0]
        run = Path(path) / number
        worker.prepare(job)
        params = {name: value for name, value in config.items() if name != "trial"}
        if (given := tune.get_checkpoint()) is not None:
            from morl.tune.inheritance import inherit

            with given.as_directory() as donor:
                settings = job.settings(run, checkpoint_minutes=0.0)
                inherit(job.agent, Path(donor), run, job.config(params), settings)

        def send(message: dict[str, Any]) -> None:
            if job.checkpoints and "score" in message and "final" not in message:
                from ray.tune import Checkpoint

                tune.report(message, checkpoint=Checkpoint.from_directory(str(run)))
            else:
                tune.report(message)

        worker.execute(job, run, params, send)

    return trial


def hold_out(
    job: Job, runs: dict[str, tuple[Path, dict[str, Any], dict[str, Any]]], ledger: Ledger, settings: StudySettings
) -> dict[str, dict[str, Any]]:
    """Train side by side outside of any search; return the last message of each training by its name.

    Args:
        job: what the trainings share.
        runs: by name, the run directory, settings of the agent, and changes to the settings of the training.
        ledger: tells whether to stop.
        settings: those of the study.
    """
    import ray

    values, roots = asdict(job), list(sys.path)

    def one(path: str, params: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        import sys
        from pathlib import Path

        sys.path += [entry for entry in roots if entry not in sys.path]
        from morl.tune import worker

        job = worker.Job(**{**values, "training": {**values["training"], **changes}})
        worker.prepare(job)
        last: dict[str, Any] = {}

        def send(message: dict[str, Any]) -> None:
            last.clear()
            last.update(message)

        with contextlib.suppress(Exception):  # the last message tells of it
            worker.execute(job, Path(path), params, send)
        return last

    task = ray.remote(num_cpus=settings.trial_cpus, num_gpus=settings.trial_gpus, max_calls=1)(one)
    pending = {
        task.remote(str(path.resolve()), params, changes): name for name, (path, params, changes) in runs.items()
    }
    found: dict[str, dict[str, Any]] = {}
    while pending and not (ledger.must_end() and not found and ledger.error):
        done, _ = ray.wait(list(pending), timeout=0.2)
        for reference in done:
            name = pending.pop(reference)
            try:
                found[name] = ray.get(reference)
            except ray.exceptions.RayError as error:
                found[name] = {"failed": failures.reason(str(error))}
    return found
