"""Search by Ray Tune."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

from morl.search_space import Space
from morl.tune.ledger import Ledger
from morl.tune.on_ray.callbacks import callback, stopper
from morl.tune.on_ray.proposals import source, trial_name
from morl.tune.on_ray.schedulers import scheduler
from morl.tune.on_ray.trainables import trainable
from morl.tune.settings import StudySettings
from morl.tune.worker import Job


def search(
    ledger: Ledger, job: Job, settings: StudySettings, space: Space, trials: Path, storage: Path, budget: int
) -> Any:
    """Run trials until the ledger has no more; return Ray's ``ResultGrid``.

    Args:
        ledger: gives the trials and is told of them.
        job: what trials share.
        settings: those of the study.
        space: what is searched.
        trials: directory of the trials' run directories.
        storage: directory for Ray's own files.
        budget: environment steps of a whole training.

    Raises:
        Exception: the ledger's error, which ended the search.
    """
    from ray import tune
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

    population = settings.scheduler == "pbt"
    resources = {"CPU": settings.trial_cpus, **({"GPU": settings.trial_gpus} if settings.trial_gpus else {})}
    param_space, algorithm, number = source(ledger, space, population, settings.search_seed)
    tuner = tune.Tuner(
        tune.with_resources(trainable(job, trials), resources),
        param_space=param_space,
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            search_alg=algorithm,
            scheduler=scheduler(settings, space, budget, ledger),
            num_samples=number,
            max_concurrent_trials=settings.max_concurrent if population else None,
            trial_dirname_creator=trial_name,
            trial_name_creator=trial_name,
        ),
        run_config=tune.RunConfig(
            name=time.strftime("%Y%m%d-%H%M%S"),
            storage_path=str(storage.resolve()),
            callbacks=[callback(ledger, population), CSVLoggerCallback(), JsonLoggerCallback()],
            stop=stopper(ledger),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=4),
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Tune advises against settings that are chosen with reason
        grid = tuner.fit()
    if ledger.error:
        raise ledger.error
    return grid
