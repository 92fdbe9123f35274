"""Registrations of environments and agents, as plain data.

Importing this module loads neither JAX nor an environment; :func:`load` imports the class of one when it is made.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from morl.errors import UserError, blame, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

Backend = Literal["jax", "host"]


@dataclass(frozen=True)
class Objective:
    """Name and unit of one component of the reward vector; all are maximised."""

    name: str
    unit: str = ""


@dataclass(frozen=True)
class EnvSpec:
    """Registration of an environment.

    Attributes:
        id: MO-Gymnasium's id where it has one.
        summary: one line for ``morl envs``.
        objectives: the R objectives, in the order of the rewards. A string is accepted for an :class:`Objective`
            without a unit, and converted.
        reference_point: (R,) for the hypervolume.
        gamma: discount at which its fronts are reported.
        entry_point: ``module:Class`` of the JAX-native environment; ``None`` for one that only runs on the host.
        kwargs: keywords for the entry point.
        extra: the optional dependency it needs, if any.
        max_episode_steps: time limit of a JAX-native environment; Gymnasium's own registration holds that of a host
            environment.
        prefer_host: run it on the host by default although it has an entry point, for physics that is faster in JAX
            on an accelerator only.
        constructive: each episode builds an object, step by step, and the steps can be undone
            (:mod:`morl.envs.constructive.base`).

    Raises:
        UserError: fewer than two objectives, or a reference point of another length.
    """

    id: str
    summary: str
    objectives: tuple[Objective, ...]
    reference_point: tuple[float, ...]
    gamma: float = 0.99
    entry_point: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    extra: str | None = None
    max_episode_steps: int | None = None
    prefer_host: bool = False
    constructive: bool = False

    def __post_init__(self) -> None:
        given: Iterable[Objective | str] = self.objectives
        object.__setattr__(self, "objectives", tuple(Objective(o) if isinstance(o, str) else o for o in given))
        if len(self.objectives) != len(self.reference_point):
            raise UserError(
                f"{self.id}: {len(self.objectives)} objectives, {len(self.reference_point)} reference values"
            )
        if len(self.objectives) < 2:
            raise UserError(f"{self.id}: a multi-objective environment has at least 2 objectives")

    @property
    def objective_names(self) -> tuple[str, ...]:
        """Names of the R objectives."""
        return tuple(objective.name for objective in self.objectives)

    @property
    def backend(self) -> Backend:
        """Back-end that it runs on by default."""
        return "jax" if self.entry_point and not self.prefer_host else "host"


@dataclass(frozen=True)
class AgentSpec:
    """An agent.

    Attributes:
        name, summary: for ``morl agents``.
        entry_point, config: ``module:Name`` of its class, and of the dataclass of its settings.
        protocols: ``module:name`` of functions from an environment's id to settings by name, such as those an agent
            was published with.
        split_cores: on a CPU its policies are split over the cores; not where there is one whose matrix products are
            large, which XLA splits better itself.
        space: ``module:NAME`` of the settings a hyper-parameter search may choose (:mod:`morl.search_space`), if any.
        backend: ``module:name`` of the function that makes its back-end (:class:`morl.types.Trainer`) from a
            :class:`morl.training.setup.Setup`.
        solution_set: ``module:Name`` of its solution set (:class:`morl.training.solution_sets.SolutionSet`).
        settings: ``module:Name`` of the dataclass of the settings of its runs.
    """

    name: str
    summary: str
    entry_point: str
    config: str
    protocols: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    split_cores: bool = True
    space: str | None = None
    backend: str = "morl.training.backends.environment:make_backend"
    solution_set: str = "morl.training.solution_sets:ParetoArchive"
    settings: str = "morl.settings:TrainSettings"

    def protocol(self, name: str, env: str) -> dict[str, Any]:
        """Settings by name, of the training and of the agent, that a protocol has for an environment.

        Its name may be given without the agent's: paper for cmorl-paper.

        Raises:
            UserError: no such protocol, or none for this environment.
        """
        name = f"{self.name}-{name}" if f"{self.name}-{name}" in self.protocols else name
        if name not in self.protocols:
            raise unknown_name(f"protocol of {self.name}", name, self.protocols)
        settings: dict[str, Any] = load(self.protocols[name])(env)
        return settings


PLUG_INS = "morl.environments"  # entry-point group: each names an EnvSpec, or several in a list
_ENVS: dict[str, EnvSpec] = {}
_AGENTS: dict[str, AgentSpec] = {}


def register_env(spec: EnvSpec) -> EnvSpec:
    """Add an environment.

    Raises:
        UserError: a different environment has this id.
    """
    there = _ENVS.setdefault(spec.id, spec)
    if there != spec:
        first, second = (s.entry_point or f"on the host, {s.summary!r}" for s in (there, spec))
        raise UserError(f"environment {spec.id!r} is already registered ({first}); the other ({second}) needs a new id")
    return spec


def register_agent(spec: AgentSpec) -> AgentSpec:
    """Add an agent; a second one of the same name is refused unless it is identical."""
    if _AGENTS.setdefault(spec.name, spec) != spec:
        raise UserError(f"agent {spec.name!r} is already registered")
    return spec


def env_specs(plug_ins: bool = True) -> dict[str, EnvSpec]:
    """Return all registered environments by id, with those of other packages' entry points if ``plug_ins``."""
    importlib.import_module("morl.envs")  # registers the library's environments
    if plug_ins:
        _load_plug_ins()
    return dict(sorted(_ENVS.items()))


