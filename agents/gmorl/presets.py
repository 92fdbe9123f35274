"""Presets of GMORL: the published settings (Yang et al., 2025, table II), and settings for delayed rewards."""

from __future__ import annotations

from typing import Any

from morl.errors import UserError

EPOCHS, ENVS, STEPS, ROUNDS = 4000, 64, 100, 10
ENV = "mec-offloading-v0"


def paper(env: str) -> dict[str, Any]:
    """Return settings by name, of the training and of GMORL, as published.

    The buffer of 1e5 transitions is rounded to whole rollouts. The residual blocks and the depth of the MLP are not
    published: two of each here.

    Raises:
        UserError: another environment than the published one.
    """
    if env != ENV:
        raise UserError(f"the preset paper of gmorl has settings for {ENV}, not for {env!r}")
    return {
        "steps": EPOCHS * ENVS * STEPS,
        "num_preferences": 101,
        "num_envs": ENVS,
        "rollout_steps": STEPS,
        "gradient_steps": ROUNDS * ENVS,
        "batch_size": 4096,
        "replay_capacity": 16 * ENVS * STEPS,
        "learning_starts": ENVS * STEPS,
        "learning_rate": 1e-6,
        "anneal": False,
        "train_gamma": 0.95,
        "temperature": 0.05,
        "learn_temperature": False,
        "scalarisation": "linear",
        "relabel_preferences": False,
        "objective_scales": [0.01, 50.0],
        "network": "convolution",
        "channels": 512,
        "blocks": 2,
        "hidden": [1024, 1024],
    }


def far(env: str) -> dict[str, Any]:
    """Return settings by name, for rare and distant rewards in any environment.

    Ten rewards are summed before the critic's value. The actions behind them were taken for the acting preference, so
    no preference is relabelled. The higher temperature explores for longer.
    """
    return {"n_step": 10, "temperature": 0.2, "relabel_preferences": False}
