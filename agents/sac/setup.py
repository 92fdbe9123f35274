"""Shared parts of the agents of soft actor-critics: base class, check of the budget, learner, note on memory."""

from __future__ import annotations

from morl.agents.sac.action_space import ActionSpace
from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.errors import UserError
from morl.networks.bodies import EXPANSION
from morl.ops import replay
from morl.types import Agent, Task
from morl.validation import check_number_of_scales

LONGEST_HORIZON = 0.99  # largest default discount of a learner: bootstrapping on more learns slowly


def check_budget(config: SACConfig, task: Task, updates: int, policies: int) -> None:
    """Raise UserError for fewer steps than one gradient step takes, or another number of scales than of objectives."""
    if updates < 1:
        each = policies * config.num_envs * config.rollout_steps
        raise UserError(
            f"steps must be at least {each} (one rollout of {policies} x {config.num_envs} environments x "
            f"{config.rollout_steps} steps), not {task.steps}"
        )
    if updates * config.num_envs * config.rollout_steps <= config.learning_starts:
        least = policies * (config.learning_starts + config.num_envs * config.rollout_steps)
        raise UserError(f"steps must be at least {least} to learn anything after learning_starts, not {task.steps}")
    check_number_of_scales(config.objective_scales, task.num_objectives)


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
    """Describe the memory that the replay of a seed takes."""
    capacity = learner.config.replay_capacity
    prioritised = learner.config.prioritised_replay
    size = policies * replay.size_in_bytes(capacity, learner.replay_row, prioritised=prioritised)
    whose = "" if policies == 1 else f" for each of {policies} policies"
    return f"replay of {capacity:,} transitions{whose}: {size:,} bytes a seed"


def update_note(learner: SAC) -> str:
    """Describe how many gradient steps an environment step is learnt from by."""
    c = learner.config
    rollout = c.num_envs * c.rollout_steps
    return (
        f"update-to-data ratio {c.steps_of_gradient / rollout:g}: {c.steps_of_gradient} gradient steps after each "
        f"{rollout} environment steps"
    )


def output_numbers(actions: ActionSpace, num_objectives: int) -> int:
    """Return the numbers that an update holds of policies and of values of actions, for each transition, about."""
    return 13 * actions.num_values * num_objectives + 5 * actions.num_outputs + 12 * actions.action_size


class SACAgent(Agent):
    """Agent of soft actor-critics; what the agents say of their learner alike."""

    @property
    def learner(self) -> SAC:
        raise NotImplementedError

    @property
    def update_bytes(self) -> int:
        """Return the bytes of an update, about: a rollout's features, and a part of a batch in all networks' layers."""
        c, (_, size, _, image) = self.learner.config, self.learner.networks.encoder
        part = self.learner.networks.chunk_size(c.batch_size)
        rollout = c.num_envs * c.rollout_steps * size // 2
        outputs = output_numbers(self.learner.actions, self.learner.num_objectives)
        convolved = 8 * image.layer_numbers if image else 0  # of actor and critics, with gradients, and of targets
        drawn = c.batch_size * (3 * self.learner.num_objectives + 6)  # places, preferences, targets, errors
        return 4 * (rollout + drawn + part * (4 * size + self._layer_numbers + outputs + convolved))

    @property
    def _layer_numbers(self) -> int:
        """Return the numbers that an update holds of hidden layers, for each transition, about."""
        c, networks = self.learner.config, self.learner.networks
        layers = 4 * sum(c.hidden) + 6 * self._critic_numbers
        if not networks.by_action:
            return layers
        rows = self.learner.actions.num_outputs
        if networks.kind == "convolution":
            return layers + 8 * rows * c.channels * (2 * c.blocks + 1)
        return 12 * rows * layers // 5

    @property
    def _critic_numbers(self) -> int:
        """Return the numbers of the hidden layers of a critic, for each transition."""
        c = self.learner.config
        blocks = 1 + EXPANSION if c.critic_network == "residual" else 1
        return blocks * sum(c.widths_of_critics)

    @property
    def update_settings(self) -> tuple[str, ...]:
        c, kind = self.learner.config, self.learner.networks.kind
        more = () if c.critic_hidden is None else ("critic_hidden",)
        if kind == "convolution":
            more = (*more, "channels", "blocks")
        return ("batch_size", "num_envs", "rollout_steps", "hidden", *more)

    @property
    def action_notes(self) -> tuple[str, ...]:
        return self.learner.actions.notes
