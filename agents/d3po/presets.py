"""Presets of D3PO: settings by environment that ``benchmarks/conditioned.py`` trains with, and for task offloading."""

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


def offloading(env: str) -> dict[str, Any]:
    """Return settings by name, for task offloading with ``marginals`` and ``finite``.

    The policy begins as greedy-ω with α for the front: its logits are the weighted rewards of each server now, plus a
    network's output of 0. A rollout is an episode of every environment.

    Raises:
        UserError: another environment.
    """
    if env != "mec-offloading-v0":
        raise UserError(f"the preset offloading of d3po has settings for mec-offloading-v0, not for {env!r}")
    return {
        "network": "rows",
        "prior_scale": 200.0,
        "objective_scales": [0.003, 1.5],
        "normalise_advantages": "together",
        "diversity_coefficient": 0.0,
        "corner_share": 0.05,
        "hidden": [16, 16],
        "num_envs": 128,
        "rollout_steps": 100,
        "epochs": 4,
        "minibatches": 8,
        "learning_rate": 1e-3,
        "anneal": True,
        "train_gamma": 0.99,
        "gae_lambda": 0.9,
        "entropy_coefficient": 0.0,
    }
