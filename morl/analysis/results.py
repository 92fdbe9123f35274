"""Numbers of finished runs, for reports and comparisons. Reading them loads no policy and compiles nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from morl.environments import make
from morl.errors import UserError
from morl.loading import split_settings
from morl.ops.metrics import check_reference_point
from morl.parsing import field_names, from_mapping, to_flags
from morl.quality import objective_columns
from morl.registry import AgentSpec, agent_spec, metric_specs
from morl.registry import load as load_entry_point
from morl.renaming import current_names
from morl.runs.directory import check_module, check_written, read_fronts, read_objects, read_rows, read_settings
from morl.runs.front import Floats, Front
from morl.runs.front_csv import objectives_of
from morl.settings import SearchSettings, TrainSettings
from morl.words import brief_repr
from morl.yardsticks import fronts
from morl.yardsticks.protocol import Protocol, protocol_of

Runs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]  # run directories, or one of them
OBJECTS, CANDIDATES = "objects.csv", "candidates.csv"  # of a run whose fronts hold objects, and labelled ones


def history_columns(objectives: Sequence[str]) -> list[str]:
    """Return the columns of ``metrics.csv`` that describe the front: metrics, size, best return per objective."""
    first = ["hypervolume", "expected_utility", "sparsity", "front_size"]
    metrics = [name for name, spec in metric_specs().items() if spec.during_training]
    best = [column for column, _, statistic in objective_columns(objectives) if statistic == "max"]
    return list(dict.fromkeys([*first, *metrics, *best]))


@dataclass(frozen=True)
class Result:
    """Numbers of a finished run.

    Attributes:
        path: its directory.
        label: a short name, different from those of the runs it was read with.
        settings: the agent's name and all settings, by name.
        notes: versions, device, time and other notes of the run.
        objectives, units: R names, and R units that may be empty.
        gamma: discount of the returns.
        episodes: greedy episodes behind each row of a front.
        reference_point: (R,).
        tables: columns of ``front.csv`` by training seed, see :func:`morl.runs.directory.read_fronts`.
        history: ``step`` and those :func:`history_columns` that the run has, (evaluations,) each, by training seed.
        true_front: (n, R), if the environment is installed and can compute it.
        protocol: what the fronts were measured by, with the known front that they are held against.
    """

    path: Path
    label: str
    settings: Mapping[str, Any]
    notes: Mapping[str, Any]
    objectives: tuple[str, ...]
    units: tuple[str, ...]
    gamma: float
    episodes: int
    reference_point: Floats
    tables: Mapping[int, Mapping[str, Floats]]
    history: Mapping[int, Mapping[str, Floats]]
    true_front: Floats | None
    protocol: Protocol
    __repr__ = brief_repr

    @property
    def agent(self) -> str:
        return str(self.settings["agent"])

    @property
    def env(self) -> str:
        return str(self.settings["env"])

    @property
    def spec(self) -> AgentSpec | None:
        """Registration of its agent; None where the agent's package is not installed."""
        with contextlib.suppress(UserError):
            return agent_spec(self.agent)
        return None

    @property
    def labelled(self) -> bool:
        """True if the rows of its fronts are labelled objects."""
        if self.spec is None:
            return (self.path / CANDIDATES).is_file()
        return bool(load_entry_point(self.spec.solution_set).labelled)

    @property
    def conditional(self) -> bool:
        """True if the rows of its fronts are one policy under several preferences."""
        if self.spec is None:  # earlier versions wrote the same header for both
            return not read_rows(self.path / "front.csv")[0][2].startswith("trained_for_")
        return bool(load_entry_point(self.spec.solution_set).conditional)

    @property
    def fronts(self) -> dict[int, Front]:
        """Fronts by training seed, of numbers without policies."""
        tables: Mapping[int, Mapping[str, Any]] = self.tables
        objects = read_objects(self.path / OBJECTS, self.tables) if (self.path / OBJECTS).is_file() else {}
        return {
            seed: Front(
                objectives=self.objectives,
                **dict[str, Any](table),
                gamma=self.gamma,
                episodes=1 if objects else self.episodes,
                reference_point=self.reference_point,
                learner=None,
                params=None,
                observations=None,
                action_space=None,
                objects=objects.get(seed),
                conditional=self.conditional,
                labelled=self.labelled,
                protocol=self.protocol,
            )
            for seed, table in tables.items()
        }

    @property
    def command(self) -> str:
        """Command line that repeats the training, with every setting that is not the default."""
        spec, source = self.spec, str(self.path / "config.yaml")
        if spec is None:
            return shlex.join(["morl", "train", self.agent, "--config", source])
        settings = {name: value for name, value in self.settings.items() if name != "agent"}
        training, own = split_settings(settings, self.agent, source=source)
        parts = (spec.settings, training), (spec.config, own)
        flags = [flag for cls, values in parts for flag in to_flags(load_entry_point(cls), values, source=source)]
        return shlex.join(["morl", "train", self.agent, *flags])


