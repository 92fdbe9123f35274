"""True fronts and coverage sets: the published values, brute force, and MO-Gymnasium's environments explored."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from morl.envs.classic import exact
from morl.envs.classic.breakable_bottles import BreakableBottles
from morl.envs.classic.deep_sea_treasure import DeepSeaTreasure
from morl.envs.classic.fishwood import Fishwood
from morl.envs.classic.four_room import MOVES, FourRoom
from morl.envs.classic.fruit_tree import FruitTree
from morl.envs.classic.resource_gathering import ResourceGathering
from morl.errors import UserError
from morl.ops import metrics
from morl.ops.pareto import convex_coverage_set, non_dominated
from tests.envs.parity import mo_make


def as_set(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.unique(np.round(points, 9), axis=0)


@pytest.mark.parametrize(
    ("env", "reference_point", "values"),
    [
        (FruitTree(6), (-1,) * 6, {0.98: 36367.62, 0.99: 46034.80, 1.0: 58271.26}),
        (ResourceGathering(), (-1,) * 3, {1.0: 4.0}),
    ],
    ids=lambda x: getattr(x, "id", None),
)
def test_the_published_hypervolumes(env: Any, reference_point: Any, values: dict[float, float]) -> None:
    for gamma, value in values.items():
        assert metrics.hypervolume(env.true_front(gamma), reference_point) == pytest.approx(value, abs=0.01)


def test_resource_gathering_has_the_safe_paths_mo_gymnasium_misses() -> None:
    env = ResourceGathering()
    published = [[0, 0, 0.91352], [0, 0.84294, 0.84294], [0, 0.89534, 0]]
    np.testing.assert_allclose(env.true_coverage_set(0.99), published, atol=5e-6)
    theirs = np.array(mo_make(env.id).unwrapped.pareto_front(0.99)) / 0.99  # they discount the first reward too
    both = [0, 0.99**17, 0.99**17]  # 18 steps past every enemy
    assert np.isclose(env.true_front(0.99), both).all(axis=1).any()
    assert not np.isclose(theirs, both).all(axis=1).any()
    for point in theirs:  # and ours has all of theirs, or better
        assert (env.true_front(0.99) >= point - 1e-12).all(axis=1).any()


@pytest.mark.parametrize("name", ["convex", "concave", "mirrored"])
def test_coverage_set_of_deep_sea_treasure(name: Any) -> None:
    env = DeepSeaTreasure(name)
    assert len(env.true_coverage_set(1.0)) == (9 if name == "convex" else 2)
    rows = {tuple(row) for row in env.true_front(0.9)}
    assert {tuple(row) for row in env.true_coverage_set(0.9)} <= rows


def random_tables(rng: np.random.Generator, outcomes_that_go_on: int) -> exact.Tables:
    """Tables of 3 states, 2 actions, 2 outcomes, 2 objectives, 3 steps."""
    share = rng.uniform(0.1, 0.9, (3, 2, 1))
    terminated = rng.random((3, 2, 2)) < 0.2
    if outcomes_that_go_on == 1:
        terminated[..., 1] = True
    return exact.Tables(
        probability=np.concatenate([share, 1 - share], axis=-1),
        following=rng.integers(3, size=(3, 2, 2)),
        reward=rng.integers(-3, 4, size=(3, 2, 2, 2)).astype(float),
        terminated=terminated,
        horizon=3,
    )


def every_return(tables: exact.Tables, gamma: float) -> NDArray[np.float64]:
    """Return the expected returns (n, R) of every deterministic time-dependent policy, one by one."""
    states, actions, outcomes = tables.probability.shape
    returns = []
    for plan in product(product(range(actions), repeat=states), repeat=tables.horizon):
        values = np.zeros((states, tables.reward.shape[-1]))
        for choice in reversed(plan):
            before, values = values, np.zeros_like(values)
            for s, k in product(range(states), range(outcomes)):
                a = choice[s]
                onward = 0.0 if tables.terminated[s, a, k] else gamma * before[tables.following[s, a, k]]
                values[s] += tables.probability[s, a, k] * (tables.reward[s, a, k] + onward)
        returns.append(values[0])
    return np.array(returns)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_fronts_against_every_policy(seed: int, gamma: float) -> None:
    tables = random_tables(np.random.default_rng(seed), outcomes_that_go_on=1)
    returns = as_set(every_return(tables, gamma))
    np.testing.assert_allclose(as_set(exact.front(tables, gamma)), returns[non_dominated(returns)], atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_coverage_sets_against_every_policy(seed: int, gamma: float) -> None:
    tables = random_tables(np.random.default_rng(10 + seed), outcomes_that_go_on=2)
    returns = as_set(every_return(tables, gamma))
    found = as_set(exact.coverage_set(tables, gamma))
    np.testing.assert_allclose(found, returns[convex_coverage_set(returns)], atol=1e-8)


def test_fronts_are_refused_where_policies_multiply() -> None:
    with pytest.raises(ValueError, match="several outcomes"):
        exact.front(random_tables(np.random.default_rng(0), outcomes_that_go_on=2), 1.0)


def explored(env: gymnasium.Env[Any, Any], draws: dict[float, float], horizon: int) -> exact.Tables:
    """Tables of MO-Gymnasium's own environment: every action in every state it leads to, on each draw (probability)."""

    class Draw:
        value = 0.0

        def random(self) -> float:
            return self.value

    env = env.unwrapped
    draw = env._np_random = Draw()

    def key(obs: Any) -> bytes:
        if isinstance(obs, dict):  # only whether any bottle was dropped is told apart
            obs = [obs["location"], obs["bottles_carrying"], obs["bottles_delivered"], any(obs["bottles_dropped"])]
        return np.array(obs, np.int64).tobytes()

    index = {key(type(env).reset(env)[0]): 0}
    queue = [env]
    rows: list[list[list[Any]]] = []
    for here in queue:
        rows.append([])
        for action in range(env.action_space.n):
            outcomes = []
            for value, probability in draws.items():
                draw.value = value
                there = object.__new__(type(env))  # a plain copy would reset it
                there.__dict__ = {name: deepcopy(x) if isinstance(x, list) else x for name, x in vars(here).items()}
                obs, reward, terminated, _, _ = there.step(action)
                if not terminated and key(obs) not in index:
                    index[key(obs)] = len(queue)
                    queue.append(there)
                following = 0 if terminated else index[key(obs)]
                outcomes.append((probability, following, np.array(reward, float), terminated))
            rows[-1].append(outcomes)
    parts = [np.array([[[o[i] for o in outcomes] for outcomes in row] for row in rows]) for i in range(4)]
    return exact.Tables(*parts, horizon)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("env", "draws"),
    [
        (ResourceGathering(), {0.05: 0.1, 0.5: 0.9}),
        (BreakableBottles(), {0.05: 0.1, 0.5: 0.9}),
        (Fishwood(), {0.05: 0.1, 0.5: 0.8, 0.95: 0.1}),
    ],
    ids=lambda x: getattr(x, "id", None),
)
@pytest.mark.parametrize("gamma", [1.0, 0.97])
def test_coverage_sets_of_mo_gymnasium_explored(env: Any, draws: dict[float, float], gamma: float) -> None:
    tables = explored(mo_make(env.id), draws, env.max_episode_steps)
    np.testing.assert_allclose(env.true_coverage_set(gamma), exact.coverage_set(tables, gamma), atol=1e-9)


