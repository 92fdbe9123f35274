"""Parity of our environments with MO-Gymnasium's, step for step for the same actions."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mo_gymnasium.envs.deep_sea_treasure import deep_sea_treasure as mo_dst
from numpy.typing import NDArray
from scipy import stats

from morl.envs.classic import minecart
from morl.envs.classic.deep_sea_treasure import MAPS, ROCK, DeepSeaTreasure
from morl.envs.classic.minecart import ACCELERATE, BRAKE, LEFT, MINE, NONE, RIGHT, Minecart
from tests.envs.parity import STEPS, Policy, Trace, check, mo_make, record, replay


@pytest.mark.parametrize("float_state", [False, True])
@pytest.mark.parametrize("name", ["convex", "concave", "mirrored"])
def test_deep_sea_treasure(name: Any, float_state: bool) -> None:
    env = DeepSeaTreasure(map=name, float_state=float_state)
    rng = np.random.default_rng(1)

    def new_policy() -> Policy:
        """Go to a random column and down, with a third of the moves at random."""
        column = rng.integers(MAPS[name].shape[1])

        def policy(obs: NDArray[Any]) -> int:
            if rng.random() < 1 / 3:
                return int(rng.integers(4))
            here = round(obs[1] * 10) if float_state else obs[1]
            return 1 if here == column else 3 if here < column else 2

        return policy

    maps = {"convex": mo_dst.DEFAULT_MAP, "concave": mo_dst.CONCAVE_MAP, "mirrored": mo_dst.MIRRORED_MAP}
    reference = mo_make("deep-sea-treasure-v0", dst_map=maps[name], float_state=float_state)
    trace = record(reference, new_policy, env.max_episode_steps)
    check(trace, replay(env, trace.start, trace.action, jax.random.split(jax.random.key(0), STEPS)), slice(None), 0)

    treasures = {np.float32(value) for value in MAPS[name].ravel() if value not in (0, ROCK)}
    assert set(trace.reward[trace.terminated, 0]) == treasures
    blocked = (trace.obs == trace.next_obs).all(axis=1)
    assert len(np.unique(np.c_[trace.obs, trace.action][blocked], axis=0)) > 20  # distinct (cell, move) into rock, edge
    if not float_state:
        assert reference.observation_space == env.observation_space
    assert reference.unwrapped.reward_space == env.reward_space


class Driver:
    """Driver that goes to a random mine, digs for a while and comes home, with bursts of random actions."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.random = rng.choice([0.0, 0.1, 1.0], p=[0.3, 0.5, 0.2])
        self.mine = rng.choice(minecart._MINES)
        self.digs = int(rng.choice([0, 2, 12]))
        self.reach = rng.uniform(0.11, 0.15)  # some dig from just too far
        self.burst, self.left = NONE, 0

    def __call__(self, obs: NDArray[Any]) -> int:
        if self.left:
            self.left -= 1
            return self.burst
        if self.rng.random() < self.random:
            self.burst = int(self.rng.choice(6, p=[0.1, 0.2, 0.2, 0.35, 0.05, 0.1]))
            self.left = int(self.rng.integers(0, 6))
            return self.burst
        if self.digs and np.hypot(*(self.mine - obs[:2])) < self.reach:
            if obs[2] > 0:
                return BRAKE
            self.digs -= 1
            return MINE
        way = (self.mine if self.digs else np.zeros(2)) - obs[:2]
        off = np.degrees(np.arctan2(way[1], way[0]) - np.arctan2(obs[3], obs[4]))
        off = (off + 180) % 360 - 180
        if abs(off) > 20:
            return RIGHT if off > 0 else LEFT
        return ACCELERATE if obs[2] < 0.04 else NONE


def assert_eventful(trace: Trace) -> None:
    """Check that the trace covers every event of a cart."""
    ore, next_ore = trace.obs[:, 5:], trace.next_obs[:, 5:]
    dug = (next_ore > ore).any(axis=1)
    assert {MINE} == set(trace.action[dug])
    assert dug.sum() > 50
    full = (ore.sum(axis=1) < 0.99) & (next_ore.sum(axis=1) > 1 - 1e-6)
    assert full.sum() > 10  # what did not fit was left
    turned = (np.abs(trace.obs[:, 3:5] - trace.next_obs[:, 3:5]) > 1e-3).any(axis=1)
    slid = turned & np.isin(trace.action, (ACCELERATE, NONE))
    for axis in (0, 1):
        for wall in (0.0, 1.0):
            assert (slid & (trace.next_obs[:, axis] == wall)).any()
    sold = trace.terminated & (trace.reward[:, :2] > 0).any(axis=1)
    assert sold.sum() > 30
    assert (trace.terminated & (trace.reward[:, :2] == 0).all(axis=1)).any()  # home empty
    assert ((trace.action == MINE) & ~dug).any()