def read(paths: Sequence[Path]) -> list[Result]:
    """Read the numbers of runs that can be shown together.

    Raises:
        UserError: no run or one twice, not a finished run, or runs whose returns are not of the same kind.
    """
    if not paths:
        raise UserError("give one or more run directories")
    for i, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:i]]:
            raise UserError(f"{path} is given twice")
    names = [path.resolve().name for path in paths]
    results = [
        _read(path, name if names.count(name) == 1 else str(path)) for path, name in zip(paths, names, strict=True)
    ]
    first = results[0]
    for other in results[1:]:
        for what in ("env", "objectives", "gamma"):
            one, two = getattr(first, what), getattr(other, what)
            if one != two:
                name = {"env": "environment", "objectives": "objectives", "gamma": "discount"}[what]
                raise UserError(
                    f"{other.path} cannot be put beside {first.path}: its {name} is {_text(two)}, not {_text(one)}"
                )
    return results


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def read_front(path: Path) -> Result:
    """Read the fronts of a finished run: no history, units or true front. It needs neither agent nor environment.

    Where the environment is installed, the protocol has its known front.

    Raises:
        UserError: not a finished run.
    """
    check_written(path)
    source = path / "config.yaml"
    if not (path / "front.csv").is_file():
        raise UserError(f"{path} has no front.csv: the run has not finished; to go on: morl train --resume {path}")
    settings, notes = read_settings(source)
    agent = settings.pop("agent", None)
    if not isinstance(agent, str):
        raise UserError(f"{source} names no agent")
    check_module(f"agent {agent}", agent.rpartition(":")[0], path)
    settings, checked = _settings(agent, settings, str(source))
    header = read_rows(path / "front.csv")[:1]
    objectives = objectives_of(header[0]) if header else ()
    if len(objectives) < 2:
        raise UserError(f"{path / 'front.csv'} does not hold a front")
    if checked.gamma is None or checked.reference_point is None:
        raise UserError(f"{source} is not that of a run: it has no gamma or no reference_point")
    reference_point = check_reference_point(checked.reference_point, len(objectives))
    return Result(
        path=path,
        label=path.resolve().name,
        settings={"agent": agent, **settings},
        notes=notes,
        objectives=objectives,
        units=("",) * len(objectives),
        gamma=checked.gamma,
        episodes=checked.final_episodes,
        reference_point=reference_point,
        tables=read_fronts(path / "front.csv", objectives),
        history={},
        true_front=None,
        protocol=_protocol(path, settings, checked, objectives, reference_point),
    )


def _protocol(
    path: Path, settings: Mapping[str, Any], checked: Any, objectives: tuple[str, ...], reference_point: Floats
) -> Protocol:
    """Return the protocol of a run: its environment's, or where that is not installed what is known without it."""
    env = None
    with contextlib.suppress(UserError):
        env = _environment(path, checked.env, settings)
        if len(env.objectives) != len(objectives):
            env = None
    return protocol_of(
        env,
        id=checked.env,
        keywords=checked.env_kwargs,
        gamma=checked.gamma,
        objectives=objectives,
        reference_point=reference_point,
        episodes=checked.final_episodes,
    )


def _environment(path: Path, name: str, settings: Mapping[str, Any]) -> Any:
    """Return the environment of a run.

    Raises:
        UserError: it is not installed here, or a module inside the run directory.
    """
    check_module(f"environment {name}", name.rpartition(":")[0], path)
    return make(name, backend=settings.get("backend"), **settings.get("env_kwargs", {}))


def _settings(agent: str, values: dict[str, Any], source: str) -> tuple[dict[str, Any], Any]:
    """Return settings under the names they have now, and those of the training, checked.

    Of an agent that is not installed here the latter are read as those of any agent, or as those of a search for
    labelled objects.
    """
    try:
        settings_class = load_entry_point(agent_spec(agent).settings)
        training, own = split_settings(values, agent, source=source)
    except UserError as missing:
        settings_class = TrainSettings if "steps" in values else SearchSettings
        values = current_names(values, settings_class, source=source)
        training = {name: value for name, value in values.items() if name in field_names(settings_class)}
        own = {name: value for name, value in values.items() if name not in training}
        if training.get("reference_point") is None:
            raise missing
    return {**training, **own}, from_mapping(settings_class, training, source=source)


def _read(path: Path, label: str) -> Result:
    result = read_front(path)
    units, true_front = _of_environment(result)
    history = _history(path / "metrics.csv", result.objectives)
    return dataclasses.replace(result, label=label, units=units, true_front=true_front, history=history)


def _of_environment(result: Result) -> tuple[tuple[str, ...], Floats | None]:
    """Return units and the true front; empty and none if the run's environment is not installed here."""
    env = _environment_of(result)
    if env is None:
        return result.units, None
    try:
        return tuple(objective.unit for objective in env.objectives), fronts.true_front(env, result.gamma)
    except UserError:
        return result.units, None


def units_of(result: Result) -> tuple[str, ...]:
    """Return the R units of the returns of a run; empty ones if its environment is not installed here."""
    env = _environment_of(result)
    return result.units if env is None else tuple(objective.unit for objective in env.objectives)


def _environment_of(result: Result) -> Any:
    """Return the environment of a run; None where it is not installed here, or has other objectives."""
    try:
        env = _environment(result.path, result.env, result.settings)
    except UserError:
        return None
    return env if tuple(objective.name for objective in env.objectives) == result.objectives else None


def _history(path: Path, objectives: Sequence[str]) -> dict[int, dict[str, Floats]]:
    """Read the history of the fronts from ``metrics.csv``, by seed.

    Raises:
        UserError: missing, without steps and seeds, or not numbers.
    """
    header, *rows = read_rows(path) or [[]]
    if not {"step", "seed"} <= set(header):
        raise UserError(f"{path} has no columns step and seed")
    try:
        table = np.array(rows, dtype=np.float64).reshape(len(rows), len(header))
    except ValueError as error:
        raise UserError(f"{path} holds something that is not a number, or rows of different length") from error
    seeds = table[:, header.index("seed")]
    shown = ["step", *(name for name in history_columns(objectives) if name in header)]
    return {
        int(seed): {name: table[seeds == seed][:, header.index(name)] for name in shown}
        for seed in dict.fromkeys(seeds.tolist())
    }


def paths_of(runs: Runs) -> list[Path]:
    """Return run directories as paths."""
    return [Path(runs)] if isinstance(runs, str | os.PathLike) else [Path(run) for run in runs]
