"""Names of environments, agents, metrics, loggers and suites: plain data; imports no JAX and none of what it names."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType
from typing import Any, Literal, get_args

from morl.errors import MissingExtraError, UserCodeError, UserError, blame, unknown_name, user_code, user_code_that

Backend = Literal["jax", "host"]
MetricNeed = Literal["reference_point", "preferences", "known_front"]


@dataclass(frozen=True)
class Objective:
    """Name and unit of one component of the reward vector; all are maximised."""

    name: str
    unit: str = ""


@dataclass(frozen=True)
class AliveBonus:
    """Constant that every objective's reward has in each step in which a robot is alive (healthy, upright).

    An episode ends when the robot is no longer alive.

    Attributes:
        value: per step, in each objective.
        at_fall: it is paid in the step of the fall too.
        changed_by: keywords of the environment under which this does not hold.
    """

    value: float
    at_fall: bool = False
    changed_by: tuple[str, ...] = ()


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
        alive_bonus: the bonus for being alive that is a part of each objective, if there is one. Fronts then show the
            returns without it too.

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
    alive_bonus: AliveBonus | None = None

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
    """Registration of an agent.

    Attributes:
        name, summary: for ``morl agents``.
        entry_point, config: ``module:Name`` of its class, and of the dataclass of its settings.
        protocols: ``module:name`` of functions from an environment's id to settings by name, such as the published
            ones.
        split_cores: split its policies over the cores of a CPU. False for one policy with large matrix products,
            which XLA splits better itself.
        space: ``module:NAME`` of the settings a hyper-parameter search may choose (:mod:`morl.search_space`), if any.
        backend: ``module:name`` of the function that makes its back-end (:class:`morl.types.Trainer`) from a
            :class:`morl.training.setup.Setup`.
        solution_set: ``module:Name`` of its solution set (:class:`morl.training.solution_sets.SolutionSet`).
        settings: ``module:Name`` of the dataclass of the settings of its runs.
        packages: optional packages whose versions a run notes, where they are installed.
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
    packages: tuple[str, ...] = ()

    def declared_space(self) -> Mapping[str, Any]:
        """Return the settings a hyper-parameter search may choose, by name; none where it declares none.

        Raises:
            UserError: what it names is no mapping.
        """
        space: Any = load(self.space) if self.space else {}
        if not isinstance(space, Mapping):
            raise UserError(
                f"agent {self.name}: {self.space} must be a mapping of settings to their domains, not a"
                f" {type(space).__name__}"
            )
        return space

    def protocol(self, name: str, env: str) -> dict[str, Any]:
        """Return the settings by name, of the training and the agent, that a protocol has for an environment.

        The agent's name may stand before its name: cmorl-paper for paper.

        Raises:
            UserError: no such protocol, or none for this environment.
        """
        short = name.removeprefix(f"{self.name}-")
        name = short if short in self.protocols else name
        if name not in self.protocols:
            raise unknown_name(f"preset of {self.name}", short, self.protocols)
        with user_code(f"agent {self.name}", f"preset {name}"):
            settings: Any = load(self.protocols[name])(env)
        if not isinstance(settings, Mapping):
            raise UserError(
                f"agent {self.name}: preset {name} must return settings by name, not a {type(settings).__name__}"
            )
        return dict(settings)


