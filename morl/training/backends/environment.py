"""Back-end of agents that act in an environment: compiled with it where it is in JAX, else stepping it on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
from numpy.typing import NDArray

from morl.types import Trainer

if TYPE_CHECKING:
    from morl.training.setup import Setup

WATCHED = 21  # preferences of one evaluation during training, of a policy that takes any


def make_backend(
    setup: Setup,
    preferences: NDArray[Any],
    *,
    eval_episodes: int,
    devices: Sequence[jax.Device],
    skip_nonfinite: bool = False,
) -> Trainer:
    """Return the trainer of policies of ``preferences``, (P, R) or (P, B, R), on the environment of a setup."""
    agent, learner = setup.agent, setup.agent.learner
    options: dict[str, Any] = {
        "eval_episodes": eval_episodes,
        "gamma": setup.gamma,
        "width": min(WATCHED, agent.num_preferences) if setup.conditional else 0,
        "seeds": max(1, len(preferences) // len(agent.preferences)),
        "skip_nonfinite": skip_nonfinite,
        "draw_preference": agent.draw_preference,
    }
    if setup.backend == "jax":
        from morl.training.backends.jax import JaxBackend

        return JaxBackend(setup.env, learner, preferences, devices=devices, **options)  # type: ignore[arg-type]
    from morl.training.backends.host import HostBackend

    total = len(preferences)

    def on_host(preferences: NDArray[Any], **placed: Any) -> HostBackend:
        bound = setup.max_envs  # a half of the policies has as much of it
        share = None if bound is None else max(1, bound * len(preferences) // total)
        return HostBackend(
            setup.env,
            learner,  # type: ignore[arg-type]
            preferences,
            processes=setup.processes,
            threads=setup.threads,
            observations=setup.observations,
            max_envs=share,
            trains=setup.trains,
            **{**options, **placed},
        )

    if setup.overlap and len(preferences) > 1:  # one is left where one of several seeds is evaluated again
        from morl.training.backends.host_double_buffered import DoubleBufferedHost

        return DoubleBufferedHost(on_host, preferences, devices, options["seeds"])
    return on_host(preferences, devices=devices)
