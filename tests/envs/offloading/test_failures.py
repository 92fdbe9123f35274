"""Servers that fail: every step is that of the plain simulator."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from morl.envs.offloading.failures import MecFailures
from morl.errors import UserError
from tests.envs.offloading.episodes import check, lists

ENV = MecFailures(tasks=25, failure_seconds=6.0, repair_seconds=4.0)


def changes(state: Any) -> Any:
    return [[x for x in row if np.isfinite(x)] for row in lists(state.own)]


def past(system: Any) -> list[Any]:
    return [task for server in system.system.servers for task in server.past]


@pytest.mark.parametrize("seed", range(6))
def test_random_actions(seed: int) -> None:
    system = check(ENV, seed, changes=changes)
    assert any(task.lost for task in past(system))


def test_tasks_whose_upload_ends_while_the_server_is_down_are_lost() -> None:
    slow = ENV.default_params._replace(rate=ENV.default_params.rate * 0.1)
    system = check(ENV, 0, lambda t, mask, rng: int(np.flatnonzero(mask)[-1]), params=slow, changes=changes)
    assert any(task.lost and task.left == task.size for task in past(system))
    assert any(not task.lost for task in past(system))


def test_the_cloud_never_fails() -> None:
    assert not any(task.lost for task in past(check(ENV, 0, lambda t, mask, rng: 0, changes=changes)))


def test_failures_have_their_means() -> None:
    states, _ = jax.jit(jax.vmap(ENV.reset, (0, None)))(jax.random.split(jax.random.key(0), 300), ENV.default_params)
    times = np.diff(np.asarray(states.own)[:, 1:], axis=2, prepend=0.0)
    assert np.isinf(np.asarray(states.own)[:, 0]).all()
    np.testing.assert_allclose([times[..., ::2].mean(), times[..., 1::2].mean()], [6.0, 4.0], rtol=0.05)


@pytest.mark.parametrize("name", ["failure_seconds", "repair_seconds"])
def test_impossible_settings_are_refused_by_name(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} must be greater than 0"):
        MecFailures(**{name: 0.0})
