"""Running statistics against NumPy on the whole stream, whatever the unit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morl.ops import running_statistics
from morl.ops.running_statistics import RunningStats


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 1000))
def test_batches_of_any_size_give_the_moments_of_the_whole(sizes, seed):
    rng = np.random.default_rng(seed)
    stats, seen = running_statistics.init(2), np.zeros((0, 2))
    for size in sizes:
        batch = rng.normal(3.0, 2.0, (10, 2)).astype(np.float32)
        weight = np.arange(10) < size
        stats = running_statistics.update(stats, jnp.asarray(batch), jnp.asarray(weight))
        seen = np.concatenate([seen, batch[weight]])
    if len(seen):
        np.testing.assert_allclose(stats.mean, seen.mean(axis=0), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(stats.var * stats.unit**2, seen.var(axis=0), rtol=1e-3, atol=1e-4)
    else:
        np.testing.assert_array_equal(stats.var, [1, 1])
    assert float(stats.seen) == len(seen)


def test_normalise():
    stats = RunningStats(jnp.array([1.0, 5.0]), jnp.array([1.0, 0.0]), jnp.float32(10), jnp.array([2.0, 4.0]))
    x = jnp.array([[5.0, 5.0], [1001.0, 4.0]])
    np.testing.assert_allclose(running_statistics.normalise(stats, x), [[2.0, 0.0], [10.0, -0.2]])


def streams(unit=1.0):
    """Three batches (50, 4) of features of different size: centred, off centre, a constant, and one that is 0."""
    rng = np.random.default_rng(3)
    spread, middle = np.array([1.0, 1e-3, 0.0, 0.0]), np.array([0.0, 0.3, 0.1, 0.0])
    return [(unit * (rng.normal(size=(5000, 4)) * spread + middle).astype(np.float32)) for _ in range(3)]


def seen(batches):
    stats, update = running_statistics.init(4), jax.jit(running_statistics.update)
    for batch in batches:
        stats = update(stats, batch, np.arange(len(batch)) % 3 > 0)
    return stats


@pytest.mark.parametrize("exponent", [-80, -14, 66, 110])
def test_the_unit_changes_no_digit(exponent):
    """Features of 1e-24, 5e-5, 1e20 and 1e33 are normalised to the same bits as those of 1."""
    unit = np.float32(2.0**exponent)
    same, others = streams(), streams(unit)
    expected = running_statistics.normalise(seen(same), same[0])
    np.testing.assert_array_equal(running_statistics.normalise(seen(others), others[0]), expected)
    assert np.asarray(expected)[:, :2].std(axis=0) == pytest.approx(1, abs=0.05)


def test_a_constant_is_0_and_not_its_rounding():
    """The sum of thousands of 0.1 is not exactly theirs; nor does 0 throughout make anything of a later value."""
    stats = seen(streams())
    assert np.asarray(running_statistics.normalise(stats, streams()[1]))[:, 2:].tolist() == [[0.0, 0.0]] * 5000
    assert np.asarray(running_statistics.deviation(stats))[2:].tolist() == [np.float32(0.1), 1.0]


def test_a_deviation_that_float32_just_resolves_is_seen():
    """100,000 plus or minus 1 at steps of 1/128; less than the rounding of the mean would be is not."""
    rng = np.random.default_rng(0)
    batches = [1e5 + rng.normal(size=(4000, 1)) * np.array([1.0, 0.0, 1.0, 1.0]) for _ in range(3)]
    found = running_statistics.normalise(seen([x.astype(np.float32) for x in batches]), batches[0].astype(np.float32))
    np.testing.assert_allclose(found[:, 0], batches[0][:, 0] - 1e5, atol=0.1)
