"""Checks of a study before its first trial."""

from __future__ import annotations

from typing import Any

from morl import search_space
from morl.errors import UserError
from morl.guard import replaced_settings
from morl.registry import agent_spec, load_settings
from morl.search_space import Space
from morl.settings import TrainSettings
from morl.tune.settings import StudySettings

HELD_OUT = 100_000  # distance from the seeds of the search to those that it never sees


def check(agent: str, training: Any, config: Any, settings: StudySettings, space: Space) -> None:
    """Check all that can be known before a trial runs.

    Args:
        agent: a registered agent.
        training: settings of each trial's training.
        config: the agent's settings.
        settings: those of the study.
        space: what is searched.

    Raises:
        UserError: settings that cannot work.
    """
    spec = agent_spec(agent)
    if settings.scheduler == "pbt" and load_settings(spec.settings) is not TrainSettings:
        raise UserError(f"scheduler pbt needs checkpoints that can be continued with other settings; {agent} has none")
    if training.num_seeds > HELD_OUT:
        raise UserError(f"num_seeds must be at most {HELD_OUT}, not {training.num_seeds}")
    if getattr(training, "processes", 0) and settings.trial_cpus < 1:
        raise UserError("worker processes need a whole core: give --trial-cpus as many as there are processes")
    _check_ends(config, space)
    if load_settings(spec.settings) is TrainSettings:
        if settings.trial_gpus:
            import jax

            jax.config.update("jax_platforms", "cpu")  # this process must not take the GPU memory of the trials
        from morl.training.setup import prepare

        prepare(agent, training, config)


def _check_ends(config: Any, space: Space) -> None:
    """Try each end of each unconditional domain, and each option, with all other settings as they are.

    Raises:
        UserError: a value that the agent refuses.
    """
    for name, parameter in space.items():
        if parameter.when:
            continue
        domain = parameter.domain
        for value in domain.options if isinstance(domain, search_space.Choice) else (domain.low, domain.high):
            try:
                replaced_settings(config, **{name: value})
            except UserError as error:
                raise UserError(f"space: {name} cannot be {search_space.label(value)}: {error}") from None
