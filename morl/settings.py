"""Settings of a training and of an evaluation, whatever the agent. Imports no JAX: help texts need them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from morl import keywords
from morl.errors import UserError
from morl.registry import DEFAULT_LOGGERS, Backend, check_loggers, suite_of
from morl.validation import MOST_STEPS, check_integer, check_range, convert_fields

Device = Literal["auto", "cpu", "gpu", "tpu"]
if TYPE_CHECKING:
    EnvKwargs = dict[str, Any]
else:
    EnvKwargs = dict[str, bool | int | float | str]  # what the flag parser reads, before morl.keywords


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training, whatever the agent."""

    env: str = "minecart-v0"
    """Environment id; see `morl envs`."""
    env_kwargs: EnvKwargs = field(default_factory=dict)
    """Keywords of the environment, name and value in turn; lists and mappings as YAML: depth 7 prices "[1, 2]"."""
    steps: int = 1_000_000
    """Environment steps of one seed, over all its policies; for mogfn the number of objects, each rewarded once."""
    seed: int = 0
    """Seed of all random numbers; with several seeds the first one."""
    num_seeds: int = 1
    """Independent trainings, side by side in the same compiled call."""
    out: Path | None = None
    """Run directory, new or empty; by default runs/<agent>-<env>-<time>."""
    backend: Backend | None = None
    """Back-end of the environment; by default JAX if the environment is written in it."""
    processes: int = 0
    """Worker processes that step an environment on the host; 0 steps it in this one. The numbers are the same."""
    threads: int | None = None
    """Threads of each process that step an environment on the host, where its copies share nothing; by default one for
    each core for MO-Gymnasium's on MuJoCo without `processes`, else one. The numbers are the same."""
    overlap: bool = False
    """Step an environment on the host for half of the policies while the other half acts or updates, each half with as
    many `processes`; for more cores than these fill. The numbers are the same up to rounding."""
    max_envs: int | None = None
    """Environments on the host that may be alive at once, for training and evaluations together; by default evaluations
    add as many as training has, at most. As many as training has leave them none: they borrow those of training, whose
    episodes are then cut off and start anew."""
    device: Device = "auto"
    """Device that JAX runs on."""
    gamma: float | None = None
    """Discount of the reported front; by default the environment's."""
    reference_point: tuple[float, ...] | None = None
    """Reference point of the hypervolume, one number per objective; by default the environment's."""
    objectives: tuple[str, ...] | None = None
    """Names of the objectives, one for each number of the reward; by default the environment's, objective_0 and so on
    where it has none: speed comfort. Of an environment of a suite, the numbers it tells that are the objectives."""
    evaluations: int = 20
    """Evaluations during training, one in each round of a second stage at least; they feed the archive."""
    eval_episodes: int = 32
    """Greedy episodes of each policy in an evaluation; for mogfn objects drawn for each preference."""
    final_episodes: int = 128
    """Greedy episodes on fresh seeds of each archived policy at the end, which front.csv reports; for mogfn objects
    drawn for each preference."""
    archive_capacity: int = 200
    """Non-dominated policies kept; beyond it the most crowded ones are dropped."""
    archive_epsilon: float = 0.005
    """Share of the front's range in each objective: of archived policies that differ by less in every objective one is
    kept, and at the end also of those that differ by less than the standard error of that. 0 keeps all."""
    on_nan: Literal["stop", "skip"] = "stop"
    """Action when an update of a policy is not finite (observation, reward, loss or gradient): stop that policy as it
    was, or skip the update. The other policies continue either way."""
    logger: tuple[str, ...] = DEFAULT_LOGGERS
    """Places that metrics go to beside metrics.csv, which every run has: tensorboard, wandb, mlflow, trackio, aim, or
    module:function of your own function of a row; csv alone for none."""
    checkpoint_minutes: float | None = None
    """Minutes between checkpoints for --resume; by default 10, or more if they would take over 2 % of the time; 0 for
    one after each chunk of updates, about every second."""
    checkpoints_kept: int = 2
    """Newest checkpoints kept while the training runs; a finished run keeps its last state, to be given more steps. 0
    keeps one, and none of a finished run."""

    def __post_init__(self) -> None:
        _check_env(self.env)
        convert_fields(self)
        _split_objectives(self)
        check_loggers(self.logger)
        check_integer(self, "steps", low=1, high=MOST_STEPS)
        for name in ("num_seeds", "evaluations", "eval_episodes", "final_episodes"):
            check_integer(self, name, low=1)
        check_integer(self, "seed", low=0, high=2**31 - 1)
        check_integer(self, "processes", low=0)
        if self.threads is not None:
            check_integer(self, "threads", low=1)
        if self.max_envs is not None:
            check_integer(self, "max_envs", low=1)
        check_integer(self, "archive_capacity", low=2)
        check_range(self, "archive_epsilon", low=0, high=1)
        check_integer(self, "checkpoints_kept", low=0)
        if self.checkpoint_minutes is not None:
            check_range(self, "checkpoint_minutes", low=0)
        keywords.check(self.env_kwargs)
        if self.gamma is not None:
            check_range(self, "gamma", low=0, high=1)


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search for labelled objects, whatever the agent.

    The agent's own settings say how many labels there are. The others of a training are constants here: the training
    loop reads them, no flag sets them.
    """

    env: str = "ngrams-v0"
    """Environment id; see `morl envs`."""
    env_kwargs: EnvKwargs = field(default_factory=dict)
    """Keywords of the environment, name and value in turn."""
    seed: int = 0
    """Seed of all random numbers; with several seeds the first one."""
    num_seeds: int = 1
    """Independent searches; each round is run for one after another."""
    out: Path | None = None
    """Run directory, new or empty; by default runs/<agent>-<env>-<time>."""
    device: Device = "auto"
    """Device that JAX runs on."""
    reference_point: tuple[float, ...] | None = None
    """Reference point of the hypervolume, one number per objective; by default the environment's."""
    logger: tuple[str, ...] = DEFAULT_LOGGERS
    """Places that metrics go to beside metrics.csv, which every run has: tensorboard, wandb, mlflow, trackio, aim, or
    module:function of your own function of a row; csv alone for none."""

    steps: ClassVar[int] = 0  # the agent's settings have the budget
    backend: ClassVar[Backend] = "jax"
    processes: ClassVar[int] = 0
    threads: ClassVar[int | None] = None
    overlap: ClassVar[bool] = False
    max_envs: ClassVar[int | None] = None
    gamma: ClassVar[float] = 1.0
    objectives: ClassVar[tuple[str, ...] | None] = None
    evaluations: ClassVar[int] = 2**31 - 1  # one after every round, which is as often as there can be one
    eval_episodes: ClassVar[int] = 1  # labels are exact
    final_episodes: ClassVar[int] = 1
    archive_capacity: ClassVar[int] = 2  # there is no archive: all labels are kept
    archive_epsilon: ClassVar[float] = 0.0
    on_nan: ClassVar[Literal["stop", "skip"]] = "stop"
    checkpoint_minutes: ClassVar[float] = 0.0  # after every round: a label costs more than a checkpoint
    checkpoints_kept: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _check_env(self.env)
        convert_fields(self)
        check_loggers(self.logger)
        check_integer(self, "num_seeds", low=1)
        check_integer(self, "seed", low=0, high=2**31 - 1)
        keywords.check(self.env_kwargs)


