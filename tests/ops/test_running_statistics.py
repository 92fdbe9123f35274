"""Running statistics against NumPy on the whole stream."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from morl.ops import running_statistics


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
        np.testing.assert_allclose(stats.var, seen.var(axis=0), rtol=1e-3, atol=1e-4)
    else:
        np.testing.assert_array_equal(stats.var, [1, 1])
    assert float(stats.seen) == len(seen)


def test_normalise():
    stats = running_statistics.RunningStats(jnp.array([1.0, 5.0]), jnp.array([4.0, 0.0]), jnp.float32(10))
    x = jnp.array([[5.0, 5.0], [1001.0, 4.0]])
    np.testing.assert_allclose(running_statistics.normalise(stats, x), [[2.0, 0.0], [10.0, -1.0]])
