"""Settings of GPI-LS by environment: the published ones, and those of ``benchmarks/conditioned.py``."""

from __future__ import annotations

from typing import Any

from morl.errors import UserError

# of the published code, at the publication's ten gradient steps for each environment step
_PUBLISHED: dict[str, Any] = {
    "num_envs": 1,
    "rollout_steps": 1,
    "learning_starts": 100,
    "learning_rate": 3e-4,
    "anneal": False,
    "max_grad_norm": 1e6,
    "batch_size": 128,
    "priority_exponent": 0.6,
    "importance_exponent": 0.0,
    "objective_scales": None,
    "preference_units": "raw",
    "simplex_share": 0.0,
    "num_critics": 2,
    "double_q": False,
    "rotation_steps": 1_000,
}
_PAPER: dict[str, dict[str, Any]] = {
    "minecart-v0": {
        "steps": 200_000,
        "gamma": 0.98,
        "gradient_steps": 10,
        "hidden": [256, 256, 256, 256],
        "conditioning": "product",
        "replay_capacity": 200_000,
        "initial_exploration": 1.0,
        "final_exploration": 0.05,
        "exploration_steps": 50_000,
        "least_priority": 0.01,
        "huber_delta": 0.01,
        "tau": 1.0,
        "target_interval": 2_000,
        "objective_scales": [1.0, 1.0, 1.0],
        "evaluations": 20,
    },
    "mo-hopper-2obj-v5": {
        "steps": 150_000,
        "gamma": 0.99,
        "env_kwargs": {"max_episode_steps": 500},
        "rollout_steps": 2,
        "gradient_steps": 20,
        "hidden": [256, 256],
        "conditioning": "concat",
        "replay_capacity": 400_000,
        "least_priority": 0.1,
        "huber_delta": None,
        "tau": 0.005,
        "action_noise": 0.2,
        "noise_clip": 0.5,
        "policy_delay": 2,
        "gpi": False,
        "objective_scales": [1.0, 1.0],
        "evaluations": 15,
    },
}
_BENCHMARK: dict[str, dict[str, Any]] = {
    "deep-sea-treasure-v0": {"hidden": [64, 64], "exploration_steps": 80_000, "replay_capacity": 204_800},
    "minecart-v0": {
        "num_envs": 16,
        "gradient_steps": 128,
        "n_step": 10,
        "hidden": [64, 64],
        "tau": 0.01,
        "replay_capacity": 204_800,
        "exploration_steps": 100_000,
        "max_support": 12,
        "eval_episodes": 4,
    },
    "mo-hopper-2obj-v5": {
        "num_envs": 2,
        "rollout_steps": 32,
        "gradient_steps": 32,
        "max_support": 8,
        "evaluations": 10,
        "eval_episodes": 1,
    },
}


def paper(env: str) -> dict[str, Any]:
    """Return settings by name, of the training and of GPI-LS, as published.

    Dropout of 1 % in the published critics is left out. The published target networks move every 200 environment
    steps, which are 2000 gradient steps.

    Raises:
        UserError: an environment without such settings.
    """
    return _PUBLISHED | _chosen("paper", _PAPER, env)


def benchmark(env: str) -> dict[str, Any]:
    """Return settings by name, with which ``benchmarks/conditioned.py`` trains.

    Raises:
        UserError: an environment without such settings.
    """
    return _chosen("benchmark", _BENCHMARK, env)


def _chosen(preset: str, rows: dict[str, dict[str, Any]], env: str) -> dict[str, Any]:
    if env not in rows:
        raise UserError(
            f"the preset {preset} of gpi-ls has no settings for {env!r}; it has them for: {', '.join(rows)}"
        )
    return dict(rows[env])
