"""Utilities by name, and the check of one that is a user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.errors import UserError, user_code
from morl.ops.utilities import functions
from morl.ops.utilities.functions import Shape
from morl.ops.utilities.names import check_name
from morl.ops.vectors import as_vector

Utility = Callable[[jax.Array, jax.Array], jax.Array]
"""Function of returns (R,) and weights (R,) that returns a number."""

UTILITIES: dict[str, Callable[[jax.Array, jax.Array, Shape], jax.Array]] = {
    "linear": functions.linear,
    "tchebycheff": functions.tchebycheff,
    "smooth-tchebycheff": functions.smooth_tchebycheff,
    "achievement": functions.achievement,
    "nash-welfare": functions.nash_welfare,
    "p-mean": functions.p_mean,
    "alpha-fair": functions.alpha_fair,
    "gini": functions.gini,
    "max-min": functions.max_min,
    "lexicographic": functions.lexicographic,
}
WITH_POINT = (
    "tchebycheff",
    "smooth-tchebycheff",
    "achievement",
    "nash-welfare",
    "p-mean",
    "alpha-fair",
    "lexicographic",
)
"""Utilities that mean nothing without a point of the user's."""


def named_utility(
    name: str,
    num_objectives: int,
    *,
    point: Sequence[float] = (),
    widths: Sequence[float] = (),
    power: float = 2.0,
    smoothness: float = 0.1,
) -> Utility:
    """Return a utility by name.

    Args:
        name: of :data:`UTILITIES`.
        num_objectives: R.
        point: (R,) utopia, aspiration, point of disagreement or thresholds; by default 0.
        widths: (R,) lengths above 0 that returns are measured in; by default 1.
        power: p of p-mean, at most 1; α of alpha-fair, at least 0.
        smoothness: μ of smooth-tchebycheff, above 0.

    Raises:
        UserError: an unknown name, a point or widths of another length, or no point where it is needed.
    """
    check_name(name)
    if name in WITH_POINT and not len(point):
        raise UserError(f"utility {name} needs utility_point, {num_objectives} numbers in units of the returns")
    if name == "p-mean" and power > 1:
        raise UserError(f"utility p-mean needs a utility_power of at most 1, as it is not concave above, not {power}")
    if name == "alpha-fair" and power < 0:
        raise UserError(f"utility alpha-fair needs a utility_power of at least 0, not {power}")
    found = []
    for what, given, usual in (("utility_point", point, 0.0), ("utility_widths", widths, 1.0)):
        given = given if len(given) else [usual] * num_objectives
        found.append(as_vector(given, what, num_objectives, "numbers", ()).astype(np.float32))
    if not (np.isfinite(found).all() and (found[1] > 0).all()):
        raise UserError("utility_point must be finite and utility_widths finite and above 0")
    shape = Shape(found[0], found[1], power, smoothness)  # type: ignore[arg-type]  # NumPy's, constants of the program
    function = UTILITIES[name]
    return lambda values, weights: function(values, weights, shape)


def checked_utility(function: Any, name: str, num_objectives: int) -> Utility:
    """Return a user's function of returns (R,) as a utility, once it is seen to give one finite number.

    Args:
        function: ``u(returns)``, of JAX arrays.
        name: for errors.
        num_objectives: R.

    Raises:
        UserError: it is no function, raises, returns a vector or what is no number, or is not finite at 0.
    """
    owner = f"utility {name}"
    if not callable(function):
        raise UserError(f"{owner} is no function, but {type(function).__name__}")
    zeros = jnp.zeros(num_objectives, jnp.float32)
    with user_code(owner, f"a call on {num_objectives} returns"):
        value = jnp.asarray(function(zeros))
        slope = jax.grad(lambda x: jnp.sum(jnp.asarray(function(x))))(zeros) if value.shape == () else zeros
    if value.shape != ():
        raise UserError(f"{owner} must return one number for returns (R,), not an array of shape {value.shape}")
    if not bool(jnp.isfinite(value)) or not bool(jnp.isfinite(slope).all()):
        raise UserError(f"{owner} must be finite and have a finite gradient; at returns of 0 it is {value}, {slope}")
    return lambda values, _weights: jnp.asarray(function(values), jnp.float32)
