"""Horizons of episodes, and values at another discount up to a limit, against sums over simulated episodes."""

import math

import numpy as np
import pytest

from morl.agents.cmorl.lengths import Lengths, horizon, no_episodes, survival, value_factor

NEVER = math.inf


def seen(lengths, limit):
    """Return counts of episodes that would end by themselves after ``lengths`` steps, and their steps to the limit."""
    lengths = np.asarray(lengths, float)
    steps = np.minimum(lengths, limit or NEVER)
    cut = int((lengths > (limit or NEVER)).sum())
    return Lengths(np.float32(steps.sum()), np.float32(len(steps) - cut), np.float32(cut)), steps


def total(steps, gamma):
    """Return the mean discounted sum of a reward of 1 a step."""
    return np.mean(steps) if gamma == 1 else np.mean((1 - gamma**steps) / (1 - gamma))


@pytest.mark.parametrize("gamma", [1.0, 0.99, 0.9])
@pytest.mark.parametrize(
    ("lengths", "limit", "tolerance"),
    [
        (np.random.default_rng(0).geometric(0.02, 100_000), None, 0.02),
        (np.random.default_rng(0).geometric(0.02, 100_000), 60, 0.02),
        (np.full(10, NEVER), 288, 1e-3),
        (np.full(10, 1.0), None, 1e-3),
        (np.full(10, 6.0), 6, 0.16),  # it ends by itself as its limit comes
        (np.random.default_rng(0).uniform(10, 200, 1000), 1000, 0.16),
    ],
    ids=["chance", "chance and limit", "limit", "one step", "both at once", "of any length"],
)
def test_the_horizon_is_what_a_reward_of_one_comes_to(gamma, lengths, limit, tolerance):
    counts, steps = seen(lengths, limit)
    got = horizon(survival(counts, limit), gamma, limit or NEVER)
    assert float(got) == pytest.approx(total(steps, gamma), rel=tolerance)


def test_before_an_episode_has_ended_its_limit_is_what_ends_it():
    counts = Lengths(np.float32(640.0), np.float32(0.0), np.float32(0.0))
    assert float(horizon(survival(counts, 1000), 1.0, 1000)) == pytest.approx(1000, rel=1e-3)
    assert float(horizon(survival(counts, None), 1.0)) == pytest.approx(640, rel=1e-3)
    assert math.isfinite(float(horizon(survival(no_episodes(), None), 1.0)))


@pytest.mark.parametrize("steps", [1024, 4096, 100_000])
def test_one_that_ended_early_makes_no_episode_longer_than_the_limit(steps):
    counts = Lengths(np.float32(steps), np.float32(1.0), np.float32(0.0))
    assert 500 < float(horizon(survival(counts, 1000), 1.0, 1000)) <= 1000.5


@pytest.mark.parametrize("gamma", [1.0, 0.99])
def test_what_a_value_is_worth_goes_on_to_the_limit(gamma):
    """A critic at 0.995 sees 200 ahead, for ever; a return of 1 a step is of the steps that are left."""
    counts, _ = seen(np.full(10, NEVER), 288)
    left = np.array([288, 100, 1, 0])
    got = value_factor(survival(counts, 288), 0.995, gamma, left) * 200
    np.testing.assert_allclose(got, [total(np.array([float(n)]), gamma) for n in left], rtol=1e-3, atol=1e-3)


def test_values_are_worth_themselves_where_nothing_differs():
    counts, _ = seen(np.random.default_rng(0).geometric(0.02, 1000), None)
    assert float(value_factor(survival(counts, None), 0.99, 0.99)) == pytest.approx(1)
    counts, _ = seen(np.random.default_rng(0).geometric(0.02, 1000), 5000)  # a limit that nothing comes near
    assert float(value_factor(survival(counts, 5000), 0.99, 0.99, 5000)) == pytest.approx(1, abs=1e-3)
    cut = Lengths(np.float32(2880.0), np.float32(0.0), np.float32(10.0))  # by the environment itself, at 288
    assert float(value_factor(survival(cut, None), 0.995, 1.0)) * 200 == pytest.approx(288, rel=1e-3)
    one = survival(seen(np.full(10, 6.0), 6)[0], 6)  # as steps go by nothing changes: none was cut off
    np.testing.assert_allclose(value_factor(one, 0.99, 0.99, np.array([6, 3, 1])), 1, rtol=1e-4)