SMALL_MAZE = ("1 2 G", " X X ", "_3 1 ")


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.6])
def test_front_of_four_rooms_by_another_way(gamma: float) -> None:
    """Compare with dynamic programming over states, in a small maze."""
    env = FourRoom(maze=SMALL_MAZE)
    shapes, start = env._cells("123"), env._cells("_")[0]
    cells = [start, *(cell for cell in env._cells("123 ") if cell != start)]
    states = [(cell, flags) for flags in product((0, 1), repeat=len(shapes)) for cell in cells]
    index = {state: i for i, state in enumerate(states)}
    following, reward = np.zeros((len(states), 4, 1), int), np.zeros((len(states), 4, 1, 3))
    terminated = np.zeros((len(states), 4, 1), bool)
    for (s, (cell, flags)), (a, move) in product(enumerate(states), enumerate(MOVES.tolist())):
        row, column = cell[0] + move[0], cell[1] + move[1]
        inside = 0 <= row < 3 and 0 <= column < 5
        target = (row, column) if inside and SMALL_MAZE[row][column] != "X" else cell
        if SMALL_MAZE[target[0]][target[1]] == "G":
            terminated[s, a] = True
            reward[s, a] = 1.0
            continue
        kind = SMALL_MAZE[target[0]][target[1]]
        after = list(flags)
        if kind in "123" and not flags[shapes.index(target)]:
            after[shapes.index(target)] = 1
            reward[s, a, 0, int(kind) - 1] = 1.0
        following[s, a] = index[target, tuple(after)]
    tables = exact.Tables(np.ones(following.shape), following, reward, terminated, horizon=60)
    np.testing.assert_allclose(as_set(env.true_front(gamma)), as_set(exact.front(tables, gamma)), atol=1e-8)
    np.testing.assert_allclose(
        as_set(env.true_coverage_set(gamma)), as_set(exact.coverage_set(tables, gamma)), atol=1e-8
    )


def test_four_rooms_front() -> None:
    front = FourRoom().true_front(0.99)
    assert non_dominated(front).all()
    assert len(front) == 252
    assert FourRoom().true_front(1.0).tolist() == [[5.0, 5.0, 5.0]]


def test_what_has_no_computable_front_says_why() -> None:
    with pytest.raises(UserError, match="unbreakable_bottles=False only"):
        BreakableBottles(unbreakable_bottles=True).true_coverage_set()
    with pytest.raises(UserError, match="one start and at most 12 shapes"):
        FourRoom(maze=("_1G", "_  ")).true_front()
    with pytest.raises(UserError, match="cannot be reached"):
        FourRoom(maze=("_1XG",)).true_front()
