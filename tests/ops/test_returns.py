"""Vector GAE and discounted sums against loops written from the definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.ops.returns import discounted_sum, td_error, traced


def gae(reward, value, next_value, terminated, done, gamma, gae_lambda):
    """Generalised advantage estimation, as PPO puts it together."""
    return traced(td_error(reward, value, next_value, terminated, gamma), done, gamma * gae_lambda)


T, B, R = 12, 3, 2


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    ends = rng.random((T, B))
    return {
        "reward": rng.normal(size=(T, B, R)).astype(np.float32),
        "value": rng.normal(size=(T, B, R)).astype(np.float32),
        "next_value": rng.normal(size=(T, B, R)).astype(np.float32),
        "terminated": ends < 0.15,
        "done": ends < 0.3,
    }


def test_gae_is_the_sum_of_discounted_errors(data):
    gamma, lam = 0.9, 0.8
    expected = np.zeros((T, B, R))
    for t in range(T):
        for b in range(B):
            weight = 1.0
            for k in range(t, T):
                bootstrap = 0.0 if data["terminated"][k, b] else data["next_value"][k, b]
                expected[t, b] += weight * (data["reward"][k, b] + gamma * bootstrap - data["value"][k, b])
                if data["done"][k, b]:
                    break
                weight *= gamma * lam
    got = gae(**{k: jnp.asarray(v) for k, v in data.items()}, gamma=gamma, gae_lambda=lam)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_gae_by_hand():
    """One step, cut off: 1 + 0.5 * 4 - 2 = 1; the same step terminated: 1 - 2 = -1."""
    one = jnp.ones((1, 1, 1))
    for terminated, expected in ((False, 1.0), (True, -1.0)):
        flags = jnp.array([[terminated]]), jnp.array([[True]])
        assert float(gae(one, 2 * one, 4 * one, *flags, gamma=0.5, gae_lambda=0.9)[0, 0, 0]) == expected


def test_discounted_sum_starts_over_after_an_end(data):
    start = np.ones((B, R), np.float32)
    carried, sums = discounted_sum(jnp.asarray(data["reward"]), jnp.asarray(data["done"]), jnp.asarray(start), 0.9)
    for b in range(B):
        total = start[b].astype(float)
        for t in range(T):
            total = 0.9 * total + data["reward"][t, b]
            np.testing.assert_allclose(sums[t, b], total, atol=1e-5)
            if data["done"][t, b]:
                total = np.zeros(R)
        np.testing.assert_allclose(carried[b], total, atol=1e-5)


def test_vmap_over_policies_changes_nothing(data):
    arrays = {k: jnp.asarray(v) for k, v in data.items()}
    single = gae(**arrays, gamma=0.9, gae_lambda=0.95)
    stacked = jax.vmap(lambda x: gae(**x, gamma=0.9, gae_lambda=0.95))(
        jax.tree.map(lambda x: jnp.stack([x, x]), arrays)
    )
    np.testing.assert_array_equal(stacked[1], single)
