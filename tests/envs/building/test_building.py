"""The building environments: rewards by hand, and dynamics and rewards of SustainGym's, recorded and, where it is
installed, live."""

from __future__ import annotations

import csv
import runpy
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import morl
from morl.envs.building.environment import DAY, FLOORS, ZONES, Building, _series, _table, _transition
from morl.errors import UserError
from morl.training.rollout import start_batch, step

RECORDED = Path(__file__).parent / "data" / "building_sustaingym.csv"
KEY = jax.random.key(0)
# float32 against float64; temperatures are of the order of 20 °C, so are rewards
TEMPERATURE, REWARD = 3e-5, 3e-5


def recorded() -> list[dict[str, Any]]:
    """Load the cases of the recording: settings, (T, 23) actions, (T + 1, 27) observations, (T,) epochs and norms."""
    with RECORDED.open(encoding="utf-8") as file:
        names = next(csv.reader(line for line in file if not line.startswith("#")))
    table = np.loadtxt(RECORDED, delimiter=",", skiprows=2)
    cases = []
    for settings in dict.fromkeys(map(tuple, table[:, :3])):
        rows = table[(table[:, :3] == settings).all(axis=1)]
        part = {"time_resolution": int(settings[0]), "target": settings[1], "start_day": int(settings[2])}
        at = names.index("action_0")
        cases.append(
            {
                "settings": {**part, "episode_steps": len(rows) - 1},
                "epoch": rows[:, 3].astype(int),
                "error": rows[:-1, 4],
                "power": rows[:-1, 5],
                "actions": rows[:-1, at : at + ZONES].astype(np.float32),
                "obs": rows[:, at + ZONES :],
            }
        )
    return cases


def run(env: Any, actions: Any) -> tuple[Any, ...]:
    """Return states and observations (T + 1, ...), and rewards (T, R), of an episode with these actions."""
    params = env.default_params

    def one(state: Any, action: Any) -> Any:
        state, obs, reward, *_ = env.step(KEY, state, action, params)
        return state, (state, obs, reward)

    start, first = env.reset(KEY, params)
    _, (states, obs, rewards) = jax.jit(lambda actions: jax.lax.scan(one, start, actions))(jnp.asarray(actions))
    states = jax.tree.map(lambda a, rest: np.concatenate([a[None], rest]), start, states)
    return states, np.concatenate([first[None], obs]), np.asarray(rewards)


def matches(outcome: tuple[Any, ...], obs: Any, error: Any, power: Any, price: Any) -> tuple[float, float]:
    """Compare observations and the three rewards with the original; return the largest differences."""
    _, our_obs, rewards = outcome
    power_before = np.hstack([0.0, power[:-1]])
    expected = np.column_stack([(20 * ZONES - error) / 20, ZONES - price * power, ZONES - abs(power - power_before)])
    np.testing.assert_allclose(our_obs[:, : ZONES + 4], obs, rtol=0, atol=TEMPERATURE)
    np.testing.assert_allclose(rewards, expected, rtol=0, atol=REWARD)
    return float(abs(our_obs[:, : ZONES + 4] - obs).max()), float(abs(rewards - expected).max())