@dataclass(frozen=True)
class MetricSpec:
    """Registration of a metric: a number that says how good a front is.

    Attributes:
        name: as a column of ``metrics.csv`` and a key of JSON, such as ``igd_plus``.
        label: for the head of a table, such as ``IGD+``.
        summary: in words, a noun phrase.
        sign: 1 where more is better, -1 where less is, 0 where neither is.
        entry_point: ``module:function`` from a front, an array (n, R) of vector returns to maximise, and what it
            needs, in that order, to the number; or to the number and whether it is exact.
        needs: what the function is given besides: ``reference_point`` (R,), ``preferences`` (K, R) equally spaced over
            the simplex, ``known_front`` (m, R): the true front where the environment has one, in ``morl compare`` else
            the best points of all runs. Without a known front a metric that needs one is left out.
        during_training: cheap enough for every evaluation of a training, and so a column of ``metrics.csv``.
    """

    name: str
    label: str
    summary: str
    sign: Literal[-1, 0, 1]
    entry_point: str
    needs: tuple[MetricNeed, ...] = ()
    during_training: bool = True

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]\w*", self.name):
            raise UserError(f"the metric's name {self.name!r} must be letters, digits and '_', such as my_metric")
        if self.sign not in (-1, 0, 1):
            raise UserError(f"metric {self.name}: sign must be 1, 0 or -1, not {self.sign!r}")
        for need in self.needs:
            if need not in get_args(MetricNeed):
                raise unknown_name(f"need of metric {self.name}", need, get_args(MetricNeed))


ENVIRONMENTS, AGENTS, METRICS = "morl.environments", "morl.agents", "morl.metrics"  # entry-point groups
_ENVS: dict[str, EnvSpec] = {}
_AGENTS: dict[str, AgentSpec] = {}
_METRICS: dict[str, MetricSpec] = {}


# --- Environments -----------------------------------------------------------------------------------------------------


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


def env_specs(plug_ins: bool = True) -> dict[str, EnvSpec]:
    """Return all registered environments by id, with those of other packages' entry points unless told otherwise."""
    importlib.import_module("morl.envs")  # registers ours
    if plug_ins:
        load_plug_ins(ENVIRONMENTS)
    return dict(sorted(_ENVS.items()))


def env_spec(id: str) -> EnvSpec | None:
    """Return the environment of that id; other packages are imported only where it is not known without them."""
    importlib.import_module("morl.envs")  # registers ours
    if id not in _ENVS:
        load_plug_ins(ENVIRONMENTS)
    return _ENVS.get(id)


# --- Agents -----------------------------------------------------------------------------------------------------------


def register_agent(spec: AgentSpec) -> AgentSpec:
    """Add an agent.

    Raises:
        UserError: a name that is not plain, or that another agent has.
    """
    if not re.fullmatch(r"[\w.-]+", spec.name):
        raise UserError(f"the agent's name {spec.name!r} must be letters, digits, '_', '.' and '-', such as my-agent")
    there = _AGENTS.setdefault(spec.name, spec)
    if there != spec:
        raise UserError(
            f"agent {spec.name!r} is already registered ({there.entry_point}); the other ({spec.entry_point}) needs a "
            "new name"
        )
    return spec


def agent_specs(plug_ins: bool = True) -> dict[str, AgentSpec]:
    """Return all registered agents by name, with those of other packages' entry points unless told otherwise."""
    importlib.import_module("morl.agents")  # registers ours
    if plug_ins:
        load_plug_ins(AGENTS)
    return dict(sorted(_AGENTS.items()))


def agent_spec(name: str) -> AgentSpec:
    """Return the agent of that name; other packages are imported only where it is not known without them.

    Args:
        name: of a registered agent. ``module:name`` imports the module first, from the working directory too; what is
            after the colon is then an :class:`AgentSpec` of the module by its variable's name, or an agent that the
            module has registered.

    Raises:
        UserError: no such agent, or a module that cannot be imported.
    """
    importlib.import_module("morl.agents")  # registers ours
    module, _, short = name.rpartition(":")
    if module:
        found = getattr(import_user_module(module, f"agent {name!r}"), short, None)
        if isinstance(found, AgentSpec):
            return register_agent(found)
    elif short not in _AGENTS:
        load_plug_ins(AGENTS)
    if short not in _AGENTS:
        raise unknown_name("agent", name, agent_specs())
    return _AGENTS[short]


# --- Metrics ----------------------------------------------------------------------------------------------------------

# Other columns of metrics.csv and comparisons, which a metric of the same name would hide.
_TAKEN = ("step", "seed", "seconds", "front_size", "hypervolume_share", "steps_per_second", "group", "run", "policies")


