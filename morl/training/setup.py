"""Everything a training needs, put together and checked before anything is compiled or written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import jax

from morl.constructive.backend import GFNBackend, Sampler
from morl.constructive.sample_sets import DrawnObjects
from morl.environments import make
from morl.errors import UserError
from morl.ops import metrics
from morl.parsing import plain
from morl.registry import Backend, agent_spec, env_spec, load
from morl.runs.front import Floats, Front, from_evaluation
from morl.settings import TrainSettings
from morl.training.backends import devices
from morl.training.backends.jax import JaxBackend
from morl.training.solution_sets import WATCHED, Archives, Keeper, LastPolicies
from morl.types import Agent, Evaluation, Learner, PyTree, Task, Trainer

DEFAULT_GAMMA = 0.99


@dataclass(frozen=True)
class Plan:
    """An agent made for an environment, and how its front is measured.

    Attributes:
        agent_name: as registered.
        agent, config: the agent and its own settings.
        env: a functional environment or one on the host.
        backend: which of the two.
        objectives: R names.
        gamma: discount the front is reported at.
        reference_point: (R,) for the hypervolume.
        processes: workers of an environment on the host.
        overlap: whether it is stepped for half of the policies while the other half updates.
        split_cores: see :class:`morl.registry.AgentSpec`.
    """

    agent_name: str
    agent: Agent
    config: Any
    env: Any
    backend: Backend
    objectives: tuple[str, ...]
    gamma: float
    reference_point: Floats
    processes: int
    overlap: bool
    split_cores: bool = True

    @cached_property
    def true_front(self) -> Floats | None:
        """(n, R) the exact front at ``gamma``, where the environment can compute it."""
        compute = getattr(self.env, "true_front", None)
        try:
            return compute(self.gamma) if compute else None
        except UserError:  # not for these keywords of the environment
            return None

    @cached_property
    def true_hypervolume(self) -> float | None:
        """Hypervolume of the true front, where it is known."""
        return None if self.true_front is None else metrics.hypervolume(self.true_front, self.reference_point)

    @property
    def draws_objects(self) -> bool:
        """The learner is a :class:`morl.constructive.backend.Sampler`, and the front is of objects that it draws."""
        return hasattr(self.agent.learner, "sample")

    def make_keeper(self, seeds: Sequence[int], archive_capacity: int) -> Keeper:
        """What keeps the policies that a training of these seeds meets."""
        agent = self.agent
        if self.draws_objects:
            sampler = cast(Sampler, agent.learner)
            return DrawnObjects(seeds, sampler, agent.num_preferences, self.true_front)
        if agent.num_preferences:
            return LastPolicies(seeds, len(self.objectives), agent.num_preferences)
        return Archives(seeds, len(agent.preferences), archive_capacity)

    def make_backend(
        self, preferences: Floats, *, eval_episodes: int, devices: Sequence[jax.Device], skip_faults: bool = False
    ) -> Trainer:
        """What trains and evaluates policies of ``preferences``, (P, R) or (P, B, R), on this environment."""
        width = min(WATCHED, self.agent.num_preferences)
        if self.draws_objects:
            return GFNBackend(
                cast(Sampler, self.agent.learner),
                len(preferences),
                block=width * eval_episodes,
                gamma=self.gamma,
                devices=devices,
                skip_faults=skip_faults,
            )
        learner = cast(Learner, self.agent.learner)
        options: dict[str, Any] = {
            "eval_episodes": eval_episodes,
            "gamma": self.gamma,
            "width": width,
            "skip_faults": skip_faults,
        }
        if self.backend == "jax":
            return JaxBackend(self.env, learner, preferences, devices=devices, **options)
        from morl.training.backends.host import HostBackend

        def on_host(preferences: Floats, **placed: Any) -> HostBackend:
            return HostBackend(self.env, learner, preferences, processes=self.processes, **options, **placed)

        if self.overlap and len(preferences) > 1:  # one is left where one of several seeds is evaluated again
            from morl.training.backends.host_double_buffered import OverlappingHost

            return OverlappingHost(on_host, preferences, devices)
        return on_host(preferences, devices=devices)

    def front(self, evaluation: Evaluation, params: PyTree, preferences: Floats) -> Front:
        """The front of N evaluated policies, stacked, or of one policy evaluated for N preferences."""
        return from_evaluation(evaluation, params, preferences, **self.front_context)

    @property
    def front_context(self) -> dict[str, Any]:
        """What every front of this plan shares."""
        return {
            "objectives": self.objectives,
            "gamma": self.gamma,
            "reference_point": self.reference_point,
            "learner": self.agent.learner,
            "observation_ndim": len(self.env.observation_space.shape),
            "conditional": bool(self.agent.num_preferences),
        }

    def resolved(self, settings: TrainSettings) -> dict[str, Any]:
        """All settings by name, as ``config.yaml`` holds them and ``--config`` takes them."""
        values = {
            **dataclasses.asdict(settings),
            "gamma": self.gamma,
            "reference_point": self.reference_point.tolist(),
            "backend": self.backend,
            **dataclasses.asdict(self.config),
        }
        del values["out"]  # a directory holds one run: a second one with the same settings needs another
        return {"agent": self.agent_name, **{name: plain(value) for name, value in values.items()}}

    @property
    def defaults(self) -> dict[str, Any]:
        """What settings of a training and of its agent are where nothing is said, of those that have a default."""
        fields = (*dataclasses.fields(TrainSettings), *dataclasses.fields(self.config))
        values = {
            field.name: field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            for field in fields
        }
        del values["out"]
        return {name: plain(value) for name, value in values.items() if value is not dataclasses.MISSING}


def prepare(agent: str, settings: TrainSettings, config: Any = None) -> Plan:
    """Check all settings against each other and build the agent.

    Raises:
        UserError: unknown agent or environment, spaces the agent cannot work with, a reference point of the wrong
            length, too few steps; before anything is compiled.
    """
    spec = agent_spec(agent)
    if spec.search is not None:
        raise UserError(f"{agent} finds objects, not policies: its run has them in front.csv and candidates.csv")
    devices.reserve(spec.split_cores)
    if reserved := {"id", "backend"} & settings.env_kwargs.keys():
        raise UserError(f"{settings.env} has no keyword {min(reserved)!r}")
    env = make(settings.env, backend=settings.backend, **settings.env_kwargs)
    backend: Backend = "host" if hasattr(env, "make_vector") else "jax"
    for name in ("processes", "overlap"):
        if backend == "jax" and getattr(settings, name):
            raise UserError(f"{settings.env} is compiled with JAX; --{name} is for environments on the host")
    registered = env_spec(env.id)
    objectives = tuple(objective.name for objective in env.objectives)
    if registered and len(registered.objectives) != len(objectives):  # a keyword has changed them
        registered = None
    gamma = settings.gamma
    if gamma is None:
        gamma = registered.gamma if registered else DEFAULT_GAMMA
    reference: Any = settings.reference_point
    if reference is None:
        reference = registered.reference_point if registered else env.reference_point
    if reference is None:
        raise UserError(
            f"{settings.env} has no reference point of its own; give --reference-point, one number an objective"
        )
    reference = metrics.check_reference_point(reference, len(objectives))
    task = Task(
        env.observation_space,
        env.action_space,
        len(objectives),
        gamma,
        settings.steps,
        env.max_episode_steps,
        action_mask=getattr(env, "action_mask", None),
        action_features=getattr(env, "action_features", None),
        constructive=env if hasattr(env, "backward_step") else None,
    )
    config_class = load(spec.config)
    config = config_class() if config is None else config
    if not isinstance(config, config_class):
        raise UserError(f"the settings of {agent} are a {config_class.__name__}, not a {type(config).__name__}")
    built: Agent = load(spec.entry_point)(config, task)
    lanes = settings.num_seeds * len(built.preferences) * built.learner.num_envs
    if settings.processes > lanes:
        raise UserError(
            f"processes must be at most {lanes}, the environments of all policies and seeds, not {settings.processes}"
        )
    if settings.overlap and not settings.processes:  # environments in two threads of one process need not be safe
        raise UserError("overlap needs worker processes: give --processes")
    if settings.overlap and settings.num_seeds * len(built.preferences) < 2:
        raise UserError(f"overlap needs two policies, and {agent} has one: give two seeds (num_seeds) or leave it out")
    return Plan(
        agent,
        built,
        config,
        env,
        backend,
        objectives,
        gamma,
        reference,
        settings.processes,
        settings.overlap,
        spec.split_cores,
    )
