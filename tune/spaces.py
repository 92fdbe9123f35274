"""Search space of a study, put together from the agent's own, a file, flags and an argument."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import yaml

from morl import search_space
from morl.errors import UserError, unknown_name
from morl.parsing import field_names, field_values, from_mapping, plain_fields
from morl.registry import agent_spec
from morl.renaming import current_names
from morl.runs import directory
from morl.search_space import Space
from morl.tune.settings import StudySettings


def searched(agent: str, config: Any, settings: StudySettings, changes: Mapping[str, Any]) -> tuple[Space, Any]:
    """Return the space that a study searches, and the agent's settings with those that are fixed instead.

    The agent's own space is changed by the file, then by the flags, then by the argument.

    Args:
        agent: a registered agent.
        config: the agent's settings.
        settings: those of the study, with file and flags.
        changes: the argument, by names of settings; see :class:`morl.tune.study.Study`.

    Raises:
        UserError: an unknown setting, something that is no domain, or nothing to search.
    """
    spec = agent_spec(agent)
    space: Space = spec.declared_space()
    from_file: dict[str, Any] = {}
    if settings.space_file is not None:
        from_file = directory.read_config(settings.space_file)
    argument = {name: x.plain() if isinstance(x, search_space.Parameter) else x for name, x in changes.items()}
    sources = (from_file, str(settings.space_file)), (of_flags(settings.space), "--space"), (argument, "space")
    fixed: dict[str, Any] = {}
    for named, source in sources:
        part = with_current_names(named, type(config), source)
        if unknown := [name for name in part if name not in field_names(type(config))]:
            raise UserError(f"{source}: {unknown_name('setting', unknown[0], field_names(type(config)))}")
        space, more = search_space.overridden(space, part, source)
        fixed |= more
    space = {
        name: dataclasses.replace(p, live=changed.live)
        if isinstance(changed := changes.get(name), search_space.Parameter)
        else p
        for name, p in space.items()
    }
    if fixed := {name: value for name, value in fixed.items() if name not in space}:
        config = from_mapping(type(config), {**plain_fields(config), **fixed}, source="space")
    values = field_values(config)
    search_space.checked(space, values, "space")
    population = settings.scheduler == "pbt"
    if population:
        space = {name: p for name, p in space.items() if p.live and p.active(values)}
    if not space:
        what = "that may change during a training " if population else ""
        raise UserError(f"{agent} has no settings {what}to search; name some: --space NAME='{{log: [1e-4, 1e-2]}}'")
    return space, config


def with_current_names(changes: Mapping[str, Any], config_class: type[Any], source: str) -> dict[str, Any]:
    """Return changes to a space under the names that settings have now, those in conditions too.

    Raises:
        UserError: a setting is there under an old name and its new one.
    """

    def conditions(change: Any) -> Any:
        if isinstance(change, Mapping) and isinstance(when := change.get("when"), Mapping):
            return {**change, "when": current_names(when, config_class, source=source)}
        return change

    named = current_names(changes, config_class, source=source)
    return {name: conditions(change) for name, change in named.items()}


def of_flags(flags: tuple[str, ...]) -> dict[str, Any]:
    """Return the changes of ``--space NAME=YAML`` flags by name.

    Raises:
        UserError: a flag without an equals sign, or with something that is no YAML.
    """
    changes = {}
    for flag in flags:
        name, equals, text = flag.partition("=")
        if not equals:
            raise UserError(f"--space takes NAME=DOMAIN, such as 'epochs={{int: [2, 16]}}', not {flag!r}")
        try:
            changes[name.strip().replace("-", "_")] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--space {name}: {' '.join(str(error).split())}") from None
    return changes
