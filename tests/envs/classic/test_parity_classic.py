"""Parity of the classic suite with MO-Gymnasium's, step for step for the same actions."""

from __future__ import annotations

import random
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from mo_gymnasium.envs.four_room import four_room as mo_four_room
from mo_gymnasium.envs.water_reservoir.dam_env import DamEnv
from numpy.typing import NDArray
from scipy import stats

from morl.envs.classic import mountain_car, water_reservoir
from morl.envs.classic.breakable_bottles import BreakableBottles
from morl.envs.classic.fishwood import Fishwood
from morl.envs.classic.four_room import FourRoom
from morl.envs.classic.fruit_tree import FruitTree
from morl.envs.classic.mountain_car import MountainCar, MountainCarContinuous
from morl.envs.classic.resource_gathering import ENEMIES, GEM, GOLD, ResourceGathering
from morl.envs.classic.water_reservoir import WaterReservoir
from tests.envs.parity import STEPS, check, mo_make, record, replay


class SameDraws:
    """Replacement of the reference's generator that draws, at step t of a trace, what ours draws from key t."""

    def __init__(self, env: Any, draws: jax.Array) -> None:
        self.draws = np.asarray(draws, np.float64)
        self.t = -1
        act = env.step

        def step(action: Any) -> Any:
            self.t += 1
            return act(action)

        env.step = step
        env._np_random = self

    def random(self) -> float:
        return float(self.draws[self.t])

    def normal(self, mean: float, std: float, size: int) -> NDArray[np.float64]:
        return np.full(size, mean + std * self.draws[self.t])


def keys(seed: int) -> jax.Array:
    return jax.random.split(jax.random.key(seed), STEPS)


def walk(actions: int, seed: int) -> Any:
    """Policy that repeats each random action for a while, to cover more ground than a random walk."""
    rng = np.random.default_rng(seed)

    def new_policy() -> Any:
        last = 0

        def policy(obs: Any) -> int:
            nonlocal last
            if rng.random() < 0.6:
                last = int(rng.integers(actions))
            return last

        return policy

    return new_policy


def same_spaces(env: Any, reference: Any) -> None:
    assert env.observation_space == reference.observation_space
    assert env.action_space == reference.action_space
    assert env.reward_space == reference.unwrapped.reward_space


def without_time_limit(reference: Any) -> Any:
    """Make the reference without Gymnasium's wrappers, whose seeded reset would draw from its generator."""
    env = reference.unwrapped
    env.reset = lambda **_: type(env).reset(env)
    return env


def test_resource_gathering() -> None:
    env, k = ResourceGathering(), keys(0)
    reference = mo_make(env.id)
    SameDraws(reference.unwrapped, jax.vmap(jax.random.uniform)(k))
    trace = record(reference, walk(4, 1), env.max_episode_steps)
    check(trace, replay(env, trace.start, trace.action, k), slice(None), 0)
    same_spaces(env, reference)
    met = np.isin(trace.next_obs[:, 0] * 5 + trace.next_obs[:, 1], [r * 5 + c for r, c in ENEMIES])
    killed = trace.reward[:, 0] == -1
    assert met.sum() > 300
    assert (trace.terminated & met == killed).all()
    assert stats.binomtest(int(killed.sum()), int(met.sum()), 0.1).pvalue > 0.001
    assert {(0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0)} <= set(map(tuple, trace.reward))
    for place, flag in ((GOLD, 2), (GEM, 3)):
        at = (trace.next_obs[:, :2] == place).all(axis=1)
        assert trace.next_obs[at, flag].all()


def test_four_room() -> None:
    env = FourRoom()
    reference = mo_make(env.id)
    trace = record(reference, walk(4, 2), env.max_episode_steps)
    check(trace, replay(env, trace.start, trace.action, keys(1)), slice(None), 0)
    same_spaces(env, reference)
    assert trace.next_obs[:, 2:].any(axis=0).sum() >= 6  # distinct shapes collected
    assert (trace.reward > 0).any(axis=0).all()
    blocked = (trace.obs == trace.next_obs).all(axis=1)
    assert len(np.unique(np.c_[trace.obs[:, :2], trace.action][blocked], axis=0)) > 20


