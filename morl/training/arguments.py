"""Arguments of a training called in Python: an environment and settings, in whichever form they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from morl.envs.objects import GivenEnvironment, from_object
from morl.errors import UserError, unknown_name
from morl.parsing import field_names
from morl.registry import agent_spec, load_settings
from morl.renaming import current_names
from morl.settings import EvaluateSettings, SearchSettings, TrainSettings
from morl.training.backends import devices
from morl.validation import changed


@dataclass(frozen=True)
class Arguments:
    """Arguments of one training.

    Attributes:
        settings: of the run.
        config: the agent's own.
        env: the environment, where it was given as an object and not by its id.
    """

    settings: Any
    config: Any
    env: GivenEnvironment | None = None


def training_arguments(
    agent: str, env: Any = None, config: Any = None, settings: Any = None, changes: Mapping[str, Any] | None = None
) -> Arguments:
    """Return the settings of a training.

    Args:
        agent: a registered agent, or ``module:name``.
        env: id of an environment or an environment (:func:`morl.envs.objects.from_object`); or the settings.
        config: the agent's own settings; by default its defaults.
        settings: of the run; by default their defaults.
        changes: values by name of setting, of the run or of the agent; they win over the others.

    Raises:
        UserError: unknown agent, setting or value.
    """
    if not isinstance(agent, str):
        raise UserError(f"the agent comes first, by its name, such as cmorl, not {type(agent).__name__}")
    spec = agent_spec(agent)
    settings_class, config_class = load_settings(spec.settings), load_settings(spec.config)
    if isinstance(env, settings_class | TrainSettings | SearchSettings | EvaluateSettings):
        if settings is not None:
            raise UserError("the settings are given twice")
        env, settings = None, env
    values = current_names(changes or {}, settings_class, config_class, source="train")
    training, own = field_names(settings_class), field_names(config_class)
    for name in values:
        if name not in training and name not in own:
            raise unknown_name("setting", name, [*training, *own])
    of_run = {name: value for name, value in values.items() if name in training}
    if env is None:
        env = of_run.pop("env", None)
    if isinstance(env, str):
        of_run["env"] = env
    settings, given = changed(settings, settings_class, of_run), None
    if env is not None and not isinstance(env, str) and isinstance(settings, settings_class):
        devices.reserve(spec.split_cores)  # before an environment that is made here uses JAX
        given = from_object(env, settings.env_kwargs)
        settings = changed(settings, settings_class, {"env": given.id, "env_kwargs": dict(given.kwargs)})
    config = changed(config, config_class, {name: value for name, value in values.items() if name in own})
    return Arguments(settings, config, given)
