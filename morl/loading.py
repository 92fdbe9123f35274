"""Loading of finished runs, and evaluation of their fronts again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from morl.envs.objects import from_object
from morl.errors import UserError, closing
from morl.ops.metrics import check_reference_point
from morl.parsing import field_names, from_mapping
from morl.registry import agent_spec, load_settings
from morl.renaming import current_names
from morl.runs import storage
from morl.runs.directory import Run, check_module, check_written, read_fronts, read_objects, read_settings
from morl.runs.front import Floats, Front, evaluation_table
from morl.runs.front_csv import evaluations_csv
from morl.settings import EvaluateSettings, TrainSettings
from morl.training.backends import devices
from morl.training.setup import Setup, check_for_host, prepare
from morl.types import PyTree
from morl.validation import changed


def split_settings(values: Mapping[str, Any], agent: str, *, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return settings by name as those of the run and those of the agent, under the names they have now.

    Args:
        values: settings of both kinds by name, without the agent's name.
        agent: a registered agent, or ``module:name``.
        source: where they come from, for the error.

    Raises:
        UserError: no such agent, or a setting under both an old and its new name.
    """
    spec = agent_spec(agent)
    settings = load_settings(spec.settings)
    values = current_names(values, settings, load_settings(spec.config), source=source)
    names = field_names(settings)
    training = {name: value for name, value in values.items() if name in names}
    return training, {name: value for name, value in values.items() if name not in names}


def settings_of(path: Path) -> tuple[str, Any, Any]:
    """Read a run directory's ``config.yaml``: the agent's name, the settings of the run, and those of the agent.

    Raises:
        UserError: not a run directory, or settings that are not this version's.
    """
    check_written(path)
    source = path / "config.yaml"
    values, _ = read_settings(source)
    agent = values.pop("agent", None)
    if not isinstance(agent, str):
        raise UserError(f"{source} names no agent")
    check_module(f"agent {agent}", agent.rpartition(":")[0], path)
    spec = agent_spec(agent)
    training, own = split_settings(values, agent, source=str(source))
    settings_class = load_settings(spec.settings)
    settings = from_mapping(settings_class, training, source=str(source))
    check_module(f"environment {settings.env}", settings.env.rpartition(":")[0], path)
    config = from_mapping(load_settings(spec.config), own, source=str(source), also=field_names(settings_class))
    return agent, settings, config


def setup_of(
    path: Path,
    env_kwargs: Mapping[str, Any] | None = None,
    env: Any = None,
    steps: int | None = None,
    gpi: bool | None = None,
) -> tuple[Setup, TrainSettings]:
    """Build the setup of a run directory's ``config.yaml``.

    Args:
        path: the run directory.
        env_kwargs: keywords of the environment that differ from the run's.
        env: the environment (:func:`morl.envs.objects.from_object`), instead of the one that the run names.
        steps: steps of the training, instead of the run's.
        gpi: whether to act by generalised policy improvement, instead of how the run was set.

    Raises:
        UserError: settings that cannot work, or an improvement that the run's policies cannot do.
    """
    agent, settings, config = settings_of(path)
    if gpi is not None:
        config = _with_improvement(config, gpi, path)
    if steps is not None:
        settings = dataclasses.replace(settings, steps=steps)
    keywords = {**settings.env_kwargs, **(env_kwargs or {})}
    given = None
    if env is None:
        settings = dataclasses.replace(settings, env_kwargs=keywords)
    elif isinstance(env, str):
        settings = dataclasses.replace(settings, env=env, env_kwargs=keywords)
    else:
        given = from_object(env, keywords if callable(env) else dict(env_kwargs or {}))
    setup, source = prepare(agent, settings, config, given), path / "config.yaml"
    observations = setup.observations.with_origin(read_settings(source)[1].get("origin"), str(source))
    return dataclasses.replace(setup, observations=observations), settings


def _with_improvement(config: Any, gpi: bool, path: Path) -> Any:
    """Return the settings of an agent with generalised policy improvement on or off."""
    if not hasattr(config, "gpi_evaluation") or getattr(config, "gpi_preferences", 1) == 0:
        raise UserError(
            f"gpi needs policies with critics to improve by, as gpi-ls has, and capql and gmorl trained with"
            f" gpi_preferences; those of {path} have none"
        )
    return dataclasses.replace(config, gpi_evaluation=gpi)


def load(path: str | Path, env: Any = None) -> Run:
    """Read a finished run: its settings, and its fronts with policies that can act.

    Args:
        path: run directory.
        env: the environment that the run was trained on, an object or an id; needed where that was an object which no
            id makes again.

    Raises:
        UserError: not a run directory, unfinished, damaged, or of an unknown format.
    """
    path = Path(path)
    setup, settings = setup_of(path, env=env)
    return Run(path, setup.resolved(settings), fronts_of(path, setup, settings))


