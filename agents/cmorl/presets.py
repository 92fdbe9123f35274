"""Settings of C-MORL by environment: published ones, ``--preset paper``, and ones chosen here, ``tuned``.

The published ones are of Liu et al. (ICLR 2025, appendix).

Steps are those of all policies together, and four times the paper's: its code gives a policy steps / policies / 2048
updates of 2048 steps in each of four environments, so that one step of the paper is one step of all four. A round has
about the published 20 updates, such that whole rounds fill the second stage. The number of policies that a round
extends is not the paper's: a round has as many learners as the first stage, one for each objective of a policy. The
published environments are MuJoCo's v4 and the lander's v2; here are today's (``benchmarks/host/robot_versions.py``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from morl.errors import UserError


class _Row(NamedTuple):
    """Published settings of one environment.

    Attributes:
        first: steps of the first stage, as the paper counts them.
        total: steps of both stages.
        policies: number of preferences of the first stage.
        gamma: discount of the evaluation.
        episodes: episodes of an evaluation.
        env_kwargs: keywords of the environment.
    """

    first: int
    total: int
    policies: int
    gamma: float = 0.99
    episodes: int = 10
    env_kwargs: dict[str, Any] = {}  # noqa: RUF012  # not changed


_LIMIT = {"max_episode_steps": 500}
_OFFICE = {"time_resolution": 3600, "episode_steps": 480, "target": 20.0}
_TWO = _Row(1_000_000, 1_500_000, 6, env_kwargs=_LIMIT)  # preferences 0.2 apart
_THREE = _Row(1_500_000, 2_000_000, 10, env_kwargs=_LIMIT)  # 0.3 apart
_ROWS = {
    "minecart-v0": _Row(200_000, 500_000, 6, gamma=0.98),
    "mo-lunar-lander-v3": _Row(200_000, 500_000, 4),
    "fruit-tree-v0": _Row(100_000, 500_000, 6),
    "mo-hopper-2obj-v5": _TWO._replace(episodes=5),
    "mo-hopper-v5": _THREE,
    "mo-ant-2obj-v5": _TWO._replace(policies=3),  # 0.5 apart
    "mo-ant-v5": _THREE,
    "mo-humanoid-v5": _TWO,
    # not among the published ones
    "mo-halfcheetah-v5": _TWO,
    "mo-walker2d-v5": _TWO,
    "building-3d-v0": _Row(1_500_000, 2_000_000, 6, gamma=1.0, env_kwargs=_OFFICE),
    "building-9d-v0": _Row(1_500_000, 2_500_000, 9, gamma=1.0, env_kwargs=_OFFICE),
}
ENVS, ROLLOUT = 4, 2048
_MINECART = {
    "gamma": 0.98,
    "evaluations": 24,
    "num_policies": 10,
    "num_envs": 8,
    "minibatches": 4,
    "epochs": 20,
    "entropy_coefficient": 0.1,
    "extension": "none",
    "variation_share": 0.8,
}
_TUNED: dict[str, dict[str, Any]] = {"minecart-v0": _MINECART, "minecart-deterministic-v0": _MINECART}


def protocol(env: str) -> dict[str, Any]:
    """Return the settings of the training and of C-MORL, by name.

    Raises:
        UserError: an environment without published settings.
    """
    if env not in _ROWS:
        raise UserError(f"the preset paper of cmorl has no settings for {env!r}; it has them for: {', '.join(_ROWS)}")
    row = _ROWS[env]
    updates = row.total // (row.policies * ROLLOUT)
    share = round(1 - row.first / row.total + 5e-7, 6)  # up, so that what it leaves is a whole number of updates
    extending = int(updates * share)
    return {
        "steps": row.total * ENVS,
        "env_kwargs": row.env_kwargs,
        "gamma": row.gamma,
        "eval_episodes": row.episodes,
        "final_episodes": row.episodes,
        "archive_capacity": 200,
        "num_policies": row.policies,
        "num_envs": ENVS,
        "rollout_steps": ROLLOUT,
        "epochs": 10,
        "minibatches": 32,
        "learning_rate": 3e-4,
        "train_gamma": 0.995,
        "preference_units": "raw",
        "gae_lambda": 0.95,
        "clip_eps": 0.2,
        "value_coefficient": 0.5,
        "entropy_coefficient": 0.0,
        "max_grad_norm": 0.5,
        "extension_share": share,
        "extension_updates": extending // max(1, round(extending / 20)),
        "constraint_beta": 0.9,
        "barrier": 20.0,
    }


def tuned(env: str) -> dict[str, Any]:
    """Return settings chosen to find as much of an environment's front as they can, by name; see ``docs/cmorl.md``.

    Raises:
        UserError: an environment without such settings.
    """
    if env not in _TUNED:
        raise UserError(f"the preset tuned of cmorl has no settings for {env!r}; it has them for: {', '.join(_TUNED)}")
    return dict(_TUNED[env])