def register_metric(spec: MetricSpec) -> MetricSpec:
    """Add a metric of fronts: it is printed, compared, reported and written down wherever the others are.

    Raises:
        UserError: a name that another metric or another column has.
    """
    there = _METRICS.setdefault(spec.name, spec) if spec.name not in _TAKEN else None
    if there != spec:
        whose = there.entry_point if there else "a column of the library"
        raise UserError(
            f"metric {spec.name!r} is already there ({whose}); the other ({spec.entry_point}) needs a new name"
        )
    return spec


def metric_specs() -> dict[str, MetricSpec]:
    """Return all registered metrics by name, in the order of their registration: the library's own come first."""
    importlib.import_module("morl.quality")  # registers ours
    if (METRICS, "", "") not in _asked:  # once per process, since a training asks at every evaluation
        _asked.add((METRICS, "", ""))
        load_plug_ins(METRICS)
    return dict(_METRICS)


# --- Loggers ----------------------------------------------------------------------------------------------------------

DEFAULT_LOGGERS = ("csv", "tensorboard")  # files of the run directory, which the recorder writes
# each needs the package of its name, which the extra of its name brings
TRACKERS = {
    "wandb": "morl.runs.loggers.wandb:WandbLogger",
    "mlflow": "morl.runs.loggers.mlflow:MLflowLogger",
    "trackio": "morl.runs.loggers.trackio:TrackioLogger",
    "aim": "morl.runs.loggers.aim:AimLogger",
}


def check_loggers(names: Iterable[str]) -> None:
    """Check the names of loggers: those above, or ``module:function`` of a function that is given rows.

    Raises:
        UserError: an unknown name.
    """
    for name in names:
        module, _, function = name.rpartition(":")
        if name not in DEFAULT_LOGGERS and name not in TRACKERS and not (module and function):
            raise unknown_name("logger", name, [*DEFAULT_LOGGERS, *TRACKERS, "module:function"])


def split_loggers(given: Any) -> tuple[list[Callable[[dict[str, Any]], object]], tuple[str, ...]]:
    """Return the functions and the names among what ``morl.train`` is given as ``logger``.

    Raises:
        UserError: neither the one nor the other.
    """
    each = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    each = [] if given is None else each
    for logger in each:
        if not (isinstance(logger, str) or callable(logger)):
            raise UserError(f"logger takes names and functions of a row of metrics, not {logger!r}")
    names = [name for logger in each if isinstance(logger, str) for name in logger.replace(",", " ").split()]
    return [logger for logger in each if not isinstance(logger, str)], tuple(names)


def check_loggers_installed(names: Iterable[str]) -> None:
    """Check that what loggers need is there, before anything is compiled or written.

    Raises:
        MissingExtraError: a package is not.
        UserError: a user's function cannot be imported, or is none.
    """
    for name in names:
        if name in TRACKERS:
            if importlib.util.find_spec(name) is None:
                raise MissingExtraError(f"the logger {name}", name)
        elif name not in DEFAULT_LOGGERS:
            logger_function(name)


def logger_function(name: str) -> Callable[[dict[str, Any]], object]:
    """Return a user's function by ``module:function``."""
    module, _, function = name.rpartition(":")
    found: Any = getattr(import_user_module(module, f"logger {name!r}"), function, None)
    if not callable(found):
        raise UserError(f"logger {name!r}: {module!r} has no function {function!r}")
    called: Callable[[dict[str, Any]], object] = found
    return called


# --- Suites of environments -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SuiteSpec:
    """Suite of environments in JAX with one reward, whose environments have ids such as ``gymnax:CartPole-v1``.

    Attributes:
        name: the part of an id before the colon, and the extra that installs the suite.
        package: it is imported by this name.
        summary: for ``morl envs``.
        module: adapter (:mod:`morl.envs.suites.adapter`).
    """

    name: str
    package: str
    summary: str
    module: str

    @property
    def installed(self) -> bool:
        """Return whether its package can be imported."""
        return importlib.util.find_spec(self.package) is not None


