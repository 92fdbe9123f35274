"""Presets of CAPQL: the published settings (Lu et al., 2023), and those ``benchmarks/conditioned.py`` trains with."""

from __future__ import annotations

from typing import Any

from morl.errors import UserError

_ROWS: dict[str, dict[str, Any]] = {
    "deep-sea-treasure-v0": {},
    "minecart-v0": {},
    "mo-hopper-2obj-v5": {},
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
