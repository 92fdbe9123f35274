"""Episodes of scenarios with one task a step, compared with the plain simulator step for step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.envs.offloading import plain

Choose = Callable[[int, Any, Any], int]


@cache
def compiled(env: Any) -> tuple[Any, Any]:
    """Return the compiled reset, and a step that is compiled once."""
    return jax.jit(env.reset), jax.jit(env.step)


def any_allowed(t: int, mask: Any, rng: Any) -> int:
    """Return a random allowed action."""
    return int(rng.choice(np.flatnonzero(mask)))


def lists(x: Any) -> Any:
    """Return an array as lists of Python floats."""
    return np.asarray(x, np.float64).tolist()


def check(env: Any, seed: int, choose: Choose = any_allowed, params: Any = None, **own: Any) -> plain.Single:
    """Compare observations, masks and rewards of an episode; return the plain simulator at its end.

    Args:
        env: the scenario.
        seed: of the episode and of the actions.
        choose: action for a step, the mask and a generator.
        params: the parameters; those of the environment by default.
        own: functions from the first state to what :class:`.plain.Single` needs besides, by name.
    """
    reset, step = compiled(env)
    params = env.default_params if params is None else params
    rng = np.random.default_rng(seed)
    state, obs = reset(jax.random.key(seed), params)
    tasks = state.tasks
    system = plain.Single(
        *(lists(x) for x in (state.frequency, tasks.gap, tasks.size, tasks.rate)),
        **{name: of(state) for name, of in own.items()},
    )
    columns = obs.shape[1] if own else 10
    total = np.zeros(len(env.objectives))
    for t in range(env.tasks):
        expected = system.observe()
        np.testing.assert_allclose(obs[:, :columns], expected[:, :columns], rtol=1e-4, atol=2e-3)
        mask = np.asarray(env.action_mask(obs))
        np.testing.assert_array_equal(mask, system.allowed())
        action = choose(t, mask, rng)
        state, obs, reward, terminated, truncated, _ = step(jax.random.key(t), state, jnp.int32(action), params)
        _, rewards = system.step(action)
        np.testing.assert_allclose(reward, rewards[: len(reward)], rtol=1e-4, atol=1e-3)
        total += reward
        assert bool(terminated) == (t == env.tasks - 1)
        assert not truncated
    assert (np.asarray(state.bank.server) == -1).all()
    past = [task for server in system.system.servers for task in server.past]
    np.testing.assert_allclose(-total[0], sum(task.ended - task.placed for task in past), rtol=1e-4)
    return system
