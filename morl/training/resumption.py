"""Stages of a training, in updates, and resumption: how the run of a directory goes on.

More steps than a run was made for lengthen its only stage, as if they had been asked for at the start. A run of several
stages keeps the first one, which has ended, and gets further rounds of the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morl import loading
from morl.errors import UserError
from morl.parsing import field_names
from morl.runs import directory, storage
from morl.runs.directory import Run
from morl.settings import TrainSettings
from morl.training.setup import Setup
from morl.types import Agent


@dataclass(frozen=True)
class Resumption:
    """Training to go on with.

    Attributes:
        setup, settings: of the run.
        stages: updates of its stages; None for those of its agent.
    """

    setup: Setup
    settings: TrainSettings
    stages: list[int] | None


def resumption(path: Path, steps: int | None = None, env: Any = None) -> Resumption | Run:
    """Return how a run goes on: from its last whole checkpoint, or from its start where there is none yet.

    Args:
        path: run directory.
        steps: environment steps of one seed that it shall have done in all, if more than it was made for.
        env: the environment, as for :func:`morl.load`.

    Returns:
        the run itself where it has finished and is given no more steps.

    Raises:
        UserError: a run that cannot be resumed, or not be given these steps.
    """
    if steps is not None:
        check_can_extend(path, loading.settings_of(path)[1], steps)
    setup, settings = loading.setup_of(path, env=env, steps=steps)
    directory.check_own_files(path)
    if steps is not None:
        return Resumption(setup, settings, extended_stages(path, setup.agent, steps))
    if (path / "front.csv").exists() and not storage.states(path / "checkpoints"):
        return loading.load(path, env)
    written = written_stages(path / "checkpoints")
    return Resumption(setup, settings, written[0] if written else None)


def stages_of(agent: Agent) -> list[int]:
    """Return the updates of the first stage, and those of each round of the second."""
    extension = agent.extension
    return [agent.updates, *([extension.updates] * extension.rounds if extension else [])]


def written_stages(checkpoints: Path) -> tuple[list[int], int, int, int] | None:
    """Return the stages of the newest readable checkpoint, and its stage, updates in that stage, and steps of a seed.

    None where there is none, or only of versions that did not write the stages.
    """
    for path in storage.states(checkpoints) or [storage.final_state(checkpoints)]:
        try:
            progress: Any = storage.load_notes(path).get("progress")
            stages, numbers = progress["stages"], [progress[name] for name in ("stage", "updates", "steps")]
            if stages and all(type(x) is int and x >= 0 for x in (*stages, *numbers)) and numbers[0] < len(stages):
                return stages, numbers[0], numbers[1], numbers[2]
        except (UserError, TypeError, KeyError):
            continue
    return None


def check_can_extend(path: Path, settings: Any, steps: Any) -> None:
    """Check that a run can be given a number of steps: more than it has done, and a state to go on from.

    Raises:
        UserError: it cannot.
    """
    if "steps" not in field_names(type(settings)):
        raise UserError(f"{path} cannot be given steps: its budget is in the agent's own settings, which are its plan")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UserError(f"steps must be a whole number of at least 1, not {steps!r}")
    written = written_stages(path / "checkpoints")
    if written is None:
        raise UserError(
            f"{path} cannot be given more steps: no last state was kept (by --checkpoints-kept 0 or an earlier version)"
        )
    if steps <= max(written[3], settings.steps):
        done = "is to do" if settings.steps > written[3] else "has done"
        raise UserError(f"{path} {done} {max(written[3], settings.steps):,} steps; give --steps more, not {steps:,}")


def extended_stages(path: Path, agent: Agent, steps: int) -> list[int]:
    """Return the stages of a run that goes on, of an agent that was made for more steps than the run.

    Raises:
        UserError: they give no update more.
    """
    written = written_stages(path / "checkpoints")
    planned, extension = stages_of(agent), agent.extension
    if written is None:
        return planned
    stages, stage, updates, _ = written
    if len(stages) == 1:
        longer = [sum(planned)]
    elif stage == 0 and planned[0] >= updates:
        longer = planned
    else:
        each = stages[1]
        longer = [stages[0], *[each] * ((sum(planned) - stages[0]) // each)]
    if extension is None and len(longer) > 1:
        raise UserError(f"{path} cannot go on with its second stage for {steps:,} steps: the agent plans none")
    if sum(longer) <= sum(stages):
        unit = "update of every policy" if len(stages) == 1 else "round of the second stage"
        raise UserError(f"--steps {steps:,} is not a whole {unit} more than {path} has; give more steps")
    return longer
