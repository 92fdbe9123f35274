"""Adapter to Brax, such as ``brax:ant``, by its environments without the wrappers of an episode and of auto-reset."""

from __future__ import annotations

from typing import Any

from morl.envs.suites.robots import RobotEnvironment

LIMIT = 1000  # default of brax.envs.create


def names() -> list[str]:
    """Return the names of Brax's environments."""
    from brax import envs

    return list(envs._envs)  # it has no list of them


def load(name: str, kwargs: dict[str, Any]) -> RobotEnvironment:
    """Return an environment.

    Args:
        name: of the environment.
        kwargs: ``max_episode_steps``; ``physics``, which is ``backend`` of its constructor, a word with another meaning
            here; and the other keywords of its constructor.
    """
    from brax import envs

    given = {"backend" if key == "physics" else key: value for key, value in kwargs.items()}
    own = {key: value for key, value in given.items() if key != "max_episode_steps"}
    return RobotEnvironment(envs.get_environment(name, **own), kwargs.get("max_episode_steps", LIMIT))
