"""Offloading simulator, compared with an independent event-driven one (:mod:`.reference`)."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv
from morl.envs.mec import MecOffloading, flights, schemes, search, sharing
from morl.errors import UserError
from tests.envs.mec.reference import System


@cache
def compiled(env: MecOffloading) -> tuple[Any, Any]:
    return jax.jit(env.reset), jax.jit(env.step)


# sized for rates up to 1; the rate is a parameter, so one compilation serves all
BUSY = MecOffloading(arrival_rate=1.0)
QUIET = MecOffloading(contexts="test", arrival_rate=0.08)
WEAK = MecOffloading(channel="physical", steps=60, interference=True, shadowing_spread=8.0)
many_resets = jax.jit(jax.vmap(MecOffloading().reset, (0, None)))


def check_against_reference(env: MecOffloading, seed: int, params: Any = None, choose: Any = None) -> dict[str, float]:
    """Compare every quantity over an episode of random actions; return counts of rare events."""
    reset, step = compiled(env)
    params = env.default_params if params is None else params
    rng = np.random.default_rng(seed)
    key = jax.random.key(seed)
    state, obs = reset(key, params)
    frequencies = [float(f) for f in state.frequency if f > 0]
    system = System(frequencies, env.power, env.capacitance, env.cycles_per_bit)
    met = dict.fromkeys(("late", "empty", "tasks", "running", "same_time"), 0.0)
    rewards = []
    for t in range(env.steps):
        features = np.asarray(obs, np.float64)
        mask = np.asarray(env.action_mask(obs))
        np.testing.assert_array_equal(mask, np.arange(env.num_servers) < len(frequencies))
        assert (features[mask == 0] == -1).all()
        size = float(state.size)
        action = choose(t, rng) if choose else int(rng.integers(len(frequencies)))
        for e, server in enumerate(system.servers):
            np.testing.assert_allclose(features[e, [0, 2, 4]], [size, frequencies[e], len(frequencies) - 1], rtol=1e-6)
            left = np.sort([task.left for task in server.running])
            ours = np.asarray(sharing.residuals(state.servers)[e])
            ours = ours[len(ours) - int(state.servers.running[e]) :]
            # a task that ends at the end of a step may, by rounding, be done in one simulator only
            np.testing.assert_allclose(_padded(ours, left), _padded(left, ours), rtol=1e-4, atol=2e-3)
            if len(ours) == len(left) and (np.abs(left - np.round(left)) > 2e-3).all():
                expected = np.histogram(np.minimum(left, env.bins - 0.5), env.bins, (0, env.bins))[0]
                np.testing.assert_array_equal(features[e, 5:], expected)
                assert features[e, 3] == len(left)
            met["running"] = max(met["running"], len(left))
        if size > 0:
            rate = float(features[action, 1])
            expected_reward = system.place(action, size, rate)
            met["late"] += size / rate > env.step_seconds
            met["tasks"] += 1
        else:
            expected_reward = (0.0, 0.0)
            assert (features[mask == 1, 1] == 0).all()
            met["empty"] += 1
        state, obs, reward, terminated, truncated, info = step(jax.random.fold_in(key, t), state, action, params)
        np.testing.assert_allclose(reward, expected_reward, rtol=2e-4, atol=2e-3)
        assert not terminated
        assert not truncated
        rewards.append(np.asarray(reward, np.float64))
        system.advance((t + 1) * env.step_seconds)
    assert int(info["dropped"]) == int(info["masked_actions"]) == int(info["lost_arrivals"]) == 0
    total = np.sum(rewards, axis=0)
    delays = system.delays()
    np.testing.assert_allclose(total[0], -sum(delays), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(total[1], -sum(task.energy for task in system.placed), rtol=1e-5)
    return met


def _padded(values: Any, other: Any) -> Any:
    """Return ascending values, padded with zeros in front to the length of the other."""
    return np.concatenate([np.zeros(max(len(other) - len(values), 0)), values])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("num_edges", [1, 6, 10])
def test_every_step_is_that_of_the_reference(num_edges: int, seed: int) -> None:
    met = check_against_reference(QUIET, seed, QUIET.context(num_edges=num_edges))
    assert met["empty"] > 0
    assert met["tasks"] > 30


@pytest.mark.parametrize("seed", range(3))
def test_uploads_longer_than_a_step(seed: int) -> None:
    env = MecOffloading(channel="physical", antenna_gain=12.0, fading="task", steps=60)
    met = check_against_reference(env, seed, env.context(num_edges=2))
    assert met["late"] > 5


@pytest.mark.parametrize("seed", range(2))
def test_uploads_that_take_hundreds_of_steps(seed: int) -> None:
    assert check_against_reference(WEAK, seed, WEAK.context(num_edges=3))["late"] > 10


def test_tiny_and_huge_tasks() -> None:
    for mean, sizes in ((0.01, (1e-3, 0.05)), (300.0, (50.0, 1000.0))):
        env = MecOffloading(mean_size=mean, size_range=sizes, arrival_rate=0.3)
        met = check_against_reference(BUSY, 0, env.context(num_edges=3))
        assert met["tasks"] > 80
        assert (met["running"] > 10) == (mean > 1)


def test_many_tasks_on_one_server() -> None:
    env = MecOffloading(arrival_rate=1.0, mean_size=20.0)
    assert check_against_reference(BUSY, 0, env.context(num_edges=1), lambda t, rng: 1)["running"] > 60


def test_tasks_that_end_at_the_same_time() -> None:
    reference = System([4.0])
    servers = sharing.idle(1, 8)
    for size in (4.0, 4.0, 4.0, 6.0, 6.0):
        expected, _ = reference.place(0, size, 1e9)
        reference.advance(1e-8)  # all join at once, but for rounding
        assert -sharing.marginal_delay(servers, jnp.float32(size), 4.0) == pytest.approx(expected, rel=1e-5)
        servers, _ = sharing.add(servers, jnp.float32(size))
    for seconds in (4.9, 0.2, 0.6, 0.4, 5.0):  # three end at 5 s, two at 6 s
        reference.advance(reference.servers[0].now + seconds)
        servers = sharing.advance(servers, jnp.array([4.0 * seconds]))
        left = [task.left for task in reference.servers[0].running]
        assert int(servers.running[0]) == len(left)
        np.testing.assert_allclose(np.sort(sharing.residuals(servers)[0])[8 - len(left) :], left, atol=1e-4)
    assert not left
    # two uploads that end at one instant, and a task that ends then
    servers, _ = sharing.add(sharing.idle(1, 8), jnp.float32(2.0))
    aloft = flights.none(3, 1)._replace(
        step=jnp.array([5, 5, 6]),
        offset=jnp.full(3, 0.5),
        server=jnp.zeros(3, int),
        size=jnp.array([4.0, 3.0, 1.0]),
        soonest=jnp.int32(5),
        number=jnp.array([3]),
    )
    zero = jnp.int32(0)
    landed = flights.land(flights.Step(servers, jnp.zeros(1), aloft, zero, zero), jnp.int32(5), jnp.array([4.0]))
    np.testing.assert_allclose(sharing.residuals(landed.servers)[0, -2:], [3.0, 4.0])
    assert landed.flights.step.tolist() == [6, flights.LANDED, flights.LANDED]
    assert landed.flights.server.tolist() == [0, 1, 1]
    assert (int(landed.flights.soonest), landed.flights.number.tolist()) == (6, [1])
    assert float(landed.clock[0]) == 0.5


@pytest.mark.parametrize("queue", ["edf", "priority"])
def test_queues_keep_the_system_exact(queue: Any) -> None:
    check_against_reference(MecOffloading(queue=queue, arrival_rate=0.2), 0)


@pytest.mark.parametrize("queue", ["fifo", "edf", "priority"])
def test_the_queue_offers_the_right_task(queue: Any) -> None:
    env = MecOffloading(queue=queue, arrival_rate=0.2)
    reset, step = compiled(env)
    for seed in range(3):
        state, _ = reset(jax.random.key(seed), env.default_params)
        # a FIFO environment of the same key has the same arrivals; the others overwrite them
        drawn = compiled(MecOffloading(arrival_rate=0.2))[0](jax.random.key(seed), env.default_params)[0].tasks
        arrival, urgency = np.asarray(drawn.arrival), np.asarray(state.tasks.urgency)
        served: set[int] = set()
        for t in range(env.steps):
            waiting = [i for i in range(len(arrival)) if arrival[i] <= t and i not in served]
            ranks = [(urgency[i] if queue != "fifo" else 0.0, i) for i in waiting]
            expected = min(ranks)[1] if ranks else -1
            assert int(state.task) == expected
            served.add(expected)
            assert float(state.size) == (float(drawn.size[expected]) if waiting else 0.0)
            length = env.info(state, env.default_params)["queue_length"]
            assert int(length) == max(len(waiting) - 1, 0)
            state, *_ = step(jax.random.key(t), state, 0, env.default_params)


def test_arrivals_sizes_and_links_have_their_distributions() -> None:
    env = MecOffloading(num_edges=6, cloud_frequency=4.0, edge_frequency=2.0)
    states, _ = many_resets(jax.random.split(jax.random.key(0), 3000), env.default_params)
    counts = np.asarray((states.tasks.arrival <= 99.0).sum(axis=1))
    assert abs(counts.mean() - 100) < 4 * 10 / np.sqrt(3000)  # a step before the start and 99 after
    assert abs(counts.var() - 100) < 15
    sizes = np.asarray(states.tasks.size)
    clipped = 16 * (np.exp(-0.1 / 16) - np.exp(-100 / 16)) + 0.1
    assert abs(sizes.mean() - clipped) < 0.15
    assert sizes.min() == pytest.approx(0.1)
    assert sizes.max() == pytest.approx(100.0)
    users = np.bincount(np.asarray(states.tasks.user).ravel(), minlength=10)
    assert len(users) == 10
    assert users.std() / users.mean() < 0.02
    # median gain of the cloud at 1500 m: 133.6 + 35 log10(1.5) + 8 dB, and ln 2 of fading
    expected = 10 ** (-(133.6 + 35 * np.log10(1.5) + 8) / 10) * np.log(2)
    assert np.median(states.gain[:, :, 0]) == pytest.approx(expected, rel=0.1)


def test_link_rates() -> None:
    for env, exponent in ((QUIET, 2), (WEAK, 1)):
        reset, step = compiled(env)
        params = env.context(num_edges=3)
        state, obs = reset(jax.random.key(3), params)
        while not state.size > 0:
            state, obs, *_ = step(jax.random.key(0), state, 0, params)
        gain = np.asarray(state.gain[state.tasks.user[state.task]], np.float64)[:4]
        noise = 10 ** (-174 / 10) * 1e-3 * 16.6e6
        signal = 0.01 * (gain / noise) ** 2 if exponent == 2 else 0.01 * gain
        expected = 16.6 * np.log2(1 + signal / noise)
        np.testing.assert_allclose(obs[:4, 1], expected, rtol=1e-4)


def test_uploads_under_way_disturb_the_links_of_others() -> None:
    reset, step = compiled(WEAK)
    params = WEAK.context(num_edges=3)
    state, _ = reset(jax.random.key(0), params)
    noise = 10 ** (-174 / 10) * 1e-3 * 16.6e6
    disturbed = 0
    for t in range(40):
        if state.task >= 0:
            user = int(state.tasks.user[state.task])
            others = (np.asarray(state.uploading) > 0) & (np.arange(10) != user)
            gain = np.asarray(state.gain, np.float64)
            ratio = 0.01 * gain[user] / (noise + 0.01 * gain[others].sum(axis=0))
            np.testing.assert_allclose(state.rate, 16.6 * np.log2(1 + ratio), rtol=1e-4)
            disturbed += others.any()
        state, *_ = step(jax.random.key(t), state, t % 4, params)
    assert disturbed > 10


def test_one_compiled_function_serves_every_system() -> None:
    env = MecOffloading()
    traced = []

    @jax.jit
    def run(key: jax.Array, params: Any) -> Any:
        traced.append(1)
        state, _ = env.reset(key, params)
        return env.step(key, state, jnp.int32(0), params)[-1]

    for num_edges, cloud, edge in ((1, 3.0, 2.5), (6, 4.0, 2.0), (10, 5.0, 1.5)):
        info = run(jax.random.key(0), env.context(num_edges, cloud, edge))
        assert int(info["num_edges"]) == num_edges
        np.testing.assert_allclose(info["frequencies"][: num_edges + 1], [cloud] + [edge] * num_edges)
        assert (info["frequencies"][num_edges + 1 :] == 0).all()
        assert info["action_mask"].sum() == num_edges + 1
    assert len(traced) == 1
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *[env.context(n, 4.0, 2.0) for n in range(1, 11)])
    info = jax.vmap(run)(jax.random.split(jax.random.key(0), 10), stacked)  # and under vmap
    np.testing.assert_array_equal(info["num_edges"], np.arange(1, 11))


@pytest.mark.parametrize(
    ("contexts", "most", "cloud", "edge"), [("train", 8, (3.5, 4.5), (1.75, 2.25)), ("test", 10, (3, 5), (1.5, 2.5))]
)
def test_published_contexts(contexts: str, most: int, cloud: Any, edge: Any) -> None:
    env = MecOffloading(contexts=contexts)
    states, _ = many_resets(jax.random.split(jax.random.key(0), 3000), env.default_params)
    f = np.asarray(states.frequency)
    counts = np.bincount((f > 0).sum(axis=1) - 1, minlength=most + 1)[1:]
    assert len(counts) == most
    assert (np.abs(counts - 3000 / most) < 5 * np.sqrt(3000 / most)).all()
    for values, (low, high) in ((f[:, 0], cloud), (f[:, 1:][f[:, 1:] > 0], edge)):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
    assert len(np.unique(f[0][f[0] > 0])) == (f[0] > 0).sum()  # each edge server has its own


def test_frequencies_of_each_server() -> None:
    env = MecOffloading(frequencies=(4.0, 2.0, 1.0, 0.5))
    _, obs = compiled(MecOffloading())[0](jax.random.key(0), env.default_params)
    np.testing.assert_array_equal(obs[:5, 2], [4.0, 2.0, 1.0, 0.5, -1.0])


def test_an_action_on_no_server_is_counted_and_costs_like_the_cloud() -> None:
    reset, step = compiled(BUSY)
    params = BUSY.context(num_edges=2)
    state, _ = reset(jax.random.key(0), params)
    outcomes = [step(jax.random.key(0), state, action, params) for action in (0, 7)]
    np.testing.assert_array_equal(outcomes[0][2], outcomes[1][2])
    assert [int(out[-1]["masked_actions"]) for out in outcomes] == [0, 1]


def test_a_full_server_drops_its_shortest_task_and_says_so() -> None:
    env = MecOffloading(arrival_rate=1.0, mean_size=50.0, capacity=4)
    reset, step = compiled(env)
    state, _ = reset(jax.random.key(0), env.default_params)
    for t in range(20):
        state, _, _, _, _, info = step(jax.random.key(t), state, 1, env.default_params)
    assert int(info["dropped"]) >= 10
    assert int(env.overflow(state)) == int(info["dropped"])
    assert int(state.servers.running[1]) == 4
    servers = sharing.idle(1, 3)
    for size in (5.0, 1.0, 3.0):
        servers, full = sharing.add(servers, jnp.float32(size))
        assert not full
    servers, full = sharing.add(servers, jnp.float32(2.0))
    assert full
    np.testing.assert_array_equal(servers.left, [[2.0, 3.0, 5.0]])
    # the same for a task that arrives from an upload
    upload = flights.Upload(jnp.int32(0), servers, jnp.float32(1.0), jnp.float32(7.5), jnp.float32(9.0))
    aloft = flights.launch(flights.none(2, 1), jnp.bool_(True), upload, jnp.int32(0), jnp.float32(1.0))
    step = flights.Step(servers, jnp.zeros(1), aloft, jnp.float32(0.0), jnp.int32(0))
    assert int(flights.land(step, jnp.int32(7), jnp.ones(1)).dropped) == 1


def test_arrivals_beyond_the_room_for_them_are_said() -> None:
    env = MecOffloading()
    params = env.default_params
    for rate, lost in ((1.0, 0), (20.0, 1)):
        crowded = params._replace(arrivals=params.arrivals._replace(rate=jnp.float32(rate)))
        state, _ = compiled(env)[0](jax.random.key(0), crowded)
        assert int(env.info(state, params)["lost_arrivals"]) == lost


@pytest.mark.slow
def test_a_capacity_that_is_too_low_is_an_error_and_not_a_wrong_delay() -> None:
    env = MecOffloading(num_edges=1, arrival_rate=1.0, mean_size=50.0, steps=10, capacity=3)
    line = "mec-offloading-v0: an episode has lost . tasks?, so that its delays are wrong: a server has room for cap"
    params, plan = env.default_params, np.zeros((1, 10), np.int32)
    with pytest.raises(UserError, match=line):
        schemes.evaluated(env, schemes.Plan(), plan, schemes.grid(2)[:1], episodes=2)
    single = GymnasiumEnv(env)
    single.reset(seed=0)
    with pytest.raises(UserError, match=line):
        _ = [single.step(0) for _ in range(10)]
    room = dataclasses.replace(env, capacity=None)
    schemes.evaluated(room, schemes.Plan(), plan, schemes.grid(2)[:1], episodes=2)
    # searches have room for any plan
    means = [search.plan_returns(e, params, jnp.asarray(plan), jax.random.key(0), 4) for e in (env, room)]
    np.testing.assert_array_equal(*means)
    crowded = params._replace(arrivals=params.arrivals._replace(rate=jnp.float32(200.0)))
    with pytest.raises(UserError, match=r"more came than arrival_rate = 1\.0 and steps = 10 leave"):
        schemes.evaluated(room, schemes.Plan(), plan, schemes.grid(2)[:1], params=crowded, episodes=2)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"contexts": "tset"}, "unknown contexts 'tset'; did you mean test"),
        ({"channel": "fast"}, "unknown channel 'fast'"),
        ({"queue": "lifo"}, "unknown queue 'lifo'; did you mean fifo"),
        ({"num_edges": 0}, "num_edges must be"),
        ({"num_edges": 11}, "num_edges must be whole numbers from 1 to max_edges = 10"),
        ({"num_edges": 2.5}, "num_edges must be whole numbers"),
        ({"cloud_frequency": (5.0, 4.0)}, "cloud_frequency must be"),
        ({"edge_frequency": -1.0}, "edge_frequency must be"),
        ({"frequencies": (4.0,)}, "frequencies has one number for the cloud"),
        ({"frequencies": (4.0, 2.0), "num_edges": 1}, "frequencies names every server"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"arrival_rate": 0.0}, "arrival_rate must be greater than 0"),
        ({"size_range": (0.0, 1.0)}, "size_range must be"),
        ({"size_range": (1.0, 2.0, 3.0)}, "size_range must be 2 finite numbers"),
        ({"path_loss": (1.0,)}, "path_loss must be 2 finite numbers"),
        ({"interference": 1}, "interference must be true or false"),
        ({"capacity": 0}, "capacity must be at least 1"),
        ({"mean_size": -1.0}, "mean_size must be greater than 0"),
        ({"noise": float("nan")}, "noise must be"),
    ],
)
def test_impossible_constants_are_refused_by_name(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        MecOffloading(**kwargs)
