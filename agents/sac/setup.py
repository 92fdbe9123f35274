"""Shared parts of agents made of soft actor-critics: check of the budget, the learner, and the search space."""

from __future__ import annotations

from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.errors import UserError
from morl.ops import replay
from morl.search_space import Choice, Parameter, Real, Space, log_real
from morl.types import Task

LONGEST_HORIZON = 0.99  # discount that a learner is given at most by default: bootstrapping on more learns slowly

SPACE: Space = {
    "learning_rate": Parameter(log_real(1e-4, 5e-3), live=True),
    "tau": Parameter(log_real(1e-3, 5e-2), live=True),
    "max_grad_norm": Parameter(log_real(1.0, 50.0), live=True),
    "temperature": Parameter(log_real(3e-3, 0.5)),  # of use only at the start, where it is learnt
    "learn_temperature": Parameter(Choice((False, True))),
    "target_entropy": Parameter(Real(0.05, 0.6), live=True, when={"learn_temperature": (True,)}),
    "anneal": Parameter(Choice((False, True))),
    "gradient_steps": Parameter(Choice((8, 16, 32))),
    "batch_size": Parameter(Choice((128, 256, 512))),
    "n_step": Parameter(Choice((1, 3, 5, 10))),
    "hidden": Parameter(Choice(((64, 64), (128, 128)))),
}


def check_budget(config: SACConfig, task: Task, updates: int, policies: int) -> None:
    """Raise UserError if the steps do not reach one gradient step, or scales are not one an objective."""
    if updates < 1:
        each = policies * config.num_envs * config.rollout_steps
        raise UserError(
            f"steps must be at least {each} (one rollout of {policies} x {config.num_envs} environments x "
            f"{config.rollout_steps} steps), not {task.steps}"
        )
    if updates * config.num_envs * config.rollout_steps <= config.learning_starts:
        least = policies * (config.learning_starts + config.num_envs * config.rollout_steps)
        raise UserError(f"steps must be at least {least} to learn anything after learning_starts, not {task.steps}")
    scales = config.objective_scales
    if scales is not None and len(scales) != task.num_objectives:
        raise UserError(f"objective_scales must be {task.num_objectives} numbers, one an objective, not {len(scales)}")


def make_learner(config: SACConfig, task: Task, updates: int) -> SAC:
    """Return the learner for a task."""
    gamma = config.train_gamma
    return SAC(
        config=config,
        observation_space=task.observation_space,
        action_space=task.action_space,
        num_objectives=task.num_objectives,
        gamma=min(task.gamma, LONGEST_HORIZON) if gamma is None else gamma,
        total_updates=updates,
        action_mask=task.action_mask,
        action_features=task.action_features,
    )


def replay_note(learner: SAC, policies: int) -> str:
    """Say how much memory the replay of a seed takes."""
    capacity = learner.config.replay_capacity
    size = policies * replay.size_in_bytes(capacity, learner.row())
    whose = "" if policies == 1 else f" for each of {policies} policies"
    return f"replay of {capacity:,} transitions{whose}: {size:,} bytes a seed"
