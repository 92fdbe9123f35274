"""Settings of a study. Imports neither Ray nor JAX, as ``--help`` needs only these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from morl.errors import UserError
from morl.validation import check_integer, check_range, convert_fields

SearcherName = Literal["tpe", "random", "bohb"]
SchedulerName = Literal["asha", "pbt", "none"]
MetricName = Literal["hypervolume", "eu"]

TRAINING = {"num_seeds": 3, "steps": 100_000}  # defaults of trials that differ from those of a training


@dataclass(frozen=True)
class StudySettings:
    """Settings of a search for hyper-parameters of any agent."""

    num_samples: int = 50
    """Number of trials: the defaults first, then what the searcher proposes. With pbt, size of the population."""
    searcher: SearcherName = "tpe"
    """Method that proposes settings: tpe, Optuna's tree-structured Parzen estimator; random; or bohb, BOHB's model (it
    needs hpbandster)."""
    scheduler: SchedulerName = "asha"
    """Method that ends trials early: asha, asynchronous successive halving by environment steps; pbt, population-based
    training, which instead replaces the worst trials by the best and changes their settings on the way; or none."""
    metric: MetricName = "hypervolume"
    """Score of a trial, the mean over its seeds' re-evaluated fronts: hypervolume, as a share of the true front's where
    that is known; or eu, expected utility over 100 equally spaced preferences."""
    space: tuple[str, ...] = ()
    """Changes to the search space: 'gae_lambda={real: [0.9, 1]}' 'epochs={int: [2, 16]}' 'hidden={choice: [[8], [64]]}'
    search a setting there (log, int_log: evenly in the logarithm); 'epochs=8' fixes it, 'epochs=' leaves it out."""
    space_file: Path | None = None
    """YAML file of such changes by names of settings; flags win over it."""
    held_out_seeds: int = 5
    """Number of seeds that the search never uses, to compare the best settings with the defaults on at the end."""
    first_rung: float = 0.1
    """Share of the training steps after which asha can end a trial."""
    reduction: float = 3.0
    """Reduction factor of asha: the best one in so many continues from each rung to so many times its steps."""
    perturbations: int = 5
    """Number of times in a training that pbt replaces the worst quarter by the best."""
    search_seed: int = 0
    """Seed of the searcher; the seeds of the trainings begin at --seed."""
    trial_cpus: float = 1.0
    """Number of cores of a trial, which it is bound to; it limits how many trials run side by side."""
    trial_gpus: float = 0.0
    """Number of GPUs of a trial; a fraction shares one and its memory."""
    max_concurrent: int | None = None
    """Largest number of trials at a time; by default as many as there are cores and GPUs for."""
    modules: tuple[str, ...] = ()
    """Python modules to import first, which register agents or environments of your own."""
    address: str | None = None
    """Address of a running Ray cluster, auto for the one this machine is part of; by default this machine alone."""
    dashboard: bool = False
    """Serve Ray's dashboard to this machine only."""

    def __post_init__(self) -> None:
        convert_fields(self)
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
            raise UserError(
                "scheduler pbt starts from random settings and changes them itself; it takes no searcher bohb"
            )
        if self.scheduler == "pbt" and self.num_samples < 4:
            raise UserError(
                f"num_samples must be at least 4 with pbt, which replaces a quarter of them, not {self.num_samples}"
            )
