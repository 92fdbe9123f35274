"""Dependent tasks: graphs, and steps that are those of the plain simulator."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.offloading.dag import MecDag
from morl.envs.offloading.graph import make_graph
from morl.errors import UserError
from tests.envs.offloading import plain
from tests.envs.offloading.episodes import any_allowed, compiled, lists

ENV = MecDag()
STAR = tuple((0, i, 2.0) for i in range(1, 12))
OTHER = MecDag(dependences=STAR)  # of the same shapes


def check(env: MecDag, seed: int, choose: Any = any_allowed) -> list[float]:
    """Compare an episode; return the rewards for the delay."""
    reset, step = compiled(env)
    rng = np.random.default_rng(seed)
    params = env.default_params
    state, obs = reset(jax.random.key(seed), params)
    graph = env.graph
    needs = [{i: float(graph.data[i, j]) for i in np.flatnonzero(graph.data[:, j] >= 0)} for j in range(12)]
    frequency, rate, backhaul, size = (lists(x) for x in state[:4])
    system = plain.Dag(frequency, rate, backhaul, size, needs)
    columns = [0, 1, 2, 3, 4, 5, 6, 8, 9]
    delays = []
    for t in range(12):
        np.testing.assert_allclose(obs[:, columns], system.observe()[:, columns], rtol=1e-4, atol=1e-3)
        action = choose(t, np.asarray(env.action_mask(obs)), rng)
        state, obs, reward, terminated, truncated, _ = step(jax.random.key(t), state, jnp.int32(action), params)
        _, rewards = system.step(action)
        np.testing.assert_allclose(reward, rewards, rtol=1e-4, atol=1e-4)
        assert bool(terminated) == (t == 11)
        assert not truncated
        delays.append(float(reward[0]))
    np.testing.assert_allclose(state.finish, system.finish, rtol=1e-4)
    assert -sum(delays) == pytest.approx(max(system.finish), rel=1e-4)
    return delays


@pytest.mark.parametrize("seed", range(8))
def test_random_placements(seed: int) -> None:
    check(ENV, seed)


def test_all_on_the_cloud_takes_the_whole_work() -> None:
    delays = check(ENV, 0, lambda t, mask, rng: 0)
    state, _ = compiled(ENV)[0](jax.random.key(0), ENV.default_params)
    assert -sum(delays) > float(state.size.sum()) / 4.0  # 4 Mbit/s, with the uploads before


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_many_random_placements(seed: int) -> None:
    check((ENV, OTHER)[seed % 2], 100 + seed)


def test_tasks_are_put_into_topological_order() -> None:
    graph = make_graph((1.0, 2.0, 3.0, 4.0), ((3, 0, 1.0), (0, 2, 5.0), (3, 1, 0.0)))
    assert graph.task.tolist() == [3, 0, 1, 2]
    assert graph.size.tolist() == [4.0, 1.0, 2.0, 3.0]
    assert {(i, j): float(graph.data[i, j]) for i, j in zip(*np.nonzero(graph.data >= 0), strict=True)} == {
        (0, 1): 1.0,
        (0, 2): 0.0,
        (1, 3): 5.0,
    }
    assert graph.below.tolist() == [8.0, 4.0, 2.0, 3.0]
    assert MecDag(sizes=[1.0, 2.0], dependences=[[1, 0, 2.0]]).graph.task.tolist() == [1, 0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"dependences": ((0, 1, 1.0), (1, 2, 1.0), (3, 4, 1.0), (2, 0, 1.0))}, "rows 0, 1, 3 are a cycle: "),
        ({"dependences": ((2, 2, 1.0),)}, "dependences: rows 0 are a cycle: 2 -> 2"),
        ({"dependences": ((0, 12, 1.0),)}, "row 0: successor must be one of 0 to 11, not 12"),
        ({"dependences": ((0, 1, 1.0), (-1, 1, 1.0))}, "row 1: task must be one of 0 to 11, not -1"),
        ({"dependences": ((0.5, 1, 1.0),)}, "row 0: task must be one of 0 to 11, not 0.5"),
        ({"dependences": ((0, 1, -1.0),)}, "row 0: Mbit must be a number of at least 0, not -1.0"),
        ({"dependences": ((0, 1),)}, "row 0 must be task, successor and Mbit"),
        ({"dependences": ((0, 1, 1.0), (0, 1, 2.0))}, "row 1 repeats that of task 1 on task 0"),
        ({"dependences": 3}, "dependences must be rows"),
        ({"sizes": ()}, "sizes must be one or more numbers"),
        ({"sizes": (1.0, 0.0)}, "sizes: row 1 must be a number greater than 0, not 0.0"),
        ({"sizes": (1.0, "big")}, "sizes: row 1 must be a number greater than 0, not 'big'"),
        ({"spread": 1.0}, "spread must be at least 0 and below 1"),
        ({"backhaul": (2.0, 1.0)}, "backhaul must be"),
    ],
)
def test_impossible_graphs_are_refused_with_the_row(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MecDag(**kwargs)
