"""Setup of a training from its settings, put together and checked before anything is compiled or written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax

from morl.environments import make
from morl.envs.accrued import AccruedReturn
from morl.envs.contract import check_attributes
from morl.envs.gymnasium.presentation import observations_of
from morl.envs.objects import GivenEnvironment, check_sendable
from morl.errors import UserError
from morl.guard import constructed, guarded, made_settings
from morl.ops import metrics
from morl.parsing import check_plain, plain
from morl.registry import AgentSpec, AliveBonus, Backend, agent_spec, env_spec, load, load_settings
from morl.runs.front import Floats, Front, from_evaluation
from morl.runs.front_csv import check_objectives
from morl.settings import TrainSettings
from morl.spaces import Observations
from morl.training.backends import devices
from morl.training.suitability import make_agent, task_of
from morl.types import Agent, Evaluation, PyTree, Trainer
from morl.yardsticks import fronts
from morl.yardsticks.protocol import Protocol, protocol_of

if TYPE_CHECKING:
    from morl.training.solution_sets import SolutionSet

HOST_SETTINGS = ("processes", "threads", "overlap", "max_envs")
DEFAULT_GAMMA = 0.99


@dataclass(frozen=True)
class Setup:
    """Agent made for an environment, and how its front is measured.

    Attributes:
        agent_name: name it was asked for by, ``module:name`` where a module registers it.
        spec: registration of the agent.
        agent, config: the agent and its own settings.
        env: a functional environment or one on the host.
        backend: which of the two.
        objectives: R names.
        gamma: discount the front is reported at.
        reference_point: (R,) of the hypervolume.
        seeds: training seeds.
        processes: worker processes of an environment on the host.
        threads: of each process, that step it; None for the default.
        overlap: step it for half of the policies while the other half updates.
        observations: how its observations are turned into what the agent sees.
        max_envs: environments on the host that may be alive at once, if bounded.
        trains: whether some of them are for training; False where policies are evaluated only.
        archive_epsilon: share of the front's range within which policies of an archive are near-duplicates.
        alive_bonus: the bonus for being alive in every reward, where it is known.
        env_name, env_kwargs: id and keywords that the environment was made by.
        episodes: greedy episodes of each policy behind its reported return.
    """

    agent_name: str
    spec: AgentSpec
    agent: Agent
    config: Any
    env: Any
    backend: Backend
    objectives: tuple[str, ...]
    gamma: float
    reference_point: Floats
    seeds: range = range(1)
    processes: int = 0
    threads: int | None = None
    overlap: bool = False
    max_envs: int | None = None
    trains: bool = True
    archive_epsilon: float = 0.0
    alive_bonus: AliveBonus | None = None
    observations: Observations = field(kw_only=True)
    env_name: str = field(kw_only=True)
    env_kwargs: Mapping[str, Any] = field(kw_only=True)
    episodes: int = field(kw_only=True)

    def __repr__(self) -> str:
        return f"<Setup of {self.agent_name} on {self.env.id} ({self.backend}): {', '.join(self.objectives)}>"

    @cached_property
    def true_front(self) -> Floats | None:
        """Exact front (n, R) at ``gamma``, if the environment can compute it."""
        return fronts.true_front(self.env, self.gamma)

    @cached_property
    def protocol(self) -> Protocol:
        """Environment, discount, yardsticks and sizes behind the numbers of a front."""
        return protocol_of(
            self.env,
            id=self.env_name,
            keywords=self.env_kwargs,
            gamma=self.gamma,
            objectives=self.objectives,
            reference_point=self.reference_point,
            episodes=self.episodes,
        )

    @cached_property
    def true_hypervolume(self) -> float | None:
        """Hypervolume of the true front, if it is known."""
        return None if self.true_front is None else metrics.hypervolume(self.true_front, self.reference_point)

    @cached_property
    def solution_set(self) -> type[SolutionSet]:
        """Class of the solution set that the agent's registration names."""
        kind: type[SolutionSet] = load(self.spec.solution_set)
        for name in ("kind", "conditional", "labelled", "unsupported"):
            if not hasattr(kind, name):
                what = f"agent {self.spec.name}: its solution set {self.spec.solution_set}"
                raise UserError(f"{what} has no {name}; see morl.training.solution_sets.SolutionSet")
        return kind

    @property
    def conditional(self) -> bool:
        """Return whether one policy, or sampler, takes any preference."""
        return self.solution_set.conditional

    @property
    def has_objects(self) -> bool:
        """Return whether the front is of objects and not of policies."""
        return self.solution_set.kind == "objects"

    def require(self, command: str) -> None:
        """Raise UserError if a command cannot work on runs of this agent."""
        if command in self.solution_set.unsupported:
            raise UserError(
                f"morl {command} cannot work on a run of {self.spec.name}: {self.solution_set.unsupported[command]}"
            )

    def make_solution_set(self, seeds: Sequence[int], archive_capacity: int) -> SolutionSet:
        """Return an empty solution set for a training of these seeds."""
        owner = f"agent {self.spec.name}"
        made: SolutionSet = constructed(self.solution_set, owner, self, seeds, archive_capacity)
        return made

    def make_backend(
        self, preferences: Floats, *, eval_episodes: int, devices: Sequence[jax.Device], skip_nonfinite: bool = False
    ) -> Trainer:
        """Return the trainer of policies of ``preferences``, (P, R) or (P, B, R), on this environment."""
        owner = f"agent {self.spec.name}"
        more: dict[str, Any] = {"eval_episodes": eval_episodes, "devices": devices, "skip_nonfinite": skip_nonfinite}
        made: Trainer = guarded(constructed(load(self.spec.backend), owner, self, preferences, **more), owner)
        return made

    def front(self, evaluation: Evaluation, params: PyTree, preferences: Floats) -> Front:
        """Return the front of N evaluated policies, stacked, or of one policy evaluated for N preferences."""
        return from_evaluation(evaluation, params, preferences, alive_bonus=self.alive_bonus, **self.front_context)

    @property
    def front_context(self) -> dict[str, Any]:
        """Values that every front of this setup shares."""
        return {
            "objectives": self.objectives,
            "gamma": self.gamma,
            "reference_point": self.reference_point,
            "learner": self.agent.learner,
            "observations": self.observations,
            "action_space": self.env.action_space,
            "conditional": self.conditional,
            "labelled": self.solution_set.labelled,
            "join": getattr(self.env, "join", None),
            "protocol": self.protocol,
        }

    def resolved(self, settings: TrainSettings) -> dict[str, Any]:
        """Return all settings by name, as ``config.yaml`` holds them and ``--config`` takes them."""
        given = dataclasses.asdict(settings)
        known = {"gamma": self.gamma, "reference_point": self.reference_point.tolist(), "backend": self.backend}
        values = {
            **given,
            **{name: value for name, value in known.items() if name in given},
            **dataclasses.asdict(self.config),
        }
        del values["out"]  # a directory holds one run: a second one with the same settings needs another
        return {"agent": self.agent_name, **{name: plain(value) for name, value in values.items()}}

    @property
    def defaults(self) -> dict[str, Any]:
        """Default training and agent settings, of those that have a default."""
        fields = (*dataclasses.fields(load_settings(self.spec.settings)), *dataclasses.fields(self.config))
        values = {
            field.name: field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            for field in fields
        }
        del values["out"]
        return {name: plain(value) for name, value in values.items() if value is not dataclasses.MISSING}


