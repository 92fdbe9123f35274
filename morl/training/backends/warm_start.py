"""Warm start of a training by the archived policies of another run on the same environment."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from morl import loading
from morl.agents.imitation.teacher import Teacher
from morl.agents.ppo.algorithm import PPO
from morl.errors import UserError
from morl.ops.pareto import convex_coverage_set
from morl.training.setup import Setup
from morl.types import Trainer, WarmStart


class WarmUpdates:
    """First updates of a training.

    Args:
        setup: of the training.
        env: the environment, where no id makes it.
        start: of the agent.
    """

    def __init__(self, setup: Setup, env: Any, start: WarmStart) -> None:
        self.start = start
        self._setup, self._env = setup, env
        self._trainer: Trainer | None = None

    @cached_property
    def teacher(self) -> Teacher:
        """Return the policies that act; read when they are first needed."""
        return read_teacher(self.start.run, self._setup, self._env)

    def trainer(self, trainer: Trainer) -> Trainer:
        """Return a trainer of the same policies and environments, in which the teacher acts; made once."""
        if self._trainer is None:
            self._trainer = trainer.for_learner(self.start.learner_of(self.teacher))
        return self._trainer


def warm_updates(setup: Setup, env: Any = None) -> WarmUpdates | None:
    """Return the first updates of a training, if its agent has a warm start.

    Args:
        setup: of the training.
        env: the environment, as for :func:`morl.load`.
    """
    start = setup.agent.warm_start
    return None if start is None else WarmUpdates(setup, None if isinstance(env, str) else env, start)


def read_teacher(path: Path, setup: Setup, env: Any = None) -> Teacher:
    """Read the archived policies of a run, of all its seeds, that are the best for some preference.

    Args:
        path: run directory.
        setup: of the training that they are for.
        env: the environment, where no id makes it.

    Raises:
        UserError: not a finished run of PPO policies on the same environment.
    """
    before, settings = loading.setup_of(path, env=env)
    _check_same(path, before, setup)
    learner: Any = before.agent.learner
    if before.conditional or not isinstance(learner, PPO):
        raise UserError(
            f"warm_start takes a run of policies of one preference each, of cmorl or ppo; {path} is one of"
            f" {before.agent_name}"
        )
    fronts = list(loading.fronts_of(path, before, settings).values())
    returns, preferences = (np.concatenate(x) for x in zip(*[(f.returns, f.preferences) for f in fronts], strict=True))
    policies = jax.tree.map(lambda *x: np.concatenate(x), *[front.params for front in fronts])
    finite = np.flatnonzero(np.isfinite(returns).all(axis=1))
    if not len(finite):
        raise UserError(f"warm_start: no policy of {path} has finite returns")
    best = finite[convex_coverage_set(returns[finite])]
    return Teacher(learner, jax.tree.map(lambda x: x[best], policies), preferences[best], returns[best])


def _check_same(path: Path, before: Setup, setup: Setup) -> None:
    """Raise UserError for a run on another environment than the training's."""
    ours, theirs = (_environment(each) for each in (setup, before))
    for what, mine in ours.items():
        if theirs[what] != mine:
            raise UserError(
                f"warm_start takes a run on the same environment: {what} of {path} is {theirs[what]}, not {mine}"
            )


def _environment(setup: Setup) -> dict[str, str]:
    """Return the marks of an environment by name, as texts."""
    env, protocol = setup.env, setup.protocol
    spaces = {
        name: " ".join(str(space).split())
        for name, space in (("observation space", env.observation_space), ("action space", env.action_space))
    }
    number = {"number of objectives": str(len(setup.objectives))}
    return {"environment": str(env.id), **number, **spaces, "env_kwargs": str(dict(sorted(protocol.keywords.items())))}