def fronts_of(path: Path, setup: Setup, settings: TrainSettings) -> dict[int, Front]:
    """Read the fronts of a finished run by training seed; setup and settings are those of :func:`setup_of`."""
    if not (path / "front.csv").is_file():
        raise UserError(f"{path} has no front.csv: the run has not finished; to go on: morl train --resume {path}")
    tables = read_fronts(path / "front.csv", setup.objectives)
    learner = setup.agent.learner
    one = learner.policy(learner.init(jax.random.key(0)))

    def stacked(number: int) -> PyTree:
        return jax.tree.map(lambda x: np.empty((number, *np.shape(x)), np.asarray(x).dtype), one)

    conditional = setup.conditional
    like = {str(seed): one if conditional else stacked(len(table["length"])) for seed, table in tables.items()}
    params = storage.load(path / "checkpoints" / "front", like)
    context: dict[str, Any] = {**setup.front_context, "episodes": settings.final_episodes}
    own: dict[int, dict[str, Any]] = {seed: {"params": params[str(seed)]} for seed in tables}
    if setup.has_objects:
        context["episodes"] = 1
        for seed, objects in read_objects(path / "objects.csv", tables).items():
            own[seed]["objects"] = objects
    return {seed: Front(**{**context, **table, **own[seed]}) for seed, table in tables.items()}


def front_of_seed(fronts: Mapping[int, Front], seed: int | None) -> Front:
    """Return the front of a training seed, or the first front if none is given.

    Raises:
        UserError: no such seed.
    """
    if seed is None:
        return next(iter(fronts.values()))
    if seed not in fronts:
        raise UserError(f"seed {seed} is not in this run; it has {', '.join(map(str, fronts))}")
    return fronts[seed]


def reevaluate(
    path: str | Path, settings: EvaluateSettings | None = None, env: Any = None, **changes: Any
) -> dict[int, Front]:
    """Evaluate the policies of a run's fronts again, greedily, on fresh episodes.

    Of a sampler, so many new objects are drawn for each preference, and the best of them are the front.

    Args:
        path: a finished run directory; it is not touched.
        settings: :class:`EvaluateSettings`.
        env: as for :func:`load`.
        changes: settings by name, which win over ``settings``: ``episodes=1000``.

    Returns:
        for each training seed the front of the policies that are still non-dominated.

    Raises:
        UserError: not a finished run, or keywords that the environment or the policies cannot work with.
    """
    return evaluated(path, changed(settings, EvaluateSettings, changes), env).fronts


def with_max_envs(setup: Setup, env: str, max_envs: int | None) -> Setup:
    """Return a setup of the environment ``env`` with at most so many environments on the host; None leaves it.

    Raises:
        UserError: the environment does not run on the host.
    """
    check_for_host(env, setup.backend, {"max_envs": max_envs})
    if max_envs is None:
        return setup
    return dataclasses.replace(setup, max_envs=max_envs, overlap=setup.overlap and max_envs > 1)


def evaluation_key(seed: int, training_seed: int) -> jax.Array:
    """Return the key of an evaluation of a finished run's front.

    A training splits the key of its seed into five and leaves the fourth for evaluations.
    """
    return jax.random.fold_in(jax.random.split(jax.random.key(seed), 5)[3], training_seed)


@dataclass(frozen=True)
class Evaluated:
    """Policies of a run evaluated again.

    Attributes:
        setup: the agent and environment they were evaluated by.
        settings: of the evaluation.
        fronts: those still non-dominated, by training seed.
        tables: the numbers of all of them, by training seed; see :func:`morl.runs.front.evaluation_table`.
    """

    setup: Setup
    settings: EvaluateSettings
    fronts: dict[int, Front]
    tables: dict[int, dict[str, Floats]]

    def to_csv(self) -> str:
        """Return CSV with one row per policy and preference; see :func:`morl.runs.front_csv.evaluations_csv`."""
        return evaluations_csv(self.fronts, self.tables, self.settings.seed)


def evaluated(path: str | Path, settings: EvaluateSettings | None = None, env: Any = None) -> Evaluated:
    """Evaluate as :func:`reevaluate` does; return the numbers of the policies that are dominated now too."""
    settings = settings or EvaluateSettings()
    setup, trained = setup_of(
        Path(path), settings.env_kwargs, env, gpi=None if settings.gpi is None else settings.gpi == "on"
    )
    setup.require("evaluate")
    setup = dataclasses.replace(setup, trains=False, episodes=settings.episodes)
    if settings.gamma is not None:
        setup = dataclasses.replace(setup, gamma=settings.gamma)
    if settings.reference_point is not None:
        point = check_reference_point(settings.reference_point, len(setup.objectives), setup.objectives)
        setup = dataclasses.replace(setup, reference_point=point)
    setup = with_max_envs(setup, trained.env, settings.max_envs)
    chosen = devices.choose(
        settings.device, len(setup.agent.preferences), setup.spec.split_cores
    )  # before anything else uses JAX
    with jax.default_device(chosen[0]):
        fronts = fronts_of(Path(path), setup, trained)
        backend = setup.make_backend(
            setup.agent.preferences,
            eval_episodes=min(settings.episodes, trained.eval_episodes),
            devices=chosen,
        )
        again, tables = {}, {}
        with closing(backend):
            for seed, front in fronts.items():
                key = evaluation_key(settings.seed, seed)[None]
                found = setup.solution_set.evaluate_again(setup, backend, front, key, settings.episodes)
                again[seed] = setup.front(*found)
                tables[seed] = evaluation_table(found[0], found[2], setup.alive_bonus, setup.gamma)
    return Evaluated(setup, settings, again, tables)
