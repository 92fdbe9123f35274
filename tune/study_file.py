"""``study.yaml``: what a study was set to, for resuming it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from morl import search_space
from morl.errors import UserError
from morl.parsing import field_names, from_mapping, plain_fields
from morl.registry import agent_spec, load_settings
from morl.runs import directory, files
from morl.search_space import Space
from morl.tune.settings import StudySettings
from morl.tune.spaces import with_current_names
from morl.tune.worker import import_modules

NAME = "study.yaml"
FORMAT = 1
RESUMABLE = ("num_samples", "address", "dashboard", "max_concurrent")
"""Settings of a study that may change when it is resumed."""
_NOT_WRITTEN = ("space", "space_file")  # the space itself is


class Written(NamedTuple):
    """Content of a ``study.yaml``.

    Attributes:
        agent: a registered agent.
        training: settings of each trial's training; its ``out`` is the study's directory.
        config: the agent's settings.
        settings: those of the study.
        space: changes to the agent's declared space that lead to the space of the study.
    """

    agent: str
    training: Any
    config: Any
    settings: StudySettings
    space: dict[str, Any]


def write(path: Path, agent: str, training: Any, config: Any, settings: StudySettings, space: Space) -> None:
    """Write the ``study.yaml`` of a study into its directory.

    Raises:
        OSError: it cannot be written.
    """
    written = {
        "format": FORMAT,
        "agent": agent,
        "study": {name: value for name, value in plain_fields(settings).items() if name not in _NOT_WRITTEN},
        "training": {name: value for name, value in plain_fields(training).items() if name != "out"},
        "config": plain_fields(config),
        "space": search_space.plain(space),
        "run": directory.provenance(""),
    }
    files.write_text(path / NAME, yaml.safe_dump(written, sort_keys=False))


def read(path: Path, changes: dict[str, Any]) -> Written:
    """Return what the study in a directory was set to. Nothing there is unpickled or evaluated.

    Modules of the user's that the study names are imported, which register agents and environments.

    Args:
        path: directory of the study.
        changes: settings of the study in place of the written ones, of :data:`RESUMABLE`.

    Raises:
        UserError: not a study, links in it, or settings that this version does not take.
    """
    _check_own_files(path)
    source = str(path / NAME)
    written = directory.read_config(path / NAME)
    if written.get("format") != FORMAT:
        raise UserError(f"{source} has format {written.get('format')!r}; this version of morl reads format {FORMAT}")
    parts = {name: written.get(name) for name in ("study", "training", "config", "space")}
    if not isinstance(agent := written.get("agent"), str) or not all(isinstance(x, dict) for x in parts.values()):
        raise UserError(f"{source} must hold an agent, and study, training, config and space as mappings")
    settings = from_mapping(StudySettings, parts["study"] or {}, source=source)
    if settings.modules and Path.cwd().resolve().is_relative_to(path.resolve()):
        raise UserError(f"the study imports {', '.join(settings.modules)}; resume it from outside its directory")
    for module in settings.modules:
        directory.check_module(f"module {module}", module, path)
    if unknown := sorted(changes.keys() - set(RESUMABLE)):
        raise UserError(f"a resumed study keeps its settings, except {', '.join(RESUMABLE)}: not {unknown[0]}")
    import_modules(settings.modules)
    directory.check_module(f"agent {agent}", agent.rpartition(":")[0], path)
    spec = agent_spec(agent)
    training = from_mapping(load_settings(spec.settings), parts["training"] or {}, source=source)
    directory.check_module(f"environment {training.env}", training.env.rpartition(":")[0], path)
    also = field_names(load_settings(spec.settings))
    config = from_mapping(load_settings(spec.config), parts["config"] or {}, source=source, also=also)
    declared: dict[str, Any] = dict.fromkeys(spec.declared_space())
    return Written(
        agent,
        dataclasses.replace(training, out=path),
        config,
        dataclasses.replace(settings, **changes),
        {**declared, **with_current_names(parts["space"] or {}, load_settings(spec.config), source)},
    )


def _check_own_files(path: Path) -> None:
    """Check that a directory is a study, and that no link leads out of it.

    Raises:
        UserError: it is not, or one does.
    """
    directory.check_written(path, NAME, "study")
    for entry in (*path.iterdir(), *(e for place in ("trials", "held-out") for e in (path / place).glob("*"))):
        if entry.is_symlink():
            raise UserError(f"{entry} is a link; a study is resumed only from files of its own")
