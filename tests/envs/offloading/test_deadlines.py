"""Deadlines: every step is that of the plain simulator."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from morl.envs.offloading.deadlines import MecDeadlines
from morl.errors import UserError
from tests.envs.offloading.episodes import check, compiled, lists

ENV = MecDeadlines(tasks=25, patience=(1.0, 6.0))


def patience(state: Any) -> Any:
    return lists(state.own)


def lost_of(system: Any) -> list[Any]:
    return [task for server in system.system.servers for task in server.past if task.lost]


@pytest.mark.parametrize("seed", range(6))
def test_random_actions(seed: int) -> None:
    system = check(ENV, seed, patience=patience)
    lost = lost_of(system)
    assert 2 < len(lost) < 25
    for task in lost:
        assert task.ended == pytest.approx(task.due)


def test_tasks_are_given_up_while_they_upload() -> None:
    slow = ENV.default_params._replace(rate=ENV.default_params.rate * 0.1)
    system = check(ENV, 3, lambda t, mask, rng: 0, params=slow, patience=patience)
    assert any(task.left == task.size for task in lost_of(system))


def test_without_pressure_none_is_lost() -> None:
    patient = ENV.default_params._replace(own=ENV.default_params.own + 1e4)
    assert not lost_of(check(ENV, 0, params=patient, patience=patience))


def test_the_outlook_of_the_last_task_is_its_reward() -> None:
    reset, step = compiled(ENV)
    params = ENV.default_params
    state, _ = reset(jax.random.key(1), params)
    for t in range(ENV.tasks - 1):
        state = step(jax.random.key(0), state, np.int32(t % 3), params)[0]
    outlook = np.asarray(jax.jit(ENV.outlook)(state, params))
    exists = np.asarray(state.frequency) > 0
    assert (outlook[~exists] == -np.inf).all()
    for server in np.flatnonzero(exists):
        np.testing.assert_allclose(outlook[server], step(jax.random.key(0), state, np.int32(server), params)[2])


def test_an_action_on_no_server_means_the_cloud() -> None:
    reset, step = compiled(ENV)
    keys = (jax.random.key(i) for i in range(100))
    state = next(s for s in (reset(key, ENV.default_params)[0] for key in keys) if s.frequency[-1] == 0)
    outcomes = [step(jax.random.key(0), state, np.int32(a), ENV.default_params)[2] for a in (0, 4)]
    np.testing.assert_array_equal(*outcomes)


def test_the_number_of_edge_servers_is_drawn_from_its_range() -> None:
    states, _ = jax.jit(jax.vmap(ENV.reset, (0, None)))(jax.random.split(jax.random.key(0), 600), ENV.default_params)
    edges = (np.asarray(states.frequency) > 0).sum(axis=1) - 1
    assert (np.abs(np.bincount(edges)[2:] - 200) < 60).all()
    assert edges.min() == 2
    assert edges.max() == 4


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"patience": (5.0, 1.0)}, "patience must be"),
        ({"patience": 0.0}, "patience must be"),
        ({"tasks": 0}, "tasks must be at least 1"),
        ({"edges": 2.5}, "edges must be a whole number"),
        ({"edges": (3, 2)}, "edges must be"),
        ({"arrival_rate": 0.0}, "arrival_rate must be greater than 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MecDeadlines(**kwargs)
