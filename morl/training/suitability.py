"""Decision of what an agent can take, in one place for training and for ``morl check-env``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from morl.envs.gymnasium.presentation import observations_of
from morl.errors import UserError
from morl.guard import constructed, guarded, made_settings
from morl.registry import AgentSpec, agent_specs, load, load_settings
from morl.types import Agent, Learner, Task

LEARNERS = ("learner", "extension")  # parts of an agent that have methods of their own
# Members that the core uses; those without a default do nothing where they are the protocol's own.
AGENT = (
    *("learner", "preferences", "updates", "extension", "num_preferences", "notes", "budget", "preference_interval"),
    *("update_bytes", "update_settings", "draw_preference", "preference_at", "policy_metrics", "guide", "remark"),
)
LEARNER = ("num_envs", "rollout_steps", "init", "policy", "act", "to_env", "update")
WITHOUT_DEFAULT = ("learner", "preferences", "updates", *LEARNER)
AMPLE = 10**12  # steps that are enough for the default settings of any agent


@dataclass(frozen=True)
class Verdict:
    """Whether agents can train on an environment.

    Attributes:
        agents: their names.
        reason: why they cannot; empty if they can.
        notes: how they choose actions, where that is not plain from the action space.
    """

    agents: tuple[str, ...]
    reason: str = ""
    notes: tuple[str, ...] = ()


def task_of(env: Any, gamma: float, steps: int) -> Task:
    """Return the description of an environment, in JAX or on the host, that agents are made for."""
    return Task(
        observations_of(env).seen,
        env.action_space,
        len(env.objectives),
        gamma,
        steps,
        env.max_episode_steps,
        action_mask=getattr(env, "action_mask", None),
        action_features=getattr(env, "action_features", None),
        action_rewards=getattr(env, "action_rewards", None),
        constructive=env if hasattr(env, "backward_step") else None,
    )


def make_agent(spec: AgentSpec, config: Any, task: Task) -> Agent:
    """Make the agent for a task, and its learner.

    Raises:
        UserError: spaces, or another property of the task, that it cannot work with; settings that do not fit; an agent
            of another package that raises.
    """
    if task.action_mask is not None and not isinstance(task.action_space, spaces.Discrete):
        kind = type(task.action_space).__name__
        raise UserError(f"an action_mask is for a Discrete action space, not for {kind}")
    owner = f"agent {spec.name}"
    agent: Agent = guarded(constructed(load(spec.entry_point), owner, config, task), owner, parts=LEARNERS)
    _check_members(owner, agent, Agent, AGENT, "subclass morl.types.Agent, which has defaults for what may be left out")
    _ = agent.learner  # checks the spaces
    if spec.backend == AgentSpec.backend:
        _check_members(f"{owner}: its learner", agent.learner, Learner, LEARNER, "see morl.types.Learner")
    _check_numbers(owner, agent, task.num_objectives)
    return agent


def _check_members(owner: str, thing: Any, contract: Any, names: tuple[str, ...], advice: str) -> None:
    """Check that an agent or a learner has what the core uses.

    Raises:
        UserError: a member is missing, or only inherited from the protocol, where it does nothing.
    """
    kind = thing.__class__
    for name in names:
        if not hasattr(thing, name) or (name in WITHOUT_DEFAULT and getattr(kind, name, 0) is getattr(contract, name)):
            raise UserError(f"{owner} has no {name}; {advice}")


def _check_numbers(owner: str, agent: Agent, num_objectives: int) -> None:
    """Check how many updates and which preferences an agent asks for.

    Raises:
        UserError: no whole number of updates, or preferences of another shape or not finite.
    """
    updates: object = agent.updates
    if isinstance(updates, bool) or not isinstance(updates, int | np.integer):
        raise UserError(f"{owner}: updates must be a whole number, not {updates!r}")
    try:
        preferences = np.asarray(agent.preferences, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{owner}: preferences must be an array of numbers") from None
    if preferences.ndim not in (2, 3) or preferences.shape[-1] != num_objectives or not preferences.size:
        shapes = f"(K, {num_objectives}) or (K, B, {num_objectives})"
        raise UserError(f"{owner}: preferences must be of shape {shapes}, not {preferences.shape}")
    if not np.isfinite(preferences).all():
        raise UserError(f"{owner}: preferences must be finite")


def verdicts(env: Any, gamma: float = 0.99) -> list[Verdict]:
    """Return which registered agents can train on an environment with their default settings.

    Agents of the same verdict are together; those that can train come first.

    Args:
        env: a functional environment, or one on the host as :func:`morl.make` gives it.
        gamma: discount.
    """
    task = task_of(env, gamma, AMPLE)
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, spec in agent_specs().items():
        found.setdefault(_verdict(spec, task), []).append(name)
    each = [Verdict(tuple(names), reason, notes) for (reason, notes), names in found.items()]
    return sorted(each, key=lambda verdict: bool(verdict.reason))


def can_train(found: Iterable[Verdict]) -> bool:
    """Return whether some agent can train."""
    return any(not verdict.reason for verdict in found)


def _verdict(spec: AgentSpec, task: Task) -> tuple[str, tuple[str, ...]]:
    """Return the reason why an agent cannot train, or an empty one, and its notes on actions."""
    try:
        agent = make_agent(spec, made_settings(load_settings(spec.config)), task)
    except UserError as error:
        return str(error), ()
    return "", tuple(getattr(agent, "action_notes", ()))
