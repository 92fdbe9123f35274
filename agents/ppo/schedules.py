"""PPO with a schedule of weights or steps, or with Pareto selection of episodes: all act after standardisation.

- The hypervolume schedule multiplies the actor's steps, behind Adam: a factor of the reward, the advantage or the loss
  would be cancelled by the standardisation of advantages or by Adam. The factor is set from outside
  (:class:`morl.agents.ppo.guide.HypervolumeGuide`).
- The gradient schedule moves the weights of the objectives' advantages at each update, by gradients of the policy that
  acted, where no probability ratio is clipped.
- Pareto selection multiplies the standardised advantages of an episode.

Entropy bonus and critic stay outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PoliciesConfig, PPOConfig
from morl.agents.ppo.surrogates import objective_gradients
from morl.agents.ppo.types import ProcessedRollout
from morl.errors import UserError
from morl.ops.gradients import gram_matrix
from morl.ops.masking import standardise
from morl.ops.returns import episode_over
from morl.ops.schedules.influence import ascend, influences
from morl.ops.schedules.selection import episode_factors
from morl.types import LearnerState, Metrics, Transition

CROWDED = 0.9  # share of non-dominated episodes from which a selection is said to select next to nothing


@dataclass(frozen=True)
class ScheduledPPO(PPO):
    """PPO learner of one preference with ``weight_schedule`` or ``pareto_selection``."""

    config: PoliciesConfig

    def __post_init__(self) -> None:
        super().__post_init__()
        check_floor(self.config, self.num_objectives)

    def update(self, state: LearnerState, batch: Transition, key: jax.Array) -> tuple[LearnerState, Metrics]:
        """Learn from one rollout (T, B), for the preference of its first step."""
        c, preference = self.config, batch.preference[0, 0]
        units = self.preference_scale(state.learning.return_stats)
        state, rollout = self.process_rollout(state, batch)
        # 1. weights of the objectives
        weights, metrics = preference, step_metrics(state)
        if c.weight_schedule == "gradient":
            start = jnp.full_like(preference, 1 / self.num_objectives) if c.weight_start == "uniform" else preference
            advantage = rollout.advantage * units[None, None]
            state, weights, metrics = follow_gradients(self, state, rollout, advantage, start, preference)
        advantage = jnp.sum((weights * units)[None, None] * rollout.advantage, axis=-1)
        advantage = standardise(advantage, rollout.weight)
        # 2. weights of the episodes
        if c.pareto_selection != "none":
            factor, more = selection(self, batch, rollout, jnp.zeros(batch.valid.shape, jnp.int32))
            advantage, metrics = factor * advantage, {**metrics, **more}
        state, more = self.fit(state, rollout, advantage, key)
        return state, {**more, **metrics}


def follow_gradients(
    learner: PPO,
    state: LearnerState,
    rollout: ProcessedRollout,
    advantage: jax.Array,
    start: jax.Array,
    target: jax.Array,
) -> tuple[LearnerState, jax.Array, Metrics]:
    """Move the weights of the objectives by their gradients; return the learner, the weights (R,) and metrics of them.

    Args:
        learner: with the settings.
        state: between :meth:`PPO.process_rollout` and the passes of an update: its policy is the one that acted.
        rollout: its experience.
        advantage: (T, B, R), in the units that weights weigh.
        start: (R,) weights before the first update.
        target: (R,) weights that the pull draws to.
    """
    c, learning = learner.config, state.learning
    gram = gram_matrix(objective_gradients(learner, state.params, rollout, advantage))
    influence = influences(gram, normalised=c.weight_normalise)
    before = jnp.where(learning.updates == 1, start, learning.objective_weights)  # this update is counted already
    weights = ascend(before, target, influence, c.weight_rate, c.weight_pull, c.weight_floor)
    state = state._replace(learning=learning._replace(objective_weights=weights))
    return state, weights, {name: weights[i] for i, name in enumerate(weight_names(learner.num_objectives))}


def selection(
    learner: PPO, batch: Transition, rollout: ProcessedRollout, group: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Return what the advantages (T, B) are multiplied by, and the share of episodes that are non-dominated.

    Args:
        learner: with the settings.
        batch: rollout.
        rollout: the processed one.
        group: (T, B) int32 below R; episodes of different groups are not compared.
    """
    kind = learner.config.pareto_selection
    assert kind != "none"  # noqa: S101  # callers ask first
    factor, share = episode_factors(
        rollout.delta,
        episode_over(batch.terminated, batch.truncated, batch.valid),
        batch.valid,
        group,
        learner.num_objectives,
        learner.gamma,
        kind,
    )
    return factor, {"non_dominated_share": share}


def step_metrics(state: LearnerState) -> Metrics:
    """Return the factor of the actor's steps as a metric, where there is one."""
    factor = state.learning.step_factor
    return {} if factor is None else {"step_factor": factor}


def weight_names(num_objectives: int) -> tuple[str, ...]:
    """Return the names of the weights' metrics."""
    return tuple(f"weight_{i}" for i in range(num_objectives))


def metric_names(config: PPOConfig, num_objectives: int) -> tuple[str, ...]:
    """Return the metrics that a schedule moves for each policy."""
    return {"none": (), "hypervolume": ("step_factor",), "gradient": weight_names(num_objectives)}[
        config.weight_schedule
    ]


def check_floor(config: PPOConfig, num_objectives: int) -> None:
    """Raise UserError for a ``weight_floor`` that leaves nothing to weigh."""
    if config.weight_schedule == "gradient" and config.weight_floor >= 1 / num_objectives:
        raise UserError(
            f"weight_floor must be below 1/{num_objectives} with {num_objectives} objectives, not {config.weight_floor}"
        )


def crowded_note(config: PPOConfig, num_objectives: int, share: float) -> str | None:
    """Return a message where so large a share of episodes is non-dominated that a selection selects nothing."""
    if not share >= CROWDED:
        return None
    return (
        f"pareto_selection {config.pareto_selection}: {share:.0%} of the episodes of a rollout are non-dominated in "
        f"{num_objectives} objectives, so that it selects next to nothing"
    )
