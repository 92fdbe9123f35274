"""Devices that decide at once: every step is that of the plain simulator."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from morl.envs.offloading.devices import MecDevices
from morl.errors import UserError
from tests.envs.offloading import plain

ENV = MecDevices(devices=3, slots=12, arrival_rate=1.8, edges=2)


@cache
def compiled() -> tuple[Any, Any]:
    return jax.jit(ENV.reset), jax.jit(ENV.step)


def check(seed: int, choose: Any) -> int:
    """Compare an episode; return the most tasks on one server."""
    reset, step = compiled()
    params, rng = ENV.default_params, np.random.default_rng(seed)
    state, obs = reset(jax.random.key(seed), params)
    system = plain.Devices(*(np.asarray(x, float).tolist() for x in (state.frequency, state.rate, state.size)))
    most = 0
    np.testing.assert_allclose(obs, system.observe(), rtol=1e-5, atol=1e-4)
    for t in range(ENV.slots):
        action = np.asarray(choose(t, rng), np.int32)
        state, obs, reward, terminated, truncated, _ = step(jax.random.key(0), state, action, params)
        expected, rewards = system.step(action.tolist())
        np.testing.assert_allclose(obs, expected, rtol=1e-4, atol=2e-3)
        np.testing.assert_allclose(reward, rewards, rtol=1e-4, atol=1e-3)
        assert bool(terminated) == (t == ENV.slots - 1)
        assert not truncated
        most = max(most, *(len(server.running) for server in system.system.servers))
    assert (np.asarray(state.bank.server) == -1).all()
    assert sum(len(server.past) for server in system.system.servers) == (np.asarray(state.size) > 0).sum()
    return most


@pytest.mark.parametrize("seed", range(5))
def test_random_actions(seed: int) -> None:
    check(seed, lambda t, rng: rng.integers(0, 3, 3))


def test_all_tasks_on_one_server() -> None:
    assert check(9, lambda t, rng: [1, 1, 1]) > 8


def test_the_outlook_is_what_follows_if_no_other_task_comes() -> None:
    reset, step = compiled()
    params = ENV.default_params
    state, _ = reset(jax.random.key(3), params)
    for t in range(4):
        state = step(jax.random.key(0), state, np.array([t % 3, 0, 1]), params)[0]
    # the last slot runs dry: with its tasks alone, the outlook of the last device is the reward
    sizes = np.zeros((ENV.slots, 3), np.float32)
    sizes[-1] = [4.0, 0.0, 6.0]
    state = state._replace(slot=np.int32(ENV.slots - 1), size=sizes)
    outlook = jax.jit(ENV.outlook)(state, params, np.array([1, 0, 0]), np.int32(2))
    for server in range(3):
        reward = step(jax.random.key(0), state, np.array([1, 0, server]), params)[2]
        np.testing.assert_allclose(outlook[server], reward, rtol=1e-5)
    first = jax.jit(ENV.outlook)(state, params, np.array([0, 0, 0]), np.int32(0))
    assert (first[:, 0] > outlook[:, 0]).all()  # the devices after it wait


def test_arrivals_have_their_rate() -> None:
    states, _ = jax.jit(jax.vmap(ENV.reset, (0, None)))(jax.random.split(jax.random.key(0), 500), ENV.default_params)
    there = np.asarray(states.size) > 0
    assert abs(there.mean() - 0.6) < 4 * np.sqrt(0.24 / there.size)
    sizes = np.asarray(states.size)[there]
    assert abs(sizes.mean() - 5.0) < 0.2
    assert sizes.min() >= 0.1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"edges": 0}, "edges must be at least 1"),
        ({"edges": (1, 2)}, "edges must be a whole number"),
        ({"devices": 0}, "devices must be at least 1"),
        ({"slots": 0}, "slots must be at least 1"),
        ({"slot_seconds": 0.0}, "slot_seconds must be greater than 0"),
        ({"arrival_rate": 6.0}, "arrival_rate must be at most devices / slot_seconds = 5, not 6.0"),
        ({"edge_frequency": (2.0, 1.0)}, "edge_frequency must be"),
        ({"cloud_rate": -1.0}, "cloud_rate must be"),
        ({"size_range": (3.0, 1.0)}, "size_range must be"),
        ({"mean_size": float("nan")}, "mean_size must be"),
        ({"power": -1.0}, "power must be at least 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MecDevices(**kwargs)