def env_spec(id: str) -> EnvSpec | None:
    """Return the registered environment of that id, or None.

    Entry points of other packages are imported only for an id that is not found without them.
    """
    importlib.import_module("morl.envs")  # registers the library's environments
    if id not in _ENVS:
        _load_plug_ins()
    return _ENVS.get(id)


_asked: set[tuple[str, str]] = set()  # (name, value) of the entry points loaded so far


def _load_plug_ins() -> None:
    for entry_point in entry_points(group=PLUG_INS):
        if (entry_point.name, entry_point.value) in _asked:
            continue
        _asked.add((entry_point.name, entry_point.value))  # first, since the entry point may call env_specs itself
        try:
            _register_plug_in(entry_point)
        except Exception as error:  # any exception: a broken package must not affect the others
            package = entry_point.dist.name if entry_point.dist else "a package"
            why = str(error) if isinstance(error, UserError) else blame(error)
            where = f"{entry_point.name} = {entry_point.value!r}"
            warnings.warn(f"environments of {package} not loaded ({where}): {why}", stacklevel=2)


def _register_plug_in(entry_point: EntryPoint) -> None:
    value = entry_point.load()
    specs = [value] if isinstance(value, EnvSpec) else list(value) if isinstance(value, Iterable) else [None]
    if not all(isinstance(spec, EnvSpec) for spec in specs):
        raise UserError(f"it must name a morl.EnvSpec or a list of them, not {value!r}")
    for spec in specs:
        importlib.import_module("morl.environments").register_env(spec)


def agent_specs() -> dict[str, AgentSpec]:
    """All registered agents by name."""
    importlib.import_module("morl.agents")  # registers ours
    return dict(sorted(_AGENTS.items()))


def agent_spec(name: str) -> AgentSpec:
    """The agent of that name.

    Raises:
        UserError: no such agent.
    """
    specs = agent_specs()
    if name not in specs:
        raise unknown_name("agent", name, specs)
    return specs[name]


def load(entry_point: str) -> Any:
    """The object that ``module:Name`` names.

    Raises:
        UserError: there is no such module, or no such name in it.
    """
    module, _, name = entry_point.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except UserError:
        raise
    except (ImportError, AttributeError) as error:
        raise UserError(f"cannot load {entry_point!r}: {blame(error)}") from error