def check_for_host(env: str, backend: Backend, given: Mapping[str, Any]) -> None:
    """Check that settings of environments on the host are given for such a one.

    Args:
        env: id of the environment.
        backend: where it runs.
        given: these settings by name; those that are None, 0 or False are not given.

    Raises:
        UserError: one is given for an environment in JAX.
    """
    for name, value in given.items():
        if backend == "jax" and value:
            raise UserError(f"{env} is compiled with JAX; --{name.replace('_', '-')} is for environments on the host")


def alive_bonus_of(settings: TrainSettings) -> AliveBonus | None:
    """Return the bonus for being alive in the rewards of a registered environment, if its keywords do not change it."""
    spec = env_spec(settings.env)
    bonus = None if spec is None else spec.alive_bonus
    return None if bonus is None or settings.env_kwargs.keys() & bonus.changed_by else bonus


def prepare(agent: str, settings: TrainSettings, config: Any = None, given: GivenEnvironment | None = None) -> Setup:
    """Check all settings against each other and build the agent.

    Args:
        agent: a registered agent, or ``module:name``.
        settings: of the run.
        config: the agent's own; by default its defaults.
        given: the environment, where it is an object and not made by the id in the settings.

    Raises:
        UserError: unknown agent or environment, spaces the agent cannot work with, a reference point of the wrong
            length, too few steps; before anything is compiled.
    """
    spec = agent_spec(agent)
    settings_class = load_settings(spec.settings)
    if not isinstance(settings, settings_class):
        raise UserError(f"a run of {agent} takes a {settings_class.__name__}, not a {type(settings).__name__}")
    devices.reserve(spec.split_cores)
    if reserved := {"id", "backend"} & settings.env_kwargs.keys():
        raise UserError(f"{settings.env} has no keyword {min(reserved)!r}")
    env: Any = given.env if given else make(settings.env, backend=settings.backend, **settings.env_kwargs)
    env = guarded(env, settings.env, f"morl check-env {settings.env} tells what to fix")
    backend: Backend = "host" if hasattr(env, "make_vector") else "jax"
    if backend == "jax":
        check_attributes(env, settings.env)
    if settings.backend not in (None, backend):
        raise UserError(f"{settings.env} has no {settings.backend} back-end; allowed backend: {backend}")
    check_for_host(settings.env, backend, {name: getattr(settings, name) for name in HOST_SETTINGS})
    if given and settings.processes:
        check_sendable(given)
    objectives = settings.objectives or tuple(objective.name for objective in env.objectives)
    check_objectives(objectives, len(env.objectives))
    gamma = settings.gamma
    if gamma is None:
        registered = env_spec(env.id)
        gamma = registered.gamma if registered else DEFAULT_GAMMA
    reference: Any = env.reference_point if settings.reference_point is None else settings.reference_point
    if reference is None:
        raise UserError(
            f"{settings.env} has no reference point of its own; give --reference-point, one number an objective"
        )
    reference = metrics.check_reference_point(reference, len(objectives), objectives)
    config_class = load_settings(spec.config)
    config = made_settings(config_class) if config is None else config
    if not isinstance(config, config_class):
        raise UserError(f"the settings of {agent} are a {config_class.__name__}, not a {type(config).__name__}")
    check_plain(config)
    if getattr(config, "sees_accrued_return", False):
        if backend == "host":
            raise UserError(f"{settings.env} is on the host; criterion esr is for environments in JAX")
        env = AccruedReturn(env, gamma)
    observations = observations_of(env)
    task = task_of(env, gamma, settings.steps)
    built = make_agent(spec, config, task)
    lanes = settings.num_seeds * len(built.preferences) * built.learner.num_envs
    if settings.processes > lanes:
        raise UserError(
            f"processes must be at most {lanes}, the environments of all policies and seeds, not {settings.processes}"
        )
    if settings.max_envs is not None and settings.max_envs < lanes:
        raise UserError(
            f"max_envs must be at least {lanes}, the environments of training ({built.learner.num_envs} for each of "
            f"{settings.num_seeds * len(built.preferences)} policies), not {settings.max_envs}; lower num_envs or the "
            "number of policies, or train one policy for all preferences (capql, gmorl, gpi-ls, d3po)"
        )
    if settings.overlap and not settings.processes:  # environments in two threads of one process need not be safe
        raise UserError("overlap needs worker processes: give --processes")
    if settings.overlap and settings.num_seeds * len(built.preferences) < 2:
        raise UserError(f"overlap needs two policies, and {agent} has one: give two seeds (num_seeds) or leave it out")
    setup = Setup(
        agent,
        spec,
        built,
        config,
        env,
        backend,
        objectives,
        gamma,
        reference,
        range(settings.seed, settings.seed + settings.num_seeds),
        settings.processes,
        settings.threads,
        settings.overlap,
        settings.max_envs,
        archive_epsilon=settings.archive_epsilon,
        alive_bonus=alive_bonus_of(settings) if given is None else None,
        observations=observations,
        env_name=settings.env,
        env_kwargs=settings.env_kwargs,
        episodes=settings.final_episodes,
    )
    _ = setup.solution_set  # checked
    if getattr(setup.agent, "variation", None) and setup.backend != "jax":
        raise UserError(f"{settings.env} is on the host; the agent's stage of variation is for environments in JAX")
    return setup
