"""Adapter to MuJoCo Playground, such as ``playground:WalkerWalk``, by its environments without wrappers."""

from __future__ import annotations

from typing import Any

from morl.envs.suites.robots import RobotEnvironment
from morl.errors import UserError


def names() -> list[str]:
    """Return the names of MuJoCo Playground's environments."""
    from mujoco_playground import registry

    return list(registry.ALL_ENVS)


def load(name: str, kwargs: dict[str, Any]) -> RobotEnvironment:
    """Return an environment.

    Args:
        name: of the environment.
        kwargs: ``max_episode_steps``, and entries of its configuration, such as ``impl``, which is ``jax`` by default;
            ``reward_config.scales.energy`` is an entry of an entry.

    Raises:
        UserError: ``action_repeat``, which only the suite's wrapper heeds.
    """
    from mujoco_playground import registry

    if "action_repeat" in kwargs:
        raise UserError(f"playground:{name}: each step is one action; allowed are the other entries of its config")
    own = {key: value for key, value in kwargs.items() if key != "max_episode_steps"}
    config = registry.get_default_config(name)
    env = registry.load(name, config_overrides={"impl": "jax", **own} if "impl" in config else own)
    return RobotEnvironment(env, kwargs.get("max_episode_steps", config.episode_length))