def test_four_room_all_over() -> None:
    """Start from any cell, so that the goal and every shape are reached."""
    maze = mo_four_room.MAZE.copy()
    maze[11, 0] = maze[1, 11] = maze[5, 8] = "_"
    env = FourRoom(maze=maze)
    reference = mo_make(env.id, maze=maze).unwrapped
    rng = np.random.default_rng(3)
    states = []
    rows = []
    for _ in range(STEPS):
        row, column = rng.integers(13, size=2)
        while maze[row, column] in ("X", "G"):
            row, column = rng.integers(13, size=2)
        collected = rng.integers(2, size=12)
        here = reference.shape_ids.get((int(row), int(column)))
        if here is not None:
            collected[here] = 1  # flag as set on arrival
        action = int(rng.integers(4))
        reference.state = ((int(row), int(column)), tuple(int(x) for x in collected))
        states.append((row, column, *collected, action))
        rows.append(reference.step(action)[:3])
    states_ = np.array(states, np.int32)
    params = env.default_params

    def one(row: jax.Array) -> Any:
        state = env.reset(jax.random.key(0), params)[0]._replace(position=row[:2], collected=row[2:14])
        return env.step(jax.random.key(0), state, row[14], params)[1:4]

    ours = jax.jit(jax.vmap(one))(states_)
    theirs = [np.array(column) for column in zip(*rows, strict=True)]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    assert theirs[2].sum() > 20
    assert (theirs[1].sum(axis=0) > 100).all()


def test_four_room_starts_from_the_key() -> None:
    """Check that MO-Gymnasium draws the start from Python's global ``random`` and ignores ``reset(seed=)``."""
    maze = mo_four_room.MAZE.copy()
    maze[11, 0] = "_"
    env, reference = FourRoom(maze=maze), mo_make("four-room-v0", maze=maze)
    random.seed(4)
    starts = {reference.reset(seed=7)[0][0].item() for _ in range(20)}
    assert len(starts) == 2  # theirs ignores the seed
    rows = jax.vmap(lambda key: env.reset(key, env.default_params)[1][0])(jax.random.split(jax.random.key(0), 1000))
    assert stats.binomtest(int((rows == 11).sum()), 1000, 0.5).pvalue > 0.001
    np.testing.assert_array_equal(*[env.reset(jax.random.key(5), env.default_params)[1]] * 2)


@pytest.mark.parametrize("depth", [5, 6, 7])
def test_fruit_tree(depth: int) -> None:
    env = FruitTree(depth=depth)
    reference = mo_make(env.id, depth=depth)
    rng = np.random.default_rng(depth)
    trace = record(reference, lambda: lambda obs: int(rng.integers(2)), env.max_episode_steps)
    check(trace, replay(env, trace.start, trace.action, keys(2)), slice(None), 0)
    same_spaces(env, reference)
    assert len(np.unique(trace.reward[trace.terminated], axis=0)) == 2**depth
    assert (trace.terminated == (np.arange(STEPS) % depth == depth - 1)).all()
    np.testing.assert_allclose(env.true_front(0.99), reference.unwrapped.pareto_front(0.99), rtol=1e-12)


@pytest.mark.parametrize("unbreakable", [False, True])
def test_breakable_bottles(unbreakable: bool) -> None:
    env, k = BreakableBottles(unbreakable_bottles=unbreakable), keys(3)
    reference = mo_make(env.id, unbreakable_bottles=unbreakable)
    space = reference.observation_space
    SameDraws(reference.unwrapped, jax.vmap(jax.random.uniform)(k))
    outside = 0

    class Flattened:
        """Convert their observation by ``flatten``, their reward to an array, and their counts of bottles to flags."""

        def reset(self) -> Any:
            obs, info = reference.reset()
            return self.flat(obs), info

        def step(self, action: int) -> Any:
            obs, reward, *rest = reference.step(action)
            assert isinstance(reward, list)  # a fault of theirs: not an array
            return self.flat(obs), np.array(reward, np.float32), *rest

        def flat(self, obs: Any) -> Any:
            nonlocal outside
            outside += not space.contains({**obs, "bottles_dropped": np.array(obs["bottles_dropped"], np.int8)})
            flags = np.minimum(obs["bottles_dropped"], 1).astype(np.int8)
            return spaces.flatten(space, {**obs, "bottles_dropped": flags}).astype(np.int32)

    rng = np.random.default_rng(4)

    def new_policy() -> Any:
        def policy(obs: Any) -> int:
            """Take two bottles at the source, then go to the other end, sometimes back and forth."""
            if rng.random() < 0.25:
                return int(rng.integers(3))
            if obs[2] or (obs[1] and obs[-5] and rng.random() < 0.5):
                return 1
            return 2 if obs[-5] else 0

        return policy

    trace = record(Flattened(), new_policy, env.max_episode_steps)  # type: ignore[arg-type]
    check(trace, replay(env, trace.start, trace.action, k), slice(None), 0)
    assert env.action_space == reference.action_space
    assert env.observation_space.shape == spaces.flatten_space(space).shape
    assert outside > 0  # another: two bottles in one place are not in their MultiBinary space
    assert {-1.0, 0.0} <= set(trace.reward[:, 2])
    assert (1.0 in trace.reward[:, 2]) == unbreakable  # a third: 1 is above their reward space
    assert reference.unwrapped.reward_space.high[2] == 0
    assert {25.0, 50.0} <= set(trace.reward[:, 1])
    assert trace.terminated.sum() > 100


