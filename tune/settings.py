"""Settings of a study. Imports neither Ray nor JAX: help texts need them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from morl.errors import UserError, unknown_name
from morl.validation import check_integer, check_range

SearcherName = Literal["tpe", "random", "bohb"]
SchedulerName = Literal["asha", "pbt", "none"]
MetricName = Literal["hypervolume", "eu"]


@dataclass(frozen=True)
class StudySettings:
    """Settings of a search for hyper-parameters, whatever the agent."""

    num_samples: int = 50
    """Trials: the defaults first, then what the searcher proposes; with pbt the size of the population."""
    searcher: SearcherName = "tpe"
    """What proposes settings: Optuna's tree-structured Parzen estimator, chance, or BOHB's model (needs hpbandster)."""
    scheduler: SchedulerName = "asha"
    """What ends trials early: asynchronous successive halving by environment steps, population-based training, which
    instead replaces the worst by the best and changes their settings as they go, or nothing."""
    metric: MetricName = "hypervolume"
    """Score of a trial, of its re-evaluated fronts, mean over the seeds: hypervolume, as a share of the true front's
    where that is known, or expected utility over 100 equally spread preferences."""
    space: tuple[str, ...] = ()
    """Changes to the search space: 'clip={real: [0.1, 0.3]}' 'epochs={int: [2, 16]}' 'hidden={choice: [[64], [128]]}'
    search a setting there (log, int_log: evenly in the logarithm); 'clip=0.2' fixes one, 'clip=' leaves it alone."""
    space_file: Path | None = None
    """YAML file of such changes, by the names of settings; flags win over it."""
    held_out_seeds: int = 5
    """Seeds that the search never uses, on which the best settings are compared with the defaults at the end."""
    first_rung: float = 0.1
    """Of asha: share of the steps after which a trial can be ended."""
    reduction: float = 3.0
    """Of asha: the best one in so many goes on from each rung; each rung has so many times the steps of the last."""
    perturbations: int = 5
    """Of pbt: how often in a training the worst quarter is replaced by the best."""
    search_seed: int = 0
    """Seed of the searcher; those of the trainings are --seed and on."""
    trial_cpus: float = 1.0
    """Cores of a trial: so many fit side by side, each bound to its own."""
    trial_gpus: float = 0.0
    """GPUs of a trial; a fraction shares one, its memory too."""
    max_concurrent: int | None = None
    """Trials at a time; by default as many as there are cores and GPUs for."""
    modules: tuple[str, ...] = ()
    """Python modules to import first, which register an agent or an environment of your own."""
    address: str | None = None
    """Address of a running Ray cluster, auto for the one this machine is part of; by default this machine alone."""
    dashboard: bool = False
    """Serve Ray's dashboard, to this machine only."""

    def __post_init__(self) -> None:
        for name, allowed in (("searcher", SearcherName), ("scheduler", SchedulerName), ("metric", MetricName)):
            if getattr(self, name) not in get_args(allowed):
                raise unknown_name(name, getattr(self, name), get_args(allowed))
        for name in ("num_samples", "perturbations"):
            check_integer(self, name, low=1)
        check_integer(self, "search_seed", low=0, high=2**31 - 1)
        check_integer(self, "held_out_seeds", low=0)
        check_range(self, "first_rung", low=0, high=1, open_low=True, open_high=True)
        check_range(self, "reduction", low=1, open_low=True)
        check_range(self, "trial_cpus", low=0, open_low=True)
        check_range(self, "trial_gpus", low=0)
        if self.max_concurrent is not None:
            check_integer(self, "max_concurrent", low=1)
        for name in ("trial_cpus", "trial_gpus"):
            if (value := getattr(self, name)) > 1 and value != int(value):
                raise UserError(f"{name} must be a fraction of one or a whole number, not {value:g}")
        if self.scheduler == "pbt" and self.searcher == "bohb":
            raise UserError("scheduler pbt changes settings itself, from random ones; leave the searcher bohb out")
        if self.scheduler == "pbt" and self.num_samples < 4:
            raise UserError(
                f"num_samples must be at least 4 with pbt, a quarter of which is replaced, not {self.num_samples}"
            )
