"""HyperGrid: exact values, its edges, and the distribution over its cells."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.constructive.hypergrid import STOP, HyperGrid
from morl.errors import UserError
from morl.ops import metrics
from tests.envs.constructive.constructing import check_backward_steps, follow


@pytest.mark.parametrize(
    ("side", "k", "ends", "front", "volume"),
    [(8, 2, 63, 6, 0.955550), (32, 2, 1023, 36, 0.982144), (32, 3, 1023, 88, 0.854484)],
)
def test_exact_fronts(side, k, ends, front, volume):
    env = HyperGrid(side, k)
    assert len(env.outcomes().values) == ends
    assert len(env.true_front()) == front
    assert metrics.hypervolume(env.true_front(), np.zeros(k)) == pytest.approx(volume, abs=1e-6)


def test_objectives_at_points_worked_out_by_hand():
    """Check the corner (-1, -1).

    There branin's a is -5 and b 0, currin's b is 0, so 60 / 20 / 13.77, beale's B 3.5² + 2.25² + 4.625².
    """
    values = np.asarray(HyperGrid(3, 5).default_params.values)
    branin = (
        1 - ((-5.1 * 25 / (4 * np.pi**2) - 25 / np.pi - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(5) + 10) / 308.13
    )
    assert values[0, 0, 0] == pytest.approx(branin, abs=1e-6)
    assert values[0, 0, 1] == pytest.approx(3 / 13.77, abs=1e-6)
    assert values[0, 0, 3] == 1
    beale = (3.5**2 + 2.25**2 + 4.625**2 - 4.369943360497595) / (38.703125 - 4.369943360497595)
    assert values[0, 0, 4] == pytest.approx(beale, abs=1e-6)
    assert values[1, 1, 3] == 0  # sphere at the origin
    assert values[2, 2, 4] == pytest.approx(
        (1.5**2 + 2.25**2 + 2.625**2 - 4.369943360497595) / 34.333181639502405, abs=1e-6
    )
    shubert = sum(i * np.cos(10 * i) for i in range(1, 6)) ** 2
    assert values[1, 1, 2] == pytest.approx((shubert + 12.58133095975989) / 25.43364667887865, abs=1e-6)


def test_a_walk_ends_by_stopping_or_at_the_far_edge():
    env = HyperGrid(4)
    *_, (state, obs, reward, terminated) = follow(env, [0, 1, STOP])
    assert obs.tolist() == [1, 1]
    assert terminated
    assert env.backward_mask(state).tolist() == [0, 0, 1]
    np.testing.assert_allclose(reward, env.outcomes().values[1 * 4 + 1], rtol=1e-6)
    seen = follow(env, [0, 1, 0, 0])
    assert [bool(terminated) for *_, terminated in seen] == [False, False, False, True]
    assert seen[-1][1].tolist() == [3, 1]
    assert env.backward_mask(seen[-1][0]).tolist() == [1, 0, 0]  # not from (3, 0), where no step leads on
    assert not np.asarray(seen[2][2]).any()
    assert env.action_mask(seen[-1][1]).tolist() == [0, 0, 1]
    assert env.action_mask(np.array([[0, 3], [2, 2]])).tolist() == [[0, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("side", [2, 3, 5])
def test_backward_steps(side):
    for seed in range(6):
        check_backward_steps(HyperGrid(side), seed)


def test_finished_states_are_those_of_the_outcomes():
    env = HyperGrid(5, 3)
    states = env.finished_states()
    np.testing.assert_allclose(
        env.default_params.values[states.position[:, 0], states.position[:, 1]], env.outcomes().values, rtol=1e-6
    )
    assert states.done.all()
    assert len({tuple(cell) for cell in states.position.tolist()}) == 24


def paths(env, policy):
    """Return the probability of each cell by enumerating every path."""
    probability = np.zeros((env.side, env.side))

    def walk(cell, mass):
        row = policy[cell[0] * (env.side - 1) + cell[1]]
        probability[cell] += mass * row[STOP]
        for action, following in enumerate([(cell[0] + 1, cell[1]), (cell[0], cell[1] + 1)]):
            if max(following) == env.side - 1:
                probability[following] += mass * row[action]
            else:
                walk(following, mass * row[action])

    walk((0, 0), 1.0)
    return probability.ravel()[:-1]


@pytest.mark.parametrize("side", [2, 3, 6])
def test_the_distribution_of_a_policy_against_every_path(side):
    env = HyperGrid(side)
    policy = np.random.default_rng(0).dirichlet(np.ones(3), len(env.decision_points()))
    found = jax.jit(env.distribution)(jnp.asarray(policy, jnp.float32))
    np.testing.assert_allclose(found, paths(env, policy), atol=1e-6)
    assert float(found.sum()) == pytest.approx(1, abs=1e-6)


def test_discounted_fronts_by_every_walk():
    env, gamma = HyperGrid(4), 0.9
    returns = []
    for actions in itertools.chain.from_iterable(itertools.product((0, 1), repeat=n) for n in range(env.horizon + 1)):
        seen = follow(env, [*actions, STOP])
        steps = next(i for i, row in enumerate(seen) if row[3])
        returns.append(np.asarray(seen[steps][2]) * gamma**steps)
    found = env.true_front(gamma)
    assert metrics.hypervolume(found, [0, 0]) == pytest.approx(metrics.hypervolume(np.array(returns), [0, 0]), rel=1e-5)
    assert len(found) == metrics.cardinality(np.unique(np.round(returns, 6), axis=0))


def test_settings_are_checked():
    with pytest.raises(UserError, match="side must be at least 2"):
        HyperGrid(side=1)
    with pytest.raises(UserError, match="num_objectives must be at least 2 and at most 5, not 6"):
        HyperGrid(num_objectives=6)
