"""Check that an environment of fixed sizes had room for all that an episode brought.

Arrays in compiled code cannot grow. An environment that might run out of room counts what it had to leave out, since
its rewards are wrong from then on; compiled code cannot raise, so those who run it look at the count afterwards.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from morl.errors import UserError


def overflow_of(env: Any, state: Any) -> jax.Array | None:
    """Return the () int32 count of what the episode had no room for; None for an environment that cannot run out."""
    count: jax.Array | None = env.overflow(state) if hasattr(env, "overflow") else None
    return count


def check_overflow(env: Any, overflow: Any) -> None:
    """Raise the environment's own line if any count is above 0.

    Args:
        env: the environment.
        overflow: array of counts, or None.

    Raises:
        UserError: rewards of an episode are wrong.
    """
    most = 0 if overflow is None else int(np.max(overflow, initial=0))
    if most > 0:
        raise UserError(f"{env.id}: {env.overflow_message(most)}")
