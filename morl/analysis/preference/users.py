"""Users that answer by a utility, for scripts and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from morl.agents.ppo.utility import load_utility
from morl.analysis.preference.session import Offer
from morl.errors import UserError, user_code
from morl.ops.preferences import check_preference
from morl.runs.front import Front


def utility_user(
    name: str, front: Front, weights: Sequence[float] | None = None, **shape: Any
) -> Callable[[Offer, Offer], bool | None]:
    """Return a function that answers by a utility of the returns, without mistakes.

    Args:
        name: of one in :mod:`morl.ops.utilities`, or ``module:function`` of returns (R,).
        front: of the policies that it is asked about.
        weights: (R,) of the utility; by default the even ones.
        shape: parameters of :func:`morl.ops.utilities.named.named_utility`.

    Raises:
        UserError: no such utility, or one that is not a finite number for each policy of the front.
    """
    size = len(front.objectives)
    given = np.full(size, 1 / size) if weights is None else np.asarray(weights)
    even = jnp.asarray(check_preference(given, size, front.objectives), jnp.float32)
    utility = load_utility(name, size, **shape)
    value = jax.jit(lambda returns: utility(returns, even))
    with user_code(f"utility {name}", f"a call on {size} returns"):
        values = np.array([float(value(jnp.asarray(row, jnp.float32))) for row in front.returns])
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        returns = " ".join(f"{x:.4g}" for x in front.returns[row])
        raise UserError(f"utility {name} must be finite; for policy {row}, returns {returns}, it is {values[row]}")

    def answer(a: Offer, b: Offer) -> bool | None:
        return None if values[a.id] == values[b.id] else bool(values[a.id] > values[b.id])

    return answer