SUITES = {
    suite.name: suite
    for suite in (
        SuiteSpec("brax", "brax", "robots by Brax's own physics, or MuJoCo's (physics mjx)", "morl.envs.suites.brax"),
        SuiteSpec("gymnax", "gymnax", "classic control, MinAtar, bsuite", "morl.envs.suites.gymnax"),
        SuiteSpec("jumanji", "jumanji", "games, packing, routing", "morl.envs.suites.jumanji"),
        SuiteSpec(
            "playground",
            "mujoco_playground",
            "DeepMind's control suite and robots on MuJoCo's JAX back-end",
            "morl.envs.suites.playground",
        ),
    )
}


def suite_of(id: str) -> tuple[SuiteSpec, str] | None:
    """Return the suite of an id and the name of the environment in it; None of any other id."""
    suite, colon, name = id.partition(":")
    return (SUITES[suite], name) if colon and suite in SUITES else None


# --- Other packages ---------------------------------------------------------------------------------------------------

# By group of entry points: the class of its registrations, and the function that registers one.
_REGISTRATIONS: dict[str, tuple[type[Any], str]] = {
    ENVIRONMENTS: (EnvSpec, "morl.environments:register_env"),  # registers with Gymnasium too
    AGENTS: (AgentSpec, "morl.registry:register_agent"),
    METRICS: (MetricSpec, "morl.registry:register_metric"),
}
_asked: set[tuple[str, str, str]] = set()  # group, name and value of the entry points that were loaded


def load_plug_ins(group: str) -> None:
    """Register what the entry points of a group name; one that fails costs a warning and not the others."""
    for entry_point in entry_points(group=group):
        if (group, entry_point.name, entry_point.value) in _asked:
            continue
        _asked.add((group, entry_point.name, entry_point.value))  # before loading, which may ask for a list itself
        try:
            _register_plug_in(group, entry_point)
        except (Exception, SystemExit) as error:  # any kind: one broken package must not cost the others
            package = entry_point.dist.name if entry_point.dist else "a package"
            why = str(error) if isinstance(error, UserError) else blame(error)
            where = f"{entry_point.name} = {entry_point.value!r}"
            kind = group.removeprefix("morl.")
            warnings.warn(f"{kind} of {package} not loaded ({where}): {why}", stacklevel=3)


def _register_plug_in(group: str, entry_point: EntryPoint) -> None:
    """Register the one spec, or each of several, that an entry point names."""
    cls, register = _REGISTRATIONS[group]
    value = entry_point.load()
    specs = [value] if isinstance(value, cls) else list(value) if isinstance(value, Iterable) else [None]
    if not all(isinstance(spec, cls) for spec in specs):
        raise UserError(f"it must name a morl.{cls.__name__} or a list of them, not {value!r}")
    for spec in specs:
        load(register)(spec)


def import_user_module(module: str, what: str) -> ModuleType:
    """Import a user's module, from the working directory too, where a file of their own is likely to be.

    Args:
        module: its name.
        what: whose module it is, for the error: ``agent 'mine:reinforce'``.

    Raises:
        UserError: it cannot be imported.
    """
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last, so that nothing there can replace an installed package
    with user_code_that(f"cannot import module {module!r} of {what}"):
        return importlib.import_module(module)


def load(entry_point: str) -> Any:
    """Return the object that ``module:Name`` names.

    Raises:
        UserError: there is no such module, or no such name in it.
    """
    module, _, name = entry_point.partition(":")
    try:
        with user_code_that(f"cannot load {entry_point!r}"):
            return getattr(importlib.import_module(module), name)
    except UserCodeError as error:
        cause = error.__cause__
        if module.partition(".")[0] == "morl" and cause and not isinstance(cause, ImportError | AttributeError):
            raise cause from None
        raise


def load_settings(entry_point: str) -> Any:
    """Return the dataclass of settings that ``module:Name`` names.

    Raises:
        UserError: see :func:`load`; or it is no dataclass.
    """
    found = load(entry_point)
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        raise UserError(f"{entry_point!r} must name a dataclass of settings, not {found!r}")
    return found