def test_fishwood() -> None:
    env, k = Fishwood(), keys(5)
    reference = mo_make(env.id)
    SameDraws(reference.unwrapped, jax.vmap(jax.random.uniform)(k))
    trace = record(reference, walk(2, 6), None)
    at_limit = np.arange(STEPS) % env.max_episode_steps == env.max_episode_steps - 1
    np.testing.assert_array_equal(trace.terminated, at_limit)  # theirs terminates at its time limit; ours does not
    trace = trace._replace(terminated=np.zeros(STEPS, bool))
    check(trace, replay(env, trace.start, trace.action, k), slice(None), 0)
    assert env.observation_space == reference.observation_space
    assert env.reward_space == reference.unwrapped.reward_space
    for place, yields in ((0, 0.1), (1, 0.9)):
        here = trace.obs[:, 0] == place
        assert stats.binomtest(int(trace.reward[here, place].sum()), int(here.sum()), yields).pvalue > 0.001
        assert (trace.reward[here, 1 - place] == 0).all()


VARIANTS: dict[str, dict[str, bool]] = {
    "mo-mountaincar-v0": {},
    "mo-mountaincar-3d-v0": {"add_speed_objective": True, "merge_move_penalty": True},
    "mo-mountaincar-timemove-v0": {"merge_move_penalty": True},
    "mo-mountaincar-timespeed-v0": {"add_speed_objective": True, "remove_move_penalty": True},
}


def swing(seed: int, act: Any) -> Any:
    """Driver that pushes in the direction of motion, and acts at random in a quarter of the steps."""
    rng = np.random.default_rng(seed)

    def new_policy() -> Any:
        idle = rng.random() < 0.3  # some stay in the valley to the end

        def policy(obs: Any) -> Any:
            return act(rng, 0.0 if idle else np.sign(obs[1]) if rng.random() < 0.75 else rng.uniform(-1, 1))

        return policy

    return new_policy


