"""Settings of D3PO by environment, ``--preset benchmark``, which ``benchmarks/conditioned.py`` trains with."""

from __future__ import annotations

from typing import Any

from morl.errors import UserError

_ROWS: dict[str, dict[str, Any]] = {
    "deep-sea-treasure-v0": {"rollout_steps": 32},
    "minecart-v0": {"num_envs": 32, "rollout_steps": 32},
    "fruit-tree-v0": {"rollout_steps": 12},
    "resource-gathering-v0": {"rollout_steps": 32},
    "mo-hopper-2obj-v5": {"num_envs": 8, "rollout_steps": 256, "learning_rate": 3e-4, "entropy_coefficient": 0.0},
}


def benchmark(env: str) -> dict[str, Any]:
    """Return settings by name.

    Raises:
        UserError: an environment without such settings.
    """
    if env not in _ROWS:
        raise UserError(
            f"the preset benchmark of d3po has no settings for {env!r}; it has them for: {', '.join(_ROWS)}"
        )
    return dict(_ROWS[env])
