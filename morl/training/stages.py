"""Stages of a training, in updates: those of its agent, and those of a run that goes on for more steps.

More steps than a run was made for lengthen its only stage, as if they had been asked for at the start. A run of several
stages keeps the first one, which has ended, and gets further rounds of the second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from morl.errors import UserError
from morl.parsing import field_names
from morl.runs import storage
from morl.types import Agent


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