def from_their_states(env: Any, trace: Any, states: NDArray[np.float64], tolerance: float, actions: Any) -> None:
    """Replay each step of the trace from the reference's state (T, 2)."""

    def one(state: jax.Array, action: jax.Array) -> Any:
        return env.step(jax.random.key(0), mountain_car.State(*state), action, env.default_params)[1:4]

    ours = jax.jit(jax.vmap(one))(jnp.asarray(states, jnp.float32), jnp.asarray(actions))
    np.testing.assert_allclose(ours[0], trace.next_obs, rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours[1], trace.reward, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(ours[2], trace.terminated)


def watch_states(reference: Any) -> list[NDArray[np.float64]]:
    """Record the state before each step of the reference."""
    env, states = reference.unwrapped, []
    act = env.step

    def step(action: Any) -> Any:
        states.append(np.array(env.state, np.float64))
        return act(action)

    env.step = step
    return states


def start_as(env: Any, trace: Any) -> Any:
    """Our environment with the resets of the trace, in order; the key counts the steps."""

    class Env:
        default_params = env.default_params
        step = staticmethod(env.step)

        @staticmethod
        def reset(key: jax.Array, params: Any) -> Any:
            obs = jnp.asarray(trace.obs)[key]
            return mountain_car.State(obs[0], obs[1]), obs

    return Env


@pytest.mark.parametrize("id", VARIANTS)
def test_mountain_car(id: str) -> None:
    env = MountainCar(**VARIANTS[id])
    assert env.id == id
    reference = mo_make(id)
    states = watch_states(reference)
    reference.reset(seed=0)
    trace = record(reference, swing(7, lambda rng, push: int(np.rint(push)) + 1), env.max_episode_steps)
    from_their_states(env, trace, np.array(states), 1e-6, trace.action.astype(np.int32))
    check(
        trace, replay(start_as(env, trace), trace.start, trace.action, jnp.arange(STEPS)), slice(None), 5e-5
    )  # rounding adds up
    assert trace.terminated.sum() > 20
    assert (trace.next_obs[:, 0] == np.float32(-1.2)).any()  # into the wall
    assert env.observation_space == reference.observation_space
    assert env.action_space == reference.action_space
    theirs = reference.unwrapped.reward_space
    assert theirs.high[0] == -1  # a fault of theirs: the reward at the goal is 0
    assert (trace.reward[trace.terminated, 0] == 0).all()
    np.testing.assert_array_equal(env.reward_space.low, theirs.low)
    np.testing.assert_array_equal(env.reward_space.high[1:], theirs.high[1:])


def test_mountain_car_continuous() -> None:
    env = MountainCarContinuous()
    reference = mo_make(env.id)
    states = watch_states(reference)
    reference.reset(seed=0)

    def act(rng: np.random.Generator, push: float) -> NDArray[np.float32]:
        return np.array([push], np.float32)

    trace = record(reference, swing(8, act), env.max_episode_steps)
    from_their_states(env, trace, np.array(states), 1e-6, trace.action)
    ours = replay(start_as(env, trace), trace.start, trace.action, jnp.arange(STEPS))
    check(trace, ours, slice(None), 1e-5)
    assert trace.terminated.sum() > 5
    same_spaces(env, reference)


@pytest.mark.parametrize(("env", "id"), [(MountainCar(), "mo-mountaincar-v0"), (MountainCarContinuous(), None)])
def test_mountain_car_starts(env: Any, id: str | None) -> None:
    reference = mo_make(id or env.id)
    theirs = np.array([reference.reset(seed=i)[0] for i in range(1000)])
    ours = jax.vmap(lambda key: env.reset(key, env.default_params)[1])(jax.random.split(jax.random.key(1), 1000))
    assert stats.ks_2samp(np.asarray(ours[:, 0]), theirs[:, 0]).pvalue > 0.001
    assert (ours[:, 1] == 0).all()


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("penalize", [False, True])
@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_water_reservoir(objectives: int, penalize: bool, normalized: bool) -> None:
    kwargs: dict[str, Any] = {"nO": objectives, "penalize": penalize, "normalized_action": normalized}
    env, k = WaterReservoir(initial_state=80.0, **kwargs), keys(9)
    reference = mo_make(env.id, initial_state=np.array([80.0], np.float32), **kwargs)
    SameDraws(reference.unwrapped, jax.vmap(jax.random.normal)(k))
    rng = np.random.default_rng(10)
    high = 1.0 if normalized else 120.0
    trace = record(reference, lambda: lambda obs: rng.uniform(0, high, 1).astype(np.float32), env.max_episode_steps)
    params = env.default_params
    single = jax.jit(jax.vmap(lambda key, obs, act: env.step(key, water_reservoir.State(obs), act, params)[1:5]))
    outcome = single(k, jnp.asarray(trace.obs), jnp.asarray(trace.action))
    # A unit in the last place of a float32 level of 128 is 1.5e-5; rounding accumulates over an episode.
    check(trace, (trace.obs, *map(np.asarray, outcome)), slice(None), 5e-5)
    check(trace, replay(env, trace.start, trace.action, k), slice(None), 1e-4)
    same_spaces(env, reference)
    if not normalized:
        clipped = (trace.action > trace.obs).any(axis=1)
        assert 500 < clipped.sum() < STEPS - 500
    assert (trace.reward < 0).any(axis=0).all()


@pytest.mark.parametrize("penalize", [False, True])
def test_water_reservoir_draws(penalize: bool) -> None:
    """Compare the distributions of starts and inflow, which share no draws."""
    env = WaterReservoir(penalize=penalize)
    k = jax.random.split(jax.random.key(11), 4000)
    ours = np.asarray(jax.vmap(lambda key: env.reset(key, env.default_params)[1])(k))[:, 0]
    reference = mo_make(env.id, penalize=penalize)
    theirs = np.array([reference.reset(seed=i)[0].item() for i in range(4000)])
    if penalize:
        assert set(ours) == set(theirs) == set(range(160))
    else:
        assert set(ours) == set(theirs) == set(water_reservoir.STARTS.tolist())
    assert stats.ks_2samp(ours, theirs).pvalue > 0.001

    state = water_reservoir.State(jnp.full(1, 60.0))
    step = jax.jit(jax.vmap(lambda key: env.step(key, state, jnp.full(1, 50.0), env.default_params)[1][0]))
    inflow = []
    for _ in range(4000):
        reference.unwrapped.state = np.full(1, 60.0, np.float32)
        inflow.append(reference.unwrapped.step(np.full(1, 50.0, np.float32))[0].item())
    levels = np.asarray(step(k))
    assert stats.ks_2samp(levels, inflow).pvalue > 0.001
    assert stats.ks_2samp(levels + 2, inflow).pvalue < 0.001  # a fifth of a standard deviation would show
    assert DamEnv.DAM_INFLOW_STD == 10