class Watch:
    """Recorder of the state before each step of the reference, and of steps on a knife's edge.

    On a knife's edge, a sub-step lands within 1e-6 of a wall because the cart returned to it by a closed curve.
    Rounding then decides the side, differently in single and in double precision.
    """

    def __init__(self, env: Any) -> None:
        self.states: list[minecart.State] = []
        self.on_edge: list[bool] = []
        cart, act, drive = env.cart, env.step, env.cart.step

        def step(action: int) -> Any:
            heading = round((cart.angle - 5) / 10) % 36
            state = (cart.pos, cart.speed, heading, cart.content, cart.departed)
            dtypes = (np.float32, np.float32, np.int32, np.float32, np.bool_)
            self.states.append(minecart.State(*(np.array(x, t) for x, t in zip(state, dtypes, strict=True))))
            self.on_edge.append(False)
            return act(action)

        def sub_step() -> Any:
            angle = np.radians(cart.angle)
            target = cart.pos + cart.speed * np.array([np.cos(angle), np.sin(angle)])
            near = np.minimum(np.abs(target), np.abs(target - 1)) < 1e-6
            self.on_edge[-1] |= bool(cart.speed >= minecart.EPS_SPEED and near.any())
            return drive()

        env.step, cart.step = step, sub_step


def check_minecart(env: Minecart, reference: gymnasium.Env[Any, Any], keys: jax.Array, seed: int) -> None:
    """Replay each step from the reference's own state, then whole episodes from their start."""
    watch = Watch(reference.unwrapped)
    rng = np.random.default_rng(seed)
    trace = record(reference, lambda: Driver(rng), env.max_episode_steps)
    assert_eventful(trace)
    on_edge = np.array(watch.on_edge)
    assert on_edge.mean() < 0.05

    def one(key: jax.Array, state: minecart.State, action: jax.Array) -> Any:
        params = env.default_params
        _, next_obs, reward, terminated, truncated, _ = env.step(key, state, action, params)
        return env._observe(state, params), next_obs, reward, terminated, truncated

    states = minecart.State(*(np.array(column) for column in zip(*watch.states, strict=True)))
    single = jax.jit(jax.vmap(one))(keys, states, trace.action.astype(np.int32))
    check(trace, tuple(np.asarray(x) for x in single), ~on_edge, 1e-6)

    # Rounding adds up over the up to 4000 sub-steps of an episode; beyond a knife's edge it has its own way.
    episode = np.cumsum(trace.start)
    edges_so_far = np.cumsum(on_edge)
    before = edges_so_far == (edges_so_far - on_edge)[trace.start][episode - 1]
    assert before.mean() > 0.5
    check(trace, replay(env, trace.start, trace.action, keys), before, 1e-4)


def test_minecart_deterministic() -> None:
    env = Minecart(deterministic=True)
    reference = mo_make("minecart-deterministic-v0")
    check_minecart(env, reference, jax.random.split(jax.random.key(0), STEPS), seed=2)
    assert reference.observation_space == env.observation_space
    assert reference.unwrapped.reward_space == env.reward_space


class Draws:
    """Replacement of scipy's normal distributions in the reference: the noise our environment draws from its keys."""

    def __init__(self, keys: jax.Array, cart: Any) -> None:
        self.noise = np.asarray(jax.jit(jax.vmap(lambda key: jax.random.normal(key, (4, 2))))(keys), np.float64)
        self.step = self.sub_step = -1
        for mine in cart.mines:
            mine.distributions = [self.Ore(self, i, *ore.args) for i, ore in enumerate(mine.distributions)]
        act, dig = cart.step, cart.mine

        def count_step(action: int) -> Any:
            self.step, self.sub_step = self.step + 1, -1
            return act(action)

        def count_sub_step() -> Any:
            self.sub_step += 1
            return dig()

        cart.step, cart.mine = count_step, count_sub_step

    class Ore(NamedTuple):
        """Draw one ore of one mine."""

        draws: Any
        index: int
        mean: float
        std: float

        def rvs(self) -> float:
            draws = self.draws
            return float(self.mean + self.std * draws.noise[draws.step, draws.sub_step, self.index])


def test_minecart_on_the_same_draws() -> None:
    keys = jax.random.split(jax.random.key(4), STEPS)
    reference = mo_make("minecart-v0")
    draws = Draws(keys, reference.unwrapped)
    check_minecart(Minecart(), reference, keys, seed=3)
    assert draws.step == STEPS - 1


@pytest.mark.parametrize("mine", range(5))
def test_minecart_ore_distribution(mine: int) -> None:
    """Compare the distributions of one dig by the Kolmogorov-Smirnov test, without shared draws."""
    digs = 4000
    env = Minecart(frame_skip=1)
    params = env.default_params
    state, _ = env.reset(jax.random.key(0), params)
    state = state._replace(position=params.mines[mine])
    keys = jax.random.split(jax.random.key(10 + mine), digs)
    dig = jax.jit(jax.vmap(lambda key: env.step(key, state, jnp.int32(MINE), params)[0].content))
    ours = np.asarray(dig(keys))

    reference = mo_make("minecart-v0").unwrapped.mines[mine]
    rng = np.random.default_rng(mine)
    for ore in reference.distributions:
        ore.random_state = rng
    theirs = np.array([reference.mine() for _ in range(digs)])
    for i in range(2):  # 1 % over the ten ores of all mines; a fifth of a standard deviation would show
        assert stats.ks_2samp(ours[:, i], theirs[:, i]).pvalue > 0.001
        assert stats.ks_2samp(ours[:, i] + 0.01, theirs[:, i]).pvalue < 0.001
    assert abs(np.corrcoef(ours.T)[0, 1]) < 0.05