@dataclass(frozen=True)
class EvaluateSettings:
    """Settings of an evaluation of a finished run."""

    episodes: int = 128
    """Greedy episodes of each policy; for mogfn objects drawn for each preference."""
    seed: int = 0
    """Seed of the episodes, which always differ from those of the training."""
    env_kwargs: EnvKwargs = field(default_factory=dict)
    """Keywords of the environment that differ from the training's, name and value in turn: num_edges 9."""
    gamma: float | None = None
    """Discount; by default the run's."""
    reference_point: tuple[float, ...] | None = None
    """Reference point of the hypervolume, one number per objective; by default the run's."""
    max_envs: int | None = None
    """Environments on the host that may be alive at once; by default the run's, which were as many as it trained on."""
    gpi: Literal["on", "off"] | None = None
    """Whether policies with critics act by generalised policy improvement; by default as the run was set."""
    device: Device = "auto"
    """Device that JAX runs on."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check_integer(self, "episodes", low=1)
        if self.max_envs is not None:
            check_integer(self, "max_envs", low=1)
        check_integer(self, "seed", low=0, high=2**31 - 1)
        keywords.check(self.env_kwargs)
        if self.gamma is not None:
            check_range(self, "gamma", low=0, high=1)


@dataclass(frozen=True)
class FillSettings:
    """Settings of a filling of a front by merged policies."""

    candidates: int = 512
    """Merged policies evaluated in each round: a quarter on lines between neighbours, a quarter to fit surrogates, and
    half as the surrogates propose."""
    rounds: int = 2
    """Rounds; each goes on from the front that the one before has found."""
    members: int = 3
    """Policies merged in a group: two neighbours, and those nearest to them in parameters."""
    base: Literal["mean", "nearest"] = "mean"
    """Policy that merges move from: the mean of a group's parameters, or its policy nearest to that mean."""
    episodes: int | None = None
    """Greedy episodes of each candidate, the same for all; by default the run's eval_episodes."""
    final_episodes: int | None = None
    """Greedy episodes on fresh seeds that confirm a candidate, and which front.csv reports; by default the run's."""
    seed: int = 0
    """Seed of the search and of its episodes, which differ from those of the training and of `morl evaluate`."""
    out: Path | None = None
    """Run directory, new or empty; by default runs/<run>-filled-<time>."""
    max_envs: int | None = None
    """Environments on the host that may be alive at once; by default the run's."""
    device: Device = "auto"
    """Device that JAX runs on."""

    def __post_init__(self) -> None:
        convert_fields(self)
        check_integer(self, "rounds", low=1)
        check_integer(self, "members", low=2, high=16)
        least = 4 * (self.members + 1) * (self.members + 2)
        if self.candidates < least:
            raise UserError(
                f"candidates must be at least {least}, not {self.candidates}: a quarter of them is two for each term of"
                f" a surrogate of {self.members} members"
            )
        check_integer(self, "seed", low=0, high=2**31 - 1)
        for name in ("episodes", "final_episodes", "max_envs"):
            if getattr(self, name) is not None:
                check_integer(self, name, low=1)


def _split_objectives(settings: TrainSettings) -> None:
    """Split one text of names with commas; those of a suite's environment are its rewards, and it is made by them."""
    names = settings.objectives
    if names is None:
        return
    if len(names) == 1:
        names = tuple(names[0].split(","))
        object.__setattr__(settings, "objectives", names)
    if suite_of(settings.env):
        object.__setattr__(settings, "env_kwargs", {**settings.env_kwargs, "objectives": list(names)})


def _check_env(env: Any) -> None:
    """Check that a caller in Python gives an id, not the environment itself."""
    if not isinstance(env, str):
        raise UserError(
            f"env must be an id such as minecart-v0, not {type(env).__name__}; an environment itself is given to "
            "morl.train: morl.train(agent, environment, ...)"
        )
