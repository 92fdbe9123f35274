"""Resumption of a training: how the run of a directory goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morl import loading
from morl.runs import directory, storage
from morl.runs.directory import Run
from morl.settings import TrainSettings
from morl.training.setup import Setup
from morl.training.stages import check_can_extend, extended_stages, written_stages


@dataclass(frozen=True)
class Resumption:
    """Training to go on with.

    Attributes:
        setup, settings: of the run.
        stages: updates of its stages (:mod:`morl.training.stages`); None for those of its agent.
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
