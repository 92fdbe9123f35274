"""Returns, temporal differences and advantages of vector rewards.

Every function takes arrays with a leading time axis of length T and any axes behind it: [T] for one environment and one
objective, [T, B, R] for B environments and R objectives. An array that belongs to a step and not to an objective (a
discount, the end of an episode) has the leading axes of the rewards, [T, B], and applies to all objectives.

The names carry time as those of rlax (``rlax/_src/multistep.py``) do. For a step from s_{t-1} to s_t, ``r_t`` is its
reward, ``discount_t`` is the factor of the value after it, ``v_t`` is the value of s_t, and ``v_tm1`` that of s_{t-1}.
All four have the same index in their arrays.

Shapes are checked in Python, before tracing: a :class:`ValueError` names the arrays that do not fit.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from morl.types import PyTree


def lambda_returns(
    r_t: jax.Array, discount_t: jax.Array, v_t: jax.Array, lambda_: jax.Array | float = 1.0
) -> jax.Array:
    """Return the λ-returns [T, ...] of a trajectory (Sutton and Barto, 2018, equation 12.18; rlax ``lambda_returns``).

        G_t = r_t + discount_t ((1 - λ) v_t + λ G_{t+1}),    where G_{T+1} = v_T

    λ = 0 gives the one-step targets and λ = 1 the discounted return with a bootstrap at the end.

    Args:
        r_t: [T, ...] rewards.
        discount_t: [T, ...] or its leading axes; γ, and 0 where the episode terminated.
        v_t: [T, ...] values of the observations that followed.
        lambda_: scalar in [0, 1].

    Raises:
        ValueError: arrays of shapes that do not fit.
    """
    _check_same_shape(r_t=r_t, v_t=v_t)
    discount_t = _per_step("discount_t", discount_t, r_t)

    def backward(return_tp1: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        reward, discount, value = step
        return_t = reward + discount * ((1 - lambda_) * value + lambda_ * return_tp1)
        return return_t, return_t

    return jax.lax.scan(backward, v_t[-1], (r_t, discount_t, v_t), reverse=True)[1]


def td_errors(r_t: jax.Array, discount_t: jax.Array, v_t: jax.Array, v_tm1: jax.Array) -> jax.Array:
    """Return the one-step temporal differences [T, ...] (Sutton and Barto, 2018, equation 6.5).

        delta_t = r_t + discount_t v_t - v_tm1

    A value with a discount of 0 is ignored, so it may be NaN.

    Args:
        r_t: [T, ...] rewards.
        discount_t: [T, ...] or its leading axes; γ, and 0 where the episode terminated. A truncated episode keeps γ.
        v_t: [T, ...] values of the observations that followed, before a reset.
        v_tm1: [T, ...] values of the observations acted on.

    Raises:
        ValueError: arrays of shapes that do not fit.
    """
    _check_same_shape(r_t=r_t, v_t=v_t, v_tm1=v_tm1)
    discount_t = _per_step("discount_t", discount_t, r_t)
    return r_t + discount_t * jnp.where(discount_t == 0, 0.0, v_t) - v_tm1


def gae(delta_t: jax.Array, over_t: jax.Array, gamma: jax.Array | float, lambda_: jax.Array | float) -> jax.Array:
    """Return generalised advantage estimates [T, ...] (Schulman et al., 2016, equation 16).

        A_t = delta_t + γ λ (1 - over_t) A_{t+1},    where A_{T+1} = 0

    The trace is cut by ``over_t`` and not by a discount of 0: the last temporal difference of a truncated episode has a
    bootstrap, and yet no later step belongs to it. A_t + v_tm1 is the λ-return, the target of a critic. Rlax has it as
    ``truncated_generalized_advantage_estimation``.

    Args:
        delta_t: [T, ...] temporal differences.
        over_t: [T, ...] or its leading axes, bool; see :func:`episode_over`.
        gamma: scalar, the discount γ.
        lambda_: scalar, λ in [0, 1].

    Raises:
        ValueError: arrays of shapes that do not fit.
    """
    decay_t = gamma * lambda_ * jnp.where(_per_step("over_t", over_t, delta_t), 0.0, jnp.ones((), delta_t.dtype))

    def backward(advantage_tp1: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        delta, decay = step
        advantage_t = delta + decay * advantage_tp1
        return advantage_t, advantage_t

    return jax.lax.scan(backward, jnp.zeros_like(delta_t[0]), (delta_t, decay_t), reverse=True)[1]


def partial_returns(
    r_t: jax.Array, over_t: jax.Array, gamma: jax.Array | float, start: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the discounted sum of the rewards so far in each episode, forwards in time.

        P_t = r_t + γ (1 - over_{t-1}) P_{t-1}

    Its variance is the scale by which rewards are normalised (Engstrom et al., 2020).

    Args:
        r_t: [T, ...] rewards.
        over_t: [T, ...] or its leading axes, bool; the sum starts again after such a step.
        gamma: scalar, the discount γ.
        start: [...] sum at the end of the rollout before, 0 where the episode was over then.

    Returns:
        the sum to hand to the next rollout, [...], and P_t at each step, [T, ...].

    Raises:
        ValueError: arrays of shapes that do not fit.
    """
    if jnp.shape(start) != jnp.shape(r_t)[1:]:
        raise ValueError(f"start must have the shape of one step of r_t, {jnp.shape(r_t)[1:]}, not {jnp.shape(start)}")
    over_t = _per_step("over_t", over_t, r_t)

    def forward(partial: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        reward, over = step
        partial = partial * gamma + reward
        return jnp.where(over, 0.0, partial), partial

    return jax.lax.scan(forward, start, (r_t, over_t))


def episode_over(terminated: jax.Array, truncated: jax.Array, valid: jax.Array) -> jax.Array:
    """Return the steps [T, B] after which nothing belongs to the same episode, as bool.

    A step that was lost (a worker failed) belongs to no episode, so no sum over time may reach across it.

    Args:
        terminated: [T, B] bool, the episode ended by its own rules; no value follows.
        truncated: [T, B] bool, the episode was cut off; the value of the next observation follows.
        valid: [T, B] bool, false for a lost step.

    Raises:
        ValueError: arrays of different shapes.
    """
    _check_same_shape(terminated=terminated, truncated=truncated, valid=valid)
    return terminated | truncated | ~valid


class NStepReturns(NamedTuple):
    """Sums of up to n rewards, and where each of them ends.

    Attributes:
        returns: [T, ..., R] discounted sums of rewards.
        discount: [T, ...] what the value of the last step's next observation is multiplied by, γ^k.
        num_steps: [T, ...] int32 number k of rewards in each sum, from 1 to n.
    """

    returns: jax.Array
    discount: jax.Array
    num_steps: jax.Array


def n_step_returns(
    r_t: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    valid: jax.Array,
    gamma: jax.Array | float,
    n: int,
) -> NStepReturns:
    """Return n-step sums of rewards (Sutton and Barto, 2018, equation 7.1) that stay within a rollout and an episode.

        G_t = Σ_{i<k} γ^i r_{t+i},    with the target G_t + γ^k V(s_{t+k}), unless step t+k-1 terminated

    k is n or less: a sum ends with the last step of the episode, with the last step of the rollout, and before a lost
    step. The sum that starts at a lost step is meaningless; ``valid`` is false there.

    Args:
        r_t: [T, ..., R] rewards.
        terminated: [T, ...] bool.
        truncated: [T, ...] bool.
        valid: [T, ...] bool, false for a lost step.
        gamma: scalar, the discount γ.
        n: largest number of rewards in a sum, at least 1.

    Raises:
        ValueError: arrays of shapes that do not fit, or ``n`` below 1.
    """
    _check_same_shape(terminated=terminated, truncated=truncated, valid=valid)
    _per_step("valid", valid, r_t)
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    over = terminated | truncated
    returns, discount, num_steps = r_t, jnp.full(valid.shape, gamma, r_t.dtype), jnp.ones(valid.shape, jnp.int32)
    for k in range(1, n):
        reward_k, over_k, valid_k = (jnp.roll(x, -k, axis=0) for x in (r_t, terminated | truncated, valid))
        goes_on = _is_within(valid.shape, k) & ~over & valid_k
        returns = returns + jnp.where(
            _per_step("goes_on", goes_on, r_t), _per_step("discount", discount, r_t) * reward_k, 0.0
        )
        discount = jnp.where(goes_on, discount * gamma, discount)
        num_steps = jnp.where(goes_on, k + 1, num_steps)
        over = over | ~goes_on | over_k
    return NStepReturns(returns, discount, num_steps)


def at_last_step(tree: PyTree, num_steps: jax.Array, n: int) -> PyTree:
    """Return the entries of a rollout at the last step of each n-step sum, for example its next observation.

    Args:
        tree: pytree of arrays [T, ..., *] with the leading axes of ``num_steps``.
        num_steps: [T, ...] int32, from 1 to ``n``; see :class:`NStepReturns`.
        n: as given to :func:`n_step_returns`.

    Raises:
        ValueError: an array that does not have the leading axes of ``num_steps``.
    """

    def last(x: jax.Array) -> jax.Array:
        chosen, steps = x, _per_step("num_steps", num_steps, x)
        for k in range(1, n):  # n is small: cheaper than a gather
            chosen = jnp.where(steps == k + 1, jnp.roll(x, -k, axis=0), chosen)
        return chosen

    return jax.tree.map(last, tree)


def _is_within(shape: tuple[int, ...], k: int) -> jax.Array:
    """Return the steps [T, 1, ...] that have one ``k`` steps later in the same rollout, as bool."""
    within = jnp.arange(shape[0], dtype=jnp.int32) < shape[0] - k
    return within.reshape(-1, *[1] * (len(shape) - 1))


def _check_same_shape(**arrays: jax.Array) -> None:
    """Raise ``ValueError`` unless all arrays have one shape and at least a time axis."""
    shapes = {name: jnp.shape(x) for name, x in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"arrays of one shape are needed, not {_listed(shapes)}")
    if not next(iter(shapes.values())):
        raise ValueError(f"arrays with a leading time axis are needed, not {_listed(shapes)}")


def _per_step(name: str, x: jax.Array, like: jax.Array) -> jax.Array:
    """Append axes of length 1 to ``x``, whose axes are the leading ones of ``like``; raise ``ValueError`` if not."""
    shape, wanted = jnp.shape(x), jnp.shape(like)
    if not shape or shape != wanted[: len(shape)]:
        raise ValueError(f"{name} must have the leading axes of an array of shape {wanted}, not shape {shape}")
    return jnp.reshape(x, (*shape, *[1] * (len(wanted) - len(shape))))


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
