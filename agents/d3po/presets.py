"""Settings of D3PO by environment, ``--preset tuned``: chosen on seeds from 100 on.

``benchmarks/conditioned.py`` takes them.
"""

from __future__ import annotations

from typing import Any

from morl.errors import UserError

_TUNED: dict[str, dict[str, Any]] = {
    "deep-sea-treasure-v0": {"rollout_steps": 32},
    "minecart-v0": {},
    "fruit-tree-v0": {"rollout_steps": 12},
    "resource-gathering-v0": {"rollout_steps": 32},
    "mo-hopper-2obj-v5": {"num_envs": 8, "rollout_steps": 256},
}


def tuned(env: str) -> dict[str, Any]:
    """Return the settings by name, of the training and of D3PO.

    Raises:
        UserError: an environment without such settings.
    """
    if env not in _TUNED:
        raise UserError(f"the preset tuned of d3po has no settings for {env!r}; it has them for: {', '.join(_TUNED)}")
    return dict(_TUNED[env])
