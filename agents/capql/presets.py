"""Presets of CAPQL: the published settings (Lu et al., 2023), and those ``benchmarks/conditioned.py`` trains with."""

from __future__ import annotations

from typing import Any

from morl.errors import UserError

_GRID = {"batch_size": 128, "update_ratio": 0.25, "learning_rate": 1e-3, "learn_temperature": False}
_FAR = {"num_envs": 16, "rollout_steps": 16, "n_step": 10, "relabel_preferences": False}  # for distant rewards
_ROWS: dict[str, dict[str, Any]] = {
    "deep-sea-treasure-v0": {**_GRID, **_FAR, "hidden": [64, 64], "temperature": 0.2},
    "minecart-v0": {**_GRID, **_FAR, "hidden": [128, 128], "temperature": 0.1},
    "mo-hopper-2obj-v5": {
        "update_ratio": 0.5,
        "learning_rate": 1e-3,
        "hidden": [128, 128],
        "temperature": 0.01,
        "learn_temperature": False,
    },
}


def paper(env: str) -> dict[str, Any]:
    """Return settings by name, as published, for any environment.

    The constants are those of the authors' code. It draws a preference for each step, within 22.5 degrees of the even
    one, where an episode draws it here, uniformly from the simplex. Its first 10 000 actions are uniformly random; here
    they are the untrained policy's.

    """
    return {
        "num_envs": 1,
        "rollout_steps": 1,
        "update_ratio": 1.0,
        "batch_size": 256,
        "replay_capacity": 1_000_000,
        "learning_starts": 10_000,
        "learning_rate": 3e-4,
        "anneal": False,
        "max_grad_norm": 1e9,
        "train_gamma": 0.99,
        "n_step": 1,
        "tau": 0.005,
        "temperature": 0.2,
        "learn_temperature": False,
        "scalarisation": "linear",
        "twin_minimum": "objective",
        "relabel_preferences": False,
        "objective_scales": [1.0],
        "network": "flat",
        "hidden": [256, 256],
        "corner_share": 0.0,
    }


def benchmark(env: str) -> dict[str, Any]:
    """Return settings by name.

    Raises:
        UserError: an environment without such settings.
    """
    if env not in _ROWS:
        raise UserError(
            f"the preset benchmark of capql has no settings for {env!r}; it has them for: {', '.join(_ROWS)}"
        )
    return dict(_ROWS[env])