def price_at(epochs: Any, time_resolution: int) -> Any:
    return DAY[epochs * time_resolution // 3600 % 24]


@pytest.mark.parametrize("case", recorded(), ids=lambda case: f"{case['settings']['start_day']}")
def test_it_does_what_sustaingym_did(case):
    settings, epochs = case["settings"], case["epoch"]
    outcome = run(Building(**settings), case["actions"])
    np.testing.assert_array_equal(outcome[0].time, epochs)
    matches(outcome, case["obs"], case["error"], case["power"], price_at(epochs[:-1], settings["time_resolution"]))


def test_the_recording_passes_the_end_of_the_year():
    assert any((np.diff(case["epoch"]) < 0).any() for case in recorded())


@pytest.mark.parametrize(
    ("time_resolution", "target", "day", "days"),
    [(300, 22.0, 0, 1), (300, 22.0, 120, 1), (300, 22.0, 250, 1), (600, 18.5, 77, 2), (3600, 20.0, 350, 20)],
)
def test_it_does_what_sustaingym_does(time_resolution, target, day, days):
    """Compare with the package itself over whole episodes of random actions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that it imports
        building = pytest.importorskip("sustaingym.envs.building", exc_type=ImportError)
        steps = days * 24 * 3600 // time_resolution
        script = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "make_building_data.py"))
        reference = building.BuildingEnv(script["parameters"](time_resolution, target, days))
    env = Building(time_resolution=time_resolution, target=target, start_day=day, episode_steps=steps)
    rng = np.random.default_rng(day)
    actions = np.repeat(rng.uniform(-1, 1, (steps // 4, ZONES)), 4, axis=0).astype(np.float32)
    obs, epochs, totals = [reference.reset(seed=days * day)[0]], [], [(0.0, 0.0)]
    for action in actions:
        epochs.append(reference.epoch)
        obs.append(reference.step(action.astype(float))[0])
        sums = reference._reward_breakdown
        totals.append((-sums["comfort_level"] / reference.error_rate, -sums["power_consumption"] / reference.q_rate))
    error, power = np.diff(totals, axis=0).T
    outcome = run(env, actions)
    np.testing.assert_array_equal(outcome[0].time[:-1], epochs)
    print(
        "largest errors:", *matches(outcome, np.array(obs), error, power, price_at(np.array(epochs), time_resolution))
    )


def test_the_dynamics_are_those_of_the_network():
    """Check that a step of half an hour solves dT/dt = A T + B u, held to an ordinary solver in float64."""
    zones, seconds = _table("zones.csv"), 1800
    a, (ground, outdoor, heating, solar) = zones[:, :ZONES], zones[:, ZONES:].T
    env = Building(time_resolution=seconds, start_day=200, target=24.0)
    action = np.linspace(-1, 1, ZONES)
    states, _, _ = run(env, np.tile(action.astype(np.float32), (4, 1)))
    temperature = np.full(ZONES, 24.0)
    for time in states.time[:-1]:
        out, earth, sun, _ = _series(seconds, None)[time].astype(float)
        inflow = ground * earth + outdoor * out + heating * action + solar * 3600 / seconds * sun
        held = solve_ivp(lambda _, t, inflow=inflow: a @ t + inflow, (0, seconds), temperature, rtol=1e-10, atol=1e-10)
        temperature = held.y[:, -1]
    np.testing.assert_allclose(states.temperature[-1], temperature, atol=1e-4)


def test_heat_goes_nowhere_without_a_difference():
    """Check that a building as warm as outdoors and the ground stays so without power and sun."""
    for seconds in (60, 300, 3600):
        transition = _transition(seconds)
        np.testing.assert_allclose(transition[:, : ZONES + 2].sum(axis=1), 1.0, rtol=1e-9)
        assert (transition >= -1e-15).all()


def test_rewards_by_hand():
    env = Building(start_day=0)
    params = env.default_params
    price = float(DAY[0])
    still = params._replace(transition=jnp.eye(ZONES, ZONES * 2 + 3))  # temperatures stay what they are
    state, _ = env.reset(KEY, still)
    warm = state._replace(temperature=state.temperature.at[3].add(4.0).at[20].add(-6.0))
    action = jnp.zeros(ZONES).at[0].set(1.0).at[22].set(-0.5)
    following, _, reward, terminated, truncated, _ = env.step(KEY, warm, action, still)
    np.testing.assert_allclose(reward, [23 - 10 / 20, 23 - price * 1.5, 23 - 1.5], rtol=1e-6)
    assert not terminated
    assert not truncated
    _, _, reward, *_ = env.step(KEY, following, 0.5 * action, still)
    np.testing.assert_allclose(reward, [23 - 10 / 20, 23 - price * 0.75, 23 - 0.75], rtol=1e-6)

    by_floor = Building(by_floor=True, start_day=0)
    state, _ = by_floor.reset(KEY, still)
    following, _, reward, *_ = by_floor.step(KEY, warm._replace(power=state.power), action, still)
    np.testing.assert_allclose(
        reward, [9 - 4 / 20, 7, 7 - 6 / 20, 9 - 1 / 20, 7, 7 - 0.5 / 20, 9 - 1, 7, 7 - 0.5], rtol=1e-6
    )
    _, _, reward, *_ = by_floor.step(KEY, following, jnp.flip(action), still)
    np.testing.assert_allclose(reward[6:], [9 - 0.5, 7, 7 - 0.5], rtol=1e-6)


def test_the_floors_add_up():
    assert list(FLOORS.values()) == [(0, 9), (9, 16), (16, 23)]
    actions = np.random.default_rng(1).uniform(-1, 1, (50, ZONES)).astype(np.float32)
    whole = run(Building(start_day=30, prices=(1.0,) * 24), actions)
    floors = run(Building(start_day=30, by_floor=True), actions)
    np.testing.assert_array_equal(whole[0].temperature, floors[0].temperature)
    np.testing.assert_allclose(floors[2][:, :3].sum(axis=1), whole[2][:, 0], rtol=1e-5)
    np.testing.assert_allclose(20 * (ZONES - floors[2][:, 3:6].sum(axis=1)), ZONES - whole[2][:, 1], rtol=1e-3)
    np.testing.assert_array_equal(whole[1][:, :27], floors[1])


@pytest.mark.parametrize("by_floor", [False, True])
@pytest.mark.parametrize("settings", [{}, {"time_resolution": 3600, "episode_steps": 480, "target": 28.0}])
def test_full_power_all_year_stays_in_the_spaces(by_floor, settings):
    env = Building(by_floor=by_floor, **settings)
    assert env.action_space.shape == (23,)
    params = env.default_params

    def episode(power, time):
        start = env.reset(KEY, params)[0]._replace(time=time)

        def one(state, _):
            state, obs, reward, *_ = env.step(KEY, state, jnp.full(ZONES, power), params)
            return state, (obs, reward)

        return jax.lax.scan(one, start, None, 480)[1]

    powers, times = np.array([-1.0, 0.0, 1.0], np.float32), np.linspace(0, params.series.shape[0] - 1, 8).astype(int)
    obs, rewards = jax.jit(jax.vmap(episode))(*map(jnp.ravel, jnp.meshgrid(powers, times)))
    assert all(map(env.observation_space.contains, np.asarray(obs).reshape(-1, *env.observation_space.shape)))
    assert all(map(env.reward_space.contains, np.asarray(rewards).reshape(-1, *env.reward_space.shape)))


def test_the_price_that_is_seen_is_that_of_the_next_step():
    prices = tuple(float(hour + 1) for hour in range(24))
    env = Building(prices=prices, time_resolution=3600, episode_steps=30, start_day=0)
    actions = np.ones((30, ZONES), np.float32)
    _, obs, rewards = run(env, actions)
    np.testing.assert_allclose(obs[:, -1], [(hour % 24 + 1) / 24 for hour in range(31)], rtol=1e-6)
    np.testing.assert_allclose(rewards[:, 1], ZONES * (1 - obs[:-1, -1]), atol=1e-5)


def test_starts_are_drawn_over_the_year_or_given():
    env = Building()
    params = env.default_params
    times = jax.jit(jax.vmap(lambda key: env.reset(key, params)[0].time))(jax.random.split(KEY, 2000))
    length = params.series.shape[0]
    assert length == 105_108  # 5-minute steps between the first and the last of 8760 hours
    assert 0 <= times.min() < 0.01 * length < 0.99 * length < times.max() < length
    assert abs(times.mean() / length - 0.5) < 0.03
    assert [int(Building(start_day=day).reset(KEY, params)[0].time) for day in (0, 1, 364)] == [0, 287, 104_820]


def test_the_year_starts_over():
    env = Building()
    params = env.default_params
    state, _ = env.reset(KEY, params)
    end = state._replace(time=jnp.int32(params.series.shape[0] - 1))
    assert int(env.step(KEY, end, jnp.zeros(ZONES), params)[0].time) == 0


def test_many_at_once_compile_once():
    env = morl.make("building-9d-v0", episode_steps=12)
    params = env.default_params
    traces = 0

    @jax.jit
    def go(lanes, actions):
        nonlocal traces
        traces += 1
        return jax.vmap(lambda lane, action: step(env, params, KEY, lane, action))(lanes, actions)

    lanes = jax.jit(lambda key: start_batch(env, params, key, 8))(KEY)
    for t in range(24):
        lanes, out = go(lanes, jnp.zeros((8, ZONES)))
        assert out.truncated.all() == (t % 12 == 11)
        assert not out.terminated.any()
    assert traces == 1


def test_impossible_settings_are_named():
    with pytest.raises(UserError, match="time_resolution must be at least 60 and at most 3600"):
        morl.make("building-3d-v0", time_resolution=10)
    with pytest.raises(UserError, match="start_day must be at least 0 and at most 364"):
        morl.make("building-3d-v0", start_day=365)
    with pytest.raises(UserError, match="target must be at least 10"):
        morl.make("building-9d-v0", target=0)
    with pytest.raises(UserError, match="prices must be 24 numbers, none below 0"):
        morl.make("building-3d-v0", prices=[1.0] * 23)
    with pytest.raises(UserError, match="prices have no effect with by_floor"):
        morl.make("building-9d-v0", prices=[1.0] * 24)


def test_data_files_name_their_source():
    for path in (*(Path(morl.__file__).parent / "envs" / "building").glob("*.csv"), RECORDED):
        with path.open(encoding="utf-8") as file:
            about = file.readline()
        assert about.startswith("# ")
        assert "SustainGym 0.1.7 (Yeh et al., 2023" in about
        assert "CC BY 4.0" in about
