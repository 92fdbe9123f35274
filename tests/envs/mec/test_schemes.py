"""Schemes without gradient learning, their searches, and the timeline."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from morl.envs.mec import MecOffloading, schemes, search, timeline
from morl.errors import MissingExtraError
from tests.envs.mec.reference import System

ENV = MecOffloading(num_edges=2, cloud_frequency=4.0, edge_frequency=2.0, steps=30)
SIX = MecOffloading(num_edges=6, cloud_frequency=4.0, edge_frequency=2.0)


@pytest.mark.parametrize("channel", ["high_rate", "physical"])
def test_the_outlook_is_what_the_step_gives(channel: Any) -> None:
    env = MecOffloading(num_edges=3, channel=channel, antenna_gain=10.0, arrival_rate=0.3, max_edges=4)
    params = env.default_params
    step, outlook = jax.jit(env.step), jax.jit(env.outlook)
    state, _ = jax.jit(env.reset)(jax.random.key(0), params)
    frequencies = [float(f) for f in state.frequency if f > 0]
    system, aloft = System(frequencies), 0
    for t in range(40):
        seen = np.asarray(outlook(state, params))
        assert (seen[4] == -np.inf).all()
        for server in range(4):
            expected = step(jax.random.key(t), state, server, params)[2]
            np.testing.assert_allclose(seen[server, :2], expected, rtol=1e-5, atol=1e-5)
        aloft += bool((state.flights.step < 2**30).any())
        if state.size > 0:
            alone = System(frequencies[:1])  # a task's own delay, where nothing else is
            alone.place(0, float(state.size), float(state.rate[0]))
            if int(state.servers.running[0]) == 0 and channel == "high_rate":
                assert seen[0, 2] == pytest.approx(-alone.delays()[0], rel=1e-5)
            system.place(t % 4, float(state.size), float(state.rate[t % 4]))
        state, *_ = step(jax.random.key(t), state, t % 4, params)
    assert (aloft > 10) == (channel == "physical")
    assert (np.asarray(outlook(state._replace(size=jnp.float32(0.0)), params))[:4] == 0).all()


def returns(scheme: Any, policies: Any, preferences: Any, env: MecOffloading = SIX, episodes: int = 64) -> Any:
    evaluation = schemes.evaluated(env, scheme, policies, np.asarray(preferences, float), episodes=episodes)
    return np.asarray(evaluation.undiscounted).mean(axis=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_greedy_is_the_quick_experiments() -> None:
    """Compare with an independent prototype: 907 s / 5.65 J (delay alone) to 1880 s / 2.98 J (most other weights)."""
    delay, energy = -returns(schemes.Greedy(), np.zeros(2, np.float32), [[1, 0], [0.5, 0.5]], episodes=256).T
    np.testing.assert_allclose(delay, [907, 1880], rtol=0.06)
    np.testing.assert_allclose(energy, [5.65, 2.98], rtol=0.03)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_random_is_the_quick_experiments() -> None:
    """Compare with the best of the prototype, 2036 s / 4.74 J and 3027 s / 2.98 J."""
    p = np.array([0.0, 0.2, 1.0], np.float32)
    delay, energy = -returns(schemes.Random(), p, [[1, 0]] * 3, episodes=256).T
    np.testing.assert_allclose(delay[:2], [3027, 2036], rtol=0.06)
    np.testing.assert_allclose(energy[:2], [2.98, 4.74], rtol=0.03)
    assert delay[2] > 3 * delay[0]  # all to the cloud


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_schemes_that_look_at_one_objective() -> None:
    greedy = -returns(schemes.Greedy(), np.zeros(1, np.float32), [[1, 0]])[0]
    own = -returns(schemes.LeastDelay(), np.zeros(1, np.float32), [[1, 0]])[0]
    energy = -returns(schemes.LeastEnergy(), np.zeros(1, np.float32), [[1, 0]])[0]
    assert greedy[0] < own[0] < 1.2 * greedy[0]  # it does not mind the others it holds up
    assert energy[1] <= min(greedy[1], own[1])
    assert energy[0] > 3 * own[0]


def test_ties_go_to_the_faster_server() -> None:
    env = MecOffloading(frequencies=(4.0, 2.0, 2.0), arrival_rate=1.0)
    run, params = schemes.Revealed(env), env.default_params
    step = jax.jit(run.step)
    act = jax.jit(partial(schemes.Greedy().act, None, greedy=True))
    state, obs = jax.jit(run.reset)(jax.random.key(0), params)
    taken = []
    for t in range(20):
        action = int(act(obs[None], jnp.array([0.0, 1.0]), jax.random.key(0))[0])
        seen = np.asarray(obs)[:3, -4:-2]
        equal = seen[:, 1] >= seen[:, 1].max() * 1.001
        assert action == np.flatnonzero(equal)[seen[equal, 0].argmax()]
        taken.append(action)
        state, obs, *_ = step(jax.random.key(t), state, action, params)
    assert set(taken) == {1, 2}


def seen_by(running: list[int], delays: list[float], step: int) -> jax.Array:
    """Return an observation (1, 3, 10) of Revealed: a task of 8 Mbit, a cloud of 4 GHz and two servers, one there."""
    rows = [
        [8.0, 300.0, f, n, 1.0, 0.0, -d, -1.0, -d, step] for f, n, d in zip([4, 2, -1], running, delays, strict=True)
    ]
    return jnp.asarray([rows], jnp.float32)


def test_foresight_prices_the_time_that_a_task_is_in_the_way() -> None:
    """On the cloud 8 Mbit take 2 s and its share is 2/3; on the server 4 s and 1/3."""
    choose = partial(schemes.Foresight(steps=100, horizon=20.0).act, key=jax.random.key(0), greedy=True)
    delay_alone = jnp.array([1.0, 0.0])
    for prices, running, delays, step, expected in (
        ([0, 0], [3, 0, 0], [6.0, 5.0, 0.0], 0, 1),  # greedy: 6 against 5
        ([1, 0], [3, 0, 0], [6.0, 5.0, 0.0], 0, 0),  # 6 + 2 against 5 + 4
        ([1, 0], [3, 0, 0], [6.0, 5.0, 0.0], 90, 1),  # 9 of 20 steps: 6 + 0.9 against 5 + 1.8
        ([1, 3], [3, 0, 0], [6.0, 5.0, 0.0], 0, 1),  # 6 + 2 (1 + 3 * 3 * 2 / 3) against 5 + 4
        ([9, 9], [3, 0, 0], [6.0, 5.0, 0.0], 99, 1),  # the last step has none to come
    ):
        policy = jnp.asarray(prices, jnp.float32)
        assert choose(policy, seen_by(running, delays, step), delay_alone)[0] == expected, (prices, step)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_search_finds_prices_that_pay() -> None:
    weights = schemes.grid(3)[1:]
    found = search.prices(SIX, weights, iterations=3, population=8, episodes=24, seed=100)
    assert found.shape == (2,)
    assert found.min() >= 0
    assert found[1] > 1
    policies = np.stack([found] * 2).astype(np.float32)
    scheme = schemes.Foresight()
    with_prices, without = (returns(scheme, each, weights, episodes=128) for each in (policies, 0 * policies))
    gain = ((with_prices - without) * weights * scheme.scales).sum(axis=1)
    assert (gain > 0.02).all()  # of about 4
    np.testing.assert_allclose(without, returns(schemes.Greedy(scales=scheme.scales), policies, weights, episodes=128))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_plans_are_followed() -> None:
    plans = np.array([[0] * 30, [1, 2] * 15, [7] * 30], np.int32)
    got = returns(schemes.Plan(), plans, [[1, 0]] * 3, ENV)
    assert got[1, 0] < got[0, 0]  # two servers do no more than one twice as fast, and less while one of them is idle
    assert got[1, 1] > got[0, 1]
    np.testing.assert_array_equal(got[2], got[0])  # there is no server 7
    mean = search.plan_returns(ENV, ENV.default_params, jnp.asarray(plans[:2]), jax.random.key(5), 400)
    np.testing.assert_allclose(mean, returns(schemes.Plan(), plans[:2], [[1, 0]] * 2, ENV, 400), rtol=0.12)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_annealing_beats_where_it_began() -> None:
    weights = schemes.grid(3)
    begun, found = (
        returns(schemes.Plan(), search.annealing(ENV, weights, iterations=n, seed=1), weights, ENV, 256)
        for n in (0, 300)
    )
    scores = [np.sum(r * weights * schemes.SCALES, axis=1) for r in (begun, found)]
    assert (scores[1] > scores[0] + 0.02 * np.abs(scores[0])).all(), scores
    np.testing.assert_array_equal(
        search.annealing(ENV, weights, iterations=5, seed=3), search.annealing(ENV, weights, iterations=5, seed=3)
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nsga2_spreads_over_both_objectives() -> None:
    pytest.importorskip("pymoo", reason="needs the baselines extra")
    plans = search.nsga2(ENV, population=40, generations=25, episodes=8)
    assert plans.shape[1] == 30
    assert plans.min() >= 0
    assert plans.max() <= 2
    front = schemes.front(ENV, schemes.Plan(), plans, np.tile([[0.5, 0.5]], (len(plans), 1)), episodes=128)
    random = schemes.front(
        ENV, schemes.Plan(), np.random.default_rng(0).integers(0, 3, (40, 30)).astype(np.int32),
        np.tile([[0.5, 0.5]], (40, 1)), episodes=128,
    )  # fmt: skip
    assert front.hypervolume() > random.hypervolume()
    assert np.ptp(front.undiscounted[:, 1]) > np.ptp(random.undiscounted[:, 1])


def test_nsga2_without_pymoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymoo.optimize", None)
    with pytest.raises(MissingExtraError, match="baselines"):
        search.nsga2(ENV)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_linucb_learns_from_what_it_tries() -> None:
    weights = np.array([[0.9, 0.1], [0.1, 0.9]])

    def scores(scheme: Any, policies: Any) -> Any:
        return np.sum(returns(scheme, policies, weights, ENV, 256) * weights * schemes.SCALES, axis=1)

    random = scores(schemes.Random(), np.full(2, 1 / 3, np.float32))
    learnt = {}
    for products in (False, True):
        theta = search.linucb(ENV, rounds=30, num_envs=16, products=products).astype(np.float32)
        learnt[products] = scores(schemes.Linear(products), np.stack([theta, theta]))
        assert learnt[products].sum() > 0.8 * random.sum()
    assert (learnt[True] > 0.9 * random).all()
    assert learnt[True].sum() > learnt[False].sum()  # it can tell the objectives apart


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_front_has_no_dominated_policy_and_its_policies_act() -> None:
    front = schemes.front(SIX, schemes.Greedy(), np.zeros(5, np.float32), schemes.grid(5), episodes=32)
    assert 2 <= len(front) <= 5
    policy = front.policy([1.0, 0.0])
    revealed = schemes.Revealed(SIX)
    _, obs = revealed.reset(jax.random.key(0), SIX.default_params)
    assert 0 <= int(policy(obs)) <= 6


def test_the_timeline_is_the_references(tmp_path: Any) -> None:
    env = MecOffloading(num_edges=3, channel="physical", antenna_gain=15.0, steps=50)
    line = timeline.record(env, schemes.Random(), np.float32(0.3), seed=2)
    system = System(line.frequencies.tolist())
    for i in range(len(line.size)):
        system.advance(line.placed[i])
        rate = line.size[i] / (line.joined[i] - line.placed[i])
        system.place(int(line.server[i]), line.size[i], rate)
    np.testing.assert_allclose(line.delay, system.delays(), rtol=1e-6)
    np.testing.assert_allclose(line.energy, [task.energy for task in system.placed], rtol=1e-5)
    path = timeline.plot(line, tmp_path / "timeline.png")
    assert np.asarray(Image.open(path).convert("RGB")).std() > 10
