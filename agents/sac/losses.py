"""Losses of a soft actor-critic with a critic of vectors: critic, actor and temperature.

Haarnoja et al. (2018a, 2018b) for continuous actions, Christodoulou (2019) for discrete ones. Q has a value for each of
R objectives; u(., w) scalarises them for a preference w. N is the batch, K the number of candidate actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from morl.agents.sac.action_space import ActionSpace, Candidates
from morl.agents.sac.inputs import Seen
from morl.ops.masking import masked_mean
from morl.types import PyTree

Scalarise = Callable[[jax.Array, jax.Array], jax.Array]


class Batch(NamedTuple):
    """Transitions as the losses take them.

    Attributes:
        seen, next_seen: network inputs of the observations acted on, and of those that followed.
        action: (N, ...) recorded actions.
        reward: (N, R) scaled rewards, summed over up to n steps.
        discount: (N,) of the value that follows; 0 where the episode terminated.
        preference: (N, R) learnt for.
        weight: (N,) 0 for transitions that must not be learnt from.
    """

    seen: Seen
    next_seen: Seen
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    preference: jax.Array
    weight: jax.Array


def smaller_twin(values: jax.Array, preference: jax.Array, scalarise: Scalarise) -> jax.Array:
    """Return, of two critics' values (2, N, K, R), those (N, K, R) with the smaller scalarised value.

    Clipped double Q-learning (Fujimoto et al., 2018) for vectors: the vector is taken whole, so that its objectives
    belong together.
    """
    one, two = values
    smaller = scalarise(one, preference[:, None]) < scalarise(two, preference[:, None])
    return jnp.where(smaller[..., None], one, two)


def critic_target(
    space: ActionSpace,
    actor: PyTree,
    targets: PyTree,
    batch: Batch,
    temperature: jax.Array,
    scalarise: Scalarise,
    key: jax.Array,
) -> jax.Array:
    """Return soft Bellman targets (N, R) (Haarnoja et al., 2018a, equations 2, 3; Christodoulou, 2019, equation 10).

        y = r + γ E_{a'~π}[Q'(s', a') - α log π(a'|s')]

    The entropy term counts for all objectives alike, so that it counts once in any weighted sum.
    """
    candidates = space.candidates(actor, batch.next_seen, batch.preference, key)
    values = _twin(space.candidate_values, targets, batch.next_seen, batch.preference, candidates)
    soft = smaller_twin(values, batch.preference, scalarise) - temperature * candidates.log_probability[..., None]
    follows = jnp.sum(candidates.probability[..., None] * soft, axis=-2)
    return batch.reward + jnp.where(batch.discount[:, None] == 0, 0.0, batch.discount[:, None] * follows)


def critic_loss(
    critics: PyTree, space: ActionSpace, batch: Batch, target: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
    """Return the squared error of both critics (Haarnoja et al., 2018a, equation 5).

        J_Q = 1/2 E[Σ_r (Q_r(s, a) - y_r)²], summed over the two critics

    The values of all actions (2, N, A, R) come with it where they were computed.
    """
    taken, known = _twin(space.taken_values, critics, batch.seen, batch.preference, batch.action)
    error = taken - target[None]
    return 0.5 * masked_mean(jnp.sum(error**2, axis=(0, -1)), batch.weight), known


def actor_loss(
    actor: PyTree,
    space: ActionSpace,
    critics: PyTree,
    known: jax.Array | None,
    batch: Batch,
    temperature: jax.Array,
    scalarise: Scalarise,
    key: jax.Array,
) -> tuple[jax.Array, tuple[Candidates, jax.Array]]:
    """Return the soft policy loss (Haarnoja et al., 2018a, equation 7; Christodoulou, 2019, equation 12).

        J_π = E_{a~π}[α log π(a|s) - u(Q(s, a), w)]

    Args:
        actor: parameters that learn.
        space: of the actions.
        critics: parameters of both critics, constant here.
        known: values of all actions (2, N, A, R), constant here, if they are at hand.
        batch: transitions.
        temperature: α.
        scalarise: u.
        key: of the sampled actions.

    Returns:
        the loss; the candidates and their scalarised values (N, K).
    """
    candidates = space.candidates(actor, batch.seen, batch.preference, key)
    values = known
    if values is None:
        values = _twin(space.candidate_values, critics, batch.seen, batch.preference, candidates)
    utility = scalarise(smaller_twin(values, batch.preference, scalarise), batch.preference[:, None])
    each = jnp.sum(candidates.probability * (temperature * candidates.log_probability - utility), axis=-1)
    return masked_mean(each, batch.weight), (candidates, utility)


def temperature_loss(
    log_temperature: jax.Array, entropy: jax.Array, target_entropy: jax.Array, weight: jax.Array
) -> jax.Array:
    """Return the loss of the temperature (Haarnoja et al., 2018b, equation 18), in log α as is common.

    J_α = log α E[H(π(.|s)) - H_target]
    """
    return log_temperature * jax.lax.stop_gradient(masked_mean(entropy - target_entropy, weight))


def _twin(function: Callable[..., Any], critics: PyTree, *arguments: Any) -> Any:
    """Map a function of one critic over the two stacked ones."""
    return jax.vmap(function, (0, *[None] * len(arguments)))(critics, *arguments)
